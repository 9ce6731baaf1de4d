import math

import numpy as np
import pytest

from recbole_marn.errors import InputError
from recbole_marn.evaluation import metrics
from recbole_marn.evaluation.cluster_statistics import cluster_statistics, mean_placements
from recbole_marn.evaluation.significance import (
    delong_test,
    delong_test_of_statistics,
    delong_variance,
    delong_variance_of_statistics,
    paired_user_test,
    paired_user_test_of_statistics,
)


def random_rows(seed, rows=400, users=60):
    """Ties, users of one class and of one row, two models."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, users, rows) * 3 + 5
    label = (rng.random(rows) < 0.3).astype(int)
    return user, label, *((rng.integers(0, 20, rows) / 25 + lift * label) for lift in (0.2, 0.1))


@pytest.mark.parametrize("seed", range(3))
def test_each_sum_agrees_with_a_loop_over_rows(seed):
    user, label, score, _ = random_rows(seed)
    score[:5], score[5:9] = 0.0, 1.0
    got = cluster_statistics(user, label, score)
    assert got.cluster.tolist() == sorted(set(user.tolist()))
    clicks, rest = score[label == 1], score[label == 0]

    def beats(value, others):
        return sum(1.0 if value > other else 0.5 if value == other else 0.0 for other in others)

    for at, one in enumerate(got.cluster):
        rows = [(y, p) for u, y, p in zip(user, label, score, strict=True) if u == one]
        own_clicks, own_rest = [p for y, p in rows if y], [p for y, p in rows if not y]
        assert (got.positives[at], got.negatives[at]) == (len(own_clicks), len(own_rest))
        assert got.doubled_wins[at] == 2 * sum(beats(p, own_rest) for p in own_clicks)
        assert got.positive_placements[at] == pytest.approx(sum(beats(p, rest) for p in own_clicks) / len(rest))
        against = sum(len(clicks) - beats(p, clicks) for p in own_rest) / len(clicks)
        assert got.negative_placements[at] == pytest.approx(against)
        clipped = [(y, min(max(p, 1e-7), 1 - 1e-7)) for y, p in rows]
        assert got.loss[at] == pytest.approx(-sum(math.log(p if y else 1 - p) for y, p in clipped))
        assert got.predicted[at] == pytest.approx(sum(p for _, p in rows))
        assert got.clipped[at] == sum(p in (0, 1) for _, p in rows)


@pytest.mark.parametrize("seed", range(3))
def test_metrics_and_tests_need_no_scores(seed):
    user, label, a, b = random_rows(seed)
    one, two = cluster_statistics(user, label, a), cluster_statistics(user, label, b)
    assert one.auc() == pytest.approx(metrics.auc(label, a), abs=1e-12)
    assert one.uauc() == metrics.uauc(user, label, a)
    for weight in ("impressions", "clicks"):
        assert one.gauc(weight) == metrics.gauc(user, label, a, weight)
    for name in ("log_loss", "normalised_entropy"):
        assert getattr(one, name)() == pytest.approx(getattr(metrics, name)(label, a), abs=1e-12)
    assert delong_variance_of_statistics(one) == pytest.approx(delong_variance(label, a, user), rel=1e-9)
    assert vars(delong_test_of_statistics(one, two)) == pytest.approx(vars(delong_test(label, a, b, user)), rel=1e-9)
    assert paired_user_test_of_statistics(one, two) == paired_user_test(user, label, a, b)


def test_a_model_equals_itself():
    user, label, a, _ = random_rows(7)
    one = cluster_statistics(user, label, a)
    assert (delong_test_of_statistics(one, one).z, delong_test_of_statistics(one, one).p_value) == (0, 1)
    assert paired_user_test_of_statistics(one, one).p_value_t == 1


@pytest.mark.parametrize("label", [[1, 1, 1], [0, 0, 0]])
def test_one_class_has_no_auc(label):
    one = cluster_statistics([1, 1, 2], label, [0.2, 0.3, 0.4])
    for value in (one.auc(), one.uauc(), one.gauc(), one.normalised_entropy(), delong_variance_of_statistics(one)):
        assert math.isnan(value)
    assert one.log_loss() == pytest.approx(metrics.log_loss(label, [0.2, 0.3, 0.4]))


def test_scores_without_a_scale_have_ranking_metrics_alone():
    user, label, a, _ = random_rows(1)
    one = cluster_statistics(user, label, 64 * a, probabilities=False)
    assert one.uauc() == metrics.uauc(user, label, a)
    for name in ("log_loss", "normalised_entropy"):
        with pytest.raises(InputError, match="Scores without a scale"):
            getattr(one, name)()
    with pytest.raises(InputError, match="sigmoid"):
        cluster_statistics(user, label, 64 * a)


def test_statistics_of_other_rows_are_refused():
    user, label, a, _ = random_rows(3)
    one = cluster_statistics(user, label, a)
    with pytest.raises(InputError, match="same rows"):
        paired_user_test_of_statistics(one, cluster_statistics(user, 1 - label, a))
    with pytest.raises(InputError, match="same rows"):
        delong_test_of_statistics(one, cluster_statistics(user + 1, label, a))
    with pytest.raises(InputError, match="same rows"):
        mean_placements([one, cluster_statistics(user + 1, label, a)])


def test_mean_placements_have_the_mean_auc():
    user, label, a, b = random_rows(5)
    both = [cluster_statistics(user, label, score) for score in (a, b)]
    assert mean_placements(both).auc() == pytest.approx(np.mean([metrics.auc(label, a), metrics.auc(label, b)]))
