"""What every user touched, for negatives that they did not."""

from __future__ import annotations

import numpy as np

from recbole_marn.data.arrays import begins, count_below, narrowest, slices, stable_order
from recbole_marn.data.rows import Events

__all__ = ["TouchedPlaces"]


class TouchedPlaces:
    """The places each user touched, in four bytes each: sorted by user, then place, without repeats."""

    def __init__(self, number: np.ndarray, place: np.ndarray):
        self._number = np.append(number, 0)  # the last is that of users without events
        self._first = np.cumsum(self._number) - self._number
        self._place = place

    @classmethod
    def of(cls, user: np.ndarray, item: np.ndarray, place_of_item: np.ndarray) -> TouchedPlaces:
        """Of events in any order; such as are by user already are not put in order again.

        Args:
            user, item: (E,) ids.
            place_of_item: (n_items,) the place of an item, -1 of those that have none.
        """
        if (user[1:] < user[:-1]).any():
            order = stable_order(user)
            user, item = user[order], item[order]
        n_places = int(place_of_item.max(initial=-1)) + 1
        number = np.zeros(int(user.max(initial=0)) + 1, dtype=np.int64)
        kind = narrowest(n_places, least=np.int32)
        places = [np.zeros(0, dtype=kind)]
        for piece in Events(user, item, user).pieces():
            place = place_of_item[item[piece]]
            known = place >= 0
            some, place = user[piece][known], place[known]
            if not len(some):
                continue
            place = place[stable_order((some - some[0]).astype(np.int64) * n_places + place)]
            new = begins(some, place)
            some, place = some[new], place[new]
            times = np.bincount(some - some[0])
            number[some[0] : some[0] + len(times)] += times
            places.append(place.astype(kind, copy=False))
        return cls(number, np.concatenate(places))

    def number(self, user: np.ndarray) -> np.ndarray:
        """How many places each user touched."""
        return self._number[self._known(user)]

    def number_below(self, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """How many places below `place` each user touched."""
        known = self._known(user)
        return count_below(self._place, self._first[known], self._number[known], place)

    def has(self, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Whether each user touched the place beside it."""
        known, below = self._known(user), self.number_below(user, place)
        has = below < self._number[known]
        some = np.flatnonzero(has)  # the others touched none as high
        has[some] = self._place[(self._first[known] + below)[some]] == place[some]
        return has

    def of_each(self, user: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All places of one user after the other: the index in `user` that each belongs to, and the places."""
        known = self._known(user)
        return np.repeat(np.arange(len(user)), self._number[known]), self._place[
            slices(self._first[known], self._number[known])
        ]

    def _known(self, user: np.ndarray) -> np.ndarray:
        return np.minimum(user, len(self._number) - 1)
