"""Tables of rows, behaviours and items read from files, and answers written to one: CSV or Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from recbole_marn.data.vector_file import open_vectors
from recbole_marn.errors import InputError
from recbole_marn.prepare.columns import Assignment, no_such_column
from recbole_marn.prepare.encoders import need
from recbole_marn.prepare.lines import Tally
from recbole_marn.prepare.tabular import CsvTable, open_table
from recbole_marn.prepare.times import UNITS, Clock, date_of_digits
from recbole_marn.prepare.tokens import as_text, identifier, number
from recbole_marn.prepare.vectors import read_ids

__all__ = ["ReadTable", "Writer", "in_order", "open_answers", "read_vectors"]

CHUNK = 65_536  # rows in memory at a time


class ReadTable:
    """A table whose columns are called as in the training data, or as `--column` says; every row must be usable.

    Args:
        path: CSV, JSON lines, Parquet or a folder of Parquet.
        option: what names it on the command line, for messages; without the dashes it may stand before a role.
        ids: columns that are ids.
        time: the column that is a time, or None.
        unit: of times that are numbers, a key of `prepare.times.UNITS`; dates are read as such.
        known: column of ids -> those of training, which are taken as they are spelled there.
        unix: training is of unix seconds, so that digits of a date (20200921) are one, as to `prepare`.
        others: further columns that must be there.
        renamed: the `--column` options of all tables; those that this one has are marked as used.

    Raises:
        InputError: no table, or a column is missing.
    """

    def __init__(
        self,
        path: Path,
        option: str,
        ids: Sequence[str],
        time: str | None = None,
        unit: str = "s",
        others: Sequence[str] = (),
        renamed: Sequence[Assignment] = (),
        known: Mapping[str, Container[str]] | None = None,
        unix: bool = False,
    ):
        self.table, self.path, self.option = open_table(path, option), path, option
        self.ids, self.time = list(ids), time
        self._per_second, self._clock, self._digits = UNITS[unit], Clock(), unix and unit == "s"
        self._known = [(known or {}).get(name, ()) for name in self.ids]
        self._column = self._columns(renamed)
        wanted = list(dict.fromkeys([*self.ids, *([time] if time else []), *others]))
        missing = [name for name in wanted if name not in self._column]
        if missing:
            raise InputError(
                f"columns {', '.join(wanted)} in {path}",
                f"{', '.join(self.table.names)}, without {', '.join(missing)}",
                f"Add them, or say what they are called: --column {option.strip('-')}.{missing[0]}=YOUR_COLUMN.",
            )

    def _columns(self, renamed: Sequence[Assignment]) -> dict[str, str]:
        """What each column is read as -> its name in the file, in the order of the file."""
        role_of: dict[str, str] = {}
        table = self.option.strip("-")
        for entry in sorted(renamed, key=lambda entry: entry.table == ""):  # what names this table comes first
            if entry.table not in ("", table) or entry.role in role_of.values():
                continue
            if entry.column in self.table.kinds:
                role_of[entry.column], entry.used = entry.role, True
            elif entry.table:
                raise no_such_column(entry, [self.table])
        own = {name: name for name in self.table.names if name not in role_of and name not in role_of.values()}
        named = {role: column for column, role in role_of.items()}
        place = self.table.names.index
        return dict(sorted((own | named).items(), key=lambda pair: place(pair[1])))

    @property
    def others(self) -> list[str]:
        """What columns are read as that are neither ids nor the time."""
        return [name for name in self._column if name not in (*self.ids, self.time)]

    def unread(self, others: Sequence[str] = ()) -> list[str]:
        """Columns, as the file calls them, that are neither ids nor the time nor among `others`."""
        read = {self._column[name] for name in (*self.ids, self.time, *others) if name}
        return [name for name in self.table.names if name not in read]

    def chunks(self, others: Sequence[str] = ()) -> Iterator[dict[str, np.ndarray]]:
        """Columns of at most CHUNK rows at a time: ids as text, times as numbers, `others` as they are.

        Raises:
            InputError: a row without an id or a time, or that cannot be read.
        """
        for columns, _ in self.chunks_beside((), others):
            yield columns

    def chunks_beside(
        self, given: Sequence[str], others: Sequence[str] = ()
    ) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
        """As `chunks`, and beside each the columns `given` of the file, under its names, with every value as it is.

        Raises:
            InputError: as `chunks`.
        """
        names = [*self.ids, *([self.time] if self.time else [])]
        names += [name for name in others if name not in names]
        tally = Tally(self.path.name, limit=0.0)
        rows: list[list[Any]] = []

        def split(rows: list[list[Any]]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
            read = _columns(names, [row[: len(names)] for row in rows])
            return read, _objects(given, [row[len(names) :] for row in rows])

        with self._progress() as bar:
            for line, values in self.table.rows([*(self._column[name] for name in names), *given], tally):
                for place, name in enumerate(self.ids):
                    if not (isinstance(values[place], str) and values[place] in self._known[place]):
                        values[place] = identifier(values[place])
                    if not values[place]:
                        raise self._unusable(f"an id in {name}", line)
                if self.time:
                    values[len(self.ids)] = self._seconds(values[len(self.ids)], line)
                rows.append(values)
                if len(rows) == CHUNK:
                    yield split(rows)
                    bar(len(rows))
                    rows = []
        tally.check()
        if rows:
            yield split(rows)

    def whole(self, others: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """All rows as `chunks` gives them."""
        chunks = list(self.chunks(others))
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def _seconds(self, value: object, line: int) -> float:
        amount = number(value)
        if amount is not None and not (self._digits and date_of_digits(amount)):
            return amount / self._per_second
        at, reason = self._clock.read(value)
        if at is None:
            raise self._unusable(f"a time in {self.time}", line, reason)
        return at

    def _unusable(self, what: str, line: int, reason: str = "none") -> InputError:
        return InputError(f"{what} in every line of {self.path}", f"{reason} in line {line}", "Correct that line.")

    @contextmanager
    def _progress(self):
        """CSV tells a progress bar itself, by bytes; other tables tell rows."""
        if isinstance(self.table, CsvTable):
            yield lambda rows: None
            return
        from tqdm import tqdm

        with tqdm(desc=self.path.name, unit=" rows", disable=None, leave=False) as bar:
            yield bar.update


def _columns(names: Sequence[str], rows: list[list[Any]]) -> dict[str, np.ndarray]:
    columns = _objects(names, rows)
    for name, column in columns.items():
        if isinstance(column[0], float) and None not in column.tolist():
            columns[name] = column.astype(np.float64)
    return columns


def _objects(names: Sequence[str], rows: list[list[Any]]) -> dict[str, np.ndarray]:
    columns = {}
    for place, name in enumerate(names):
        columns[name] = np.empty(len(rows), dtype=object)
        columns[name][:] = [row[place] for row in rows]
    return columns


def read_vectors(file: Path, ids_file: Path | None) -> tuple[list[str], np.ndarray]:
    """Ids of items from a file of a line each, and their vectors (n, width) from a `.npy` file.

    Args:
        ids_file: None: beside the vectors, called `.ids`.

    Raises:
        InputError: files that do not fit together.
    """
    matrix = open_vectors(file, what="the vectors of items", missing="Check the path given as --vectors.")
    ids_file = ids_file or file.with_suffix(".ids")
    if not ids_file.is_file():
        raise InputError("the ids of the vectors, one per line", f"no file {ids_file}", "Give it as --vector-ids FILE.")
    ids = [identifier(token) for token in read_ids(ids_file)]
    if len(ids) != len(matrix) or len(set(ids)) != len(ids):
        raise InputError(
            f"one id per vector, each once, in {ids_file}",
            f"{len(ids)} ids, {len(set(ids))} of them different, for {len(matrix)} vectors",
            "Write both files anew from the same list of items.",
        )
    return ids, matrix


def in_order(ids: Sequence[str], matrix: np.ndarray, items: Sequence[str]) -> tuple[np.ndarray, int]:
    """Vectors (n, width) of items, NaN where `ids` lack one, and how many of `ids` are other items'."""
    place = {token: row for row, token in enumerate(ids)}
    row = np.array([place.get(token, -1) for token in items], dtype=np.int64)
    found = np.full((len(items), matrix.shape[1]), np.nan, dtype=np.float32)
    found[row >= 0] = matrix[row[row >= 0]]
    return found, len(ids) - int((row >= 0).sum())


class Writer(Protocol):
    """Takes columns of one length, the same names each time."""

    def __call__(self, columns: dict[str, Any]) -> None: ...


@contextmanager
def open_answers(path: Path, kind: str, types: Mapping[str, Any]) -> Iterator[Writer]:
    """A table that is written piece by piece.

    Args:
        path: where.
        kind: suffix that says how: `.csv` or `.parquet`.
        types: pyarrow's, of columns that have one already; others are of the type of their first piece.

    Raises:
        InputError: another suffix; a column of Parquet with values of several types.
    """
    if kind == ".parquet":
        arrow, parquet = need("pyarrow", "parquet", "writing Parquet"), need("pyarrow.parquet", "parquet", "writing it")
        writer, known = None, dict(types)

        def array(name: str, values: np.ndarray) -> Any:
            if values.dtype != object:
                return arrow.array(values)
            try:
                found = arrow.array(values.tolist(), type=known.get(name))
            except (arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise InputError(
                    f"values of one type in column {name}, for Parquet", f"several ({error})", "Name --out .csv."
                ) from error
            found = found.cast(arrow.string()) if arrow.types.is_null(found.type) else found
            known.setdefault(name, found.type)
            return found

        def write_parquet(columns: dict[str, Any]) -> None:
            nonlocal writer
            table = arrow.table({name: array(name, values) for name, values in columns.items()})
            writer = writer or parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)

        try:
            yield write_parquet
        finally:
            if writer is not None:
                writer.close()
        return
    if kind != ".csv":
        raise InputError("--out to end in .csv or .parquet", repr(kind), "Name the file so.")
    with open(path, "w", encoding="utf-8", newline="") as file:
        lines, first = csv.writer(file, lineterminator="\n"), True

        def write_csv(columns: dict[str, Any]) -> None:
            nonlocal first
            if first:
                lines.writerow(columns)
                first = False
            lines.writerows(zip(*(_texts(column) for column in columns.values()), strict=True))

        yield write_csv


def _texts(column: np.ndarray) -> list[Any]:
    """Numbers as short as they can be and still be read back the same."""
    if column.dtype == np.float32:
        return [f"{value:.9g}" for value in column.tolist()]
    if column.dtype == np.float64:
        return [int(value) if value.is_integer() else value for value in column.tolist()]
    return [value if isinstance(value, (str, int)) else _text(value) for value in column.tolist()]


def _text(value: Any) -> str:
    """A value of a typed table in a cell; lists and structures are JSON, as `prepare` reads them."""
    if value is None or value != value:  # NaN
        return ""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else as_text(value)
