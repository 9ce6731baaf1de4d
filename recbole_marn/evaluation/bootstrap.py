"""Confidence intervals by resampling clusters (users, or requests), the unit that is independent."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from recbole_marn.errors import InputError
from recbole_marn.evaluation.bins import equal_frequency_groups
from recbole_marn.evaluation.cluster_statistics import ClusterStatistics, cluster_statistics
from recbole_marn.evaluation.inputs import check_ids, check_labels, check_probabilities, check_score_table
from recbole_marn.evaluation.metrics import PerUserAUC, auc, base_rate_entropy, per_user_auc
from recbole_marn.evaluation.request_metrics import request_metrics

__all__ = [
    "Bootstrap",
    "bootstrap_of_ratio",
    "bootstrap_of_statistics",
    "bootstrap_over_clusters",
    "percentile_interval",
]

_RANKING = ("UAUC", "GAUC", "GAUC-clicks")
_OF_STATISTICS = (*_RANKING, "LogLoss", "NE", "predicted/observed")
_AT_K = re.compile(r"(?:nDCG|Recall|Hit)@([1-9][0-9]*)")

# Numbers held at once while resampling: 4 million float64 are 32 MB.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Bootstrap:
    """Percentile intervals of one metric for K score columns, all resampled by the same clusters.

    ``estimate``, ``low``, ``high`` and ``standard_error`` are (K,), ``samples`` is (R, K).
    """

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    standard_error: np.ndarray
    samples: np.ndarray
    confidence: float

    def difference(self, a: int, b: int) -> tuple[float, float, float]:
        """Estimate, low and high end of column ``a`` minus column ``b``, paired by resample."""
        low, high, _ = percentile_interval(self.samples[:, a] - self.samples[:, b], self.confidence)
        return float(self.estimate[a] - self.estimate[b]), low, high


def bootstrap_over_clusters(
    cluster: ArrayLike,
    label: ArrayLike,
    score: ArrayLike,
    metric: str = "UAUC",
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    group: ArrayLike | None = None,
    bins: int = 10,
) -> Bootstrap:
    """Percentile confidence intervals: clusters are drawn with replacement, each with all of their rows.

    Metrics are ``AUC``; ``UAUC``, ``GAUC`` (weighted by rows) and ``GAUC-clicks`` (weighted by clicks) over groups;
    ``MRR``, ``nDCG@K``, ``Recall@K`` and ``Hit@K`` over groups (``request_metrics``; the AUC of requests is ``UAUC``
    with requests as groups); ``LogLoss``, ``NE`` (``normalised_entropy``), ``predicted/observed`` and ``ECE``.

    Args:
        cluster: (B,) integer ids or tokens of what is independent: users, or requests.
        label: (B,) of 0 and 1.
        score: (B,), or (K, B) for K models; probabilities for the last four metrics. The K are resampled together, so
            that ``Bootstrap.difference`` is paired.
        metric: one of those above.
        resamples: R, at least 2.
        confidence: in (0, 1).
        seed: of the draw; the same clusters are drawn whatever the scores.
        group: (B,) within which rows are ranked, such as the requests of clusters that are users; the clusters
            themselves by default. Groups of one class are left out, as are clusters without another group.
        bins: of ECE, of equal mass over all rows. They are those of the whole part in every resample. ECE cannot be
            negative, so that its resamples lie above the estimate for a model with little error.

    Returns:
        Intervals, all NaN where the metric is. A resample in which the metric is not defined is left out of them.

    Raises:
        InputError: as the metric, or an unknown metric, too few resamples, a confidence out of range, or a group in
            two clusters.
    """
    _check_metric(metric)
    draw = _Draw(resamples, confidence, seed)
    label = check_labels(label)
    cluster = check_ids(cluster, len(label), "cluster")
    table = check_score_table(score, len(label))
    if metric == "AUC":
        estimate = np.array([auc(label, column) for column in table])
        return draw.bootstrap(estimate, _resampled_auc(cluster, label, table, draw))
    if metric in (*_RANKING, "MRR") or _AT_K.fullmatch(metric):
        group = cluster if group is None else check_ids(group, len(label), "group")
        terms = _ranking_terms(cluster, group, label, table, metric)
    elif metric == "ECE":
        terms = _calibration_error_terms(cluster, label, table, bins)
    else:
        terms = _statistics_terms([cluster_statistics(cluster, label, column) for column in table], metric)
    return draw.of_terms(terms, _value_of(metric))


def bootstrap_of_statistics(
    statistics: Sequence[ClusterStatistics],
    metric: str = "UAUC",
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Bootstrap:
    """``bootstrap_over_clusters`` of K models from their statistics, without the scores; the same clusters are drawn.

    Args:
        statistics: of K models on the same rows.
        metric: ``UAUC``, ``GAUC``, ``GAUC-clicks``, ``LogLoss``, ``NE`` or ``predicted/observed``. AUC over all rows
            compares clusters with each other, which their sums do not tell; ``delong_variance_of_statistics`` has its
            interval.

    Raises:
        InputError: another metric, statistics of different rows or of none, or of scores that are no
            probabilities where the metric needs them.
    """
    _check_metric(metric)
    draw = _Draw(resamples, confidence, seed)
    if metric not in _OF_STATISTICS:
        raise InputError(
            f"a metric among {', '.join(_OF_STATISTICS)}", repr(metric), "The others need the scores of every row."
        )
    if not statistics:
        raise InputError("the statistics of at least one model", "none", "Pass a list.")
    for other in statistics[1:]:
        statistics[0].check_same_rows(other)
    return draw.of_terms(_statistics_terms(statistics, metric), _value_of(metric))


def bootstrap_of_ratio(
    numerator: np.ndarray, denominator: np.ndarray, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Bootstrap:
    """A ratio of two sums over clusters, of K models: numerator (C, K), denominator (C,), all above 0.

    Raises:
        InputError: fewer than two resamples, or a confidence out of range.
    """
    draw = _Draw(resamples, confidence, seed)
    terms = np.stack([numerator, np.broadcast_to(denominator[:, None], numerator.shape)], axis=-1).astype(np.float64)
    return draw.of_terms(terms, _first_over_second)


def _check_metric(metric: str) -> None:
    names = ("AUC", *_OF_STATISTICS, "ECE", "MRR")
    if metric not in names and not _AT_K.fullmatch(metric):
        raise InputError(
            f"a metric among {', '.join(names)}, nDCG@K, Recall@K and Hit@K", repr(metric), "Choose one of these."
        )


@dataclass(frozen=True)
class _Draw:
    """R resamples of C clusters; the same clusters are drawn from the same seed, whatever is computed of them."""

    resamples: int
    confidence: float
    seed: int

    def __post_init__(self) -> None:
        if self.resamples < 2 or not 0 < self.confidence < 1:
            raise InputError(
                "at least 2 resamples and a confidence between 0 and 1",
                f"{self.resamples} and {self.confidence}",
                "1000 and 0.95 are usual.",
            )

    def counts(self, clusters: int, cost: int = 0) -> Iterator[tuple[slice, np.ndarray]]:
        """How often each cluster is drawn, (r, C), in blocks of resamples; ``cost`` numbers are needed by one."""
        rng = np.random.default_rng(self.seed)
        step = max(1, _CHUNK // max(cost, clusters, 1))
        for start in range(0, self.resamples, step):
            stop = min(start + step, self.resamples)
            drawn = [np.bincount(rng.integers(clusters, size=clusters), minlength=clusters) for _ in range(start, stop)]
            yield slice(start, stop), np.array(drawn, dtype=np.float64)

    def of_terms(self, terms: np.ndarray, value: Callable[[np.ndarray], np.ndarray]) -> Bootstrap:
        """Of a metric that is a function, ``value``, of sums over clusters of T terms, (C, K, T)."""
        clusters, models, count = terms.shape
        samples = np.full((self.resamples, models), np.nan)
        if clusters:
            flat = terms.reshape(clusters, models * count)
            for block, drawn in self.counts(clusters):
                samples[block] = value((drawn @ flat).reshape(len(drawn), models, count))
        return self.bootstrap(value(terms.sum(axis=0)), samples)

    def bootstrap(self, estimate: np.ndarray, samples: np.ndarray) -> Bootstrap:
        """Of estimates (K,) and samples (R, K)."""
        low, high, standard_error = np.array([percentile_interval(column, self.confidence) for column in samples.T]).T
        return Bootstrap(estimate, low, high, standard_error, samples, self.confidence)


def _first_over_second(sums: np.ndarray) -> np.ndarray:
    return _ratio(sums[..., 0], sums[..., 1])


def _entropy_ratio(sums: np.ndarray) -> np.ndarray:
    loss, rows, clicks = np.moveaxis(sums, -1, 0)
    return loss / rows / base_rate_entropy(clicks / rows)


def _mean_gap(sums: np.ndarray) -> np.ndarray:
    return np.abs(sums[..., 1:]).sum(axis=-1) / sums[..., 0]


def _value_of(metric: str) -> Callable[[np.ndarray], np.ndarray]:
    return {"NE": _entropy_ratio, "ECE": _mean_gap}.get(metric, _first_over_second)


def _statistics_terms(statistics: Sequence[ClusterStatistics], metric: str) -> np.ndarray:
    """(C, K, T), of the clusters with both classes for the AUCs."""
    one = statistics[0]
    if metric in _RANKING:
        users = [each.per_cluster_auc() for each in statistics]
        return _weighted(np.stack([each.auc for each in users], axis=1), _auc_weights(users[0], metric))
    if metric == "predicted/observed":
        columns = [(each.sums_of("predicted"), one.positives) for each in statistics]
    else:
        extra = (one.positives,) if metric == "NE" else ()
        columns = [(each.sums_of("loss"), one.rows, *extra) for each in statistics]
    return np.stack([np.stack(each, axis=1) for each in columns], axis=1).astype(np.float64)


def _auc_weights(users: PerUserAUC, metric: str) -> np.ndarray:
    if metric == "UAUC":
        return np.ones(len(users.auc))
    return users.weights("clicks" if metric == "GAUC-clicks" else "impressions")


def _weighted(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Terms (G, K, 2) of a weighted mean of values (G, K)."""
    return np.stack([values * weights[:, None], np.broadcast_to(weights[:, None], values.shape)], axis=-1)


def _ranking_terms(
    cluster: np.ndarray, group: np.ndarray, label: np.ndarray, table: np.ndarray, metric: str
) -> np.ndarray:
    """(C, K, 2) of a mean over groups, of the clusters that have a group of both classes."""
    values, weights, ids = [], np.empty(0), np.empty(0)
    k = _AT_K.fullmatch(metric)
    for score in table:
        if metric in _RANKING:
            groups = per_user_auc(group, label, score)
            values.append(groups.auc)
            ids, weights = groups.user, _auc_weights(groups, metric)
        else:
            depth = (int(k[1]),) if k else ()
            requests = request_metrics(group, label, score, ndcg_at=depth, top=depth)
            values.append(requests.values[metric])
            ids, weights = requests.request, np.ones(len(requests.request))
    terms = _weighted(np.stack(values, axis=1), weights)
    if group is cluster:
        return terms
    group_cluster = _cluster_of_groups(cluster, group)
    inside = group_cluster[np.searchsorted(np.unique(group), ids)]
    clusters, at = np.unique(inside, return_inverse=True)
    by_cluster = sparse.csr_matrix((np.ones(len(at)), (at, np.arange(len(at)))), shape=(len(clusters), len(at)))
    return (by_cluster @ terms.reshape(len(at), -1)).reshape(len(clusters), *terms.shape[1:])


def _cluster_of_groups(cluster: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Number of the cluster (G,) that each group, sorted by id, lies in."""
    _, first, row_group = np.unique(group, return_index=True, return_inverse=True)
    _, row_cluster = np.unique(cluster, return_inverse=True)
    group_cluster = row_cluster[first]
    wrong = np.flatnonzero(group_cluster[row_group] != row_cluster)
    if len(wrong):
        raise InputError(
            "every group within one cluster",
            f"group {group[wrong[0]]} in cluster {cluster[wrong[0]]} and another",
            "Resample users where groups are requests; a user's rows cannot be drawn request by request.",
        )
    return group_cluster


def _calibration_error_terms(cluster: np.ndarray, label: np.ndarray, table: np.ndarray, bins: int) -> np.ndarray:
    """(C, K, 1 + bins): rows, and the sum of predicted minus observed in each bin."""
    if bins < 1:
        raise InputError("at least 1 bin", f"{bins}", "10 to 20 are usual.")
    ids, row_cluster, rows = np.unique(cluster, return_inverse=True, return_counts=True)
    terms = np.empty((len(ids), len(table), 1 + bins))
    terms[:, :, 0] = rows[:, None]
    for model, score in enumerate(table):
        gap = check_probabilities(score, len(label)) - label
        cell = row_cluster * bins + equal_frequency_groups(score, bins)
        terms[:, model, 1:] = np.bincount(cell, weights=gap, minlength=len(ids) * bins).reshape(-1, bins)
    return terms


def _resampled_auc(cluster: np.ndarray, label: np.ndarray, table: np.ndarray, draw: _Draw) -> np.ndarray:
    """AUC (R, K) with each row weighted by how often its cluster is drawn.

    Sorted once, a positive wins against the non-clicks ``below`` it and half of those up to ``tied``. The
    non-clicks between two such cuts count together, by cluster: a cumulative sum over the cuts turns both ranks
    into weights for every resample.
    """
    ids, row_cluster = np.unique(cluster, return_inverse=True)
    positives = np.bincount(row_cluster[label], minlength=len(ids))
    negatives = np.bincount(row_cluster[~label], minlength=len(ids))
    samples = np.empty((draw.resamples, len(table)))
    prepared = [_cuts(row_cluster, label, score, len(ids)) for score in table]
    for block, drawn in draw.counts(len(ids), 2 * int(positives.sum()) + len(ids)):
        weight = np.ascontiguousarray(drawn.T)
        pairs = (positives @ weight) * (negatives @ weight)
        for model, (negatives_between, positives_at) in enumerate(prepared):
            below = np.cumsum((negatives_between @ weight)[:-1], axis=0)
            wins = ((positives_at @ weight) * below).sum(axis=0)
            samples[block, model] = _ratio(wins, 2 * pairs)
    return samples


def _cuts(
    row_cluster: np.ndarray, label: np.ndarray, score: np.ndarray, clusters: int
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Counts by cluster of the non-clicks before each of P cuts and after the last (P + 1, C), and of the clicks whose
    ``below`` or ``tied`` is the cut (P, C)."""
    order = np.argsort(score[~label])
    negative, negative_cluster = score[~label][order], row_cluster[~label][order]
    ranks = [np.searchsorted(negative, score[label], side=side) for side in ("left", "right")]
    cuts, at = np.unique(np.concatenate(ranks), return_inverse=True)
    between = np.searchsorted(cuts, np.arange(len(negative)), side="right")
    ones = np.ones(max(len(negative), 2 * len(ranks[0])))
    return (
        sparse.csr_matrix((ones[: len(negative)], (between, negative_cluster)), shape=(len(cuts) + 1, clusters)),
        sparse.csr_matrix((ones[: len(at)], (at, np.tile(row_cluster[label], 2))), shape=(len(cuts), clusters)),
    )


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # nothing over nothing is NaN, as the docstrings promise
        return numerator / denominator


def percentile_interval(samples: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """Low end, high end and standard deviation of the samples (R,) that are defined."""
    samples = samples[~np.isnan(samples)]
    if len(samples) < 2:
        return float("nan"), float("nan"), float("nan")
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high), float(samples.std(ddof=1))
