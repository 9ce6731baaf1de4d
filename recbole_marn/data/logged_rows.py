"""Rows of a click log: what each request showed and what of it was clicked, histories by reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from recbole_marn.data.arrays import slices
from recbole_marn.data.context_codes import RowCodes
from recbole_marn.data.grouped_rows import GroupedRows
from recbole_marn.data.rows import Events
from recbole_marn.data.statistics import GapBins, StatisticsAtTime

__all__ = ["LoggedRows", "Requests"]


@dataclass(frozen=True, eq=False)
class Requests:
    """Exposures in the order of requests: by user, time and request, the rows of a request side by side.

    Shape letters: Q requests, R rows.

    Attributes:
        user: (Q,) ids.
        time: (Q,) float64.
        first: (Q + 1,) int64, the rows of request q are first[q] to first[q + 1].
        item: (R,) int32 item ids.
        label: (R,) bool, clicked.
        line: (R,) the row's place in the file, header not counted.
    """

    user: np.ndarray
    time: np.ndarray
    first: np.ndarray
    item: np.ndarray
    label: np.ndarray
    line: np.ndarray

    @property
    def n_requests(self) -> int:
        """Q, the number of requests."""
        return len(self.user)

    @property
    def n_rows(self) -> int:
        """R, the number of rows."""
        return len(self.item)

    @property
    def request(self) -> np.ndarray:
        """(R,) the request of each row."""
        return self.of_rows(np.arange(self.n_requests))

    def of_rows(self, values: np.ndarray) -> np.ndarray:
        """(R,) the value that each row's request has among values (Q,)."""
        return np.repeat(values, np.diff(self.first))

    def request_of(self, row: np.ndarray) -> np.ndarray:
        """The request of each of some rows."""
        return np.searchsorted(self.first, row, side="right") - 1

    def take(self, keep: np.ndarray) -> tuple[Requests, np.ndarray]:
        """The rows of a mask (R,), without requests that have none left; and those that stay (Q',)."""
        number = np.add.reduceat(keep.view(np.int8), self.first[:-1], dtype=np.int32)
        stay = np.flatnonzero(number)
        first = np.concatenate([[0], np.cumsum(number[stay])])
        rows = (values[keep] for values in (self.item, self.label, self.line))
        return Requests(self.user[stay], self.time[stay], first, *rows), stay


@dataclass(frozen=True)
class LoggedRows(GroupedRows):
    """Rows of one part of a log. A group is a request: one user, one time, one history; their sizes differ.

    A batch holds whole requests: in training as many as have `size` rows on average, so that its rows vary with their
    sizes; in evaluation at most `size` rows, but for a request that alone has more.

    Attributes:
        events: the behaviours that histories are made of, by user and time.
        requests: the exposures of this part.
        history_start, history_length: (Q,) slices of `events`; a length may be 0.
        codes: profile and context, or None without any.
        extra: columns (R,) for RecBole's models, by field.
        at_time: statistics as known at the row's time, or None for the snapshot at the end of training.
        gap: bins of the time from a behaviour to the row, or None.
    """

    events: Events
    requests: Requests
    history_start: np.ndarray
    history_length: np.ndarray
    codes: RowCodes | None = None
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    at_time: StatisticsAtTime | None = None
    gap: GapBins | None = None

    @property
    def n_groups(self) -> int:
        return self.requests.n_requests

    @property
    def n_rows(self) -> int:
        return self.requests.n_rows

    def groups_a_batch(self, size: int) -> int:
        return max(1, size * self.n_groups // self.n_rows)

    def groups_within(self, size: int) -> int:
        number, rows = self.groups_a_batch(size), np.diff(self.requests.first)
        while number > 1:
            most = int(np.add.reduceat(rows, np.arange(0, len(rows), number)).max())
            if most <= size:
                break
            number = max(1, number * size // most)
        return number

    def group_of(self, row: np.ndarray) -> np.ndarray:
        return self.requests.request_of(row)

    def first_row(self, group: np.ndarray) -> np.ndarray:
        return self.requests.first[group]

    def rows_of_groups(self, group: np.ndarray) -> np.ndarray:
        first = self.requests.first
        start = first[group]
        return slices(start, first[np.asarray(group) + 1] - start)

    def columns(self, row: np.ndarray, group: np.ndarray | None = None) -> dict[str, np.ndarray]:
        requests, group = self.requests, self.group_of(row) if group is None else group
        return {
            "user": requests.user[group].astype(np.int64),
            "item": requests.item[row].astype(np.int64),
            "time": requests.time[group],
            "label": requests.label[row].astype(np.float32),
        }

    def windows(self, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.history_start[group], self.history_length[group].astype(np.int64)

    def time_of(self, group: np.ndarray) -> np.ndarray:
        return self.requests.time[group]

    def context_of(self, row: np.ndarray, group: np.ndarray | None = None) -> np.ndarray | None:
        if self.codes is None:
            return None
        return self.codes.of(row, self.requests.user[self.group_of(row) if group is None else group])

    def extra_of(self, row: np.ndarray) -> dict[str, np.ndarray]:
        return {name: values[row].astype(np.int64) for name, values in self.extra.items()}

    def take(self, group: np.ndarray) -> LoggedRows:
        row, size = self.rows_of_groups(group), np.diff(self.requests.first)[group]
        return self._anew(group, row, size, self.requests.item[row], self.requests.label[row])

    def facing(self, row: np.ndarray, candidate: np.ndarray) -> LoggedRows:
        rows = 1 + candidate.shape[1]
        item = np.concatenate([self.requests.item[row][:, None], candidate], axis=1)
        label = np.zeros((len(row), rows), dtype=bool)
        label[:, 0] = self.requests.label[row]
        size = np.full(len(row), rows)
        return self._anew(self.group_of(row), np.repeat(row, rows), size, item.ravel(), label.ravel())

    def _anew(
        self, group: np.ndarray, row: np.ndarray, size: np.ndarray, item: np.ndarray, label: np.ndarray
    ) -> LoggedRows:
        """Requests like those of `group`, of `size` rows each that are like `row` but for item and label."""
        old = self.requests
        first = np.concatenate([[0], np.cumsum(size)])
        requests = Requests(
            old.user[group], old.time[group], first, item.astype(old.item.dtype), label, old.line[row]
        )
        return dataclasses.replace(
            self,
            requests=requests,
            history_start=self.history_start[group],
            history_length=self.history_length[group],
            codes=None if self.codes is None else self.codes.take(row),
            extra=self.extra_of(row),
        )

    def at_position(self, column: int, code: int) -> LoggedRows:
        """The same rows with one column of the context fixed."""
        return dataclasses.replace(self, codes=self.codes.fixed(column, code))
