"""Intervals and tests of the mean over seeds; users or requests are the independent unit, drawn alike for all seeds.

Columns are user, label and score (B,) of one seed, and request where rows have one; the rows of all seeds are in one
order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from recbole_marn.evaluation.bootstrap import bootstrap_over_clusters
from recbole_marn.evaluation.metrics import per_user_auc
from recbole_marn.evaluation.significance import delong_test, sign_flip_p_value, t_test_p_value

__all__ = ["Columns", "auc_of_means_test", "interval", "paired_over_users", "user_means"]

Columns = Mapping[str, np.ndarray]


def interval(
    columns: Sequence[Columns], metric: str, resamples: int, confidence: float = 0.95, unit: str = "user"
) -> list[float]:
    """Percentile interval of the mean over S seeds of a metric; every seed is resampled by the same users.

    Args:
        metric: as `bootstrap_over_clusters`, or ``request AUC``.
        unit: "user" or "request": what is drawn. Means over users (UAUC, GAUC) are drawn by users whatever it says.

    Returns:
        [low, high]; NaN where the metric is undefined.
    """
    first = columns[0]
    table = np.stack([column["score"] for column in columns])
    of_requests = metric == "request AUC" or metric.startswith(("MRR", "nDCG"))
    cluster = first["user" if metric in ("UAUC", "GAUC", "GAUC-clicks") else unit]
    group = first["request"] if of_requests else None
    metric = "UAUC" if metric == "request AUC" else metric
    drawn = bootstrap_over_clusters(cluster, first["label"], table, metric, resamples, confidence, group=group)
    means = drawn.samples.mean(axis=1)
    means = means[~np.isnan(means)]
    if len(means) < 2:
        return [float("nan"), float("nan")]
    return [float(end) for end in np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])]


def auc_of_means_test(a: Sequence[Columns], b: Sequence[Columns], unit: str = "user") -> dict[str, float]:
    """DeLong's test, rows clustered by user or request, that two rows have the same mean AUC over their seeds.

    The seeds are laid one after another as one long column, the scores of each lifted above those before. Pairs
    within a seed keep their order, and pairs across seeds are ordered by the lift alone, alike for both models:
    they cancel in the difference and in its variance, which leaves the mean over the seeds. With one seed this is
    `delong_test` itself.
    """
    length = math.lcm(len(a), len(b))
    first = a[0]
    found = delong_test(
        np.tile(first["label"], length),
        _lifted([a[index % len(a)]["score"] for index in range(length)]),
        _lifted([b[index % len(b)]["score"] for index in range(length)]),
        user=np.tile(first[unit], length),
    )
    # The pairs within seeds are one in `length` of all pairs; z does not change by the factor.
    return {"difference": found.difference * length, "z": found.z, "p": found.p_value}


def _lifted(scores: Sequence[np.ndarray]) -> np.ndarray:
    # Ranks are whole numbers, so that no lift rounds two scores together.
    ranks = [np.unique(score, return_inverse=True)[1].reshape(-1) for score in scores]
    return np.concatenate([rank + index * (len(rank) + 1) for index, rank in enumerate(ranks)]).astype(np.float64)


def paired_over_users(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Student's test and the sign-flip test of two rows' mean AUC of each user (U,), see `user_means`."""
    difference = a - b
    t, p = t_test_p_value(difference)
    mean = float(difference.mean()) if len(difference) else float("nan")
    return {"difference": mean, "t": t, "p": p, "p_sign_flip": sign_flip_p_value(difference)}


def user_means(columns: Sequence[Columns]) -> np.ndarray:
    """AUC of each user who has both classes (U,), the mean over the seeds."""
    return np.mean([per_user_auc(column["user"], column["label"], column["score"]).auc for column in columns], axis=0)
