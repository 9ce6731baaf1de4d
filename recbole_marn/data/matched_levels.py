"""Windows of items that are about as popular as a given one, among the items released by a given moment.

Shape letters here: P places (the items of a pool, in order of release), G groups of equal count, Q queries.
"""

from __future__ import annotations

import numpy as np

__all__ = ["MatchedLevels"]


class MatchedLevels:
    """Finds and draws from popularity levels inside the first m places of a pool.

    A level is a window in count order: all released items of the positive's count, widened by equally many
    ranks on both sides until it holds enough others (by more on one side where the order ends on the other).
    A group of equal counts at the border of a window is usually cut by it. Then the window says how often
    that group is drawn, and every released member of the group is equally likely: otherwise a few items,
    chosen by nothing but their order, would be the negatives of every positive nearby.

    Args:
        count: (P,) int64, training count by place.
        prefixes: whether m varies; False for a pool that is always used whole, which is cheaper.
    """

    def __init__(self, count: np.ndarray, *, prefixes: bool):
        self._place = np.argsort(count, kind="stable")  # rank in count order -> place
        self._sorted_count = count[self._place]
        starts = np.flatnonzero(np.diff(self._sorted_count, prepend=-1))
        self._bounds = np.append(starts, len(count))  # (G + 1,) ranks at which the count changes
        self._group = np.repeat(np.arange(len(starts)), np.diff(self._bounds))  # rank -> group
        rank = np.empty_like(self._place)
        rank[self._place] = np.arange(len(count))
        self._group_of_place = self._group[rank]
        self._prefixes = _PrefixOrder(rank) if prefixes else None

    def window(
        self, count: np.ndarray, m: np.ndarray, size: np.ndarray | int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The level of items of training count `count` (Q,) among the first `m` (Q,) places.

        Returns:
            low and high, (Q,) each: a half-open range of ranks among the released. It holds the whole group
            of `count`, if there is one, and at least `size` items besides one, the positive, or everything
            released.
        """
        low = self._below(m, np.searchsorted(self._sorted_count, count, side="left"))
        high = self._below(m, np.searchsorted(self._sorted_count, count, side="right"))
        missing = np.maximum(size - (high - low - 1), 0)
        low, high = low - (missing + 1) // 2, high + (missing + 1) // 2
        # What one end of the order cannot give, the other gives.
        low, high = low - np.maximum(high - m, 0), high + np.maximum(-low, 0)
        return np.maximum(low, 0), np.minimum(high, m)

    def draw(
        self, rng: np.random.Generator, count: np.ndarray, low: np.ndarray, high: np.ndarray, m: np.ndarray
    ) -> np.ndarray:
        """One place (Q,) from the `window` of each count, a group in proportion to its part in the window."""
        rank = self._select(m, rng.integers(low, high))
        # The group of the count asked for is never cut. From another group, any released member can stand in.
        other = np.flatnonzero(self._sorted_count[rank] != count)
        group, m = self._group[rank[other]], m[other]
        first, last = self._below(m, self._bounds[group]), self._below(m, self._bounds[group + 1])
        rank[other] = self._select(m, rng.integers(first, last))
        return self._place[rank]

    def weights(self, low: np.ndarray, high: np.ndarray, m: np.ndarray) -> np.ndarray:
        """(Q, P) float64, proportional to how often `draw` gives a place; of no meaning beyond place `m`."""
        bounds = self._below(m[:, None], self._bounds[None, :])
        inside = np.minimum(bounds[:, 1:], high[:, None]) - np.maximum(bounds[:, :-1], low[:, None])
        share = np.maximum(inside, 0) / np.maximum(np.diff(bounds, axis=1), 1)
        return share[:, self._group_of_place]

    def _below(self, m: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """How many of the first m places come before `rank` in count order."""
        return np.broadcast_arrays(rank, m)[0] if self._prefixes is None else self._prefixes.below(m, rank)

    def _select(self, m: np.ndarray, k: np.ndarray) -> np.ndarray:
        """The rank, over the whole pool, of the k-th item in count order among the first m places."""
        return k if self._prefixes is None else self._prefixes.select(m, k)


class _PrefixOrder:
    """Order statistics of every prefix of a permutation, many queries at a time: a wavelet matrix.

    Claude, Navarro and Ordonez, "The wavelet matrix", Information Systems 47 (2015). Level by level, from the
    highest bit down, values are stably parted into those without and those with the bit; a prefix sum of
    zeros then follows any range to its two halves. Memory (P log P) int32, time log P steps on whole arrays.
    """

    def __init__(self, values: np.ndarray):
        self._zeros: list[tuple[int, np.ndarray]] = []
        for bit in reversed(range(len(values).bit_length())):
            is_zero = (values >> bit) & 1 == 0
            zeros = np.zeros(len(values) + 1, dtype=np.int32)
            np.cumsum(is_zero, out=zeros[1:])
            self._zeros.append((bit, zeros))
            values = np.concatenate([values[is_zero], values[~is_zero]])

    def below(self, m: np.ndarray, bound: np.ndarray) -> np.ndarray:
        """How many of the first m values are < bound (0 <= bound <= P); m and bound broadcast."""
        m, bound = np.broadcast_arrays(m, bound)
        start, stop, count = np.zeros_like(m), m, np.zeros_like(m)
        for bit, zeros in self._zeros:
            zero_start, zero_stop = zeros[start], zeros[stop]
            is_one = (bound >> bit) & 1 == 1
            count = count + np.where(is_one, zero_stop - zero_start, 0)
            start = np.where(is_one, zeros[-1] + start - zero_start, zero_start)
            stop = np.where(is_one, zeros[-1] + stop - zero_stop, zero_stop)
        return count

    def select(self, m: np.ndarray, k: np.ndarray) -> np.ndarray:
        """The k-th smallest (0 <= k < m) of the first m values."""
        start, stop, value = np.zeros_like(m), m, np.zeros_like(m)
        for bit, zeros in self._zeros:
            zero_start, zero_stop = zeros[start], zeros[stop]
            is_one = k >= zero_stop - zero_start
            k = np.where(is_one, k - (zero_stop - zero_start), k)
            value = value | (is_one.astype(value.dtype) << bit)
            start = np.where(is_one, zeros[-1] + start - zero_start, zero_start)
            stop = np.where(is_one, zeros[-1] + stop - zero_stop, zero_stop)
        return value
