"""What columns are called, and what that says of their numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["PRICE", "Fields", "told_numbers"]

PRICE = "price"


def told_numbers(field: str, numbers: np.ndarray) -> np.ndarray:
    """Numbers (n,) of a column, NaN where they tell nothing: catalogues write 0 for a `price` that nobody knows.

    `prepare`, the reading of atomic files and serving all go by it, so that a price is the same to each of them.
    """
    return np.where(numbers > 0, numbers, np.nan) if field == PRICE else numbers


@dataclass(frozen=True)
class Fields:
    """Names of the columns of events; `behaviour` is None where events have no type."""

    user: str
    item: str
    time: str
    behaviour: str | None
