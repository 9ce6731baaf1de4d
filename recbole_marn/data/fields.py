"""What columns are called."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Fields"]


@dataclass(frozen=True)
class Fields:
    """Names of the columns of events; `behaviour` is None where events have no type."""

    user: str
    item: str
    time: str
    behaviour: str | None
