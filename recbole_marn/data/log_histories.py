"""What the history of each request of a log is: behaviours before it, or those that came with its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from recbole_marn.data.arrays import mixed, runs, slices
from recbole_marn.data.log_requests import small
from recbole_marn.data.logged_rows import Requests
from recbole_marn.data.rows import Events
from recbole_marn.data.statistics import Moments

__all__ = ["LogBehaviours", "GivenHistories", "Histories", "given_histories", "histories_before", "is_one_of"]


class Histories(NamedTuple):
    """Behaviours, and the slice [start, start + length) of them that is each request's history."""

    events: Events
    start: np.ndarray
    length: np.ndarray


def histories_before(events: Events, user: np.ndarray, time: np.ndarray | None, longest: int) -> Histories:
    """Each request's history: its user's last events strictly before its time.

    Args:
        events: sorted by user and time.
        user: (Q,) ids, in order.
        time: (Q,), or None where behaviours have no times: then all of the user's.
        longest: most events kept.
    """
    if time is None:
        begin = np.searchsorted(events.user, user)
        end = np.searchsorted(events.user, user, side="right")
    else:
        # An event becomes one integer, user * stride + rank of its time: one sorted array answers everything.
        moments = Moments.of(events.time)
        keys = events.user.astype(np.int64) * moments.stride + moments.rank(events.time)
        user = user.astype(np.int64) * moments.stride
        own = runs(user)
        begin = np.repeat(np.searchsorted(keys, user[own]), np.diff(own, append=len(user)))
        end = np.searchsorted(keys, user + moments.rank(time))
    start = np.maximum(begin, end - longest)
    return Histories(events, small(start), (end - start).astype(np.int32))


def is_one_of(events: Events, requests: Requests, rows: np.ndarray) -> np.ndarray:
    """(E,) bool: whether a user, item and time are those of one of the rows of a mask (R,)."""
    request = requests.request[rows]
    keys = [requests.user[request], requests.item[rows].astype(np.int64), requests.time[request]]
    columns = (events.user.astype(np.int64), events.item.astype(np.int64), events.time.astype(np.float64))
    own = pd.MultiIndex.from_arrays(columns)
    return own.isin(pd.MultiIndex.from_arrays(keys))


@dataclass(frozen=True, eq=False)
class GivenHistories:
    """Histories that came with the rows, as one array of behaviours after another.

    Attributes:
        item: (N,) ids.
        length: (R,) behaviours of each row.
        time, kind: (N,), or None where the rows have none.
    """

    item: np.ndarray
    length: np.ndarray
    time: np.ndarray | None = None
    kind: np.ndarray | None = None

    @property
    def fingerprint(self) -> np.ndarray:
        """(R,) uint64: equal for equal histories, and different for others but by chance of 2^-64."""
        end = np.cumsum(self.length)
        place = np.arange(len(self.item)) - np.repeat(end - self.length, self.length)
        value = _of_two(self.item.astype(np.uint64), place.astype(np.uint64))
        if self.time is not None:
            value = _of_two(value, self.time.astype(np.float64).view(np.uint64))
        if self.kind is not None:
            value = _of_two(value, self.kind.astype(np.uint64))
        total = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(value, dtype=np.uint64)])
        return total[end] - total[end - self.length]


@dataclass(frozen=True, eq=False)
class LogBehaviours:
    """What histories of a log are made of, and what its purchases are counted among.

    Attributes:
        source: events in order, or lists that came with the rows.
        timed: they have times.
        are_clicks: they are the clicked rows.
        counted: events of all types, or None where lists came with the rows.
        purchase_types: ids of the types that are purchases.
    """

    source: Events | GivenHistories
    timed: bool = True
    are_clicks: bool = False
    counted: Events | None = None
    purchase_types: Sequence[int] = ()


def _of_two(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """One uint64 of two."""
    return mixed(a * np.uint64(0x9E3779B97F4A7C15) + b + np.uint64(1))


def given_histories(given: GivenHistories, requests: Requests, longest: int) -> tuple[Histories, int]:
    """Each request's history as its first row has it, and how many behaviours were not before their request.

    A history keeps its last `longest`. Those with times are put in their order, and the ones that are not strictly
    before the request are left out.
    """
    row = requests.line[requests.first[:-1]]
    length = given.length[row]
    index = slices((np.cumsum(given.length) - given.length)[row], length)
    request = np.repeat(np.arange(len(row)), length)
    late = 0
    if given.time is not None:
        before = given.time[index] < requests.time[request]
        late = int((~before).sum())
        index, request = index[before], request[before]
        index = index[np.lexsort((given.time[index], request))]
        length = np.bincount(request, minlength=len(row))
    time = np.full(len(index), np.nan) if given.time is None else given.time[index]
    kind = None if given.kind is None else given.kind[index]
    events = Events(requests.user[request].astype(np.int64), given.item[index], time, kind)
    kept = np.minimum(length, longest)
    return Histories(events, small(np.cumsum(length) - kept), kept.astype(np.int32)), late
