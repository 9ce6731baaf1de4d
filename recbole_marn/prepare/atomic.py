"""Events and items as RecBole's atomic files: tab-separated text with a typed header."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recbole_marn.prepare.tables import Events, ItemTable

__all__ = ["spell_numbers", "write_inter", "write_item"]

_PIECE = 100_000  # rows turned into text at once


def write_inter(path: Path, events: Events) -> None:
    """`user_id item_id timestamp [behavior_type] [rating]`, rows in the order of the raw file."""
    header = ["user_id:token", "item_id:token", "timestamp:float"]
    if events.behavior is not None:
        header.append("behavior_type:token")
    if events.rating is not None:
        header.append("rating:float")
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(header) + "\n")
        for start in range(0, len(events), _PIECE):
            piece = slice(start, start + _PIECE)
            columns: list[list[str]] = [
                [events.users[i] for i in events.user[piece].tolist()],
                [events.items[i] for i in events.item[piece].tolist()],
                spell_numbers(events.time[piece]),
            ]
            if events.behavior is not None:
                columns.append([events.behaviors[i] for i in events.behavior[piece].tolist()])
            if events.rating is not None:
                columns.append(spell_numbers(events.rating[piece]))
            file.writelines("\t".join(row) + "\n" for row in zip(*columns, strict=True))


def write_item(path: Path, tokens: Sequence[str], items: ItemTable, key: str = "item_id") -> None:
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
    # str of a float32 is its shortest spelling (4.7); of the float64 made from it, it would be 4.699999809265137
    texts = [str(int(value)) if float(value).is_integer() else str(value) for value in distinct]
    return [texts[i] for i in code.tolist()]
