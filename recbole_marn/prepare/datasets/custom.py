"""Data of your own: a table of events, one of items, photos or vectors. See docs/custom-data.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.columns import Assignment, Roles, assignments, choose, no_such_column, spelled_like
from recbole_marn.prepare.datasets.custom_log import read_log
from recbole_marn.prepare.datasets.described import ITEM_ROLES, read_described
from recbole_marn.prepare.fields import FieldReader
from recbole_marn.prepare.lines import Tally
from recbole_marn.prepare.logs import RawLog
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import EventBuilder, RawDataset, RawItems
from recbole_marn.prepare.tabular import Table, open_table
from recbole_marn.prepare.times import Clock
from recbole_marn.prepare.tokens import clean, number, why_no_id

__all__ = ["read"]

EVENT_ROLES = ("user_id", "item_id", "timestamp", "behavior_type", "rating")
_REQUIRED = ("user_id", "item_id", "timestamp")
_FEEDBACK = ("label", "click", "clicked", "is_click", "is_clicked")


def read(raw: Path, options: Options) -> RawDataset | RawLog:
    """Events and items by role: a column is taken for the role it is named after, or is named with `--column`.

    What describes an item may stand in the events, too: then the first value of an item counts.

    Raises:
        InputError: a file or a required column is missing, or an option names a column that no table has.
    """
    if options.exposures is not None:
        if options.events is not None:
            raise InputError("--events or --exposures", "both", "Give clicks as --events, or a log as --exposures.")
        return read_log(options)
    for name in ("behaviours", "users"):
        if getattr(options, name) is not None:
            raise InputError(f"--exposures LOG with --{name}", "none", "Clicks alone are --events and --items.")
    given = assignments(options.columns, ("events", "items"), (*EVENT_ROLES, *ITEM_ROLES))
    for entry in given:
        if entry.role in (*_FEEDBACK, "train_interactions") or entry.table == "items" and entry.role in EVENT_ROLES[2:]:
            raise InputError(
                "--column with a role that its table has",
                f"{entry.text}, which is no column of {entry.table or 'clicks'}",
                "Give a field of items another name; labels belong to a log (--exposures).",
            )
    if options.events is None:
        raise InputError(
            "--events FILE", "none", "Name the table of clicks, or a log as --exposures; see docs/custom-data.md."
        )
    events = open_table(options.events, "--events")
    _choose(events, "events", dict.fromkeys(EVENT_ROLES, ""), given, _REQUIRED)  # said first if they are missing
    items = open_table(options.items, "--items") if options.items else None
    ours = _choose_items(items, given) if items else None
    theirs = _choose_events(events, given, ours)
    _all_used(given, [events, *([items] if items else [])])

    tally = Tally(f"events {options.events.name}", options.max_skipped)
    data = _read_events(theirs, tally, options)
    data.columns[tally.name] = theirs.describe()
    if ours is not None and items is not None:
        tally = Tally(f"items {options.items.name}", options.max_skipped)
        table = read_described(ours, "item_id", tally, options)
        _merge(table, data.items)
        data.items = table
        data.sources += items.files()
        data.tallies.append(tally)
        data.columns[tally.name] = ours.describe()
    return data


def _further(given: list[Assignment], table: str) -> dict[str, str]:
    """Fields of the user's own, which need a type: role -> type."""
    return {
        entry.role: entry.split_type()[1]
        for entry in given
        if entry.role not in (*EVENT_ROLES, *ITEM_ROLES) and entry.table in ("", table)
    }


def _choose(
    table: Table, kind: str, roles: Mapping[str, str], given: list[Assignment], required: Sequence[str]
) -> Roles:
    return choose(table, kind, roles, [entry for entry in given if entry.role in roles], required=required)


def _choose_items(table: Table, given: list[Assignment]) -> Roles:
    return _choose(table, "items", {"item_id": ""} | ITEM_ROLES | _further(given, "items"), given, ["item_id"])


def _choose_events(table: Table, given: list[Assignment], items: Roles | None) -> Roles:
    """The columns of events, and those that describe items unless the table of items has them."""
    described = ITEM_ROLES | _further(given, "events")
    elsewhere = set(items.columns) if items else set()
    asked = {entry.role for entry in given if entry.table == "events"}
    roles = dict.fromkeys(EVENT_ROLES, "") | {
        role: type_ for role, type_ in described.items() if role not in elsewhere or role in asked
    }
    chosen = _choose(table, "events", roles, given, _REQUIRED)
    for column in chosen.left:
        if any(spelled_like(column, name) for name in _FEEDBACK):
            raise InputError(
                f"a table of clicks at {table.path}",
                f"the column {column!r}, by which not every line is one",
                "Give a log with labels as --exposures; or leave out the lines without a click, and the column.",
            )
    for role in elsewhere & set(described) - asked:
        for column in chosen.left:
            if column.casefold() == role:
                chosen.left[column] = "the table of items has it"
    return chosen


def _all_used(given: list[Assignment], tables: list[Table]) -> None:
    for entry in given:
        if not entry.used:
            where = [table for table in tables if not entry.table or table is tables[entry.table == "items"]]
            raise no_such_column(entry, where)


def _read_events(chosen: Roles, tally: Tally, options: Options) -> RawDataset:
    clock = Clock(options.time_unit)
    names = list(chosen.columns)
    fields = [name for name in names if name in chosen.types]
    readers = [FieldReader(name, chosen.types[name], tally, options.title_words) for name in fields]
    described = _FirstValues(fields, readers)
    behaves, rates = "behavior_type" in chosen.columns, "rating" in chosen.columns
    events = EventBuilder()
    for line, values in chosen.table.rows(list(chosen.columns.values()), tally):
        row = dict(zip(names, values, strict=True))
        at, reason = clock.read(row["timestamp"])
        behavior = clean(row["behavior_type"]) if behaves else None
        rating = number(row["rating"]) if rates else None
        if at is None:
            tally.skip(reason, line, row["timestamp"])
        elif behavior == "":
            tally.skip("missing behaviour", line)
        elif rates and rating is None:
            tally.skip("rating is no number", line, row["rating"])
        elif not events.add(row["user_id"], row["item_id"], at, behavior, rating):
            tally.skip(why_no_id(row["user_id"], row["item_id"]), line, (row["user_id"], row["item_id"]))
        elif fields:
            described.see(events.last_item, row, line)
    built = events.build()
    table = described.table(built.items)
    tally.check()
    data = RawDataset(built, table, chosen.table.files(), tallies=[tally])
    data.notes += described.notes()
    data.counts_time = options.time_unit == "relative"
    return data


class _FirstValues:
    """Columns of the events that describe their item: the first known value of each item counts."""

    def __init__(self, fields: list[str], readers: list[FieldReader]):
        self._fields, self._readers = fields, readers
        self._spelled: list[dict[int, object]] = [{} for _ in fields]
        self._values: list[dict[str, object]] = [{} for _ in fields]
        self._changing: list[set[int]] = [set() for _ in fields]

    def see(self, item: int, row: dict[str, object], line: int) -> None:
        for name, reader, spelled, values, changing in zip(
            self._fields, self._readers, self._spelled, self._values, self._changing, strict=True
        ):
            value = row[name]
            if item not in spelled:
                known = reader.read(value, line)
                if known is not None:
                    spelled[item], values[item] = value, known
            elif value != spelled[item] and value is not None and value != "":
                changing.add(item)

    def table(self, tokens: list[str]) -> RawItems:
        types = {reader.name: reader.type for reader in self._readers}
        table = RawItems(tuple(self._fields), types=types)
        for reader, values in zip(self._readers, self._values, strict=True):
            for item, value in reader.finish(values).items():
                table.rows.setdefault(tokens[item], {})[reader.name] = value
            table.titles_cut += reader.cut
        return table

    def notes(self) -> list[str]:
        notes = [f"{name}: taken from the events, the first value of each item" for name in self._fields]
        return [
            note + (f"; {len(changing):,} items have another one later" if changing else "")
            for note, changing in zip(notes, self._changing, strict=True)
        ]


def _merge(table: RawItems, from_events: RawItems) -> None:
    """Add the fields that only the events have."""
    fields = [name for name in from_events.fields if name not in table.fields]
    table.fields += tuple(fields)
    table.types |= {name: from_events.types[name] for name in fields}
    table.titles_cut += from_events.titles_cut
    for token, row in from_events.rows.items():
        if kept := {name: row[name] for name in fields if name in row}:
            table.rows.setdefault(token, {}).update(kept)
