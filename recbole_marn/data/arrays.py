"""Arrays of integers: as narrow as they may be, in stretches, in order."""

from __future__ import annotations

import numpy as np

__all__ = ["count_below", "narrow", "narrowest", "runs", "slices", "stable_order"]


def narrowest(highest: int, lowest: int = 0) -> np.dtype:
    """The smallest signed integers that hold all numbers from `lowest` to `highest`."""
    return next(
        np.dtype(kind) for kind in (np.int8, np.int16, np.int32, np.int64)
        if np.iinfo(kind).min <= lowest and highest <= np.iinfo(kind).max
    )  # fmt: skip


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
    kind = np.promote_types(narrowest(int(high), int(low)), least)
    if values.dtype.kind != "f":
        return values.astype(kind, copy=False)
    whole = values.astype(kind)
    return whole if np.array_equal(whole, values) else values


def runs(values: np.ndarray) -> np.ndarray:
    """Where each stretch of equal neighbours begins."""
    new = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return np.flatnonzero(new)


def slices(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Indices start[0], start[0]+1, ..., start[1], ...: the concatenated slices [start, start + length)."""
    some = length > 0
    start, length = start[some].astype(np.int64), length[some].astype(np.int64)
    index = np.ones(int(length.sum()), dtype=np.int64)
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


def stable_order(key: np.ndarray) -> np.ndarray:
    """np.argsort(key, kind="stable") of integers from 0: by 16 bits at a time, which numpy sorts by counting."""
    order = np.argsort(key.astype(np.uint16), kind="stable")
    for shift in range(16, int(key.max(initial=0)).bit_length(), 16):
        order = order[np.argsort((key >> shift).astype(np.uint16)[order], kind="stable")]
    return order
