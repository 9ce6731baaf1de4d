"""What people see of items: titles and further fields, to search in and to show."""

from __future__ import annotations

import bisect
import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError, entries_of
from recbole_marn.serving.exported import CODES, EXPORT_AGAIN, SHOWN

__all__ = ["Shown", "ShownFacts"]


@dataclass(frozen=True)
class ShownFacts:
    """Title and further fields of an item."""

    title: str
    about: dict[str, str]


@dataclass(frozen=True)
class Shown:
    """Facts of items by id; those of an item that was added are what was told of it.

    Attributes:
        title: name of the field that is the title; "" for none.
        about: names of the others.
        items: ids of the export.
        place: id -> line of `lines`.
        lines: JSON of each item of the export.
        text: of every item what is searched, in lower case, one a line.
        starts: where each line of `text` starts.
        added: id -> facts.
    """

    title: str
    about: tuple[str, ...]
    items: list[str]
    place: Mapping[str, int]
    lines: list[str]
    text: str
    starts: list[int]
    added: Mapping[str, ShownFacts] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, items: list[str]) -> Shown:
        """From an export, whose lines are in the order of its items.

        Raises:
            InputError: an export of an older version, without what people see of items.
        """
        if not (folder / SHOWN).is_file():
            raise InputError(f"an export with {SHOWN} in {folder}", "one without", EXPORT_AGAIN)
        with entries_of(f"{folder / CODES}", EXPORT_AGAIN):
            fields = json.loads((folder / CODES).read_text(encoding="utf-8"))["shown"]
            title, about = fields["title"], tuple(fields["about"])
        lines = (folder / SHOWN).read_text(encoding="utf-8").split("\n")[:-1]
        titles = [json.loads(line)["title"] for line in lines]
        searched = [f"{title_} {item}".lower().replace("\n", " ") for item, title_ in zip(items, titles, strict=True)]
        starts = list(accumulate((len(line) + 1 for line in searched), initial=0))[:-1]
        place = {item: number for number, item in enumerate(items)}
        return cls(title, about, items, place, lines, "\n".join(searched), starts)

    def with_items(self, told: Mapping[str, Mapping[str, Any]]) -> Shown:
        """With items that were told of: id -> field -> value."""
        added = {
            item: ShownFacts(_text(fields.get(self.title)), {name: _text(fields.get(name)) for name in self.about})
            for item, fields in told.items()
        }
        return dataclasses.replace(self, added={**self.added, **added})

    def facts(self, item: str) -> ShownFacts:
        """Title, or the id where there is none, and the fields that are not empty."""
        found = self.added.get(item)
        if found is None and item in self.place:
            found = ShownFacts(**json.loads(self.lines[self.place[item]]))
        if found is None:
            return ShownFacts(item, {})
        return ShownFacts(found.title or item, {name: value for name, value in found.about.items() if value})

    def search(self, words: str, limit: int) -> list[str]:
        """Ids of items whose title or id has all the words; those added first, then by the order of the export."""
        wanted = words.lower().split()
        found = [
            item for item, facts in self.added.items()
            if all(word in f"{facts.title} {item}".lower() for word in wanted)
        ][:limit]  # fmt: skip
        for number in self._lines_with(wanted):
            if len(found) >= limit:
                break
            if self.items[number] not in self.added:
                found.append(self.items[number])
        return found

    def _lines_with(self, words: list[str]) -> Iterator[int]:
        """Numbers of the lines of `text` with all the words."""
        if not words:
            yield from range(len(self.starts))
            return
        longest, start = max(words, key=len), 0
        while (start := self.text.find(longest, start)) >= 0:
            number = bisect.bisect_right(self.starts, start) - 1
            end = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.text) + 1
            line = self.text[self.starts[number] : end - 1]
            if all(word in line for word in words):
                yield number
            start = end


def _text(value: Any) -> str:
    if value is None:
        return ""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
