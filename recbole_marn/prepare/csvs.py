"""CSV files row by row, with unusable rows counted."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.lines import Tally, read_lines

__all__ = ["read_csv", "read_header"]

_ODD = range(0xDC80, 0xDD00)  # what bytes that are no UTF-8 are decoded to by "surrogateescape"


def _decoded(path: Path, tally: Tally, encoding: str) -> Iterator[str]:
    for number, line in read_lines(path, tally):
        text = line.decode(encoding, "surrogateescape")
        yield (text.removeprefix("\ufeff") if number == 1 else text) + "\n"


def _delimiter(header: str) -> str:
    return max(",;\t|", key=header.count)


def _names(header: str) -> list[str]:
    """The column names in a header line; none where it is no line of CSV at all."""
    try:
        return next(csv.reader([header], delimiter=_delimiter(header)), [])
    except csv.Error:
        return []


def read_header(path: Path, encoding: str = "utf-8") -> list[str]:
    """The column names in the first line."""
    return _names(next(_decoded(path, Tally(path.name), encoding), ""))


def read_csv(
    path: Path, tally: Tally, columns: Sequence[str], encoding: str = "utf-8"
) -> Iterator[tuple[int, list[str]]]:
    """Yield `(line number, values of columns)` of a CSV with a header, separated by comma, semicolon, tab or bar.

    Rows with another number of fields, broken quoting or bytes that are no text are skipped and counted in `tally`.

    Raises:
        InputError: a column is missing from the header.
    """
    lines = _decoded(path, tally, encoding)
    first = next(lines, "")
    header = _names(first)
    tally.read = 0  # the header is no record
    missing = [name for name in columns if name not in header]
    if missing:
        raise InputError(
            f"the columns {', '.join(columns)} in {path}",
            f"a header without {', '.join(missing)}: {', '.join(header[:20])}",
            "Use the official file with its first line, or name the columns you have.",
        )
    places = [header.index(name) for name in columns]
    reader = csv.reader(lines, delimiter=_delimiter(first), strict=True)
    while True:
        start = reader.line_num + 2
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # an unclosed quotation mark swallows lines up to csv's limit on a field: all of them are lost
            for number in range(start, reader.line_num + 2):
                tally.skip("broken quotation marks", number)
            continue
        if len(row) != len(header):
            tally.skip(f"not {len(header)} columns", start)
            continue
        values = [row[place] for place in places]
        if any(ord(character) in _ODD for value in values if not value.isascii() for character in value):
            tally.skip(f"not {encoding}", start)
        else:
            yield start, values
