"""Confidence intervals by resampling users, the unit that is independent."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from recbole_marn.errors import InputError
from recbole_marn.evaluation.inputs import check_ids, check_labels, check_score_table
from recbole_marn.evaluation.metrics import auc, per_user_auc, row_losses

__all__ = ["Bootstrap", "bootstrap_over_users"]

# Numbers held at once while resampling: 4 million float64 are 32 MB.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Bootstrap:
    """Percentile intervals of one metric for K score columns, all resampled by the same users.

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
        low, high, _ = _summary(self.samples[:, a] - self.samples[:, b], self.confidence)
        return float(self.estimate[a] - self.estimate[b]), low, high


def bootstrap_over_users(
    user: ArrayLike,
    label: ArrayLike,
    score: ArrayLike,
    metric: str = "UAUC",
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Bootstrap:
    """Percentile confidence intervals: users are drawn with replacement, each with all of their rows.

    Args:
        user: (B,) integer ids or tokens.
        label: (B,) of 0 and 1.
        score: (B,), or (K, B) for K models; probabilities for LogLoss. The K are resampled together, so that
            ``Bootstrap.difference`` is paired.
        metric: ``UAUC`` (over the users who have both classes), ``AUC`` or ``LogLoss``.
        resamples: R, at least 2.
        confidence: in (0, 1).
        seed: of the draw; the same users are drawn whatever the scores.

    Returns:
        Intervals, all NaN where the metric is. A resample without both classes has no AUC and is left out of
        them.

    Raises:
        InputError: as the metric, or an unknown metric, too few resamples, a confidence out of range.
    """
    if metric not in ("UAUC", "AUC", "LogLoss"):
        raise InputError("metric 'UAUC', 'AUC' or 'LogLoss'", repr(metric), "Choose one of these three.")
    if resamples < 2 or not 0 < confidence < 1:
        raise InputError(
            "at least 2 resamples and a confidence between 0 and 1",
            f"{resamples} and {confidence}",
            "1000 and 0.95 are usual.",
        )
    label = check_labels(label)
    user = check_ids(user, len(label))
    table = check_score_table(score, len(label))
    rng = np.random.default_rng(seed)
    if metric == "AUC":
        estimate = np.array([auc(label, column) for column in table])
        samples = _resampled_auc(user, label, table, resamples, rng)
    else:
        numerator, denominator = _user_sums(user, label, table, metric)
        estimate = _ratio(numerator.sum(axis=0), denominator.sum())
        samples = _resampled_ratio(numerator, denominator, resamples, rng)
    low, high, standard_error = np.array([_summary(column, confidence) for column in samples.T]).T
    return Bootstrap(estimate, low, high, standard_error, samples, confidence)


def _user_sums(
    user: np.ndarray, label: np.ndarray, table: np.ndarray, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Numerators (U, K) and denominators (U,) of a metric that is a ratio of sums over users."""
    if metric == "UAUC":
        values = np.stack([per_user_auc(user, label, column).auc for column in table], axis=1)
        return values, np.ones(len(values))
    _, row_user, rows = np.unique(user, return_inverse=True, return_counts=True)
    losses = [np.bincount(row_user, weights=row_losses(label, column)) for column in table]
    return np.stack(losses, axis=1), rows.astype(np.float64)


def _draws(
    users: int, resamples: int, cost: int, rng: np.random.Generator
) -> Iterator[tuple[slice, np.ndarray]]:
    """How often each user is drawn, (r, U), in blocks of resamples; ``cost`` numbers are needed by one."""
    step = max(1, _CHUNK // max(cost, users, 1))
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = [np.bincount(rng.integers(users, size=users), minlength=users) for _ in range(start, stop)]
        yield slice(start, stop), np.array(drawn, dtype=np.float64)


def _resampled_ratio(
    numerator: np.ndarray, denominator: np.ndarray, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    users, models = numerator.shape
    samples = np.full((resamples, models), np.nan)
    if users:
        for block, drawn in _draws(users, resamples, users, rng):
            samples[block] = (drawn @ numerator) / (drawn @ denominator)[:, None]
    return samples


def _resampled_auc(
    user: np.ndarray, label: np.ndarray, table: np.ndarray, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """AUC (R, K) with each row weighted by how often its user is drawn.

    Sorted once, a positive wins against the non-clicks ``below`` it and half of those up to ``tied``. The
    non-clicks between two such cuts count together, by user: a cumulative sum over the cuts turns both ranks
    into weights for every resample.
    """
    ids, row_user = np.unique(user, return_inverse=True)
    positives = np.bincount(row_user[label], minlength=len(ids))
    negatives = np.bincount(row_user[~label], minlength=len(ids))
    samples = np.empty((resamples, len(table)))
    prepared = [_cuts(row_user, label, score, len(ids)) for score in table]
    for block, drawn in _draws(len(ids), resamples, 2 * int(positives.sum()) + len(ids), rng):
        weight = np.ascontiguousarray(drawn.T)
        pairs = (positives @ weight) * (negatives @ weight)
        for model, (negatives_between, positives_at) in enumerate(prepared):
            below = np.cumsum((negatives_between @ weight)[:-1], axis=0)
            wins = ((positives_at @ weight) * below).sum(axis=0)
            samples[block, model] = _ratio(wins, 2 * pairs)
    return samples


def _cuts(
    row_user: np.ndarray, label: np.ndarray, score: np.ndarray, users: int
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Counts by user of the non-clicks before each of C cuts and after the last (C + 1, U), and of the clicks whose
    ``below`` or ``tied`` is the cut (C, U)."""
    order = np.argsort(score[~label])
    negative, negative_user = score[~label][order], row_user[~label][order]
    ranks = [np.searchsorted(negative, score[label], side=side) for side in ("left", "right")]
    cuts, at = np.unique(np.concatenate(ranks), return_inverse=True)
    between = np.searchsorted(cuts, np.arange(len(negative)), side="right")
    ones = np.ones(max(len(negative), 2 * len(ranks[0])))
    return (
        sparse.csr_matrix((ones[: len(negative)], (between, negative_user)), shape=(len(cuts) + 1, users)),
        sparse.csr_matrix((ones[: len(at)], (at, np.tile(row_user[label], 2))), shape=(len(cuts), users)),
    )


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # nothing over nothing is NaN, as the docstrings promise
        return numerator / denominator


def _summary(samples: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """Low end, high end and standard deviation of the samples (R,) that are defined."""
    samples = samples[~np.isnan(samples)]
    if len(samples) < 2:
        return float("nan"), float("nan"), float("nan")
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high), float(samples.std(ddof=1))
