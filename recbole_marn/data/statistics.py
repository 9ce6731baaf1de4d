"""Statistics an item had at a row's time, and their equal-frequency bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from recbole_marn.data.arrays import AT_ONCE, count_below, narrowest, slices, stable_order
from recbole_marn.errors import InputError

__all__ = [
    "EqualFrequencyBins",
    "GapBins",
    "InteractionCounts",
    "KnownBefore",
    "Moments",
    "SmoothedRate",
    "StatisticsAtTime",
]


class KnownBefore(Protocol):
    """A number of an item (or a user) that changes over time."""

    def as_of(self, item: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Its value strictly before each time."""

    def snapshot(self) -> np.ndarray:
        """Its value at the end, by id."""


class InteractionCounts:
    """How often each item occurred in training before a given moment.

    The "historical" counts of MARN's statistic modality: what was known at the row's time. A row's own event
    is not before itself, so it shows in neither a positive's nor a negative's count; validation and test
    events never count. Memory grows with the events, four bytes each, once somebody asks for a count at a time.

    Args:
        item: (E,) item ids of the TRAINING events only.
        time: (E,) their times, finite.
        n_items: number of item ids, padding 0 included.

    Raises:
        InputError: lengths that differ, an item id out of range, a time that is not finite.
    """

    def __init__(self, *, item: np.ndarray, time: np.ndarray, n_items: int):
        item, time = np.asarray(item), np.asarray(time)
        if item.shape != time.shape or item.ndim != 1:
            raise InputError(
                "one time for every training event",
                f"shapes item {item.shape} and time {time.shape}",
                "Pass both columns of the same training events.",
            )
        if not np.isfinite(time).all():
            raise InputError(
                "a finite time for every training event",
                f"{np.count_nonzero(~np.isfinite(time))} that are missing or infinite",
                "Fill in or remove these events.",
            )
        self.n_items = n_items
        self._check_items(item)
        self._events: tuple[np.ndarray, np.ndarray] | None = (item, time)  # until they are put in order
        self._counts = np.bincount(item, minlength=n_items).astype(np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._counts)])

    def put_in_order(self) -> None:
        """Do now what the first question about a time does else."""
        _ = self._order

    @cached_property
    def _order(self) -> tuple[Moments, np.ndarray]:
        """The times as ranks, item after item, in order."""
        item, time = self._events
        moments = Moments.of(time)
        ranks = _by_item(item, time, self._starts, moments)
        self._events = None
        return moments, ranks

    def as_of(self, item: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Number of training events of `item` strictly before `time`.

        Args:
            item: ids of any shape; padding 0 has no events.
            time: moments, broadcast against `item` (e.g. (R, K) items at (R, 1) times).

        Returns:
            int64 of the broadcast shape.

        Raises:
            InputError: an item id out of range, or a NaN time, which would otherwise count the whole future.
        """
        item, time = np.asarray(item, dtype=np.int64), np.asarray(time)
        self._check_items(item)
        if np.isnan(time).any():
            raise InputError("a time for every row", f"{np.isnan(time).sum()} NaN", "Drop rows without time.")
        moments, ranks = self._order
        item, rank = np.broadcast_arrays(item, moments.rank(time))
        each = item.ravel()
        return count_below(ranks, self._starts[each], self._counts[each], rank.ravel()).reshape(item.shape)

    def snapshot(self) -> np.ndarray:
        """(n_items,) int64: the counts at the end of training, for serving."""
        return self._counts

    def _check_items(self, item: np.ndarray) -> None:
        if item.size and not (0 <= item.min() and item.max() < self.n_items):
            raise InputError(
                f"item ids from 0 to {self.n_items - 1}",
                f"ids from {item.min()} to {item.max()}",
                "Use the ids of the data set the counts were made for.",
            )


def _by_item(item: np.ndarray, time: np.ndarray, starts: np.ndarray, moments: Moments) -> np.ndarray:
    """Ranks of times (E,) item after item, sorted within each; those of an item begin at its start (n_items + 1,).

    An event becomes one integer, of its item and its rank. Stretches of events are put in the order of groups of
    neighbouring items, then the events of each group in theirs: neither step reaches further than a cache does.
    """
    step = max(AT_ONCE, len(item) >> 10)
    group = (starts[:-1] // step).astype(np.uint16)
    n_groups, bits = int(group[-1]) + 1, moments.stride.bit_length()
    keys = np.empty(len(item), dtype=np.int64)
    sizes = []
    for start in range(0, len(item), step):
        some = slice(start, start + step)
        of_event = group[item[some]]
        key = item[some].astype(np.int64) << bits | moments.rank(time[some])
        keys[some] = key[np.argsort(of_event, kind="stable")]
        sizes.append(np.bincount(of_event, minlength=n_groups))
    size = np.array(sizes, dtype=np.int64).reshape(-1, n_groups).T  # (groups, stretches)
    begin = np.arange(size.shape[1]) * step + np.cumsum(size, axis=0) - size
    ordered, done = np.empty(len(item), dtype=narrowest(moments.stride, least=np.int32)), 0
    for first, length in zip(begin, size, strict=True):
        some = keys[slices(first, length)]
        order = stable_order(some - (some.min(initial=np.iinfo(np.int64).max) >> bits << bits))
        ordered[done : done + len(some)] = some[order] & ((1 << bits) - 1)
        done += len(some)
    return ordered


@dataclass(frozen=True)
class Moments:
    """Times as integers in the same order: seconds from the first where times are whole, else ranks.

    Attributes:
        first, last: the range of whole times.
        distinct: the times in order, where they are not whole or range too far.
        stride: one more than the highest rank.
    """

    first: int
    last: int
    distinct: np.ndarray | None
    stride: int

    @classmethod
    def of(cls, time: np.ndarray) -> Moments:
        """Those of times (E,)."""
        if time.size and time.dtype.kind in "iu" and int(time.max()) - int(time.min()) < 2**31:
            first, last = int(time.min()), int(time.max())
            return cls(first, last, None, last - first + 2)
        distinct = np.unique(time)
        return cls(0, 0, distinct, len(distinct) + 1)

    def rank(self, time: np.ndarray) -> np.ndarray:
        """int64, how many ranks are before each time; below `stride`, whatever the time."""
        if self.distinct is not None:
            return np.searchsorted(self.distinct, time)
        if time.dtype.kind not in "iu":
            time = np.ceil(np.clip(time, self.first, self.last + 1))
        return np.clip(time.astype(np.int64) - self.first, 0, self.stride - 1)


@dataclass(frozen=True, eq=False)
class EqualFrequencyBins:
    """One number as several categories of roughly equal mass, as MARN's statistics enter (10 and 100 bins).

    Code 0 means missing (NaN); codes 1..k are the bins in increasing order. Bins are half-open, [edge, next
    edge). Equal values share a bin; a value that alone fills a bin or more gets one of its own, so a heavy
    zero is not mixed with small counts. Every bin holds training values, hence k can be below the number
    asked for. Where one number of bins divides the other, the coarse edges are a subset of the fine ones.

    Attributes:
        edges: per number of bins, (k - 1,) float64, increasing: the smallest training value of each bin but
        the first.
    """

    edges: tuple[np.ndarray, ...]

    @classmethod
    def fit(cls, values: np.ndarray, *, bins: Sequence[int] = (10, 100)) -> EqualFrequencyBins:
        """Find the edges on training values of any shape; NaN is missing and takes no part.

        Raises:
            InputError: a number of bins below 1, an infinite value, or no value at all.
        """
        values = np.asarray(values, dtype=np.float64).ravel()
        known = np.sort(values[~np.isnan(values)])
        if not bins or min(bins) < 1:
            raise InputError("numbers of bins of 1 or more", f"{list(bins)}", "Set bins to e.g. [10, 100].")
        if known.size == 0 or not np.isfinite(known[[0, -1]]).all():
            raise InputError(
                "at least one training value, none of them infinite",
                f"{known.size} known values, {np.count_nonzero(np.isinf(known))} of them infinite",
                "Leave the statistic out or fill in its values; write NaN where one is unknown.",
            )
        return cls(tuple(_equal_frequency_edges(known, n) for n in bins))

    def assign(self, values: np.ndarray) -> np.ndarray:
        """Codes of `values` (...,): int64 (..., len(edges)). Beyond the training range: the end bins."""
        values = np.asarray(values, dtype=np.float64)
        codes = np.empty((*values.shape, len(self.edges)), dtype=np.int64)
        for i, edges in enumerate(self.edges):
            codes[..., i] = np.searchsorted(edges, values, side="right") + 1
        codes[np.isnan(values)] = 0
        return codes

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Per binning the number of codes, k + 1: what an embedding table needs, missing included."""
        return tuple(len(edges) + 2 for edges in self.edges)

    def state(self) -> dict[str, list[list[float]]]:
        """Plain lists that a checkpoint or JSON can hold without loss."""
        return {"edges": [edges.tolist() for edges in self.edges]}

    @classmethod
    def from_state(cls, state: Mapping[str, Sequence[Sequence[float]]]) -> EqualFrequencyBins:
        """What `state` gave."""
        return cls(tuple(np.asarray(edges, dtype=np.float64) for edges in state["edges"]))


@dataclass(frozen=True)
class SmoothedRate:
    """(part + s p) / (all + s): clicks of exposures, or purchases of behaviours; p is the rate in training.

    What nobody knows anything of has the rate p; after s of all, its own rate and p weigh the same.

    Attributes:
        part, all: counts, of which one is of some of the other's events.
        prior: p.
        strength: s.
    """

    part: InteractionCounts
    all: InteractionCounts
    prior: float
    strength: float = 20.0

    def as_of(self, item: np.ndarray, time: np.ndarray) -> np.ndarray:
        """(n,) rates of items (n,) as known strictly before times (n,)."""
        return self._rate(self.part.as_of(item, time), self.all.as_of(item, time))

    def snapshot(self) -> np.ndarray:
        """(n_items,) rates once all events are known."""
        return self._rate(self.part.snapshot(), self.all.snapshot())

    def _rate(self, part: np.ndarray, all_: np.ndarray) -> np.ndarray:
        return (part + self.strength * self.prior) / (all_ + self.strength)


@dataclass(frozen=True)
class StatisticsAtTime:
    """Statistic columns that depend on the moment, as known strictly before a row's time.

    Attributes:
        statistics: first column of the item table's codes that is replaced -> the statistic and its bins.
    """

    statistics: Mapping[int, tuple[KnownBefore, EqualFrequencyBins]]

    @property
    def columns(self) -> tuple[int, ...]:
        """Columns of the item table's codes these replace."""
        return tuple(
            first + offset for first, (_, bins) in self.statistics.items() for offset in range(len(bins.edges))
        )

    def codes(self, item: np.ndarray, time: np.ndarray) -> np.ndarray:
        """(n, K) codes of items (n,) as known strictly before times (n,)."""
        codes = [bins.assign(known.as_of(item, time)) for known, bins in self.statistics.values()]
        return np.concatenate(codes, axis=1)


@dataclass(frozen=True)
class GapBins:
    """Seconds from a behaviour to the row, binned like a statistic (MARN section 3.1)."""

    bins: EqualFrequencyBins

    def codes(self, seconds: np.ndarray) -> np.ndarray:
        """(n, K) codes of seconds (n,)."""
        return self.bins.assign(seconds)


def _equal_frequency_edges(known: np.ndarray, n_bins: int) -> np.ndarray:
    """Inner edges from sorted values: the values at ranks floor(i n / n_bins), ties merged.

    Ranks in integers, and values that occur instead of interpolated ones, keep the edges of 10 bins among
    those of 100.
    """
    starts, n_ranks = np.unique(known[np.arange(n_bins) * known.size // n_bins], return_counts=True)
    # A value met at two ranks fills at least the bin between them: close its bin at the next larger value.
    after_heavy = np.searchsorted(known, starts[n_ranks > 1], side="right")
    closing = known[after_heavy[after_heavy < known.size]]
    return np.union1d(starts[1:], closing)
