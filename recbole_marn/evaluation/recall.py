"""Recall of one wanted item among many: from how many score higher, so that candidates can come in any pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Places", "recall_at"]


@dataclass(frozen=True)
class Places:
    """Where the wanted item of each of R rankings stands.

    Attributes:
        higher: (R,) candidates that score higher.
        tied: (R,) candidates that score the same.
    """

    higher: np.ndarray
    tied: np.ndarray

    @classmethod
    def among(cls, wanted: np.ndarray, score: np.ndarray, candidate: np.ndarray) -> Places:
        """Of wanted scores (R,) among scores (R, K), of which a mask (R, K) says which are candidates."""
        higher = ((score > wanted[:, None]) & candidate).sum(axis=1)
        return cls(higher, ((score == wanted[:, None]) & candidate).sum(axis=1))

    def __add__(self, other: Places) -> Places:
        """Of the candidates of both."""
        return Places(self.higher + other.higher, self.tied + other.tied)


def recall_at(places: Places, ks: Sequence[int]) -> np.ndarray:
    """(R, len(ks)) chance that the wanted item is among the first K, ties in random order.

        P = min(1, max(0, (K - higher) / (tied + 1)))

    With one wanted item a ranking, Recall@K is the mean of it.
    """
    room = np.asarray(ks)[None, :] - places.higher[:, None]
    return np.clip(room / (places.tied[:, None] + 1), 0.0, 1.0)
