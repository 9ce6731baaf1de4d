"""The distinct values of a column of any types."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["distinct"]


def distinct(column: np.ndarray, *, use_na_sentinel: bool) -> tuple[np.ndarray, np.ndarray]:
    """`pandas.factorize`, which takes JSON's true and 1 for one value; here they are two.

    Args:
        column: (n,) values.
        use_na_sentinel: missing values have code -1, else one of their own.

    Returns:
        (n,) codes, and the distinct values by code.
    """
    values = np.asarray(column, dtype=object)
    codes, is_truth = np.empty(len(values), dtype=np.int64), np.zeros(len(values), dtype=bool)
    if column.dtype.kind in "bO":
        is_truth = np.fromiter((isinstance(value, (bool, np.bool_)) for value in values), dtype=bool, count=len(values))
    codes[~is_truth], found = pd.factorize(values[~is_truth], use_na_sentinel=use_na_sentinel)
    of_truth, truths = pd.factorize(values[is_truth])
    codes[is_truth] = len(found) + of_truth
    return codes, np.concatenate([found, truths])
