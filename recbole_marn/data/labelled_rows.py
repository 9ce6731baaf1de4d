"""The rows every model is trained and scored on: each positive with its fixed negatives, histories by reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recbole_marn.data.batch import RaggedBatch, assemble, slices
from recbole_marn.data.rows import Events, Rows
from recbole_marn.data.statistics import EqualFrequencyBins, InteractionCounts

__all__ = ["GapBins", "LabelledRows", "StatisticsAtTime"]


@dataclass(frozen=True)
class StatisticsAtTime:
    """Statistic columns that depend on the moment: training interactions of an item before a row's time."""

    counts: InteractionCounts
    bins: Mapping[int, EqualFrequencyBins]

    @property
    def columns(self) -> tuple[int, ...]:
        """Columns of the item table's codes these replace; `bins` maps the first column of each modality."""
        return tuple(
            first + offset for first, bins in self.bins.items() for offset in range(len(bins.cardinalities))
        )

    def codes(self, item: np.ndarray, time: np.ndarray) -> np.ndarray:
        """(n, K) codes of items (n,) as known strictly before times (n,)."""
        value = self.counts.as_of(item, time)
        return np.concatenate([bins.assign(value) for bins in self.bins.values()], axis=1)


@dataclass(frozen=True)
class GapBins:
    """Seconds from a behaviour to the row, binned like a statistic (MARN section 3.1)."""

    bins: EqualFrequencyBins

    def codes(self, seconds: np.ndarray) -> np.ndarray:
        return self.bins.assign(seconds)


@dataclass(frozen=True)
class LabelledRows:
    """Rows of one part. Row r belongs to positive r // G; slot r % G is 0 for the positive, else a negative.

    Attributes:
        events: all events, sorted by user and time.
        rows: the positives of this part and their histories.
        negatives: (R, K) item ids; G = 1 + K rows a positive.
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

    def n_batches(self, size: int) -> int:
        """Batches of whole groups, of at most `size` rows where a group has no more."""
        return -(-self.n_groups // max(1, size // self.rows_per_group))

    def rows_of_groups(self, group: np.ndarray) -> np.ndarray:
        """(len(group) * G,) indices of all rows of the given positives."""
        return (np.asarray(group)[:, None] * self.rows_per_group + np.arange(self.rows_per_group)).ravel()

    def columns(self, row: np.ndarray) -> dict[str, np.ndarray]:
        """user, item, time and label of rows (B,)."""
        group, slot = np.divmod(np.asarray(row, dtype=np.int64), self.rows_per_group)
        position = self.rows.position[group]
        item = self.events.item[position].copy()
        negative = slot > 0
        item[negative] = self.negatives[group[negative], slot[negative] - 1]
        return {
            "user": self.events.user[position],
            "item": item,
            "time": self.events.time[position],
            "label": (~negative).astype(np.float32),
        }

    def history(self, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Event indices of the histories of rows (B,), one after another, and their lengths (B,)."""
        group = np.asarray(row, dtype=np.int64) // self.rows_per_group
        length = self.rows.history_length[group]
        return slices(self.rows.history_start[group], length), length

    def ragged(self, row: np.ndarray, *, static: np.ndarray) -> RaggedBatch:
        """Rows (B,) for this package's models; rows of one positive share their history.

        Args:
            static: (n_items, C) statistic codes at the end of training.
        """
        columns = self.columns(row)
        group, row_sequence = np.unique(np.asarray(row) // self.rows_per_group, return_inverse=True)
        length = self.rows.history_length[group]
        event = slices(self.rows.history_start[group], length)
        time = np.repeat(self.events.time[self.rows.position[group]], length)
        token_item = self.events.item[event]
        none = np.zeros((0, 0), dtype=np.int64)
        return assemble(
            token_item=token_item,
            length=length,
            row_sequence=row_sequence,
            candidate_item=columns["item"],
            static=static,
            token_dynamic=self.at_time.codes(token_item, time) if self.at_time else none,
            candidate_dynamic=self.at_time.codes(columns["item"], columns["time"]) if self.at_time else none,
            dynamic_columns=self.at_time.columns if self.at_time else (),
            behaviour=None if self.events.behaviour is None else self.events.behaviour[event],
            gap=None if self.gap is None else self.gap.codes(time - self.events.time[event]),
        )

    def padded(self, row: np.ndarray, values: np.ndarray, width: int) -> np.ndarray:
        """(B, width) history of rows as RecBole's own models want it: oldest first, zeros behind.

        Args:
            values: one number an event, e.g. its item.
        """
        event, length = self.history(row)
        matrix = np.zeros((len(length), width), dtype=np.int64)
        start = np.cumsum(length) - length
        matrix[np.repeat(np.arange(len(length)), length), np.arange(len(event)) - np.repeat(start, length)] = values[
            event
        ]
        return matrix
