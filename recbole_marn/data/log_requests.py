"""From exposures in the order of a file to requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recbole_marn.data.arrays import runs, slices
from recbole_marn.data.logged_rows import Requests

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
        rows.item.astype(np.int32)[order],
        rows.label[order],
        small(order),
    )


def _by_user_and_time(rows: Exposures) -> tuple[np.ndarray, np.ndarray]:
    """Order of the rows, and the place in it at which each request starts."""
    keys = [rows.user, rows.time, *(key for key in (rows.part, rows.history) if key is not None)]
    order = np.lexsort(keys[::-1])
    new = np.zeros(len(order), dtype=bool)
    new[:1] = True
    for key in keys:
        ordered = key[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    return order, np.flatnonzero(new)


def _by_request(rows: Exposures) -> tuple[np.ndarray, np.ndarray]:
    """As `_by_user_and_time`. Rows of a request that stand together in the file, a run, are moved as one."""
    run = runs(rows.request)
    length, request = np.diff(run, append=len(rows.request)), rows.request[run]
    line = np.zeros(int(request.max()) + 1, dtype=np.int64)
    line[request[::-1]] = run[::-1]  # of each request's first row: users and times are one a request
    known = np.flatnonzero(np.bincount(request))
    known = known[np.lexsort((rows.time[line[known]], rows.user[line[known]]))]
    place = np.zeros(len(line), dtype=np.int64)
    place[known] = np.arange(len(known))
    place = place[request]
    order = np.argsort(place, kind="stable")
    number = np.bincount(place, weights=length, minlength=len(known)).astype(np.int64)
    return slices(run[order], length[order]), np.cumsum(number) - number


def small(numbers: np.ndarray) -> np.ndarray:
    """Non-negative integers in four bytes each, where they fit."""
    return numbers.astype(np.int32 if numbers.max(initial=0) < 2**31 else np.int64)
