"""Checks that collected labels, scores and ids are usable, made once at the door of every metric."""

import numpy as np
from numpy.typing import ArrayLike

from recbole_marn.errors import InputError

__all__ = [
    "check_ids",
    "check_labels",
    "check_probabilities",
    "check_score_table",
    "check_scores",
]


def _column(values: ArrayLike, name: str) -> np.ndarray:
    try:
        column = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{name} to be an array",
            f"{type(values).__name__} ({error})",
            "Pass a NumPy array, one entry per row.",
        ) from error
    if column.ndim != 1:
        raise InputError(
            f"{name} to be a single column (B,)",
            f"shape {column.shape}",
            "Flatten it, one entry for each scored row.",
        )
    return column


def _check_length(column: np.ndarray, rows: int, name: str) -> None:
    if len(column) != rows:
        raise InputError(
            f"{name} to have {rows} entries, one for each label",
            f"{len(column)}",
            "Pass arrays that describe the same rows in the same order.",
        )


def _numbers(values: ArrayLike, name: str) -> np.ndarray:
    column = _column(values, name)
    if column.dtype.kind not in "biuf":
        raise InputError(f"{name} to be numbers", f"dtype {column.dtype}", "Convert it to floats first.")
    # float64 holds every float16 and float32 exactly, so neither order nor ties change.
    return column.astype(np.float64)


def check_labels(label: ArrayLike) -> np.ndarray:
    """Labels (B,) of 0 and 1 as a boolean array, True for a click.

    Raises:
        InputError: no rows, more than one axis, or a value other than 0 and 1.
    """
    column = _numbers(label, "label")
    if len(column) == 0:
        raise InputError("at least one scored row", "none", "Check that the part of the split is not empty.")
    wrong = column[(column != 0) & (column != 1)]
    if len(wrong):
        raise InputError(
            "every label to be 0 or 1",
            f"{wrong[0]:g}, one of {len(wrong)} other values",
            "Turn ratings into clicks first.",
        )
    return column == 1


def check_scores(score: ArrayLike, rows: int, name: str = "score") -> np.ndarray:
    """Scores (B,) as float64; infinite scores are allowed, since only their order counts.

    Raises:
        InputError: another length than ``rows``, more than one axis, not numbers, or a NaN.
    """
    column = _numbers(score, name)
    _check_length(column, rows, name)
    missing = np.flatnonzero(np.isnan(column))
    if len(missing):
        raise InputError(
            f"{name} without NaN",
            f"{len(missing)} NaN, the first in row {missing[0]}",
            "A model that diverged has no metric; look at its loss and lower the learning rate.",
        )
    return column


def check_score_table(score: ArrayLike, rows: int) -> np.ndarray:
    """Scores of one model (B,) or of K (K, B) as float64 (K, B).

    Raises:
        InputError: as ``check_scores`` for any of them, or no model.
    """
    try:
        single = np.ndim(score) < 2
    except ValueError:  # columns of several lengths: let the check of each name them
        single = False
    columns: list[ArrayLike] = [score] if single else list(score)  # type: ignore[arg-type]  # of two axes
    if not columns:
        raise InputError("the scores of at least one model", "none", "Pass (B,) or (K, B).")
    return np.stack([check_scores(column, rows) for column in columns])


def check_probabilities(probability: ArrayLike, rows: int) -> np.ndarray:
    """Probabilities (B,) as float64.

    Raises:
        InputError: as ``check_scores``, or a value outside [0, 1].
    """
    column = check_scores(probability, rows, "probability")
    outside = column[(column < 0) | (column > 1)]
    if len(outside):
        raise InputError(
            "probabilities between 0 and 1",
            f"{outside[0]:g}, one of {len(outside)} outside",
            "Pass the logits through a sigmoid first.",
        )
    return column


def check_ids(ids: ArrayLike, rows: int, name: str = "user", strings: bool = True) -> np.ndarray:
    """Ids (B,), integers or (unless ``strings`` is False) strings, unchanged.

    Raises:
        InputError: another length than ``rows``, more than one axis, or another type; floats have no safe
        equality.
    """
    column = _column(ids, name)
    if column.dtype.kind not in ("iuUS" if strings else "iu"):
        raise InputError(
            f"{name} to be integers{' or strings' if strings else ''}",
            f"dtype {column.dtype}",
            "Convert it by astype, or pass RecBole's internal ids.",
        )
    _check_length(column, rows, name)
    return column
