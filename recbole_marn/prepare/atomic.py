"""Events and items as RecBole's atomic files: tab-separated text with a typed header."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recbole_marn.prepare.tables import ITEM_FIELDS, Events, ItemTable

__all__ = ["write_inter", "write_item"]

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
                [_number(time) for time in events.time[piece].tolist()],
            ]
            if events.behavior is not None:
                columns.append([events.behaviors[i] for i in events.behavior[piece].tolist()])
            if events.rating is not None:
                columns.append([_number(float(f"{rating:.6g}")) for rating in events.rating[piece].tolist()])
            file.writelines("\t".join(row) + "\n" for row in zip(*columns, strict=True))


def write_item(path: Path, tokens: Sequence[str], items: ItemTable) -> None:
    """`item_id` and the fields of the table, one row a token in the given order; empty = missing."""
    columns = [list(tokens)]
    for name in items.fields:
        values = items.column(name, tokens)
        columns.append([_number(value) if isinstance(value, float) else value for value in values])
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        header = ["item_id:token"] + [f"{name}:{ITEM_FIELDS[name]}" for name in items.fields]
        file.write("\t".join(header) + "\n")
        file.writelines("\t".join(row) + "\n" for row in zip(*columns, strict=True))


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
