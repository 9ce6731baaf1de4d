"""Arrays of integers: as narrow as they may be, in stretches, in order, some of them, mixed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = [
    "AT_ONCE",
    "begins",
    "count_below",
    "evenly_spaced",
    "kept",
    "mixed",
    "narrow",
    "narrowest",
    "pieces",
    "runs",
    "slices",
    "stable_order",
    "taken",
]


# Numbers that are worked on at once: what is temporary stays in a core's cache, however many there are.
AT_ONCE = 1 << 16


def narrowest(highest: int, lowest: int = 0, *, least: type = np.int8) -> np.dtype:
    """The smallest signed integers of at least `least` that hold all numbers from `lowest` to `highest`."""
    kind = next(
        kind for kind in (np.int8, np.int16, np.int32, np.int64)
        if np.iinfo(kind).min <= lowest and highest <= np.iinfo(kind).max
    )  # fmt: skip
    return np.promote_types(kind, least)


def narrow(values: np.ndarray, *, least: type = np.int8) -> np.ndarray:
    """The same numbers in the narrowest integers of at least `least`; floats with a fraction or a gap stay as they are.

    Arithmetic on ids must widen them first: a product of two int32 arrays is int32 and overflows silently.
    """
    values = np.asarray(values)
    if values.size == 0 or values.dtype.kind not in "iuf":
        return values
    low, high = values.min(), values.max()
    if not (-(2.0**53) < low and high < 2.0**53):  # NaN is neither
        return values
    kind = narrowest(int(high), int(low), least=least)
    if values.dtype.kind != "f":
        return values.astype(kind, copy=False)
    whole = values.astype(kind)
    return whole if np.array_equal(whole, values) else values


def begins(*columns: np.ndarray) -> np.ndarray:
    """(n,) bool: whether a number begins a stretch of equal neighbours; of several columns (n,), equal in all."""
    new = np.zeros(len(columns[0]), dtype=bool)
    new[:1] = True
    for values in columns:
        new[1:] |= values[1:] != values[:-1]
    return new


def runs(values: np.ndarray) -> np.ndarray:
    """Where each stretch of equal neighbours begins."""
    return np.flatnonzero(begins(values))


def kept(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """values[mask] of a column (n,) or of a matrix (n, k) that lies row by row, each of whose rows is moved as one."""
    if values.ndim == 1:
        return values[mask]
    row = np.dtype((np.void, values.strides[0]))
    return values.view(row)[:, 0][mask].view(values.dtype).reshape(-1, values.shape[1])


def taken(values: np.ndarray, index: np.ndarray, kind: type | None = None) -> np.ndarray:
    """values[index] as numbers of a kind, a piece at a time, for numpy makes an index of narrow integers a wide one."""
    found = np.empty((*index.shape, *values.shape[1:]), dtype=kind or values.dtype)
    for into, some in zip(pieces(found), pieces(index), strict=True):
        into[:] = values.take(some, axis=0)
    return found


def pieces(array: np.ndarray, width: int = 1) -> Iterator[np.ndarray]:
    """Parts of an array in order, `AT_ONCE` long but for the last, or as many entries as are `width` numbers each."""
    step = max(1, AT_ONCE // width)
    for start in range(0, len(array), step):
        yield array[start : start + step]


def slices(start: np.ndarray, length: np.ndarray, kind: np.dtype | type = np.int64) -> np.ndarray:
    """Indices start[0], start[0]+1, ..., start[1], ... of a kind: the concatenated slices [start, start + length)."""
    some = length > 0
    start, length = start[some].astype(np.int64), length[some].astype(np.int64)
    index = np.ones(int(length.sum()), dtype=kind)
    index[:1] = start[:1]
    # Where a slice begins, the step from the end of the one before.
    index[np.cumsum(length)[:-1]] = start[1:] - start[:-1] - length[:-1] + 1
    return np.cumsum(index, out=index)


def count_below(values: np.ndarray, start: np.ndarray, length: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """(n,) int64: how many numbers of each sorted slice values[start, start + length) are below its bound (n,)."""
    below = np.zeros(len(start), dtype=np.int64)
    last = np.asarray(start, dtype=np.int64) - 1
    step = 1 << int(length.max(initial=0)).bit_length()
    while step := step >> 1:
        further = below + step
        fits = further <= length
        fits &= values[np.where(fits, last + further, 0)] < bound
        below = np.where(fits, further, below)
    return below


def evenly_spaced(total: int, most: int) -> np.ndarray:
    """At most `most` evenly spaced indices below `total`, in order; none of none."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).astype(np.int64))


def mixed(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014): one-to-one on uint64, neighbours far apart."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def stable_order(key: np.ndarray) -> np.ndarray:
    """np.argsort(key, kind="stable") of integers from 0: by 16 bits at a time, which numpy sorts by counting."""
    order = np.argsort(key.astype(np.uint16), kind="stable")
    for shift in range(16, int(key.max(initial=0)).bit_length(), 16):
        order = order[np.argsort((key >> shift).astype(np.uint16)[order], kind="stable")]
    return order
