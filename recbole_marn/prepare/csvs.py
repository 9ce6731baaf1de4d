"""CSV and tab-separated files row by row, with unusable rows counted.

Commas, semicolons and bars come with CSV's quotation marks, within which a field may go on over several lines. In a
tab-separated file a quotation mark is text and a line is a row; only a field that is quoted as a whole is unquoted.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.lines import Tally, read_lines

__all__ = ["read_csv", "read_header"]

LONGEST_FIELD = 1 << 20  # characters; an unclosed quotation mark swallows lines up to this
_PIECE = 256  # rows
_ODD = range(0xDC80, 0xDD00)  # what bytes that are no UTF-8 are decoded to by "surrogateescape"
_DELIMITERS = ",;\t|"
_SEP_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel's way to name the delimiter, before the header
_WHOLE_QUOTED = re.compile(r'"((?:[^"]|"")*)"', re.DOTALL)
_INVISIBLE_ENDS = "\ufeff\u200b\u2060\u00a0 \t"


class _Lines:
    """The decoded lines of a file as the iterator that `csv.reader` wants; remembers what it took for a row."""

    def __init__(self, path: Path, tally: Tally, encoding: str):
        self._lines = read_lines(path, tally)
        self._tally, self._encoding = tally, encoding
        self.taken: list[tuple[int, str]] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        for number, line in self._lines:
            text = line.decode(self._encoding, "surrogateescape")
            if "\0" in text:  # Python 3.10 stops at it, later ones do not
                self._tally.skip("zero bytes", number)
                continue
            self.taken.append((number, text))
            return text + "\n"
        raise StopIteration

    def rows(self, delimiter: str) -> Iterator[tuple[int, list[str] | None, str]]:
        """Yield `(line number, fields or None, reason)`; of a broken row every line it swallowed comes by itself."""
        reader = self._split_at_tabs() if delimiter == "\t" else csv.reader(self, delimiter=delimiter, strict=True)
        while True:
            self.taken.clear()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                long = "field larger" in str(error)
                reason = f"field longer than {LONGEST_FIELD:,} characters" if long else "broken quotation marks"
                yield from ((number, None, reason) for number, _ in self.taken)
                continue
            if len(self.taken) > 1 and self._swallowed_rows(delimiter, len(fields)):
                yield from ((number, None, "quotation mark over several rows") for number, _ in self.taken)
            else:
                self._tally.inside += len(self.taken) - 1
                yield self.taken[0][0], fields, ""

    def _split_at_tabs(self) -> Iterator[list[str]]:
        for line in self:
            yield [_unquoted(field) for field in line[:-1].split("\t")]

    def _swallowed_rows(self, delimiter: str, width: int) -> bool:
        """Whether each further line of a field looks like a row of its own: then two stray marks were paired."""
        return all(text.count(delimiter) == width - 1 for _, text in self.taken[1:]) and width > 1


def _unquoted(field: str) -> str:
    match = _WHOLE_QUOTED.fullmatch(field)
    return match[1].replace('""', '"') if match else field


@contextmanager
def _long_fields() -> Iterator[None]:
    """csv's limit is one for the whole process, so it is put back."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _in_pieces(rows: Iterator) -> Iterator:
    """The same rows, fetched many at once, since the limit must not hold while the caller runs."""
    while True:
        with _long_fields():
            piece = list(itertools.islice(rows, _PIECE))
        if not piece:
            return
        yield from piece


def _header(lines: _Lines) -> tuple[str, list[str]]:
    """Delimiter and column names, without the blanks and invisible marks around them."""
    first = next(lines, "\n")[:-1]
    named = _SEP_LINE.fullmatch(first)
    if named:
        first = next(lines, "\n")[:-1]
    delimiter = named[1] if named else max(_DELIMITERS, key=first.count)
    if delimiter == "\t":
        names = [_unquoted(field) for field in first.split("\t")]
    else:
        try:
            names = next(csv.reader([first], delimiter=delimiter), [])
        except csv.Error:
            names = []
    return delimiter, [name.strip(_INVISIBLE_ENDS) for name in names]


def read_header(path: Path, encoding: str = "utf-8") -> list[str]:
    """The column names in the first line.

    Raises:
        InputError: an empty file, or lines that end as on old Macs, which would all be one.
    """
    lines = _Lines(path, Tally(path.name), encoding)
    with _long_fields():
        names = _header(lines)[1]
    if any("\r" in text for _, text in lines.taken):
        how = "Save it with Unix or Windows line ends."
        raise InputError(f"lines that end in a line feed in {path}", "carriage returns alone", how)
    if not any(names):
        raise InputError(f"a header and rows in {path}", "none", "Check that it is the right file, and whole.")
    return names


def read_csv(
    path: Path, tally: Tally, columns: Sequence[str], encoding: str = "utf-8"
) -> Iterator[tuple[int, list[str]]]:
    """Yield `(line number, values of columns)` of a file with a header, separated by comma, semicolon, tab or bar.

    Rows with another number of fields, broken quoting or bytes that are no text are skipped and counted in `tally`.

    Raises:
        InputError: a column is missing from the header.
    """
    lines = _Lines(path, tally, encoding)
    delimiter, header = _header(lines)
    tally.read = 0  # the header is no record
    missing = [name for name in columns if name not in header]
    if missing:
        raise InputError(
            f"the columns {', '.join(columns)} in {path}",
            f"a header without {', '.join(missing)}: {', '.join(header[:20])}",
            "Use the official file with its first line, or name the columns you have.",
        )
    places = [header.index(name) for name in columns]
    for number, fields, reason in _in_pieces(lines.rows(delimiter)):
        if fields is None:
            tally.skip(reason, number)
        elif len(fields) != len(header):
            tally.skip(f"not {len(header)} columns", number)
        else:
            values = [fields[place] for place in places]
            if odd := next((value for value in values if not value.isascii() and _undecoded(value)), None):
                tally.skip(f"not {encoding}", number, odd)
            else:
                yield number, values


def _undecoded(value: str) -> bool:
    return any(ord(character) in _ODD for character in value)
