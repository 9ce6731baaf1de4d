import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_marn.errors import InputError
from recbole_marn.evaluation.metrics import per_user_auc
from recbole_marn.evaluation.request_metrics import always_one, request_metrics

NAMES = ("AUC", "MRR", "nDCG@5", "nDCG@10", "Recall@5", "Recall@10", "Hit@5", "Hit@10")


def of_order(ranked):
    """Each metric of the labels of one request in their order, by the definitions of MIND's evaluation."""
    clicks, n = sum(ranked), len(ranked)
    pairs = [(i, j) for i in range(n) for j in range(n) if ranked[i] and not ranked[j]]
    values = {
        "AUC": sum(i < j for i, j in pairs) / len(pairs),
        "MRR": sum(one / (place + 1) for place, one in enumerate(ranked)) / clicks,
    }
    for k in (1, 2, 5, 10):
        dcg = sum((2**one - 1) / math.log2(place + 2) for place, one in enumerate(ranked[:k]))
        best = sum(1 / math.log2(place + 2) for place in range(min(clicks, k)))
        values |= {
            f"nDCG@{k}": dcg / best,
            f"Recall@{k}": sum(ranked[:k]) / clicks,
            f"Hit@{k}": float(any(ranked[:k])),
        }
    return values


def over_all_orders(label, score):
    """Mean of each metric over all permutations of the rows that keep the scores descending."""
    found = []
    for order in itertools.permutations(range(len(label))):
        if all(score[a] >= score[b] for a, b in itertools.pairwise(order)):
            found.append(of_order([label[row] for row in order]))
    return {name: sum(one[name] for one in found) / len(found) for name in found[0]}


def test_a_request_of_five_by_hand():
    # Ranks 2 and 4 are clicks: pairs in order 1 (of rank 2: 2, of rank 4: 1) = 3 of 6.
    got = request_metrics([7] * 5, [0, 1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.5], ndcg_at=(2, 5), top=(2,)).means()
    assert got["AUC"] == 0.5
    assert got["MRR"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    best = 1 + 1 / math.log2(3)
    assert got["nDCG@2"] == pytest.approx(1 / math.log2(3) / best)
    assert got["nDCG@5"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / best)
    assert (got["Recall@2"], got["Hit@2"]) == (0.5, 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_without_ties_it_is_the_definition_request_by_request(seed):
    rng = np.random.default_rng(seed)
    request = rng.integers(0, 30, 400) * 3
    label = (rng.random(400) < 0.2).astype(int)
    score = rng.permutation(400) / 400.0
    got = request_metrics(request, label, score)
    kept = []
    for one in np.unique(request):
        rows = np.flatnonzero(request == one)
        if 0 < label[rows].sum() < len(rows):
            kept.append(one)
            expected = of_order(label[rows][np.argsort(-score[rows])].tolist())
            for name in NAMES:
                assert got.values[name][len(kept) - 1] == pytest.approx(expected[name], abs=1e-12), name
    assert got.request.tolist() == kept
    assert set(got.values) == set(NAMES)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=2, max_size=6))
def test_ties_are_the_mean_over_all_orders(rows):
    label, score = [int(click) for click, _ in rows], [value for _, value in rows]
    got = request_metrics([1] * len(rows), label, score, ndcg_at=(1, 2, 5), top=(1, 2, 5))
    if len(set(label)) == 1:
        assert len(got.request) == 0
        return
    expected = over_all_orders(label, score)
    for name, value in got.values.items():
        assert value[0] == pytest.approx(expected[name], abs=1e-10), name


def test_a_constant_score_has_the_metrics_of_chance_whatever_the_order_of_the_file():
    label = [1, 0, 0, 0]
    first = request_metrics([3] * 4, label, [0.2] * 4, top=(1,)).means()
    last = request_metrics([3] * 4, label[::-1], [0.2] * 4, top=(1,)).means()
    assert first == last
    assert first["AUC"] == 0.5
    assert first["MRR"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert first["Hit@1"] == pytest.approx(0.25)


def test_requests_of_one_class_are_left_out_and_counted():
    request = np.array(["b", "a", "a", "c", "c", "d", "d", "e"])
    label = [1, 1, 0, 0, 0, 1, 1, 0]
    got = request_metrics(request, label, np.arange(8.0))
    assert got.request.tolist() == ["a"]
    assert (got.positives.tolist(), got.negatives.tolist()) == ([1], [1])
    assert (got.without_click, got.without_non_click) == (2, 2)
    alone = request_metrics(request[1:3], label[1:3], np.arange(8.0)[1:3])
    assert got.means() == alone.means()


def test_nothing_to_rank_is_nan():
    got = request_metrics([1, 1, 2], [1, 1, 0], [0.1, 0.2, 0.3])
    assert all(math.isnan(value) for value in got.means().values())
    assert (got.without_click, got.without_non_click) == (1, 1)


def test_auc_of_requests_is_that_of_users_and_row_order_has_no_say():
    rng = np.random.default_rng(0)
    request, label, score = rng.integers(0, 40, 500), rng.integers(0, 2, 500), rng.integers(0, 9, 500) / 9
    got = request_metrics(request, label, score)
    assert np.array_equal(got.values["AUC"], per_user_auc(request, label, score).auc)
    order = rng.permutation(500)
    again = request_metrics(request[order], label[order], score[order])
    for name in NAMES:
        assert np.array_equal(got.values[name], again.values[name])


def test_a_long_request_with_many_ties_keeps_its_digits():
    # 1,000 rows, all tied, 30 clicks: Hit@10 = 1 - C(970, 10) / C(1000, 10).
    label = np.zeros(1000, dtype=int)
    label[:30] = 1
    got = request_metrics(np.zeros(1000, int), label, np.zeros(1000)).means()
    assert got["Hit@10"] == pytest.approx(1 - math.comb(970, 10) / math.comb(1000, 10), abs=1e-11)
    assert got["Recall@10"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"top": (0,)}, "whole number from 1 up. Got 0"),
        ({"ndcg_at": (2.5,)}, "Got 2.5"),
        ({"top": (True,)}, "Got True"),
        ({"score": [0.1, np.nan]}, "NaN"),
        ({"label": []}, "at least one scored row"),
        ({"request": [1.0, 2.0]}, "request to be integers or strings"),
        ({"request": [1]}, "2 entries"),
    ],
)
def test_unusable_input_is_refused(keywords, expected):
    with pytest.raises(InputError, match=expected):
        request_metrics(**({"request": [1, 1], "label": [1, 0], "score": [0.9, 0.1]} | keywords))


def test_recall_and_hit_that_no_score_can_change_are_named():
    rng = np.random.default_rng(0)
    request, label = np.repeat(np.arange(50), 5), rng.random(250) < 0.3
    found = request_metrics(request, label, rng.random(250), top=(4, 5, 10))
    told = always_one(5, (4, 5, 10))
    for name, values in found.values.items():
        if name.startswith(("Recall", "Hit")):
            assert (f"{name} " in told or f"{name}," in told) == (values == 1).all()
    assert always_one(5, (1, 4)) == ""
