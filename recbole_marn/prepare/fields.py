"""Values of users' columns as fields of an atomic file: token, float, token_seq, float_seq."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator

import numpy as np

from recbole_marn.data.fields import PRICE
from recbole_marn.prepare.datasets.amazon_records import parse_record
from recbole_marn.prepare.lines import Tally
from recbole_marn.prepare.titles import title_words
from recbole_marn.prepare.tokens import as_text, clean, is_missing, number

__all__ = ["FieldReader", "entries", "list_of_numbers", "listed"]

_SEPARATORS = "|;,"  # of words in one cell, the first that a column uses
_BETWEEN_NUMBERS = re.compile(r"[\s,;|]+")


class FieldReader:
    """Reads the values of one column; what cannot be used is counted in the tally of the file.

    Args:
        name: of the field. `title` is split into words; a `price` must be positive.
        type_: token, float, token_seq or float_seq.
        longest: words of a title or entries of a sequence that are kept.
    """

    def __init__(self, name: str, type_: str, tally: Tally, longest: int):
        self.name, self.type, self.longest = name, type_, longest
        self.cut = 0
        self._tally = tally
        self._lines: dict[int, int] = {}  # float_seq: width -> first line that has it
        self._widths: Counter[int] = Counter()

    def read(self, value: object, line: int) -> object:
        """The value, or None when it is missing or unusable; texts of a token_seq are split by `finish`."""
        if is_missing(value):
            return None
        if self.type == "float":
            return self._float(value, line)
        if self.type == "float_seq":
            return self._floats(value, line)
        if self.name == "title":
            text = " ".join(map(as_text, value)) if isinstance(value, list) else as_text(value)
            title, cut = title_words(text, self.longest)
            self.cut += cut
            return title or None
        if self.type == "token_seq":
            entries = value if isinstance(value, list) else listed(as_text(value))
            return clean(value) if entries is None else self._tokens(entries)
        if isinstance(value, (list, dict)):
            return self._lose("is a list or a structure", line, value)
        return clean(value)

    def _lose(self, reason: str, line: int, value: object, tolerated: bool = False) -> None:
        self._tally.lose(self.name, reason, line, value, tolerated=tolerated)

    def _float(self, value: object, line: int) -> float | None:
        amount = number(value)
        if amount is None:
            return self._lose("is no number", line, value)
        if self.name == PRICE and amount <= 0:
            return self._lose("is 0, taken as missing" if amount == 0 else "is negative", line, value, amount == 0)
        return amount

    def _floats(self, value: object, line: int) -> list[float] | None:
        amounts = list_of_numbers(value)
        if amounts is None:
            return self._lose("holds what is no number", line, value)
        self._widths[len(amounts)] += 1
        self._lines.setdefault(len(amounts), line)
        return amounts

    def _tokens(self, entries: list) -> list[str] | None:
        words = [_spelled(entry) for entry in entries if not is_missing(entry)]
        self.cut += len(words) > self.longest
        return words[: self.longest] or None

    def finish(self, values: dict[str, object]) -> dict[str, str | float]:
        """item -> the value as the atomic file has it, of what `read` returned for each item."""
        if self.type == "token_seq" and self.name != "title":
            texts = [value for value in values.values() if isinstance(value, str)]
            mark = next((mark for mark in _SEPARATORS if any(mark in text for text in texts)), None)
            for item, value in values.items():
                words = value if isinstance(value, list) else self._tokens(value.split(mark))
                values[item] = " ".join(words or ())
        elif self.type == "float_seq" and self._widths:
            width = self._widths.most_common(1)[0][0]
            for item, value in values.items():
                if len(value) != width:
                    self._lose(f"has not {width} numbers, as most have", self._lines[len(value)], value)
                values[item] = " ".join(map(repr, value)) if len(value) == width else ""
        return values


def list_of_numbers(value: object) -> list[float] | None:
    """The numbers of a cell of a list: a list, or text such as `[0.1, 0.2]` or `0.1 0.2`; None where one is none."""
    if not isinstance(value, (list, tuple, np.ndarray)):
        value = _BETWEEN_NUMBERS.split(clean(value).strip("[]() "))
    amounts = [number(entry) for entry in value]
    return None if None in amounts else amounts


def listed(text: str) -> list | None:
    """A list spelled in a cell, `['a', 'b']` as pandas writes it or JSON; None when it is none."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    record = parse_record(b'{"list": ' + text.encode("utf-8", "replace") + b"}")
    value = record.get("list") if record else None
    return value if isinstance(value, list) else None


def entries(value: object, known: Container[str]) -> list[str]:
    """The tokens of a cell of a list: as an atomic file has them, or as `FieldReader` would have written them there.

    Args:
        value: a list, a list spelled in text, or words between blanks or separators.
        known: tokens of training. Of several ways to read a text the one with the most of these is meant.
    """
    if is_missing(value):
        return [value] if isinstance(value, str) and value in known else []  # an atomic file may have a token NA
    in_list = list(value) if isinstance(value, (list, tuple, np.ndarray)) else listed(as_text(value))
    if in_list is not None:
        spelled = [entry if isinstance(entry, str) and entry in known else _spelled(entry) for entry in in_list]
        return [token for token in spelled if token]
    return max(_ways(as_text(value)), key=lambda words: sum(word in known for word in words))


def _ways(text: str) -> Iterator[list[str]]:
    yield text.split()
    for mark in _SEPARATORS:
        if mark in text:
            yield [_spelled(entry) for entry in text.split(mark) if not is_missing(entry)]
    yield [_spelled(text)]


def _spelled(entry: object) -> str:
    """An entry of a list as one word."""
    return clean(as_text(entry)).replace(" ", "_")
