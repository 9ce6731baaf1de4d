"""A table that describes items, or users: one row each, with the fields that were chosen."""

from __future__ import annotations

from recbole_marn.prepare.columns import Roles
from recbole_marn.prepare.fields import FieldReader
from recbole_marn.prepare.lines import Tally
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import ITEM_FIELDS, RawItems
from recbole_marn.prepare.tokens import identifier, why_no_id

__all__ = ["ITEM_ROLES", "read_described"]

ITEM_ROLES = {name: ITEM_FIELDS[name] for name in ("category", "brand", "shop", "title", "price")}


def read_described(chosen: Roles, key: str, tally: Tally, options: Options) -> RawItems:
    """Read the fields of every row by its `key`, such as `item_id`; the first row of an id counts."""
    names = list(chosen.columns)
    readers = {name: FieldReader(name, type_, tally, options.title_words) for name, type_ in chosen.types.items()}
    table = RawItems(tuple(readers), types=dict(chosen.types))
    values: dict[str, dict[str, object]] = {name: {} for name in readers}
    for line, cells in chosen.table.rows(list(chosen.columns.values()), tally):
        row = dict(zip(names, cells, strict=True))
        token = identifier(row[key])
        if not token:
            tally.skip(why_no_id(row[key]), line, row[key])
            continue
        if token in table.rows:
            table.duplicates += 1
            continue
        table.rows[token] = {}
        for name, reader in readers.items():
            value = reader.read(row[name], line)
            if value is not None:
                values[name][token] = value
    for name, reader in readers.items():
        for token, value in reader.finish(values[name]).items():
            table.rows[token][name] = value
        table.titles_cut += reader.cut
    tally.check()
    return table
