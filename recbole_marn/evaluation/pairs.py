"""Which share of its rivals each click beats, and means of such shares with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from recbole_marn.evaluation.ties import tie_runs

__all__ = ["ClusteredMeans", "clustered_means", "pair_accuracy"]


def pair_accuracy(group: np.ndarray, label: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Share of the non-clicks of its group that score less than each click, ties half: its term of the AUC.

    Args:
        group: (B,) integers: what is compared with what, such as a click and its drawn negatives, or a user's rows.
        label: (B,) of 0 and 1.
        score: (B,).

    Returns:
        (P,) of the clicks in the order of the rows; NaN in a group without a non-click.
    """
    clicked = np.asarray(label) > 0
    if not len(score):
        return np.zeros(0)
    group, score = np.asarray(group), np.asarray(score, dtype=np.float64)
    order = np.lexsort((score, group))
    runs = tie_runs(group, clicked, score)
    negatives = runs.spread(runs.total(runs.negatives))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (runs.negatives_below + runs.negatives / 2) / np.where(negatives > 0, negatives, np.nan)
    of_row = np.empty(len(score))
    of_row[order] = np.repeat(share, runs.positives + runs.negatives)
    return of_row[clicked]


@dataclass(frozen=True)
class ClusteredMeans:
    """Means with intervals, (K,) each, and how many values and clusters they are of."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    values: int
    clusters: int


def clustered_means(values: np.ndarray, cluster: np.ndarray, confidence: float = 0.95) -> ClusteredMeans:
    """Means over rows, with intervals that take the rows of a cluster (a user) as dependent.

        se^2 = G / (G - 1) sum_g (sum_{i in g} (x_i - mean))^2 / n^2

    Student's t with G - 1 degrees of freedom; rows with a NaN are left out.

    Args:
        values: (n, K).
        cluster: (n,) integers.

    Returns:
        All NaN without a row; ends NaN with fewer than two clusters.
    """
    known = ~np.isnan(values).any(axis=1)
    values, cluster = values[known], cluster[known]
    nothing = np.full(values.shape[1], np.nan)
    if not len(values):
        return ClusteredMeans(nothing, nothing, nothing, 0, 0)
    ids, at = np.unique(cluster, return_inverse=True)
    mean, groups = values.mean(axis=0), len(ids)
    if groups < 2:
        return ClusteredMeans(mean, nothing, nothing, len(values), groups)
    sums = np.stack([np.bincount(at, weights=column, minlength=groups) for column in (values - mean).T], axis=1)
    error = np.sqrt(groups / (groups - 1) * (sums**2).sum(axis=0)) / len(values)
    reach = -stdtrit(groups - 1, (1 - confidence) / 2) * error
    return ClusteredMeans(mean, mean - reach, mean + reach, len(values), groups)
