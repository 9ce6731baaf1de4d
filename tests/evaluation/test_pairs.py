import numpy as np
import pytest

from recbole_marn.evaluation.bootstrap import bootstrap_over_clusters
from recbole_marn.evaluation.pairs import clustered_means, pair_accuracy


def test_pairs_are_counted_as_by_hand():
    label = np.array([1, 0, 0, 0, 1, 0, 0, 0])
    score = np.array([0.5, 0.1, 0.5, 0.9, 0.3, 0.1, 0.2, 0.0])
    assert pair_accuracy(np.array([7] * 4 + [3] * 4), label, score).tolist() == [(1 + 0.5 + 0) / 3, 1.0]
    assert pair_accuracy(np.zeros(0), np.zeros(0), np.zeros(0)).tolist() == []


def test_pairs_are_those_of_a_loop_whatever_the_order():
    rng = np.random.default_rng(0)
    group, label, score = rng.integers(0, 6, 80), rng.random(80) < 0.4, rng.integers(0, 5, 80) / 5
    group[:2], label[:2] = 9, True  # a group of clicks alone
    expected = []
    for row in np.flatnonzero(label):
        rivals = [score[other] for other in range(80) if group[other] == group[row] and not label[other]]
        wins = [1.0 if score[row] > rival else 0.5 if score[row] == rival else 0.0 for rival in rivals]
        expected.append(np.mean(wins) if wins else np.nan)
    found = pair_accuracy(group, label, score)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.isnan(found[:2]).all()


def test_means_have_the_interval_of_students_t_where_clusters_have_one_row():
    from scipy import stats

    values = np.random.default_rng(1).normal(size=(40, 2))
    found = clustered_means(values, np.arange(40))
    for k in range(2):
        low, high = stats.t.interval(0.95, 39, loc=values[:, k].mean(), scale=stats.sem(values[:, k]))
        assert [found.low[k], found.high[k]] == pytest.approx([low, high])
    assert (found.values, found.clusters) == (40, 40)


def test_rows_of_a_cluster_count_as_dependent():
    """Each row twice: no more is known; and the interval is that of a bootstrap over the clusters."""
    rng = np.random.default_rng(2)
    once, cluster = rng.normal(size=(60, 1)), np.arange(60)
    single, twice = clustered_means(once, cluster), clustered_means(np.repeat(once, 2, axis=0), np.repeat(cluster, 2))
    assert twice.high - twice.mean == pytest.approx(single.high - single.mean)
    user = np.repeat(np.arange(300), 10)
    label, score = np.tile([1] + [0] * 9, 300), rng.random(3_000)
    drawn = bootstrap_over_clusters(user, label, score, "UAUC", 2_000)
    found = clustered_means(pair_accuracy(user, label, score)[:, None], np.arange(300))
    assert [found.low[0], found.high[0]] == pytest.approx([drawn.low[0], drawn.high[0]], abs=0.01)


def test_nothing_is_known_of_one_cluster_or_of_none():
    one = clustered_means(np.array([[1.0], [3.0], [np.nan]]), np.array([5, 5, 6]))
    assert one.mean[0] == 2 and np.isnan(one.low[0]) and (one.values, one.clusters) == (2, 1)
    assert np.isnan(clustered_means(np.zeros((0, 1)), np.zeros(0)).mean[0])
