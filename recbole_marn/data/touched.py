"""What every user touched, for negatives that they did not."""

from __future__ import annotations

import numpy as np

from recbole_marn.data.rows import Events, narrowest, slices

__all__ = ["TouchedPlaces"]


class TouchedPlaces:
    """The places each user touched, in four bytes each: sorted by user, then place, without repeats."""

    def __init__(self, number: np.ndarray, place: np.ndarray, n_places: int):
        self._number, self._place, self._n_places = number, place, n_places
        self._first = np.cumsum(number) - number

    @classmethod
    def of(cls, user: np.ndarray, item: np.ndarray, place_of_item: np.ndarray, n_places: int) -> TouchedPlaces:
        """Of events in any order; such as are by user already are not put in order again."""
        if (user[1:] < user[:-1]).any():
            order = np.argsort(user, kind="stable")
            user, item = user[order], item[order]
        number = np.zeros(int(user.max(initial=0)) + 1, dtype=np.int64)
        places = [np.zeros(0, dtype=np.int32)]
        for piece in Events(user, item, user).pieces():
            place = place_of_item[item[piece]]
            known = place >= 0
            keys = np.unique(user[piece][known].astype(np.int64) * n_places + place[known])
            some, place = np.divmod(keys, n_places)
            users, times = np.unique(some, return_counts=True)
            number[users] = times
            places.append(place.astype(np.promote_types(narrowest(n_places), np.int32)))
        return cls(number, np.concatenate(places), n_places)

    def number(self, user: np.ndarray) -> np.ndarray:
        """How many places each user touched."""
        known = user < len(self._number)  # others have no event
        return np.where(known, self._number[np.where(known, user, 0)], 0)

    def keys(self, user: np.ndarray) -> np.ndarray:
        """Sorted user * places + place of all that these users touched, and one beyond them all."""
        some = np.unique(user).astype(np.int64)
        some = some[some < len(self._number)]
        length = self._number[some]
        place = self._place[slices(self._first[some], length)]
        # The last lets every search hit an existing element.
        return np.append(np.repeat(some, length) * self._n_places + place, np.iinfo(np.int64).max)
