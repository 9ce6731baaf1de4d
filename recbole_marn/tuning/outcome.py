"""What came of a trial."""

from __future__ import annotations

from recbole_marn.errors import Diverged

__all__ = ["diverged"]


def diverged(error: ValueError) -> bool:
    """Whether training stopped at a loss that is not a number."""
    return isinstance(error, Diverged)
