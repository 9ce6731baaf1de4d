"""What is known of a row beside user history and item: the user's profile, and the moment and place (context)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ContextField"]


@dataclass(frozen=True)
class ContextField:
    """One column of profile or context as the models see it: codes from 0 (unknown) to cardinality - 1."""

    name: str  # e.g. "age", "device", "price_paid/10" (a float column binned at a resolution)
    cardinality: int  # code 0 = unknown or missing, a bin of its own
    width: int  # of its embedding
    source: str  # "user" or "context"
    bag: int = 1  # columns of codes it takes: 1, or the longest list of a token_seq field (mean over codes > 0)
