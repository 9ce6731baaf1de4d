"""How alike two representations of the same things are."""

from __future__ import annotations

import numpy as np

__all__ = ["linear_cka"]


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear centred kernel alignment (Kornblith et al., ICML 2019).

        CKA = |Y^T X|_F^2 / (|X^T X|_F |Y^T Y|_F),   columns centred

    It does not change when either is rotated, shifted or scaled; 1 means alike up to that.

    Args:
        x: (n, p).
        y: (n, q) of the same n things.

    Returns:
        In [0, 1]; NaN with fewer than three things, or where one side never varies.
    """
    if len(x) < 3:
        return float("nan")
    x, y = (np.asarray(side, dtype=np.float64) - np.mean(side, axis=0, dtype=np.float64) for side in (x, y))
    own = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / own) if own > 1e-12 else float("nan")
