"""From exposures in the order of a file to requests, and what the history of each is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recbole_marn.data.logged_rows import Requests
from recbole_marn.data.rows import Events

__all__ = ["Exposures", "GivenHistories", "given_events", "group", "is_one_of", "last_before"]


@dataclass(frozen=True, eq=False)
class Exposures:
    """The rows of a log in the order of its file.

    Attributes:
        user, item: (R,) int64 ids >= 1.
        time: (R,) float64.
        label: (R,) bool.
        request: (R,) int64 ids, or None where the log has none.
        part: (R,) int8, or None where the split does not come with the rows.
        history: (R,) uint64, equal for equal given histories; None without given histories.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    label: np.ndarray
    request: np.ndarray | None = None
    part: np.ndarray | None = None
    history: np.ndarray | None = None


def group(rows: Exposures) -> Requests:
    """Rows sorted by user, time and request; in a request they keep the order of the file.

    Where the log has no requests, the rows of one user at one time are one, if they are of one part and, with given
    histories, of one history.
    """
    if rows.request is None:
        keys = [rows.user, rows.time, *(key for key in (rows.part, rows.history) if key is not None)]
        order = np.lexsort(keys[::-1])
        new = np.zeros(len(order), dtype=bool)
        new[:1] = True
        for key in keys:
            ordered = key[order]
            new[1:] |= ordered[1:] != ordered[:-1]
        first = np.flatnonzero(new)
    else:
        # Users and times are one a request, so that requests are sorted, and rows by their request's place alone.
        line = np.zeros(int(rows.request.max()) + 1, dtype=np.int64)
        line[rows.request[::-1]] = np.arange(len(rows.request))[::-1]
        known = np.unique(rows.request)
        known = known[np.lexsort((known, rows.time[line[known]], rows.user[line[known]]))]
        place = np.zeros(len(line), dtype=np.int64)
        place[known] = np.arange(len(known))
        place = place[rows.request]
        order = np.argsort(place, kind="stable")
        number = np.bincount(place, minlength=len(known))
        first = np.cumsum(number) - number
    lead = order[first]
    return Requests(
        rows.user[lead],
        rows.time[lead],
        np.append(first, len(order)),
        rows.item[order].astype(np.int32),
        rows.label[order],
        order.astype(np.int32 if len(order) < 2**31 else np.int64),
    )


def last_before(
    events: Events, user: np.ndarray, time: np.ndarray | None, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Start and length of each request's history: its user's last events strictly before its time.

    Args:
        events: sorted by user and time.
        user: (Q,) ids.
        time: (Q,), or None where behaviours have no times: then all of the user's.
        longest: most events kept.
    """
    if time is None:
        begin = np.searchsorted(events.user, user)
        end = np.searchsorted(events.user, user, side="right")
    else:
        # An event becomes one integer, user * stride + rank of its time: one sorted array answers everything.
        moments = np.unique(events.time)
        stride = len(moments) + 1
        keys = events.user.astype(np.int64) * stride + np.searchsorted(moments, events.time)
        begin = np.searchsorted(keys, user * stride)
        end = np.searchsorted(keys, user * stride + np.searchsorted(moments, time))
    start = np.maximum(begin, end - longest)
    return start, end - start


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
        value = _mixed(self.item.astype(np.uint64), place.astype(np.uint64))
        if self.time is not None:
            value = _mixed(value, self.time.astype(np.float64).view(np.uint64))
        if self.kind is not None:
            value = _mixed(value, self.kind.astype(np.uint64))
        total = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(value, dtype=np.uint64)])
        return total[end] - total[end - self.length]


def _mixed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """One uint64 of two, by the finaliser of splitmix64."""
    value = a * np.uint64(0x9E3779B97F4A7C15) + b + np.uint64(1)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def given_events(given: GivenHistories, requests: Requests, longest: int) -> tuple[Events, np.ndarray, np.ndarray, int]:
    """The behaviours of all requests, start and length of each history, and how many were not before their request.

    A request's history is that of its first row; it keeps its last `longest`. Those with times are put in their
    order, and the ones that are not strictly before the request are left out.
    """
    row = requests.line[requests.first[:-1]]
    start = (np.cumsum(given.length) - given.length)[row]
    length = given.length[row]
    ends = np.cumsum(length)
    index = np.arange(int(length.sum())) + np.repeat(start - (ends - length), length)
    request = np.repeat(np.arange(len(row)), length)
    late = 0
    if given.time is not None:
        before = given.time[index] < requests.time[request]
        late = int((~before).sum())
        index, request = index[before], request[before]
        order = np.lexsort((given.time[index], request))
        index = index[order]
        length = np.bincount(request, minlength=len(row))
        ends = np.cumsum(length)
    time = np.full(len(index), np.nan) if given.time is None else given.time[index]
    kind = None if given.kind is None else given.kind[index]
    events = Events(requests.user[request], given.item[index], time, kind)
    kept = np.minimum(length, longest)
    return events, ends - kept, kept, late
