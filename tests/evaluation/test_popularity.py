import math

import numpy as np
import pytest

from recbole_marn.errors import InputError
from recbole_marn.evaluation.metrics import auc, uauc
from recbole_marn.evaluation.popularity import metrics_by_level, popularity_levels


def test_levels_by_hand_with_unseen_items_coldest():
    assert popularity_levels([9, 0, 4, 0, 7, 2], levels=3).tolist() == [2, 0, 1, 0, 2, 1]


def test_levels_without_ties_hold_equally_many_items():
    count = np.random.default_rng(0).permutation(np.arange(1000))
    levels = popularity_levels(count)
    assert np.bincount(levels).tolist() == [100] * 10
    order = np.argsort(count)
    assert np.all(np.diff(levels[order]) >= 0)


def test_all_items_never_seen_are_level_0_however_many():
    count = np.concatenate((np.zeros(700, int), np.arange(1, 301)))
    levels = popularity_levels(count, levels=10)
    assert set(levels[:700]) == {0}
    assert set(levels[700:]) == {7, 8, 9}


def test_padding_takes_no_share():
    count = np.array([0, 5, 1, 3, 2])
    assert popularity_levels(count, levels=2, padding=True).tolist() == [-1, 1, 0, 1, 0]
    assert popularity_levels(count[1:], levels=2).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("count", "levels", "got"),
    [
        ([1, 2], 0, "Got 0"),
        ([-1, 2], 2, "least -1"),
        ([0.5, 2], 2, "whole"),
        ([], 2, "shape"),
        ([[1]], 2, "shape"),
    ],
)
def test_unusable_counts_are_refused(count, levels, got):
    with pytest.raises(InputError, match=got):
        popularity_levels(count, levels=levels)


def test_a_catalogue_of_padding_alone_is_refused():
    with pytest.raises(InputError, match="at least one item"):
        popularity_levels([0], padding=True)


def test_metrics_by_level_by_hand():
    # Group 0 (level 0, user 1): the click loses to one negative and ties with the other.
    # Group 1 (level 2, user 1): the click wins; its negative is an item of level 0, which must not matter.
    # Group 2 (level 2, user 2): the click loses.
    user = [1, 1, 1, 1, 1, 2, 2]
    group = [0, 0, 0, 1, 1, 2, 2]
    label = [1, 0, 0, 1, 0, 1, 0]
    score = [0.3, 0.4, 0.3, 0.9, 0.8, 0.1, 0.7]
    level = [0, 2, 1, 2, 0, 2, 2]
    coldest, middle, hottest = metrics_by_level(user, group, label, score, level)
    assert (coldest.level, coldest.positives, coldest.negatives, coldest.users) == (0, 1, 2, 1)
    assert coldest.uauc == coldest.auc == 0.25
    assert (middle.positives, middle.negatives, middle.users) == (0, 0, 0)
    assert math.isnan(middle.uauc) and math.isnan(middle.auc)
    assert (hottest.positives, hottest.negatives, hottest.users) == (2, 2, 2)
    assert hottest.uauc == 0.5
    assert hottest.auc == 0.5  # .9 beats both, .1 beats none


def random_groups(seed, positives=200, negatives=3, levels=4):
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(positives), 1 + negatives)
    user = np.repeat(rng.integers(0, 60, positives), 1 + negatives)
    label = np.tile([1] + [0] * negatives, positives)
    level = rng.integers(0, levels, len(group))
    score = rng.integers(0, 15, len(group)) + 2 * label * level
    order = rng.permutation(len(group))
    return user[order], group[order], label[order], score[order], level[order]


def test_metrics_by_level_agree_with_a_loop():
    user, group, label, score, level = random_groups(0)
    found = metrics_by_level(user, group, label, score, level)
    assert [one.level for one in found] == [0, 1, 2, 3]
    for one in found:
        groups = [g for g, y, at in zip(group, label, level, strict=True) if y and at == one.level]
        rows = np.isin(group, groups)
        assert one.uauc == pytest.approx(uauc(user[rows], label[rows], score[rows]))
        assert one.auc == pytest.approx(auc(label[rows], score[rows]))
        assert one.positives == len(groups)
        assert one.negatives == 3 * len(groups)
    assert found[3].uauc > found[0].uauc + 0.15, "the score was made to know hot positives better"


def test_one_level_is_the_whole():
    user, group, label, score, level = random_groups(1)
    (only,) = metrics_by_level(user, group, label, score, np.zeros_like(level))
    assert only.uauc == pytest.approx(uauc(user, label, score), abs=1e-12)
    assert only.auc == auc(label, score)


def test_levels_beyond_those_present_are_reported_empty():
    found = metrics_by_level([1, 1], [0, 0], [1, 0], [0.9, 0.1], [0, 5], levels=3)
    assert [one.positives for one in found] == [1, 0, 0]


def test_unusable_groups_and_levels_are_refused():
    with pytest.raises(InputError, match="Got 0 in group 4"):
        metrics_by_level([1, 1, 1], [3, 3, 4], [1, 0, 0], [0.9, 0.1, 0.2], [0, 0, 0])
    with pytest.raises(InputError, match="Got 2 in group 3"):
        metrics_by_level([1, 1, 1], [3, 3, 3], [1, 0, 1], [0.9, 0.1, 0.2], [0, 0, 0])
    with pytest.raises(InputError, match="from 0 to 1. Got 2"):
        metrics_by_level([1, 1], [0, 0], [1, 0], [0.9, 0.1], [2, 0], levels=2)
    with pytest.raises(InputError, match="Got -1"):
        metrics_by_level([1, 1], [0, 0], [1, 0], [0.9, 0.1], [-1, 0])
    with pytest.raises(InputError, match="level to be integers"):
        metrics_by_level([1, 1], [0, 0], [1, 0], [0.9, 0.1], ["cold", "hot"])
