"""Whether one column alone tells the label: fields known only after the click, such as read time or the next page."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recbole_marn.errors import InputError
from recbole_marn.evaluation.bins import equal_frequency_groups
from recbole_marn.evaluation.inputs import check_labels
from recbole_marn.evaluation.metrics import auc, base_rate_entropy, row_losses, uauc

__all__ = ["LabelTell", "tells_label"]

# Bins of a column of floats: fine enough for a leak that marks one row in a thousand.
_BINS = 1000
# "Almost perfectly": honest features of click logs stay below .9 alone.
_ALMOST_PERFECT = 0.98


@dataclass(frozen=True)
class LabelTell:
    """What one column alone says of the label.

    Attributes:
        auc: AUC of the click rate of a row's value, estimated on other rows, or of the order of the numbers, whichever
            is further from .5 (turned so that it is at least .5 but for chance).
        explained: share of the label's entropy that those click rates explain, 1 - NE; about 0 for a useless column,
            1 for a copy of the label, below 0 where rates of rare values are noise.
        values: different values, a missing one counted as a value.
    """

    auc: float
    explained: float
    values: int

    @property
    def almost_perfect(self) -> bool:
        """Whether the column should be named before training: AUC of .98 and more."""
        return self.auc >= _ALMOST_PERFECT


def tells_label(column: ArrayLike, label: ArrayLike, seed: int = 0) -> LabelTell:
    """AUC and explained entropy of one column alone, to warn of fields that are known only after the click.

    The rows are halved at random within each class. Each half is scored by the click rate that its values have in the
    other half, so that a column of ids that never repeat tells nothing, while one that is empty unless there was a
    click tells all: not in the order of its values, but in whether there is one.

    Args:
        column: (B,) codes (integers, booleans, strings) or numbers (floats; NaN is missing and a value of its own).
            Floats are cut into 1,000 bins of equal mass.
        label: (B,) of 0 and 1.
        seed: of the halves.

    Returns:
        NaN for both where a class has fewer than two rows.

    Raises:
        InputError: as ``auc``, or a column of another length or type.
    """
    label = check_labels(label)
    column = np.asarray(column)
    if column.ndim != 1 or column.dtype.kind not in "biufUS":
        raise InputError(
            "a column (B,) of numbers or strings",
            f"shape {column.shape} of {column.dtype}",
            "Turn lists and objects into codes first.",
        )
    if len(column) != len(label):
        raise InputError(f"a column of {len(label)} rows", f"{len(column)}", "Pass the same rows in the same order.")
    code = _codes(column)
    values = int(code.max()) + 1
    clicks = int(label.sum())
    if min(clicks, len(label) - clicks) < 2:
        return LabelTell(float("nan"), float("nan"), values)
    rate, half = _rates_of_the_other_half(code, label, seed)
    candidates = [uauc(half, label, rate)]
    if column.dtype.kind in "iuf":
        present = ~np.isnan(column) if column.dtype.kind == "f" else np.ones(len(column), dtype=bool)
        # Of the rows with a number; what its absence tells is in the rates.
        if present.all():
            by_order = auc(label, column)
            candidates.append(max(by_order, 1 - by_order))
    loss = float(row_losses(label, rate).mean())
    return LabelTell(max(candidates), 1 - loss / float(base_rate_entropy(label.mean())), values)


def _codes(column: np.ndarray) -> np.ndarray:
    if column.dtype.kind == "f":
        missing = np.isnan(column)
        binned = np.full(len(column), -1, dtype=np.int64)
        binned[~missing] = equal_frequency_groups(column[~missing], _BINS)
        column = binned
    return np.unique(column, return_inverse=True)[1]


def _rates_of_the_other_half(code: np.ndarray, label: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Click rate (B,) of each row's value in the half the row is not in, and the row's half (B,) of 0 and 1.

    Values that a half lacks are taken together as one: what they tell is that they are rare, as a next page that is
    empty without a click. Rates are drawn towards the base rate by the weight of one row.
    """
    shuffled = np.random.default_rng(seed).permutation(len(label))
    half = np.empty(len(label), dtype=np.int64)
    for one_class in (shuffled[label[shuffled]], shuffled[~label[shuffled]]):
        half[one_class] = np.arange(len(one_class)) % 2
    values = int(code.max()) + 1
    in_both = np.bincount(2 * code + half, minlength=2 * values).reshape(values, 2).min(axis=1) > 0
    code = np.where(in_both[code], code, values)
    rows = np.bincount(2 * code + half, minlength=2 * values + 2)
    clicks = np.bincount(2 * code + half, weights=label, minlength=2 * values + 2)
    other = 2 * code + (1 - half)
    return (clicks[other] + label.mean()) / (rows[other] + 1), half
