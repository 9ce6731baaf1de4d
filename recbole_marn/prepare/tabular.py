"""A user's table, whatever it is kept in: CSV, tab-separated text, JSON lines, Parquet or a folder of Parquet."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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
        return list(self.kinds)

    def files(self) -> list[Path]:
        return [self.path]

    def rows(self, names: Sequence[str], tally: Tally) -> Iterator[tuple[int, list[object]]]:
        """Yield `(line or row number, values of the columns)`: text from CSV, otherwise typed or None."""
        raise NotImplementedError


class CsvTable(Table):
    def rows(self, names: Sequence[str], tally: Tally) -> Iterator[tuple[int, list[object]]]:
        yield from read_csv(self.path, tally, names)


class JsonTable(Table):
    def rows(self, names: Sequence[str], tally: Tally) -> Iterator[tuple[int, list[object]]]:
        for number, line in read_lines(self.path, tally):
            record = _record(line)
            if record is None:
                tally.skip("no JSON object", number)
            else:
                if late := record.keys() - self.kinds.keys():
                    reason = f"that the first {_LOOKED_AT:,} records lack is not read"
                    tally.lose("a column", reason, number, min(late), tolerated=True)
                yield number, [record.get(name) for name in names]


class ParquetTable(Table):
    def files(self) -> list[Path]:
        return _parquet_files(self.path)

    def rows(self, names: Sequence[str], tally: Tally) -> Iterator[tuple[int, list[object]]]:
        wanted = list(dict.fromkeys(names))
        try:
            dataset = _dataset(self.path)
            for fragment in dataset.get_fragments():  # in the order of the files' names
                for batch in fragment.to_batches(schema=dataset.schema, columns=wanted, batch_size=_BATCH):
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
        record = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _open_json(path: Path) -> Table:
    seen: dict[str, Counter[str]] = {}
    for _, line in itertools.islice(read_lines(path, Tally(path.name)), _LOOKED_AT):
        for name, value in (_record(line) or {}).items():
            kinds = seen.setdefault(name, Counter())
            if value is not None:
                kinds[LIST if isinstance(value, list) else STRUCTURE if isinstance(value, dict) else PLAIN] += 1
    if not seen:
        raise InputError(f"one JSON object per line in {path}", "none", "Write each record on one line.")
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


def _open_parquet(path: Path) -> Table:
    types = need("pyarrow.types", "parquet", "reading Parquet")
    try:
        schema = _dataset(path).schema
    except (OSError, ValueError) as error:
        raise InputError(f"a Parquet file at {path}", f"a damaged one ({error})", "Write it again.") from error
    _check_names(path, schema.names)
    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    kinds = {
        field.name: LIST if any(test(field.type) for test in lists)
        else STRUCTURE if types.is_struct(field.type) or types.is_map(field.type) or types.is_union(field.type)
        else PLAIN
        for field in schema
    }  # fmt: skip
    return ParquetTable(path, kinds)


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
