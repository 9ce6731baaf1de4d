"""Vectors of items laid over those of an export, which is mapped into memory and never changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Laid"]


@dataclass(frozen=True)
class Laid:
    """Vectors that take the place of those of an export, or stand behind them.

    Attributes:
        number: (A,) of items, ascending.
        vectors: (A, D).
        without: (A, M, D).
    """

    number: np.ndarray
    vectors: np.ndarray
    without: np.ndarray

    @classmethod
    def nothing(cls, modalities: int, width: int) -> Laid:
        """None laid over."""
        return cls(
            np.zeros(0, dtype=np.int64), np.zeros((0, width), np.float32), np.zeros((0, modalities, width), np.float32)
        )

    def rows(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of numbers (n,) are here, a mask (n,), and the rows of those."""
        row = np.searchsorted(self.number, numbers)
        here = row < len(self.number)
        here[here] = self.number[row[here]] == numbers[here]
        return here, row[here]

    def over(self, number: np.ndarray, vectors: np.ndarray, without: np.ndarray) -> Laid:
        """With others, which take the place of those with their numbers."""
        kept = ~np.isin(self.number, number)
        order = np.argsort(number := np.concatenate([self.number[kept], number]), kind="stable")
        joined = [np.concatenate([old[kept], new])[order] for old, new in
                  ((self.vectors, vectors), (self.without, without))]  # fmt: skip
        return Laid(number[order], *joined)
