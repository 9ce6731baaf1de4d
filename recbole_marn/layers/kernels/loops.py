"""Loops over numbers, compiled by Numba: what torch does in many small steps, in one.

One thread each. Additions stand in the order in which torch makes them, so that the results are the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

__all__ = ["add_to_winners", "window_maxima"]


def _compiled(function: Callable[..., None]) -> Any:
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder to keep the compiled code in
        return njit(nogil=True)(function)


@_compiled
def window_maxima(
    rows: np.ndarray, first_row: np.ndarray, length: np.ndarray, windows: tuple[int, ...], out: np.ndarray,
    found: np.ndarray,
) -> None:  # fmt: skip
    """The maxima of `window_maximum`, and where the last of equal ones starts.

    Each word is read once, from its first number to its last, and added to all windows that it is in. Windows of size k
    that are not yet whole are at most k, at places start % k.

    Args:
        rows: (n_words * sum of k, filters), what is added.
        first_row: (U, T) int64, the first row of each word of each title.
        length: (U,) int64, words of each title.
        windows: the sizes k.
        out: (U, len(windows), filters), written.
        found: the same, integers, written.
    """
    filters = out.shape[2]
    sizes, longest = 0, 0
    for k in windows:
        sizes += k
        longest = max(longest, k)
    sums = np.empty((sizes, filters), out.dtype)
    for title in range(len(out)):
        for word in range(max(length[title], longest)):
            first = 0
            for i in range(len(windows)):
                k = windows[i]
                for j in range(k):
                    start = word - j
                    if start < 0 or start > max(length[title] - k, 0):
                        continue
                    row, total = rows[first_row[title, word] + first + j], sums[first + start % k]
                    best, where = out[title, i], found[title, i]
                    for f in range(filters):
                        total[f] = row[f] if j == 0 else total[f] + row[f]
                    if j == k - 1:
                        for f in range(filters):
                            # What is no number stays, as in torch.
                            is_best = start == 0 or total[f] >= best[f] or total[f] != total[f]
                            where[f] = start if is_best else where[f]
                            best[f] = total[f] if is_best else best[f]
                first += k


@_compiled
def add_to_winners(
    grad: np.ndarray, first_row: np.ndarray, found: np.ndarray, order: np.ndarray, windows: tuple[int, ...],
    rows: np.ndarray,
) -> None:  # fmt: skip
    """Add the gradient of each maximum to the rows that were added up in its window.

    Args:
        grad: (U, len(windows), filters), of the maxima.
        first_row: (U, T) int64, as in `window_maxima`.
        found: (U, len(windows), filters), where each maximum starts.
        order: (U,) int64, titles as they are taken one after another.
        windows: the sizes k.
        rows: (n_words * sum of k, filters), added to.
    """
    for title in order:
        first = 0
        for i in range(len(windows)):
            for j in range(windows[i]):
                for f in range(grad.shape[2]):
                    rows[first_row[title, found[title, i, f] + j] + first + j, f] += grad[title, i, f]
            first += windows[i]
