"""RecBole's atomic files as they are written: tabs part columns, quotation marks are text, and every line counts."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_marn.data.atomic_header import read_header
from recbole_marn.errors import InputError, first_line

__all__ = ["AtomicTable", "read_atomic"]

# What stands for a missing number. In a token column only an empty cell is missing: an item may be called "NA".
MISSING_NUMBERS = ["", "nan", "NaN", "-nan", "NA", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "None"]
# First bytes of files that are no text -> what they are.
CONTAINERS = {b"PK\x03\x04": "a ZIP archive", b"\x1f\x8b": "a gzip file", b"PAR1": "a Parquet file"}
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class AtomicTable:
    """The columns read from one file.

    Attributes:
        frame: a column each: float64 for `float`, an array of words or numbers a line for `token_seq` and `float_seq`,
            text for `token`; an empty cell is NaN, an empty list an empty array.
        header: field -> type of every column of the file, in its order, read or not.
        notes: what is worth saying about the file.
    """

    frame: pd.DataFrame
    header: dict[str, str]
    notes: list[str]


def read_atomic(
    path: Path, *, separator: str, list_separator: str, encoding: str, keep: Callable[[str], bool]
) -> AtomicTable:
    """Read the columns of an atomic file whose name `keep` accepts.

    Args:
        path: a file of lines, the first of them a header of `name:type` cells.
        separator: one character between cells. There is no quoting.
        list_separator: between the entries of a list.
        encoding: any encoding Python knows; a byte order mark is dropped.
        keep: whether a column is wanted.

    Raises:
        InputError: another kind of file, another encoding, a NUL byte, a header without types or with a name twice, a
            line with fewer or more cells than the header, a number that is none, or lines that got lost.
    """
    data = _as_utf8(path, encoding)
    head, _, body = data.partition(b"\n")
    header = read_header(head.decode("utf-8"), separator, path)
    n_lines = _check_lines(body, separator, len(header), path)
    kept = [field for field in header if keep(field)]
    frame = _read_columns(body, separator, header, kept, path) if n_lines and kept else _no_lines(header, kept)
    if len(frame) != n_lines and kept:
        raise InputError(f"{n_lines} rows from {path}", f"{len(frame)}", "Look for blank or odd lines in the file.")
    for field in kept:
        if header[field].endswith("seq"):
            frame[field] = _lists(frame[field], header[field], list_separator, path)
    notes = []
    if body and not body.endswith(b"\n"):
        notes.append(f"{path.name}: its last line has no line end; if the file was cut, that line is not whole")
    return AtomicTable(frame, header, notes)


def _as_utf8(path: Path, encoding: str) -> bytes:
    """The file as UTF-8 with lines that end in a line feed, without byte order mark."""
    data = path.read_bytes()
    for start, kind in CONTAINERS.items():
        if data.startswith(start):
            raise InputError(f"{path} to be lines of text", kind, "Unpack or convert it first.")
    try:
        codec = codecs.lookup(encoding).name
    except (LookupError, TypeError, ValueError):
        raise InputError("an 'encoding' that Python knows", repr(encoding), "Set it to e.g. utf-8 or gbk.") from None
    if codec == "utf-8" and data.startswith(UTF_16):
        raise InputError(
            f"{path} in the encoding utf-8", "a file saved as UTF-16", "Save it as UTF-8, or set encoding: utf-16."
        )
    try:
        text = data.decode(codec)
    except UnicodeError as error:
        raise InputError(
            f"{path} in the encoding {encoding}",
            _undecodable(data, error),
            "Set the key 'encoding' to that of the file (e.g. encoding: gbk), or save the file as UTF-8.",
        ) from None
    if codec != "utf-8":
        data = text.encode("utf-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    if (nul := data.find(b"\0")) >= 0:
        raise InputError(
            f"text in {path}",
            f"a NUL byte in line {data.count(10, 0, nul) + 1}",
            "The file was damaged, perhaps when a disk was full: write it anew.",
        )
    return data.replace(b"\r\n", b"\n")


def _undecodable(data: bytes, error: UnicodeError) -> str:
    if not isinstance(error, UnicodeDecodeError):
        return first_line(error)
    return f"bytes {data[error.start : error.end]!r} in line {data.count(10, 0, error.start) + 1}"


def _check_lines(body: bytes, separator: str, n_fields: int, path: Path) -> int:
    """The number of lines that are not blank, all of which must have `n_fields` cells."""
    if not body:
        return 0
    characters = np.frombuffer(body, dtype=np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    if not body.endswith(b"\n"):
        ends = np.append(ends, len(body))
    separators = np.flatnonzero(characters == ord(separator))
    cells = np.diff(np.searchsorted(separators, ends), prepend=0) + 1
    filled = np.diff(ends, prepend=-1) > 1
    wrong = np.flatnonzero(filled & (cells != n_fields))
    if wrong.size:
        raise InputError(
            f"{n_fields} columns in every line of {path}, as in its header",
            f"{cells[wrong[0]]} in line {wrong[0] + 2}" + (f" and {wrong.size - 1} more" if wrong.size > 1 else ""),
            "Correct the line, or write the file anew if it was cut; a cell must not hold the separator.",
        )
    return int(filled.sum())


def _no_lines(header: dict[str, str], kept: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({field: pd.Series(dtype=np.float64 if header[field] == "float" else object) for field in kept})


def _read_columns(body: bytes, separator: str, header: dict[str, str], kept: Sequence[str], path: Path) -> pd.DataFrame:
    def read(kinds: dict[str, type]) -> pd.DataFrame:
        return pd.read_csv(
            io.BytesIO(body),
            sep=separator,
            names=list(header),
            usecols=list(kept),
            dtype=kinds,
            na_values={field: MISSING_NUMBERS if header[field] == "float" else [""] for field in kept},
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
            lineterminator="\n",
            float_precision="round_trip",
            encoding="utf-8",
            engine="c",
            low_memory=False,
        )

    floats = [field for field in kept if header[field] == "float"]
    try:
        return read({field: np.float64 if field in floats else str for field in kept})
    except ValueError as error:
        cells = read(dict.fromkeys(kept, str))
        for field in floats:
            wrong = cells[field][pd.to_numeric(cells[field], errors="coerce").isna() & cells[field].notna()]
            if len(wrong):
                raise InputError(
                    f"numbers in {field} of {path}",
                    f"{wrong.iloc[0]!r}, one of {len(wrong)} that are none",
                    "Write numbers with a point and without separators or units, and nothing where one is missing.",
                ) from None
        raise InputError(f"a readable atomic file {path}", first_line(error), "Write the file anew.") from error


def _lists(cells: pd.Series, kind: str, separator: str, path: Path) -> list[np.ndarray]:
    words = [[word for word in cell.split(separator) if word] for cell in cells.fillna("")]
    if kind == "token_seq":
        return [np.array(entry) for entry in words]
    try:
        return [np.array([float(word) for word in entry]) for entry in words]
    except ValueError as error:
        raise InputError(
            f"lists of numbers in {cells.name} of {path}", f"'{first_line(error)}'", "Write numbers alone in that line."
        ) from None
