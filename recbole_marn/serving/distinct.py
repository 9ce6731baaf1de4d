"""The distinct values of a column of any types."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recbole_marn.errors import InputError

__all__ = ["distinct"]


def distinct(column: np.ndarray, *, use_na_sentinel: bool) -> tuple[np.ndarray, np.ndarray]:
    """`pandas.factorize`, which takes JSON's true and 1 for one value; here they are two.

    Args:
        column: (n,) values.
        use_na_sentinel: missing values have code -1, else one of their own.

    Returns:
        (n,) codes, and the distinct values by code.

    Raises:
        InputError: a list among them.
    """
    values = np.asarray(column, dtype=object)
    codes, is_truth = np.empty(len(values), dtype=np.int64), np.zeros(len(values), dtype=bool)
    if column.dtype.kind in "bO":
        is_truth = np.fromiter((isinstance(value, (bool, np.bool_)) for value in values), dtype=bool, count=len(values))
    try:
        codes[~is_truth], found = pd.factorize(values[~is_truth], use_na_sentinel=use_na_sentinel)
    except TypeError:  # what cannot be hashed
        odd = next(value for value in values if isinstance(value, (list, dict, set, np.ndarray)))
        what = "a text or a number in every row of a column that is no list"
        raise InputError(what, str(odd), "Write one.") from None
    of_truth, truths = pd.factorize(values[is_truth])
    codes[is_truth] = len(found) + of_truth
    return codes, np.concatenate([found, truths])
