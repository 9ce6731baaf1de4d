"""A user's table, whatever it is kept in: CSV, tab-separated text, JSON lines, Parquet or a folder of Parquet."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError
from recbole_marn.prepare.containers import PARQUET, need_file
from recbole_marn.prepare.csvs import read_csv, read_header
from recbole_marn.prepare.encoders import need
from recbole_marn.prepare.lines import Tally, head_of, open_raw, read_lines

__all__ = ["LIST", "PLAIN", "STRUCTURE", "CsvTable", "Table", "open_table"]

PLAIN, LIST, STRUCTURE = "plain", "list", "structure"
_BATCH = 65_536  # rows of Parquet turned into Python values at once
_LOOKED_AT = 10_000  # records of JSON lines whose keys are the columns


@dataclass(frozen=True)
class Table:
    """Names and kinds (`PLAIN`, `LIST`, `STRUCTURE`) of the columns, top-level ones only."""

    path: Path
    kinds: dict[str, str]

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self.kinds)

    def files(self) -> list[Path]:
        """Files that the table is read from."""
        return [self.path]

    def types(self) -> dict[str, Any]:
        """Types of pyarrow by column, where the table has any."""
        return {}

    def rows(self, names: Sequence[str], tally: Tally) -> Iterator[tuple[int, list[object]]]:
        """Yield `(line or row number, values of the columns)`: text from CSV, otherwise typed or None."""
        raise NotImplementedError


class CsvTable(Table):
    """CSV or TSV with a header."""

    def rows(self, names: Sequence[str], tally: Tally) -> Iterator[tuple[int, list[object]]]:
        yield from read_csv(self.path, tally, names)


class JsonTable(Table):
    """JSON lines: one object a line."""

    def rows(self, names: Sequence[str], tally: Tally) -> Iterator[tuple[int, list[object]]]:
        for number, line in read_lines(self.path, tally):
            record = _record(line)
            if record is None:
                tally.skip("no JSON object with each name once", number)
            else:
                if late := record.keys() - self.kinds.keys():
                    reason = f"that the first {_LOOKED_AT:,} records lack is not read"
                    tally.lose("a column", reason, number, min(late), tolerated=True)
                yield number, [record.get(name) for name in names]


class ParquetTable(Table):
    """A file of Parquet, or a folder of such files."""

    def files(self) -> list[Path]:
        return _parquet_files(self.path)

    def types(self) -> dict[str, Any]:
        return {field.name: field.type for field in _dataset(self.path).schema}

    def rows(self, names: Sequence[str], tally: Tally) -> Iterator[tuple[int, list[object]]]:
        wanted = list(dict.fromkeys(names))
        try:
            dataset = _dataset(self.path)
            for fragment in dataset.get_fragments():  # in the order of the files' names
                schema = _own_schema(fragment, dataset.schema)
                for batch in fragment.to_batches(schema=schema, columns=wanted, batch_size=_BATCH):
                    columns = {name: _values(batch.column(name)) for name in wanted}
                    for values in zip(*(columns[name] for name in names), strict=True):
                        tally.read += 1
                        yield tally.read, list(values)
        except (OSError, ValueError) as error:
            raise InputError(
                f"a whole Parquet file at {self.path}", f"one that breaks off ({error})", "Write it again."
            ) from error


def open_table(path: Path, option: str) -> Table:
    """Look at the beginning of a table; `option` names it in messages, such as `--events`.

    Raises:
        InputError: there is none, it is of another kind, or two columns have the same name.
    """
    if path.is_dir() and _parquet_files(path):
        return _open_parquet(path)
    need_file(path, f"{option} to be a table (CSV, JSON lines, Parquet) or a folder of Parquet files")
    with open_raw(path) as file:
        head = head_of(file)
    if head.startswith(PARQUET) and _begins_with(path, PARQUET):
        return _open_parquet(path)
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if first == b"[":
        raise InputError(f"JSON lines at {path}", "one JSON array", "Write one object per line, without commas.")
    if first == b"{":
        return _open_json(path)
    names = read_header(path)
    _check_names(path, names)
    return CsvTable(path, dict.fromkeys(names, PLAIN))


def _begins_with(path: Path, magic: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise InputError(
            f"each column once in {path}",
            f"{', '.join(map(repr, twice))} more than once",
            "Rename one of them; if the file has no header, write one as its first line.",
        )


def _record(line: bytes) -> dict[str, object] | None:
    try:
        record = json.loads(line.removeprefix(b"\xef\xbb\xbf"), object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object as a dictionary, which would keep the last of several values of one name."""
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a name that stands twice in an object")
    return record


def _open_json(path: Path) -> Table:
    seen: dict[str, Counter[str]] = {}
    for _, line in itertools.islice(read_lines(path, Tally(path.name)), _LOOKED_AT):
        for name, value in (_record(line) or {}).items():
            kinds = seen.setdefault(name, Counter())
            if value is not None:
                kinds[LIST if isinstance(value, list) else STRUCTURE if isinstance(value, dict) else PLAIN] += 1
    if not seen:
        raise InputError(f"one JSON object per line in {path}", "none", "Write each record on one line, names once.")
    # What most values are; each odd one is counted where it is read.
    return JsonTable(path, {name: max(kinds, key=kinds.get, default=PLAIN) for name, kinds in seen.items()})


def _parquet_files(path: Path) -> list[Path]:
    """The file itself, or those below a folder as Spark writes them; names with `_` or `.` in front are no data."""
    if not path.is_dir():
        return [path]

    def hidden(file: Path) -> bool:
        return any(part.startswith(("_", ".")) for part in file.relative_to(path).parts)

    return sorted(
        file for file in path.rglob("*") if file.is_file() and not hidden(file) and _begins_with(file, PARQUET)
    )


def _dataset(path: Path):
    dataset = need("pyarrow.dataset", "parquet", "reading Parquet")
    if not path.is_dir():
        return dataset.dataset(str(path), format="parquet")
    files = [str(file) for file in _parquet_files(path)]
    # Folders such as day=2020-09-21 are a column, as Spark means them.
    return dataset.dataset(files, format="parquet", partitioning="hive", partition_base_dir=str(path))


def _own_schema(fragment, whole):
    """A file's columns as it has them itself, and those that its folder's name gives.

    The schema of a folder is that of its first file: numbers it has would be read out of another file's text.
    """
    own = fragment.physical_schema
    for field in whole:
        own = own if field.name in own.names else own.append(field)
    return own


def _open_parquet(path: Path) -> Table:
    try:
        dataset = _dataset(path)
        schemas = {fragment.path: fragment.physical_schema for fragment in dataset.get_fragments()}
    except (OSError, ValueError) as error:
        raise InputError(f"a Parquet file at {path}", f"a damaged one ({error})", "Write it again.") from error
    _check_names(path, dataset.schema.names)
    kinds = dict.fromkeys(dataset.schema.names, PLAIN)
    first, *_ = schemas
    told: dict[str, tuple[str, str]] = {}  # column -> a file that has values of it, and their kind
    for file, schema in schemas.items():
        if differing := set(schema.names) ^ set(schemas[first].names):
            raise InputError(
                f"the same columns in all Parquet files of {path}",
                f"{min(differing)} in only one of {first} and {file}",
                "Write them anew with one schema; what a row lacks is null.",
            )
        for name, kind in _parquet_kinds(schema):
            other, expected = told.setdefault(name, (file, kind))
            if kind != expected:
                raise InputError(
                    f"columns of one kind in all Parquet files of {path}",
                    f"{name}, {expected} in {other} and {kind} in {file}",
                    "Write them anew with one schema.",
                )
            kinds[name] = kind
    return ParquetTable(path, kinds)


def _parquet_kinds(schema) -> Iterator[tuple[str, str]]:
    """Name and kind of each column that can have values."""
    types = need("pyarrow.types", "parquet", "reading Parquet")
    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    structures = (types.is_struct, types.is_map, types.is_union)
    for field in schema:
        if not types.is_null(field.type):
            kind = next((kind for kind, tests in ((LIST, lists), (STRUCTURE, structures))
                         if any(test(field.type) for test in tests)), PLAIN)  # fmt: skip
            yield field.name, kind


def _values(column) -> list[object]:
    """Python values; a date beyond Python's calendar becomes its text, which no reader takes for a time."""
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):
        return [_value(entry) for entry in column]


def _value(entry) -> object:
    try:
        return entry.as_py()
    except (ValueError, OverflowError):
        return "out of range"
