import numpy as np
import pytest

from recbole_marn.errors import InputError
from recbole_marn.evaluation.inputs import (
    check_ids,
    check_labels,
    check_probabilities,
    check_score_table,
    check_scores,
)


@pytest.mark.parametrize(
    "label", [[1, 0, 1], [1.0, 0.0, 1.0], [True, False, True], np.array([1, 0, 1], np.int8)]
)
def test_labels_of_any_numeric_type_become_boolean(label):
    assert check_labels(label).tolist() == [True, False, True]
    assert check_labels(label).dtype == bool


@pytest.mark.parametrize(
    ("label", "got"),
    [
        ([], "none"),
        ([1, 0, 2], "2, one of 1 other values"),
        ([0.0, float("nan")], "nan"),
        ([[0], [1]], r"shape \(2, 1\)"),
        (["yes", "no"], "dtype <U3"),
        ([[1], [0, 1]], "list"),
    ],
)
def test_unusable_labels_are_refused(label, got):
    with pytest.raises(InputError, match=f"Got .*{got}"):
        check_labels(label)


def test_scores_keep_their_order_and_ties_in_any_float_width():
    score = np.array([0.1, 0.1, 0.2, -np.inf, np.inf], dtype=np.float16)
    checked = check_scores(score, 5)
    assert checked.dtype == np.float64
    assert np.array_equal(checked, score)


@pytest.mark.parametrize(
    ("score", "got"),
    [
        ([0.1, np.nan, np.nan], "2 NaN, the first in row 1"),
        ([0.1, 0.2], "Got 2"),
        ([[0.1, 0.2, 0.3]], r"shape \(1, 3\)"),
        (["a", "b", "c"], "dtype"),
    ],
)
def test_unusable_scores_are_refused(score, got):
    with pytest.raises(InputError, match=got):
        check_scores(score, 3)


def test_score_table_takes_one_model_or_several():
    assert check_score_table([0.1, 0.2], 2).shape == (1, 2)
    assert check_score_table([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], 2).shape == (3, 2)
    with pytest.raises(InputError, match="Got 3"):
        check_score_table([[0.1, 0.2], [0.3, 0.4, 0.5]], 2)
    with pytest.raises(InputError, match="at least one model"):
        check_score_table(np.empty((0, 2)), 2)


@pytest.mark.parametrize("value", [-0.01, 1.01, np.inf])
def test_probabilities_outside_zero_and_one_are_refused(value):
    assert check_probabilities([0.0, 1.0], 2).tolist() == [0.0, 1.0]
    with pytest.raises(InputError, match="sigmoid"):
        check_probabilities([0.5, value], 2)


def test_ids_are_integers_or_tokens():
    assert check_ids([3, 1], 2).tolist() == [3, 1]
    assert check_ids(["b", "a"], 2).tolist() == ["b", "a"]
    with pytest.raises(InputError, match="user to be integers or strings"):
        check_ids([1.0, 2.0], 2)
    with pytest.raises(InputError, match="level to be integers"):
        check_ids(["b", "a"], 2, "level", strings=False)
    with pytest.raises(InputError, match="2 entries"):
        check_ids([1, 2, 3], 2)
