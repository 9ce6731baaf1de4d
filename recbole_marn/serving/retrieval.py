"""A short list of items out of a large catalogue, which the model then scores.

Where a score is an inner product of a user's vector and the item's, the items with the largest are the exact ranking.
Where it is none (MARN attends by the candidate), a linear model of one user's scores is fitted: the logits of some
items drawn at random, regressed on their vectors,

    w = argmin_w  sum_i (logit_i - mean - w^T (x_i - mean))^2 + r |w|^2,

and w takes the place of the user's vector. How much of the ranking such a list holds is for `agreement` to tell.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import logit

from recbole_marn.errors import InputError
from recbole_marn.prepare.encoders import need

__all__ = ["INDICES", "Retrieval", "agreement"]

INDICES = ("exact", "faiss")
RIDGE = 0.03  # r, as a share of the mean variance of a direction
LEAST, MOST = 1e-6, 1 - 1e-6  # outputs whose logits are fitted


class Retrieval:
    """Short lists of items with large inner products.

    Args:
        numbers: (n,) of the items to choose from.
        vectors: (n, D) of those items, float32.
        size: items of a list; as many are drawn for the linear model.
        index: "exact", or "faiss" for clusters of FAISS, of which a quarter is searched.

    Raises:
        InputError: a size below 1, an unknown index, or no FAISS.
    """

    def __init__(self, numbers: np.ndarray, vectors: np.ndarray, size: int, index: str = "exact"):
        if size < 1:
            raise InputError("lists of at least one item", str(size), "Ask for some hundred.")
        if index not in INDICES:
            raise InputError(f"an index out of {', '.join(INDICES)}", repr(index), "Choose one of them.")
        self.numbers, self.size = numbers, min(size, len(numbers))
        self._further = numbers[:0]
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._index = _clusters(self._vectors) if index == "faiss" else None
        drawn = np.random.default_rng(0).choice(len(numbers), size=self.size, replace=False)
        self.drawn = numbers[drawn]
        self._centred = self._vectors[drawn].astype(np.float64)
        self._centred -= self._centred.mean(axis=0)
        gram = self._centred.T @ self._centred
        self._factor = cho_factor(gram + (RIDGE * np.trace(gram) / len(gram) + 1e-12) * np.eye(len(gram)))

    def linear(self, output: np.ndarray) -> np.ndarray:
        """(D,) of the linear model of the outputs for `drawn`."""
        values = logit(np.clip(output.astype(np.float64), LEAST, MOST))
        return cho_solve(self._factor, self._centred.T @ (values - values.mean())).astype(np.float32)

    def nearest(self, query: np.ndarray, number: int | None = None) -> np.ndarray:
        """Numbers of the items with the largest inner products with a query (D,): `size` of them, or `number`."""
        number = min(number or self.size, len(self.numbers))
        if self._index is not None:
            found = self._index.search(query[None], number)[1][0]
            return self.numbers[found[found >= 0]]
        product = self._vectors @ query
        return self.numbers[np.argpartition(-product, number - 1)[:number]]

    def shortlist(
        self, user: np.ndarray | None, score: Callable[[np.ndarray], np.ndarray], more: int = 0
    ) -> np.ndarray:
        """Numbers of the items to score for one user.

        Args:
            user: (D,) whose inner products are the ranking, or None.
            score: numbers -> outputs of the model for the user.
            more: further items, e.g. as many as will be left out.
        """
        if user is not None:
            return np.union1d(self.nearest(user, self.size + more), self._further)
        nearest = self.nearest(self.linear(score(self.drawn)), self.size + more)
        return np.union1d(np.union1d(nearest, self.drawn), self._further)

    def holding(self, numbers: np.ndarray) -> Retrieval:
        """The same, whose lists hold further items in any case, those that came later say; this one stays as it is."""
        twin = copy.copy(self)
        twin._further = numbers
        return twin


def agreement(found: np.ndarray, full: np.ndarray) -> float:
    """Share of the likeliest items that a list found, by the model's outputs: (k,) of the list and of a full ranking.

    An item as likely as the last of the full ranking counts as found.
    """
    return float((found >= full[-1] - 1e-6).sum() / len(full)) if len(full) else 1.0


def _clusters(vectors: np.ndarray):
    faiss = need("faiss", "faiss", "searching item vectors by FAISS")
    clusters = max(1, min(int(4 * len(vectors) ** 0.5), len(vectors) // 39))  # FAISS wants 39 vectors a cluster
    index = faiss.index_factory(vectors.shape[1], f"IVF{clusters},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    index.nprobe = max(1, clusters // 4)
    return index
