import math

import numpy as np
import pytest
from scipy import stats

from recbole_marn.errors import InputError
from recbole_marn.evaluation.bootstrap import bootstrap_over_users
from recbole_marn.evaluation.metrics import auc, log_loss, per_user_auc, uauc

METRICS = {
    "UAUC": uauc,
    "AUC": lambda user, label, score: auc(label, score),
    "LogLoss": lambda user, label, score: log_loss(label, score),
}


def random_rows(seed, rows=120, users=20):
    """Two models' probabilities with ties, and users of any number of rows, some of one class only."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, users, rows) * 3
    label = (rng.random(rows) < 0.4).astype(int)
    score = [rng.integers(1, 15, rows) / 20 + lift * label for lift in (0.2, 0.1)]
    return user, label, np.array(score)


@pytest.mark.parametrize("metric", METRICS)
def test_samples_equal_the_metric_on_rows_really_copied(metric):
    user, label, score = random_rows(0)
    result = bootstrap_over_users(user, label, score, metric, resamples=12, seed=5)
    candidates = per_user_auc(user, label, score[0]).user if metric == "UAUC" else np.unique(user)
    rng = np.random.default_rng(5)
    for sample in range(12):
        drawn = candidates[rng.integers(len(candidates), size=len(candidates))]
        rows = [np.flatnonzero(user == one) for one in drawn]
        copy = np.repeat(np.arange(len(drawn)), [len(one) for one in rows])
        rows = np.concatenate(rows)
        for model in range(2):
            expected = METRICS[metric](copy, label[rows], score[model][rows])
            assert result.samples[sample, model] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_estimate_is_the_metric_and_the_interval_holds_the_quantiles(metric):
    user, label, score = random_rows(1)
    result = bootstrap_over_users(user, label, score, metric, resamples=200, confidence=0.9)
    assert result.estimate == pytest.approx([METRICS[metric](user, label, one) for one in score])
    for model in range(2):
        samples = result.samples[:, model]
        assert (result.low[model], result.high[model]) == pytest.approx(
            tuple(np.quantile(samples, [0.05, 0.95]))
        )
        assert result.low[model] < result.estimate[model] < result.high[model]
        assert result.standard_error[model] == pytest.approx(samples.std(ddof=1))


def test_difference_is_paired_by_resample():
    user, label, score = random_rows(2)
    result = bootstrap_over_users(user, label, score, resamples=300)
    difference, low, high = result.difference(0, 1)
    paired = result.samples[:, 0] - result.samples[:, 1]
    assert difference == pytest.approx(result.estimate[0] - result.estimate[1])
    assert (low, high) == pytest.approx(tuple(np.quantile(paired, [0.025, 0.975])))
    assert bootstrap_over_users(user, label, [score[0], score[0]], resamples=50).difference(0, 1) == (0, 0, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_seed_decides_and_neither_blocks_nor_other_models_matter(metric, monkeypatch):
    user, label, score = random_rows(3)
    result = bootstrap_over_users(user, label, score, metric, resamples=40, seed=1)
    alone = bootstrap_over_users(user, label, score[1], metric, resamples=40, seed=1)
    assert alone.samples[:, 0] == pytest.approx(result.samples[:, 1], abs=1e-12)
    other = bootstrap_over_users(user, label, score, metric, resamples=40, seed=2)
    assert not np.allclose(other.samples, result.samples)
    monkeypatch.setattr("recbole_marn.evaluation.bootstrap._CHUNK", 300)
    blocks = bootstrap_over_users(user, label, score, metric, resamples=40, seed=1)
    assert blocks.samples == pytest.approx(result.samples, abs=1e-12)


def test_standard_error_of_uauc_is_that_of_a_mean_over_users():
    user, label, score = random_rows(4, rows=900, users=150)
    values = per_user_auc(user, label, score[0]).auc
    result = bootstrap_over_users(user, label, score[0], resamples=2000)
    assert result.standard_error[0] == pytest.approx(values.std() / math.sqrt(len(values)), rel=0.08)


@pytest.mark.parametrize("metric", ["UAUC", "AUC"])
def test_intervals_cover_the_truth_at_about_their_level(metric):
    # A click scores N(1, 1) + offset, a non-click N(0, 1) + offset. Within a user the offset cancels, so that
    # UAUC is P(N(1, 2) > 0); over all rows it adds its variance to both sides, P(N(1, 4) > 0).
    rng = np.random.default_rng(15)
    truth = stats.norm.cdf(1 / math.sqrt(2 if metric == "UAUC" else 4))
    user, label = np.repeat(np.arange(80), 4), np.tile([1, 0, 0, 1], 80)
    covered = 0
    for seed in range(150):
        score = rng.normal(size=80)[user] + rng.normal(size=320) + label
        result = bootstrap_over_users(user, label, score, metric, resamples=150, seed=seed)
        covered += result.low[0] <= truth <= result.high[0]
    assert 0.87 < covered / 150 < 0.995


def test_resamples_without_both_classes_are_left_out():
    result = bootstrap_over_users([1, 2], [1, 0], [0.9, 0.1], "AUC", resamples=50)
    assert 0 < np.isnan(result.samples).sum() < 50
    assert (result.low[0], result.high[0]) == (1.0, 1.0)


@pytest.mark.parametrize("metric", ["UAUC", "AUC"])
def test_nothing_to_compare_gives_nan_throughout(metric):
    result = bootstrap_over_users([1, 2], [1, 1], [0.9, 0.1], metric, resamples=10)
    for value in (result.estimate, result.low, result.high, result.standard_error):
        assert np.isnan(value).all() and value.shape == (1,)
    assert np.isnan(result.samples).all() and result.samples.shape == (10, 1)


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"metric": "auc"}, "Got 'auc'"),
        ({"resamples": 1}, "Got 1 and 0.95"),
        ({"confidence": 95}, "Got 1000 and 95"),
        ({"metric": "LogLoss", "score": [1.2, 0.1]}, "sigmoid"),
        ({"score": [[0.2, 0.1], [0.1, np.nan]]}, "NaN"),
        ({"user": [1]}, "2 entries"),
    ],
)
def test_unusable_requests_are_refused(keywords, expected):
    with pytest.raises(InputError, match=expected):
        bootstrap_over_users(**({"user": [1, 1], "label": [1, 0], "score": [0.9, 0.1]} | keywords))
