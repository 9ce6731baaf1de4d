"""Bins of values: as equally filled as ties allow, or of equal width."""

import numpy as np

__all__ = ["equal_frequency_groups", "equal_width_bins"]


def equal_frequency_groups(values: np.ndarray, groups: int) -> np.ndarray:
    """Group 0 .. groups-1 of each value, as equally filled as ties allow.

    A value with ``below`` of the ``n`` values strictly under it goes to group ``groups * below // n``: equal
    values never part, the smallest are always in group 0, and the order of the rows has no say. Heavy ties
    leave groups empty.

    Args:
        values: (n,) without NaN.
        groups: at least 1.
    """
    below = np.searchsorted(np.sort(values), values, side="left")
    return groups * below // max(len(values), 1)


def equal_width_bins(probability: np.ndarray, bins: int) -> np.ndarray:
    """Bin 0 .. bins-1 of each probability (n,); a bin has its lower edge, the last one both."""
    return np.searchsorted(np.arange(1, bins) / bins, probability, side="right")
