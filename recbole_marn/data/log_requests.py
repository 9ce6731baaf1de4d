"""From exposures in the order of a file to requests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recbole_marn.data.arrays import begins, narrow, narrowest, runs, slices, stable_order, taken
from recbole_marn.data.logged_rows import Requests
from recbole_marn.data.rows import by_user_and_time

__all__ = ["Exposures", "group", "small"]


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

    @cached_property
    def run(self) -> np.ndarray:
        """Where each run begins, rows of one request that stand together."""
        return runs(self.request)

    @cached_property
    def first_line(self) -> np.ndarray:
        """By request id, the line of the first of its rows; 0 of ids that have none."""
        run, request = self.run[::-1], self.request[self.run][::-1]
        first = np.zeros(int(request.max()) + 1, dtype=np.int64)
        first[request] = run
        return first


def group(rows: Exposures) -> Requests:
    """Rows sorted by user, time and request; in a request they keep the order of the file.

    Where the log has no requests, the rows of one user at one time are one, if they are of one part and, with given
    histories, of one history.
    """
    order, first = _by_user_and_time(rows) if rows.request is None else _by_request(rows)
    lead = order[first]
    return Requests(
        small(rows.user[lead]),
        rows.time[lead],
        np.append(first, len(order)),
        taken(rows.item, order, np.int32),
        taken(rows.label, order),
        order,
    )


def _by_user_and_time(rows: Exposures) -> tuple[np.ndarray, np.ndarray]:
    """Order of the rows, as narrow as it may be, and the place in it at which each request starts."""
    rest = [key for key in (rows.part, rows.history) if key is not None]
    keys = [rows.user, rows.time, *rest]
    order = np.lexsort(keys[::-1]) if rest else by_user_and_time(rows.user, narrow(rows.time))
    return small(order), np.flatnonzero(begins(*(taken(key, order) for key in keys)))


def _by_request(rows: Exposures) -> tuple[np.ndarray, np.ndarray]:
    """As `_by_user_and_time`. A run is moved as one."""
    run = rows.run
    length, request = np.diff(run, append=len(rows.request)), rows.request[run]
    known = np.flatnonzero(np.bincount(request))
    lead = rows.first_line[known]  # users and times are one a request
    known = known[by_user_and_time(rows.user[lead], narrow(rows.time[lead]))]
    place = np.zeros(len(rows.first_line), dtype=np.int64)
    place[known] = np.arange(len(known))
    place = place[request]
    run_order = stable_order(place)
    run, length = run[run_order], length[run_order]
    order = slices(run, length, narrowest(len(rows.request), least=np.int32))
    return order, (np.cumsum(length) - length)[runs(place[run_order])]


def small(numbers: np.ndarray) -> np.ndarray:
    """Non-negative integers in four bytes each, where they fit."""
    return numbers.astype(np.int32 if numbers.max(initial=0) < 2**31 else np.int64)
