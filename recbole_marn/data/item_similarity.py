"""Which items are clicked by the same users: item-based collaborative filtering on sparse matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, diags

__all__ = ["ItemSimilarity"]


@dataclass(frozen=True)
class ItemSimilarity:
    """Cosine similarity of items by their users (Sarwar et al., WWW 2001).

        sim(i, j) = |users of both| / sqrt(|users of i| |users of j|)

    The matrix of all pairs is never formed: it would be dense for popular items.

    Attributes:
        users_of_item: (n_items, n_users) rows of length 1, or empty for items that were never clicked.
    """

    users_of_item: csr_matrix

    @classmethod
    def fit(cls, user: np.ndarray, item: np.ndarray, *, n_users: int, n_items: int) -> ItemSimilarity:
        """From events (n,); an event that repeats counts once."""
        clicked = csr_matrix((np.ones(len(user)), (item, user)), shape=(n_items, n_users))
        clicked.sum_duplicates()
        clicked.data[:] = 1.0
        users = np.maximum(np.diff(clicked.indptr), 1)
        return cls((diags(users**-0.5) @ clicked).tocsr())

    def to_history(
        self, token_item: np.ndarray, length: np.ndarray, row_sequence: np.ndarray, candidate: np.ndarray
    ) -> np.ndarray:
        """(B,) sum of the similarities of each row's candidate to the items of its history.

        Args:
            token_item: (N,) items of all histories, sequence after sequence.
            length: (S,) tokens of each sequence.
            row_sequence: (B,) the sequence of each row.
            candidate: (B,) items.
        """
        history = self._users_of_history(token_item, length)
        return np.asarray(self.users_of_item[candidate].multiply(history[row_sequence]).sum(axis=1)).ravel()

    def to_catalogue(self, token_item: np.ndarray, length: np.ndarray) -> np.ndarray:
        """(S, n_items) sum of the similarities of every item to the items of each history; arguments as above."""
        return np.asarray((self._users_of_history(token_item, length) @ self.users_of_item.T).todense())

    def _users_of_history(self, token_item: np.ndarray, length: np.ndarray) -> csr_matrix:
        """(S, n_users): a cosine is a product of two rows of users, so that a sum of them is a product with the sum."""
        sequence = np.repeat(np.arange(len(length)), length)
        shape = (len(length), self.users_of_item.shape[0])
        return csr_matrix((np.ones(len(token_item)), (sequence, token_item)), shape=shape) @ self.users_of_item
