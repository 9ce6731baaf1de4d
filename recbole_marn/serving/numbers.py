"""Columns of numbers as they come to be scored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from recbole_marn.data.fields import told_numbers
from recbole_marn.prepare.tokens import is_missing, number

__all__ = ["no_rates_left_out", "read_numbers"]


def read_numbers(field: str, values: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (n,) of a column as `prepare` reads them, NaN where there is none; and which (n,) of these were given.

    Args:
        field: what the column is called: of a `price`, 0 and less are none.
    """
    given = list(values)
    numbers = np.array([np.nan if (read := number(value)) is None else read for value in given], dtype=np.float64)
    numbers = told_numbers(field, numbers)
    return numbers, np.isnan(numbers) & ~np.array([is_missing(value) for value in given], dtype=bool)


def no_rates_left_out(numbers: np.ndarray, unreadable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `read_numbers` gave of a rate, without what is none: 30 was written for 30 %."""
    no_rate = (numbers < 0) | (numbers > 1)
    return np.where(no_rate, np.nan, numbers), unreadable | no_rate
