"""Events and items as RecBole's atomic files: tab-separated text with a typed header."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from recbole_marn.data.twin import arrow
from recbole_marn.prepare.tables import RawEvents, RawItems

__all__ = ["spell_numbers", "write_inter", "write_item"]

_PIECE = 1 << 18  # rows turned into text at once
# Events from which on pyarrow pays, which imports pandas before it makes its first array.
MANY = 100_000


def write_inter(path: Path, events: RawEvents) -> None:
    """`user_id item_id timestamp [behavior_type] [rating]`, rows in the order of the raw file."""
    header = ["user_id:token", "item_id:token", "timestamp:float"]
    if events.behavior is not None:
        header.append("behavior_type:token")
    if events.rating is not None:
        header.append("rating:float")
    pa = arrow() if len(events) >= MANY else None
    users, items, behaviors = (_Column(pa, words) for words in (events.users, events.items, events.behaviors))
    with open(path, "wb") as file:
        file.write(("\t".join(header) + "\n").encode())
        for start in range(0, len(events), _PIECE):
            piece = slice(start, start + _PIECE)
            columns = [users.take(events.user[piece]), items.take(events.item[piece]), _numbers(pa, events.time[piece])]
            if events.behavior is not None:
                columns.append(behaviors.take(events.behavior[piece]))
            if events.rating is not None:
                columns.append(_numbers(pa, events.rating[piece]))
            _write_rows(pa, file, columns)


class _Column:
    """Spellings by number; pyarrow puts a million of them into a file in a second, where it is there."""

    def __init__(self, pa: ModuleType | None, words: Sequence[str]):
        self._arrow = pa
        self._words = list(words) if pa is None else pa.array(words, type=pa.string())

    def take(self, numbers: np.ndarray) -> Any:
        if self._arrow is None:
            return [self._words[i] for i in numbers.tolist()]
        return self._words.take(self._arrow.array(numbers))


def _numbers(pa: ModuleType | None, values: np.ndarray) -> Any:
    distinct, code = np.unique(values, return_inverse=True)
    return _Column(pa, _spelled(distinct)).take(code)


def _write_rows(pa: ModuleType | None, file: BinaryIO, columns: Sequence[Any]) -> None:
    if pa is None:
        file.write("".join("\t".join(row) + "\n" for row in zip(*columns, strict=True)).encode("utf-8"))
        return
    table = pa.table(list(columns), names=[str(number) for number in range(len(columns))])
    options = pa.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    pa.csv.write_csv(table, file, write_options=options)


def write_item(path: Path, tokens: Sequence[str], items: RawItems, key: str = "item_id") -> None:
    """`item_id`, or another key, and the fields of the table, one row a token in the given order; empty = missing."""
    columns = [list(tokens)]
    for name in items.fields:
        values = items.column(name, tokens)
        columns.append([_number(value) if isinstance(value, float) else value for value in values])
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        header = [f"{key}:token"] + [f"{name}:{items.type_of(name)}" for name in items.fields]
        file.write("\t".join(header) + "\n")
        file.writelines("\t".join(row) + "\n" for row in zip(*columns, strict=True))


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def spell_numbers(values: np.ndarray) -> list[str]:
    """Each distinct value is spelled once: times and ratings recur."""
    distinct, code = np.unique(values, return_inverse=True)
    texts = _spelled(distinct)
    return [texts[i] for i in code.tolist()]


def _spelled(distinct: np.ndarray) -> list[str]:
    # str of a float32 is its shortest spelling (4.7); of the float64 made from it, it would be 4.699999809265137
    return [str(int(value)) if float(value).is_integer() else str(value) for value in distinct]
