"""What a section of the report is made of: text, tables, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recbole_marn.plots.style import Picture

__all__ = ["Case", "Figure", "Item", "Section", "Table"]


@dataclass(frozen=True)
class Table:
    """Numbers, in the report and as `<section>.<name>.csv`; None and NaN are shown as a dash.

    Attributes:
        shown: rows that the page shows; the file has all of them.
        folded: the page shows it when asked to.
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    shown: int = 40
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A picture, in the report and as `<section>.<name>.svg` and `.pdf`."""

    name: str
    caption: str
    picture: Picture


@dataclass(frozen=True)
class Item:
    """An item of a case.

    Attributes:
        token, title, category: how it is called.
        photo: a data URI, or empty.
        place: in the ranking, from 1; None in a history, as is what follows.
        predicted: click probability.
        added: modality -> the log-odds that it added.
        clicked: by the user.
    """

    token: str
    title: str
    category: str
    photo: str = ""
    place: int | None = None
    predicted: float = 0.0
    added: Mapping[str, float] = field(default_factory=dict)
    clicked: bool = False


@dataclass(frozen=True)
class Case:
    """One user: what was before, and how the candidates were ranked."""

    user: str
    history: Sequence[Item]
    ranking: Sequence[Item]


@dataclass(frozen=True)
class Section:
    """One section of the report.

    Attributes:
        how_to_read, cannot_say: a sentence each.
        notes: what was left out, sampled, or is too little to tell.
    """

    title: str
    how_to_read: str
    cannot_say: str
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()
    cases: Sequence[Case] = ()
