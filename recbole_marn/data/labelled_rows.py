"""Rows made of clicks alone: each positive with its fixed negatives, histories by reference."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from recbole_marn.data.grouped_rows import GroupedRows
from recbole_marn.data.rows import Events, Rows
from recbole_marn.data.statistics import GapBins, StatisticsAtTime

__all__ = ["LabelledRows"]


@dataclass(frozen=True)
class LabelledRows(GroupedRows):
    """Rows of one part. Row r belongs to positive r // G; slot r % G is 0 for the positive, else a negative.

    Attributes:
        events: all events, sorted by user and time.
        rows: the positives of this part and their histories.
        negatives: (R, K) item ids, as narrow as they may be; G = 1 + K rows a positive.
        at_time: statistics as known at the row's time (training), or None for the snapshot (evaluation).
        gap: bins of the time from a behaviour to the row, or None.
    """

    events: Events
    rows: Rows
    negatives: np.ndarray
    at_time: StatisticsAtTime | None = None
    gap: GapBins | None = None

    @property
    def n_groups(self) -> int:
        return len(self.rows.position)

    @property
    def rows_per_group(self) -> int:
        return 1 + self.negatives.shape[1]

    @property
    def n_rows(self) -> int:
        return self.n_groups * self.rows_per_group

    def groups_a_batch(self, size: int) -> int:
        """Groups in a batch of at most `size` rows where a group has no more."""
        return max(1, size // self.rows_per_group)

    def group_of(self, row: np.ndarray) -> np.ndarray:
        return np.asarray(row, dtype=np.int64) // self.rows_per_group

    def first_row(self, group: np.ndarray) -> np.ndarray:
        return np.asarray(group) * self.rows_per_group

    def rows_of_groups(self, group: np.ndarray) -> np.ndarray:
        """(len(group) * G,) indices of all rows of the given positives."""
        return (np.asarray(group)[:, None] * self.rows_per_group + np.arange(self.rows_per_group)).ravel()

    def columns(self, row: np.ndarray, group: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """user, item, time and label of rows (B,); their groups are a division away."""
        group, slot = np.divmod(np.asarray(row, dtype=np.int64), self.rows_per_group)
        position = self.rows.position[group]
        item = self.events.item[position].astype(np.int64)
        negative = slot > 0
        item[negative] = self.negatives[group[negative], slot[negative] - 1]
        return {
            "user": self.events.user[position].astype(np.int64),
            "item": item,
            "time": self.events.time[position],
            "label": (~negative).astype(np.float32),
        }

    def windows(self, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.rows.history_start[group], self.rows.history_length[group]

    def time_of(self, group: np.ndarray) -> np.ndarray:
        return self.events.time[self.rows.position[group]]

    def take(self, group: np.ndarray) -> LabelledRows:
        return dataclasses.replace(self, rows=self.rows.take(group), negatives=self.negatives[group])

    def facing(self, row: np.ndarray, candidate: np.ndarray) -> LabelledRows:
        return dataclasses.replace(self, rows=self.rows.take(self.group_of(row)), negatives=candidate)
