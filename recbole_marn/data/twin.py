"""The columnar twin of an atomic file: an Arrow file in which every token stands once, opened memory-mapped.

A twin is another spelling of a text file and never more: it is made from the text in one streaming pass, carries the
text's size, time of change and SHA-256 and a checksum of its own columns, and is not taken where they no longer fit.
What the fast parser would not read exactly as `read_atomic` does gets no twin, so that the text decides what the file
means.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from recbole_marn.data.atomic_header import read_header
from recbole_marn.errors import InputError
from recbole_marn.files import sha256, write_aside

__all__ = ["about", "arrow", "build_twin", "open_twin", "twin_places"]

FORMAT = "2"
KEY = b"recbole_marn"
BLOCK = 1 << 24  # bytes of text parsed at once
MARK = b"\xef\xbb\xbf"  # of a file in UTF-8
LONGEST_TOKEN = 1 << 12  # bytes; RecBole keeps the tokens of a field in an array as wide as the longest


class _NotPlain(Exception):
    """Text that the fast parser would read otherwise than `read_atomic`, or not at all."""


def arrow() -> ModuleType | None:
    """pyarrow with what it computes and its readers of CSV and of its own files, or None where it is not installed."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.ipc
    except ImportError:
        return None
    return pyarrow


def twin_places(text: Path) -> tuple[Path, Path]:
    """Where a twin may be: beside its text, or in the user's cache, for folders that may not be written to."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recbole_marn"
    place = hashlib.sha256(str(text.absolute()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return text.with_name(text.name + ".arrow"), cache / f"{place}-{text.name}.arrow"


def about(batch: Any) -> dict[str, Any]:
    """What a twin's record batch says of the text: `header` and `notes` among others."""
    return json.loads(batch.schema.metadata[KEY])


def open_twin(twin: Path, text: Path, separator: str) -> tuple[Any, str]:
    """The twin's columns, memory-mapped, if it is whole and of this very text.

    Size and time of change must be those of the text it was built from; where only the time differs, as after a copy,
    its SHA-256 must.

    Returns:
        The record batch, or None; and "fresh", "stale" or "absent".
    """
    pa = arrow()
    if pa is None or not twin.is_file():
        return None, "absent"
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(twin)))
        known = json.loads(reader.schema.metadata[KEY])
        found = os.stat(text)
        if known["format"] != FORMAT or known["separator"] != separator:
            return None, "absent"
        same = known["bytes"] == found.st_size
        if not (same and (known["changed_ns"] == found.st_mtime_ns or known["sha256"] == sha256(text))):
            return None, "stale"
        batch = reader.get_batch(0)
        same = batch.schema.names == list(known["header"]) and known["crc32"] == _crc32(pa, known, batch.columns)
        return (batch, "fresh") if same else (None, "absent")  # damaged after it was written
    except Exception:  # no Arrow file, none of ours, or a damaged one, which may fail in any way
        return None, "absent"


def _crc32(pa: ModuleType, facts: Mapping[str, Any], columns: Iterable[Any]) -> int:
    """A checksum of what a twin says of its text, but for itself, and of its columns."""
    said = {name: value for name, value in facts.items() if name != "crc32"}
    found = zlib.crc32(json.dumps(said, sort_keys=True).encode())
    for column in columns:
        for piece in _content(pa, column):
            found = zlib.crc32(piece.view(np.uint8), found)
    return found


def _content(pa: ModuleType, column: Any) -> Iterator[np.ndarray]:
    """All that a column holds: numbers, or codes, the ends of words, and their bytes."""
    if not pa.types.is_dictionary(column.type):
        yield column.to_numpy()
        return
    codes, words = column.indices, column.dictionary
    yield codes.to_numpy() if not codes.null_count else codes.fill_null(-1).to_numpy(zero_copy_only=False)
    if words.null_count:
        raise ValueError("words that are missing")
    _, ends, text = words.buffers()
    ends = np.frombuffer(ends, dtype=np.int32)[words.offset : words.offset + len(words) + 1]
    yield ends
    if text is not None and len(ends):
        yield np.frombuffer(text, dtype=np.uint8)[ends[0] : ends[-1]]


# -------------------------------------------------------------------------------------------------- building
def build_twin(text: Path, twin: Path, separator: str) -> bool:
    """Write the twin of an atomic file of token and float columns, whole or not at all.

    Returns:
        False, and nothing is written, where the text has to be read as text.

    Raises:
        OSError: the text cannot be read or the twin cannot be written.
    """
    pa = arrow()
    if pa is None:
        return False
    try:
        before = os.stat(text)
        header, columns, facts = _parse(pa, text, separator)
        after = os.stat(text)
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise _NotPlain  # it is being written
    except (_NotPlain, pa.ArrowInvalid, InputError, UnicodeDecodeError):
        return False
    facts |= {
        "format": FORMAT,
        "separator": separator,
        "bytes": before.st_size,
        "changed_ns": before.st_mtime_ns,
        "header": header,
    }
    facts["crc32"] = _crc32(pa, facts, columns.values())
    _write(pa, twin, columns, facts)
    columns.clear()
    pa.default_memory_pool().release_unused()
    return True


def _write(pa: ModuleType, twin: Path, columns: Mapping[str, Any], facts: dict[str, Any]) -> None:
    schema = pa.schema(
        [(field, column.type) for field, column in columns.items()], metadata={KEY: json.dumps(facts).encode()}
    )

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            with pa.ipc.new_file(file, schema) as writer:
                writer.write_batch(pa.record_batch(list(columns.values()), schema=schema))

    write_aside(twin, write)


def _parse(pa: ModuleType, text: Path, separator: str) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
    """Header, Arrow columns, and what the twin has to know of the text."""
    with open(text, "rb", buffering=0) as raw:
        reader = _Text(raw, separator)
        header = read_header(reader.header_line().decode("utf-8"), separator, text)
        if len(header) < 2 or any(kind.endswith("seq") for kind in header.values()):
            raise _NotPlain
        coded = pa.dictionary(pa.int32(), pa.string())
        batches = pa.csv.open_csv(
            pa.PythonFile(reader, mode="r"),
            read_options=pa.csv.ReadOptions(column_names=list(header), block_size=BLOCK, use_threads=False),
            parse_options=pa.csv.ParseOptions(delimiter=separator, quote_char=False, escape_char=False),
            convert_options=pa.csv.ConvertOptions(
                column_types={field: coded if kind == "token" else pa.float64() for field, kind in header.items()},
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        pieces: dict[str, list[Any]] = {field: [] for field in header}
        for batch in batches:
            for field, kind in header.items():
                column = batch.column(field)
                pieces[field].append(column if kind == "token" else _numbers(column))
    columns = {}
    for field, kind in header.items():
        columns[field] = _tokens(pa, pieces.pop(field)) if kind == "token" else _joined(pa, pieces.pop(field))
    notes = []
    if not reader.ended:
        notes = [f"{text.name}: its last line has no line end; if the file was cut, that line is not whole"]
    return header, columns, {"sha256": reader.digest.hexdigest(), "notes": notes}


class _Text(io.RawIOBase):
    """The bytes of the text as they pass by: hashed, and looked at for what the two readers would take differently."""

    def __init__(self, file: io.RawIOBase, separator: str):
        self._file, self._separator = file, separator.encode()
        self.digest = hashlib.sha256()
        self.ended = True  # the last byte is a line end
        self._left = b""
        self._return = False  # the last byte was a carriage return

    def header_line(self) -> bytes:
        """The first line; the rest is what `read` gives."""
        first = self._take(BLOCK)
        line, _, self._left = first.partition(b"\n")
        if self._left.startswith(MARK):  # Arrow would skip it there, too; to the text's reader it is part of a cell
            raise _NotPlain
        return line.removeprefix(MARK).removesuffix(b"\r")

    def _take(self, size: int) -> bytes:
        data = self._file.read(size) or b""
        self.digest.update(data)
        if data:
            self._check(data)
            self.ended = data.endswith(b"\n")
        elif self._return:
            raise _NotPlain
        return data

    def _check(self, data: bytes) -> None:
        """Refuse NUL bytes, and carriage returns that end no line: the one reader takes them for line ends."""
        if self._return and not data.startswith(b"\n"):
            raise _NotPlain
        self._return = data.endswith(b"\r")
        if b"\0" in data or data.count(b"\r") - self._return != data.count(b"\r\n"):
            raise _NotPlain

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._left:
            data, self._left = self._left, b""
            if 0 <= size < len(data):
                data, self._left = data[:size], data[size:]
            return data
        return self._take(BLOCK if size < 0 else size)


def _numbers(column: Any) -> np.ndarray:
    """A column of floats in the narrowest form that gives them back; missing ones are NaN."""
    values = column.to_numpy(zero_copy_only=False)
    if np.isinf(values).any():
        raise _NotPlain  # "inf", or a number too large, which the text's reader refuses
    if values.size == 0 or not (np.abs(values) < 2**31).all():
        return values
    whole = values.astype(np.int32)
    return whole if (whole == values).all() and not np.signbit(values[whole == 0]).any() else values


def _joined(pa: ModuleType, pieces: list[np.ndarray]) -> Any:
    return pa.array(np.concatenate(pieces), from_pandas=False)


def _tokens(pa: ModuleType, pieces: list[Any]) -> Any:
    """One array of codes in as few bytes as their number needs; each token once, in the order of first appearance."""
    joined = pa.chunked_array(pieces).unify_dictionaries()
    pieces.clear()
    words = joined.chunk(0).dictionary
    if len(words) and max(map(len, words.to_pylist())) > LONGEST_TOKEN:
        raise _NotPlain
    kind = next(kind for kind in (pa.int8(), pa.int16(), pa.int32()) if len(words) <= 2 ** (kind.bit_width - 1) - 1)
    codes = pa.concat_arrays([chunk.indices.cast(kind) for chunk in joined.chunks])
    return pa.DictionaryArray.from_arrays(codes, words)
