import math

import numpy as np
import pytest
from scipy import stats

from recbole_marn.errors import InputError
from recbole_marn.evaluation.bootstrap import (
    bootstrap_of_statistics,
    bootstrap_over_clusters,
)
from recbole_marn.evaluation.cluster_statistics import cluster_statistics
from recbole_marn.evaluation.metrics import (
    auc,
    expected_calibration_error,
    gauc,
    log_loss,
    normalised_entropy,
    per_user_auc,
    predicted_over_observed,
    uauc,
)
from recbole_marn.evaluation.request_metrics import request_metrics

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
    result = bootstrap_over_clusters(user, label, score, metric, resamples=12, seed=5)
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
    result = bootstrap_over_clusters(user, label, score, metric, resamples=200, confidence=0.9)
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
    result = bootstrap_over_clusters(user, label, score, resamples=300)
    difference, low, high = result.difference(0, 1)
    paired = result.samples[:, 0] - result.samples[:, 1]
    assert difference == pytest.approx(result.estimate[0] - result.estimate[1])
    assert (low, high) == pytest.approx(tuple(np.quantile(paired, [0.025, 0.975])))
    assert bootstrap_over_clusters(user, label, [score[0], score[0]], resamples=50).difference(0, 1) == (0, 0, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_seed_decides_and_neither_blocks_nor_other_models_matter(metric, monkeypatch):
    user, label, score = random_rows(3)
    result = bootstrap_over_clusters(user, label, score, metric, resamples=40, seed=1)
    alone = bootstrap_over_clusters(user, label, score[1], metric, resamples=40, seed=1)
    assert alone.samples[:, 0] == pytest.approx(result.samples[:, 1], abs=1e-12)
    other = bootstrap_over_clusters(user, label, score, metric, resamples=40, seed=2)
    assert not np.allclose(other.samples, result.samples)
    monkeypatch.setattr("recbole_marn.evaluation.bootstrap._CHUNK", 300)
    blocks = bootstrap_over_clusters(user, label, score, metric, resamples=40, seed=1)
    assert blocks.samples == pytest.approx(result.samples, abs=1e-12)


def test_standard_error_of_uauc_is_that_of_a_mean_over_users():
    user, label, score = random_rows(4, rows=900, users=150)
    values = per_user_auc(user, label, score[0]).auc
    result = bootstrap_over_clusters(user, label, score[0], resamples=2000)
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
        result = bootstrap_over_clusters(user, label, score, metric, resamples=150, seed=seed)
        covered += result.low[0] <= truth <= result.high[0]
    assert 0.87 < covered / 150 < 0.995


def test_resamples_without_both_classes_are_left_out():
    result = bootstrap_over_clusters([1, 2], [1, 0], [0.9, 0.1], "AUC", resamples=50)
    assert 0 < np.isnan(result.samples).sum() < 50
    assert (result.low[0], result.high[0]) == (1.0, 1.0)


@pytest.mark.parametrize("metric", ["UAUC", "AUC"])
def test_nothing_to_compare_gives_nan_throughout(metric):
    result = bootstrap_over_clusters([1, 2], [1, 1], [0.9, 0.1], metric, resamples=10)
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
        ({"metric": "nDCG@0"}, "Got 'nDCG@0'"),
        ({"metric": "ndcg@5"}, "Got 'ndcg@5'"),
        ({"metric": "ECE", "bins": 0}, "at least 1 bin"),
        ({"metric": "ECE", "score": [1.5, 0.1]}, "sigmoid"),
        ({"cluster": [1, 2], "group": [7, 7], "metric": "MRR"}, "group 7 in cluster 2"),
        ({"cluster": [1]}, "cluster to have 2 entries"),
    ],
)
def test_unusable_requests_are_refused(keywords, expected):
    with pytest.raises(InputError, match=expected):
        bootstrap_over_clusters(**({"cluster": [1, 1], "label": [1, 0], "score": [0.9, 0.1]} | keywords))


# ---------------------------------------------------------------- metrics of a log

GROUPED = {
    "GAUC": lambda group, label, score: gauc(group, label, score),
    "GAUC-clicks": lambda group, label, score: gauc(group, label, score, "clicks"),
    "MRR": lambda group, label, score: request_metrics(group, label, score).means()["MRR"],
    "nDCG@3": lambda group, label, score: request_metrics(group, label, score, ndcg_at=(3,)).means()["nDCG@3"],
    "Recall@2": lambda group, label, score: request_metrics(group, label, score, top=(2,)).means()["Recall@2"],
    "Hit@2": lambda group, label, score: request_metrics(group, label, score, top=(2,)).means()["Hit@2"],
    "UAUC": uauc,
}
UNGROUPED = {
    "NE": lambda _, label, score: normalised_entropy(label, score),
    "predicted/observed": lambda _, label, score: predicted_over_observed(label, score),
}


def copies(user, group, candidates, seed, samples):
    """Row numbers and groups, renamed by copy, of users who are really drawn and copied."""
    rng = np.random.default_rng(seed)
    for _ in range(samples):
        drawn = candidates[rng.integers(len(candidates), size=len(candidates))]
        rows = [np.flatnonzero(user == one) for one in drawn]
        copy = np.repeat(np.arange(len(drawn)), [len(one) for one in rows])
        rows = np.concatenate(rows)
        yield rows, group[rows] * 1000 + copy


@pytest.mark.parametrize("metric", {**GROUPED, **UNGROUPED})
@pytest.mark.parametrize("nested", [False, True])
def test_samples_equal_metrics_of_a_log_on_rows_really_copied(metric, nested):
    user, label, score = random_rows(6, rows=300, users=25)
    user = user.astype(np.int64)
    group = user * 10 + np.random.default_rng(0).integers(0, 3, 300) if nested else user
    keywords = {"group": group} if nested else {}
    result = bootstrap_over_clusters(user, label, score, metric, resamples=8, seed=2, **keywords)
    function = {**GROUPED, **UNGROUPED}[metric]
    assert result.estimate == pytest.approx([function(group, label, one) for one in score])
    both = per_user_auc(group, label, score[0]).user
    candidates = np.unique(user[np.isin(group, both)]) if metric in GROUPED else np.unique(user)
    for sample, (rows, copy) in enumerate(copies(user, group, candidates, 2, 8)):
        for model in range(2):
            expected = function(copy, label[rows], score[model][rows])
            assert result.samples[sample, model] == pytest.approx(expected, abs=1e-9)


def test_calibration_error_is_resampled_in_the_bins_of_the_whole_part():
    user, label, score = random_rows(7)
    result = bootstrap_over_clusters(user, label, score, "ECE", resamples=8, seed=3, bins=4)
    for model in range(2):
        ece = expected_calibration_error(label, score[model], bins=4, equal_frequency=True)
        assert result.estimate[model] == pytest.approx(ece)
    bins = np.array([[4 * np.sum(one < p) // len(one) for p in one] for one in score])
    for sample, (rows, _) in enumerate(copies(user, user, np.unique(user), 3, 8)):
        for model in range(2):
            gaps = [(score[model] - label)[rows][bins[model][rows] == index].sum() for index in range(4)]
            assert result.samples[sample, model] == pytest.approx(np.abs(gaps).sum() / len(rows))


@pytest.mark.parametrize("metric", ["UAUC", "GAUC", "GAUC-clicks", "LogLoss", "NE", "predicted/observed"])
def test_statistics_draw_the_same_without_the_scores(metric):
    user, label, score = random_rows(8)
    statistics = [cluster_statistics(user, label, one) for one in score]
    got = bootstrap_of_statistics(statistics, metric, resamples=50, seed=4)
    expected = bootstrap_over_clusters(user, label, score, metric, resamples=50, seed=4)
    assert np.array_equal(got.samples, expected.samples)
    assert np.array_equal(got.estimate, expected.estimate)


def test_a_constant_model_at_the_base_rate_has_normalised_entropy_one_in_the_middle_of_its_interval():
    user, label, _ = random_rows(9)
    result = bootstrap_over_clusters(user, label, np.full(len(label), label.mean()), "NE", resamples=200)
    assert result.estimate[0] == pytest.approx(1)
    assert np.nanmin(result.samples) > 1 - 1e-12  # in a resample the constant is off its base rate


def test_requests_can_be_the_clusters():
    request, label, score = random_rows(10)
    by_request = bootstrap_over_clusters(request, label, score, "nDCG@5", resamples=20)
    assert by_request.samples.shape == (20, 2)
    values = request_metrics(request, label, score[0]).values["nDCG@5"]
    wide = bootstrap_over_clusters(request, label, score[0], "nDCG@5", resamples=3000)
    assert wide.standard_error[0] == pytest.approx(values.std() / math.sqrt(len(values)), rel=0.08)


@pytest.mark.parametrize("metric", ["MRR", "GAUC", "NE"])
def test_one_class_gives_nan_throughout(metric):
    result = bootstrap_over_clusters([1, 2, 2], [1, 1, 1], [0.9, 0.1, 0.2], metric, resamples=10)
    assert np.isnan(result.estimate).all() and np.isnan(result.samples).all() and np.isnan(result.low).all()


def test_statistics_that_cannot_be_resampled_are_refused():
    user, label, score = random_rows(11)
    one = cluster_statistics(user, label, score[0])
    with pytest.raises(InputError, match="scores of every row"):
        bootstrap_of_statistics([one], "AUC")
    with pytest.raises(InputError, match="at least one model"):
        bootstrap_of_statistics([])
    with pytest.raises(InputError, match="same rows"):
        bootstrap_of_statistics([one, cluster_statistics(user, 1 - label, score[0])])
    with pytest.raises(InputError, match="Scores without a scale"):
        bootstrap_of_statistics([cluster_statistics(user, label, score[0], probabilities=False)], "LogLoss")
