"""What came of a trial."""

from __future__ import annotations

from recbole_marn.errors import InputError

__all__ = ["diverged"]


def diverged(error: ValueError) -> bool:
    """Whether RecBole's trainer stopped at a loss that is not a number."""
    return not isinstance(error, InputError) and "nan" in str(error)
