"""What all labelled rows are: groups of rows that share a user, a time and a history."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from recbole_marn.data.arrays import slices
from recbole_marn.data.batch import RaggedBatch, StatisticCodes, assemble
from recbole_marn.data.rows import Events
from recbole_marn.data.statistics import GapBins, StatisticsAtTime

__all__ = ["GroupedRows"]


class GroupedRows(ABC):
    """Rows of one part, group after group: a positive and its negatives, or what one request showed.

    Shape letters: G groups, R rows, B rows of a batch.

    Attributes:
        events: what histories are made of, sorted by user and time.
        at_time: statistics as known at the row's time, or None for the snapshot.
        gap: bins of the time from a behaviour to the row, or None.
    """

    events: Events
    at_time: StatisticsAtTime | None
    gap: GapBins | None

    # ------------------------------------------------------------------------------------ for sub-classes
    @property
    @abstractmethod
    def n_groups(self) -> int:
        """G, the number of groups."""

    @property
    @abstractmethod
    def n_rows(self) -> int:
        """R, the number of rows."""

    @abstractmethod
    def groups_a_batch(self, size: int) -> int:
        """Groups that fill a batch of `size` rows, at least 1."""

    def groups_within(self, size: int) -> int:
        """Groups of which a batch, taken in their order, has at most `size` rows; at least 1."""
        return self.groups_a_batch(size)

    @abstractmethod
    def group_of(self, row: np.ndarray) -> np.ndarray:
        """(B,) the group of each row."""

    @abstractmethod
    def first_row(self, group: np.ndarray) -> np.ndarray:
        """The first row of each group."""

    @abstractmethod
    def rows_of_groups(self, group: np.ndarray) -> np.ndarray:
        """All rows of the given groups, group after group."""

    @abstractmethod
    def columns(self, row: np.ndarray, group: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """user, item, time and label of rows (B,); `group`: theirs, where it is known."""

    @abstractmethod
    def windows(self, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Start and length of the history of each group, as slices of `events`."""

    @abstractmethod
    def time_of(self, group: np.ndarray) -> np.ndarray:
        """The time of each group."""

    @abstractmethod
    def take(self, group: np.ndarray) -> GroupedRows:
        """The given groups alone, in that order."""

    @abstractmethod
    def facing(self, row: np.ndarray, candidate: np.ndarray) -> GroupedRows:
        """Rows as they would be with other items: a group for each given row, of the row itself and one a candidate.

        User, time, history and context are those of the row; only the row itself keeps its label.

        Args:
            row: (n,) rows; of clicks with drawn negatives these are clicks.
            candidate: (n, K) item ids.
        """

    def context_of(self, row: np.ndarray, group: np.ndarray | None = None) -> np.ndarray | None:
        """(B, F) codes of profile and context, or None without any; `group`: of the rows, where it is known."""
        return None

    def extra_of(self, row: np.ndarray) -> dict[str, np.ndarray]:
        """Further columns for RecBole's models, by field."""
        return {}

    # ------------------------------------------------------------------------------------------- batches
    def n_batches(self, size: int) -> int:
        """Batches of whole groups, of about `size` rows."""
        return -(-self.n_groups // self.groups_a_batch(size))

    def history(self, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Event indices of the histories of rows (B,), one after another, and their lengths (B,)."""
        start, length = self.windows(self.group_of(np.asarray(row, dtype=np.int64)))
        return slices(start, length), length

    def ragged(self, row: np.ndarray, *, static: np.ndarray) -> RaggedBatch:
        """Rows (B,) for this package's models; rows of one group share their history.

        Args:
            static: (n_items, C) statistic codes at the end of training.
        """
        row = np.asarray(row, dtype=np.int64)
        group_of_row = self.group_of(row)
        columns = self.columns(row, group_of_row)
        group, row_sequence = np.unique(group_of_row, return_inverse=True)
        start, length = self.windows(group)
        event = slices(start, length)
        time = np.repeat(self.time_of(group), length)
        token_item = self.events.item[event]
        statistics = StatisticCodes(static)
        if self.at_time:
            of_tokens = self.at_time.codes(token_item, time)
            of_candidates = self.at_time.codes(columns["item"], columns["time"])
            statistics = StatisticCodes(static, self.at_time.columns, of_tokens, of_candidates)
        return assemble(
            token_item=token_item,
            length=length,
            row_sequence=row_sequence,
            candidate_item=columns["item"],
            statistics=statistics,
            behaviour=None if self.events.behaviour is None else self.events.behaviour[event],
            gap=None if self.gap is None else self.gap.codes(time - self.events.time[event]),
            context=self.context_of(row, group_of_row),
        )

    def padded(self, row: np.ndarray, values: np.ndarray, width: int) -> np.ndarray:
        """(B, width) history of rows as RecBole's own models want it: oldest first, zeros behind.

        Args:
            values: one number an event, e.g. its item.
        """
        event, length = self.history(row)
        matrix = np.zeros((len(length), width), dtype=np.int64)
        matrix[np.arange(width) < length[:, None]] = values[event]
        return matrix
