"""Intervals and tests of the mean over seeds; users or requests are the independent unit, alike for all seeds.

Nothing here reads scores: each seed is given by its evidence (`evaluation/evidence.py`) on the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from recbole_marn.evaluation.bootstrap import (
    Bootstrap,
    bootstrap_of_ratio,
    bootstrap_of_statistics,
    percentile_interval,
)
from recbole_marn.evaluation.cluster_statistics import mean_placements
from recbole_marn.evaluation.evidence import REQUEST_METRICS, Evidence
from recbole_marn.evaluation.significance import (
    delong_test_of_statistics,
    delong_variance_of_statistics,
    sign_flip_p_value,
    t_test_p_value,
)

__all__ = ["auc_of_means_test", "interval", "paired_over_users", "user_means"]

OF_USERS = ("UAUC", "GAUC", "GAUC-clicks")


def interval(
    seeds: Sequence[Evidence], metric: str, resamples: int, confidence: float = 0.95, unit: str = "user"
) -> list[float]:
    """Interval of the mean over S seeds of a metric.

    That of AUC over all rows is normal, with DeLong's variance of the mean, rows clustered by unit (Obuchowski 1997).
    All others are percentiles of a bootstrap, in which every seed is resampled by the same users or requests.

    Args:
        metric: AUC, or as `bootstrap_of_statistics`, or one of `REQUEST_METRICS`.
        unit: "user" or "request": what is drawn. Means over users (UAUC, GAUC) are drawn by users whatever it says.

    Returns:
        [low, high]; NaN where the metric is undefined.
    """
    if metric == "AUC":
        mean = mean_placements([seed.clusters[unit] for seed in seeds])
        reach = -ndtri((1 - confidence) / 2) * delong_variance_of_statistics(mean) ** 0.5
        return [float(end) for end in np.clip([mean.auc() - reach, mean.auc() + reach], 0, 1)]
    means = _drawn(seeds, metric, resamples, confidence, unit).samples.mean(axis=1)
    low, high, _ = percentile_interval(means, confidence)
    return [low, high]


def _drawn(seeds: Sequence[Evidence], metric: str, resamples: int, confidence: float, unit: str) -> Bootstrap:
    if metric in REQUEST_METRICS:
        ranked = [seed.requests[unit] for seed in seeds]
        number, sums = ranked[0].number, np.stack([one.sums[metric] for one in ranked], axis=1)
        return bootstrap_of_ratio(sums[number > 0], number[number > 0], resamples, confidence)
    clusters = [seed.clusters["user" if metric in OF_USERS else unit] for seed in seeds]
    return bootstrap_of_statistics(clusters, metric, resamples, confidence)


def auc_of_means_test(a: Sequence[Evidence], b: Sequence[Evidence], unit: str = "user") -> dict[str, float]:
    """DeLong's test, rows clustered by user or request, that two rows have the same mean AUC over their seeds.

    With one seed this is `delong_test` itself.
    """
    means = (mean_placements([seed.clusters[unit] for seed in seeds]) for seeds in (a, b))
    found = delong_test_of_statistics(*means)
    return {"difference": found.difference, "z": found.z, "p": found.p_value}


def paired_over_users(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Student's test and the sign-flip test of two rows' mean AUC of each user (U,), see `user_means`."""
    difference = a - b
    t, p = t_test_p_value(difference)
    mean = float(difference.mean()) if len(difference) else float("nan")
    return {"difference": mean, "t": t, "p": p, "p_sign_flip": sign_flip_p_value(difference)}


def user_means(seeds: Sequence[Evidence]) -> np.ndarray:
    """AUC of each user who has both classes (U,), the mean over the seeds."""
    return np.mean([seed.clusters["user"].per_cluster_auc().auc for seed in seeds], axis=0)
