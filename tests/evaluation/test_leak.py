import math

import numpy as np
import pytest

from recbole_marn.errors import InputError
from recbole_marn.evaluation.leak import tells_label
from recbole_marn.evaluation.metrics import auc

RNG = np.random.default_rng(0)
ROWS = 20_000
CHANCE = RNG.random(ROWS) * 0.08  # a log with 4 % clicks
LABEL = (RNG.random(ROWS) < CHANCE).astype(int)

LEAKS = {
    "the label": LABEL,
    "its negation as words": np.where(LABEL == 1, "no", "yes"),
    "read time": np.where(LABEL == 1, RNG.exponential(30, ROWS) + 1, 0.0),
    "read time, missing without a click": np.where(LABEL == 1, RNG.exponential(30, ROWS), np.nan),
    "a number or none": np.where(LABEL == 1, 1.0, np.nan),
    "next page, empty without a click": np.where(LABEL == 1, RNG.integers(0, 10**6, ROWS).astype(str), ""),
    "below and above": np.where(LABEL == 1, RNG.choice([-1.0, 1.0], ROWS), RNG.uniform(-0.5, 0.5, ROWS)),
}
HONEST = {
    "constant": np.zeros(ROWS, int),
    "a number for each row": np.arange(ROWS),
    "a token for each row": np.arange(ROWS).astype(str),
    "noise": RNG.normal(size=ROWS),
    "users": RNG.integers(0, 5000, ROWS),
    "missing at random": np.where(RNG.random(ROWS) < 0.5, np.nan, 1.0),
}


@pytest.mark.parametrize("name", LEAKS)
def test_columns_known_after_the_click_are_named(name):
    tell = tells_label(LEAKS[name], LABEL)
    assert tell.almost_perfect and tell.auc > 0.99
    assert tell.explained > 0.9


@pytest.mark.parametrize("name", HONEST)
def test_columns_that_tell_nothing_are_not(name):
    tell = tells_label(HONEST[name], LABEL)
    assert not tell.almost_perfect
    assert tell.auc == pytest.approx(0.5, abs=0.05)
    assert tell.explained < 0.01


def test_an_honest_feature_tells_what_it_can():
    tell = tells_label(CHANCE, LABEL)
    assert tell.auc == pytest.approx(auc(LABEL, CHANCE), abs=1e-12)
    coarse = tells_label((CHANCE * 100).astype(int).astype(str), LABEL)
    assert coarse.auc == pytest.approx(auc(LABEL, (CHANCE * 100).astype(int)), abs=0.02)
    assert 0.02 < coarse.explained < 0.1 and coarse.values == 8


def test_rates_are_those_of_the_other_half():
    # Each value occurs once a half with opposite labels: what the other half says is always wrong.
    label = np.array([1, 0] * 200)
    value = np.arange(400) // 2
    tell = tells_label(value.astype(str), label)
    assert tell.auc < 0.5


def test_too_little_of_a_class_has_no_tell():
    tell = tells_label([1, 2, 3], [1, 0, 0])
    assert math.isnan(tell.auc) and math.isnan(tell.explained) and tell.values == 3
    assert not tell.almost_perfect


@pytest.mark.parametrize(
    ("column", "expected"),
    [([1], "2 rows. Got 1"), ([[1], [2]], "shape"), (np.array([None, "a"], object), "object")],
)
def test_unusable_columns_are_refused(column, expected):
    with pytest.raises(InputError, match=expected):
        tells_label(column, [1, 0])


def test_all_missing_is_a_constant():
    assert tells_label(np.full(ROWS, np.nan), LABEL).auc == pytest.approx(0.5, abs=1e-12)
