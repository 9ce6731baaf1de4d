"""The ragged batch: valid positions only, every item once, checked and built on the CPU with NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recbole_marn.layers.kernels.segment import to_device

__all__ = ["RaggedBatch", "StatisticCodes", "assemble"]


@dataclass(frozen=True)
class RaggedBatch:
    """Rows that share histories, and the unique items behind them.

    Shapes: B rows, S sequences (distinct histories), N history tokens (sequence after sequence, oldest first),
    U unique items, V unique combinations of statistic codes, E entities. An entity is an item with the statistics
    it is seen with. All that an item brings but its statistics is encoded once an item, statistics once a
    combination; only sums and maxima are formed once an entity.

    Attributes:
        item: (U,) item ids, ascending.
        statistic: (V, C) codes of all statistic modalities side by side; V = 0 without any.
        entity_item: (E,) index into `item`.
        entity_statistic: (E,) index into `statistic`; zeros without statistics.
        entity_count: (E,) how often the entity would occur if every row carried its own history; float32.
        candidate_count: (E,) how often the entity is a row's candidate; float32.
        token: (N,) index into entities.
        length: (S,) tokens of each sequence.
        row_sequence: (B,) the sequence of each row.
        candidate: (B,) index into entities.
        behaviour: (N,) behaviour type, or None.
        gap: (N, G) codes of the time from the behaviour to the row, or None.
        context: (B, F) codes of profile and context, side by side in the order of the data set's `context_fields`, or
            None without any.
    """

    item: Tensor
    statistic: Tensor
    entity_item: Tensor
    entity_statistic: Tensor
    entity_count: Tensor
    candidate_count: Tensor
    token: Tensor
    length: Tensor
    row_sequence: Tensor
    candidate: Tensor
    behaviour: Tensor | None = None
    gap: Tensor | None = None
    context: Tensor | None = None

    def to(self, device: torch.device | str) -> RaggedBatch:
        """A copy on `device`, but for `length` and `row_sequence`: layouts are made of them on the CPU."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        stay = {"length", "row_sequence"} | {name for name, value in values.items() if value is None}
        return RaggedBatch(**{n: value if n in stay else to_device(value, device) for n, value in values.items()})

    @property
    def n_rows(self) -> int:
        """B, the number of rows."""
        return len(self.row_sequence)

    def places(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (E, D) of the entities as those of all behaviours (N, D) and of the candidates (B, D)."""
        return vector.index_select(0, self.token), vector.index_select(0, self.candidate)

    @property
    def entity_id(self) -> Tensor:
        """(E,) the item id of each entity."""
        return self.item[self.entity_item]


class StatisticCodes(NamedTuple):
    """What the statistics of items are, for the N history tokens and the B candidates of a batch.

    Attributes:
        of_items: (n_items, C) codes by item id.
        moving: K columns of them that change over time; empty: statistics are a property of the item.
        of_tokens, of_candidates: (N, K) and (B, K) what those columns are at the time of each, or None without any.
    """

    of_items: np.ndarray
    moving: Sequence[int] = ()
    of_tokens: np.ndarray | None = None
    of_candidates: np.ndarray | None = None


def assemble(
    *,
    token_item: np.ndarray,
    length: np.ndarray,
    row_sequence: np.ndarray,
    candidate_item: np.ndarray,
    statistics: StatisticCodes,
    behaviour: np.ndarray | None = None,
    gap: np.ndarray | None = None,
    context: np.ndarray | None = None,
) -> RaggedBatch:
    """Find the unique items and entities of a batch.

    Args:
        token_item: (N,) item ids of all histories, sequence after sequence.
        length: (S,) tokens of each sequence.
        row_sequence: (B,) the sequence of each row.
        candidate_item: (B,) item ids.
        statistics: codes of the items, and those that change over time.
        behaviour, gap, context: passed through.
    """
    item_of = np.concatenate([token_item, candidate_item])
    entity_item_id, entity_codes, entity = _entities(item_of, statistics)
    token, candidate = np.split(entity, [len(token_item)])
    item, entity_item = np.unique(entity_item_id, return_inverse=True)
    statistic, entity_statistic = _unique_rows(entity_codes)
    rows_of_sequence = np.bincount(row_sequence, minlength=len(length)).astype(np.float64)
    candidate_count = np.bincount(candidate, minlength=len(entity_item))
    token_count = np.bincount(token, weights=np.repeat(rows_of_sequence, length), minlength=len(entity_item))

    def tensor(value: np.ndarray | None, kind: type = np.int64) -> Tensor | None:
        return None if value is None else torch.from_numpy(np.ascontiguousarray(value, dtype=kind))

    return RaggedBatch(
        item=tensor(item),
        statistic=tensor(statistic),
        entity_item=tensor(entity_item),
        entity_statistic=tensor(entity_statistic),
        entity_count=tensor(token_count + candidate_count, np.float32),
        candidate_count=tensor(candidate_count, np.float32),
        token=tensor(token),
        length=tensor(length),
        row_sequence=tensor(row_sequence),
        candidate=tensor(candidate),
        behaviour=tensor(behaviour),
        gap=tensor(gap),
        context=tensor(context),
    )


def _entities(item_of: np.ndarray, statistics: StatisticCodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Item ids (E,) and codes (E, C) of the entities, and the entity of each token, then of each candidate (N + B,)."""
    if not len(statistics.moving):
        item, entity = np.unique(item_of, return_inverse=True)
        return item, statistics.of_items[item], entity
    moving = np.concatenate([statistics.of_tokens, statistics.of_candidates])
    first, entity = _unique_keys(np.column_stack([item_of, moving]))
    codes = statistics.of_items[item_of[first]]
    codes[:, list(statistics.moving)] = moving[first]
    return item_of[first], codes, entity


def _unique_keys(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the first of each distinct row of non-negative integers (n, k), and each row's distinct index.

    The columns are packed into one integer a row, which sorts many times faster than rows do.
    """
    key = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        span = int(column.max(initial=0)) + 1
        if key.max(initial=0) > np.iinfo(np.int64).max // (2 * span):
            key = np.unique(key, return_inverse=True)[1]
        key = key * span + column
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return first, inverse


def _unique_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows (V, C) of (n, C), and each row's index among them (n,); V = 0 when C is 0."""
    if rows.shape[1] == 0:
        return rows[:0], np.zeros(len(rows), dtype=np.int64)
    first, inverse = _unique_keys(rows)
    return rows[first], inverse
