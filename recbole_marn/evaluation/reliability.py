"""How predicted click rates compare with observed ones, bin by bin."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from recbole_marn.errors import InputError
from recbole_marn.evaluation.bins import equal_frequency_groups
from recbole_marn.evaluation.inputs import check_labels, check_probabilities

__all__ = ["ReliabilityCurve", "reliability_curve", "wilson_interval"]


@dataclass(frozen=True)
class ReliabilityCurve:
    """Bins (M,) of equal mass by predicted click rate, ascending; empty bins are left out.

    Attributes:
        lowest: the smallest prediction in the bin.
        highest: the largest prediction in the bin.
        predicted: mean prediction.
        observed: click rate.
        rows: count.
        clicks: count.
        low: lower end of the Wilson interval of the observed click rate, rows taken as independent.
        high: its upper end.
        confidence: of the intervals.
    """

    lowest: np.ndarray
    highest: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray
    rows: np.ndarray
    clicks: np.ndarray
    low: np.ndarray
    high: np.ndarray
    confidence: float

    @property
    def expected_calibration_error(self) -> float:
        """ECE over these bins: the mean over rows of |predicted - observed|."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.rows))


def reliability_curve(
    label: ArrayLike, probability: ArrayLike, bins: int = 20, confidence: float = 0.95
) -> ReliabilityCurve:
    """Reliability curve (Niculescu-Mizil and Caruana, ICML 2005) over bins of about as many rows each.

    Equal widths would put nearly all rows of a click log into the first bin. Equal predictions share a bin, so that a
    constant model has one.

    Args:
        label: (B,) of 0 and 1.
        probability: (B,) in [0, 1].
        bins: at least 1.
        confidence: of the Wilson intervals, in (0, 1).

    Raises:
        InputError: as ``log_loss``, fewer than one bin, or a confidence out of range.
    """
    label = check_labels(label)
    probability = check_probabilities(probability, len(label))
    if bins < 1:
        raise InputError("at least 1 bin", f"{bins}", "10 to 20 are usual.")
    _, row_bin = np.unique(equal_frequency_groups(probability, bins), return_inverse=True)
    rows = np.bincount(row_bin)
    clicks = np.bincount(row_bin, weights=label).astype(np.int64)
    lowest, highest = np.full(len(rows), np.inf), np.full(len(rows), -np.inf)
    np.minimum.at(lowest, row_bin, probability)
    np.maximum.at(highest, row_bin, probability)
    low, high = wilson_interval(clicks, rows, confidence)
    predicted = np.bincount(row_bin, weights=probability) / rows
    return ReliabilityCurve(
        lowest=lowest,
        highest=highest,
        predicted=np.clip(predicted, lowest, highest),  # a mean of equal values may be off by rounding
        observed=clicks / rows,
        rows=rows,
        clicks=clicks,
        low=low,
        high=high,
        confidence=confidence,
    )


def wilson_interval(
    clicks: ArrayLike, rows: ArrayLike, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Score interval of a rate (Wilson, JASA 1927): within [0, 1] and sensible for rates near 0 and few rows.

    Args:
        clicks: (M,) counts, from 0 to `rows`.
        rows: (M,) counts; an interval of no rows is [0, 1].
        confidence: in (0, 1).

    Returns:
        Low and high ends, (M,) each.

    Raises:
        InputError: counts out of range, or a confidence out of range.
    """
    clicks, rows = np.asarray(clicks, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    if not 0 < confidence < 1:
        raise InputError("a confidence between 0 and 1", f"{confidence}", "0.95 is usual.")
    if not np.all((clicks >= 0) & (clicks <= rows)):
        raise InputError("0 <= clicks <= rows", "counts out of this order", "Count clicks among the same rows.")
    z = -ndtri((1 - confidence) / 2)
    spread = z * np.sqrt(clicks * (rows - clicks) / np.maximum(rows, 1) + z * z / 4)
    centre = clicks + z * z / 2
    low, high = (centre - spread) / (rows + z * z), (centre + spread) / (rows + z * z)
    return np.where(clicks == 0, 0.0, low), np.where(clicks == rows, 1.0, high)
