"""Data of your own: a table of events, one of items (CSV or Parquet), photos or vectors. See docs/custom-data.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timezone
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.csvs import read_csv, read_header
from recbole_marn.prepare.encoders import need
from recbole_marn.prepare.lines import Tally
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import (
    ITEM_FIELDS,
    EventBuilder,
    Events,
    ItemTable,
    RawDataset,
    clean,
    seconds,
)
from recbole_marn.prepare.titles import title_words

__all__ = ["read"]

_EVENT_ROLES = ("user_id", "item_id", "timestamp", "behavior_type", "rating")
_ITEM_ROLES = ("item_id", "category", "brand", "shop", "title", "price")
_REQUIRED = ("user_id", "item_id", "timestamp")
_PER_SECOND = {"auto": 1, "s": 1, "ms": 1000, "us": 1_000_000}
_BATCH = 65_536


def read(raw: Path, options: Options) -> RawDataset:
    """Events and items by role: a column is taken for the role it is named after, or is named with `--column`.

    Raises:
        InputError: a file or a required column is missing.
    """
    known = (*_EVENT_ROLES, *_ITEM_ROLES)
    for role in options.columns:
        if role.removeprefix("events.").removeprefix("items.") not in known:
            raise InputError(
                f"--column ROLE=COLUMN with one of the roles {', '.join(dict.fromkeys(known))}",
                repr(role),
                "Correct the role; before it may stand `events.` or `items.`.",
            )
    if options.events is None:
        raise InputError("--events FILE (CSV or Parquet)", "none", "Name the table of events; see docs/custom-data.md.")
    for path in filter(None, (options.events, options.items)):
        if not path.is_file():
            raise InputError("a file", f"{path}, which does not exist", "Check the path.")
    tally = Tally(options.events.name, options.max_skipped)
    data = RawDataset(_read_events(options, tally), ItemTable(()), [options.events], [tally])
    if options.items:
        tally = Tally(options.items.name, options.max_skipped)
        data.items = _read_items(options, tally)
        data.sources.append(options.items)
        data.tallies.append(tally)
    return data


def _columns(path: Path, roles: tuple[str, ...], given: Mapping[str, str], kind: str) -> dict[str, str]:
    """Role -> column of the file; `given` has roles as `title`, or as `items.title` for one file only."""
    header = _parquet(path).schema.names if _is_parquet(path) else read_header(path)
    chosen = {}
    for role in roles:
        name = given.get(f"{kind}.{role}", given.get(role))
        if name is not None and name not in header and (f"{kind}.{role}" in given or role != "item_id"):
            raise InputError(
                f"the column {name!r} for {role} in {path}",
                f"the columns {', '.join(header[:30])}",
                "Correct --column.",
            )
        name = name if name in header else role
        if name in header:
            chosen[role] = name
    missing = [role for role in _REQUIRED if role in roles and role not in chosen]
    if missing:
        raise InputError(
            f"columns for {', '.join(missing)} in {path}",
            f"the columns {', '.join(header[:30])}",
            f"Name them, such as --column {missing[0]}=YOUR_COLUMN.",
        )
    return chosen


def _is_parquet(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"PAR1"


def _parquet(path: Path):
    parquet = need("pyarrow.parquet", "parquet", "reading Parquet")
    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise InputError(f"a Parquet file at {path}", f"a damaged one ({error})", "Write it again.") from error


def _rows(path: Path, columns: Mapping[str, str], tally: Tally) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield `(row number, {role: value})`; values are text from CSV and typed or None from Parquet."""
    roles, names = list(columns), list(columns.values())
    if not _is_parquet(path):
        for number, values in read_csv(path, tally, names):
            yield number, dict(zip(roles, values, strict=True))
        return
    try:
        for batch in _parquet(path).iter_batches(_BATCH, columns=list(dict.fromkeys(names))):
            lists = [batch.column(name).to_pylist() for name in names]
            for values in zip(*lists, strict=True):
                tally.read += 1
                yield tally.read, dict(zip(roles, values, strict=True))
    except (OSError, ValueError) as error:
        raise InputError(
            f"a whole Parquet file at {path}", f"one that breaks off ({error})", "Write it again."
        ) from error


def _read_events(options: Options, tally: Tally) -> Events:
    path, per_second = options.events, _PER_SECOND[options.time_unit]
    columns = _columns(path, _EVENT_ROLES, options.columns, "events")
    behaves, rates = "behavior_type" in columns, "rating" in columns
    events = EventBuilder()
    for number, row in _rows(path, columns, tally):
        at = _time(row["timestamp"], per_second)
        behavior = clean(_known(row["behavior_type"])) if behaves else None
        rating = _number(row["rating"]) if rates else None
        if at is None:
            tally.skip("time is no date and no unix time from 1970 to 2100 (milliseconds? --time-unit ms)", number)
        elif behavior == "":
            tally.skip("missing behaviour", number)
        elif rates and rating is None:
            tally.skip("rating is no number", number)
        elif not events.add(_known(row["user_id"]), _known(row["item_id"]), at, behavior, rating):
            tally.skip("missing id", number)
    tally.check()
    return events.build()


def _read_items(options: Options, tally: Tally) -> ItemTable:
    columns = _columns(options.items, _ITEM_ROLES, options.columns, "items")
    table = ItemTable(tuple(role for role in _ITEM_ROLES if role in columns and role in ITEM_FIELDS))
    for number, row in _rows(options.items, columns, tally):
        token = clean(_known(row["item_id"]))
        if not token:
            tally.skip("missing id", number)
            continue
        described: dict[str, str | float] = {}
        for name in table.fields:
            if name == "title":
                described[name], cut = title_words(str(_known(row[name])), options.title_words)
                table.titles_cut += cut
            elif name == "price":
                price = _number(row[name])
                if price is not None and price > 0:
                    described[name] = price
            else:
                described[name] = clean(_known(row[name]))
        table.add(token, described)
    tally.check()
    return table


def _known(value: object) -> object:
    """Parquet gives whole numbers with missing ones among them as floats: 17.0 is the id 17."""
    if value is None:
        return ""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _time(value: object, per_second: int) -> float | None:
    """Unix seconds of a number, a date or an ISO 8601 text; without a zone it is UTC."""
    number = _number(value)
    if number is not None:
        return seconds(number, per_second)
    try:
        moment = value if isinstance(value, (date, datetime)) else datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    try:
        return seconds(moment.timestamp())
    except (OverflowError, ValueError):
        return None
