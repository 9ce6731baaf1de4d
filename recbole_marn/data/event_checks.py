"""What an interaction file must be before its lines are taken for clicks: labels, ids, times, names of columns."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from recbole_marn.data.numbering import distinct, places
from recbole_marn.errors import InputError
from recbole_marn.files import plain
from recbole_marn.settings.parsing import nearest

__all__ = [
    "CLICKED",
    "WRITE_ALIKE",
    "check_alias",
    "check_all_are_clicks",
    "check_ids_meet",
    "check_intervals",
    "check_lengths",
    "check_reading",
    "check_times",
    "feedback_columns",
    "period",
    "within",
]

# Columns that say whether an item was clicked, by their name without case and underscores.
FEEDBACK = {"label", "labels", "click", "clicks", "clicked", "isclick", "isclicked", "wasclicked", "clk", "nonclk"}
FEEDBACK |= {"target", "feedback", "like", "liked", "islike", "isliked", "conversion", "converted", "ctr", "y"}
CLICKED = {"1", "1.0", "true", "yes"}

NAMES = ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD", "LABEL_FIELD", "ITEM_LIST_LENGTH_FIELD")

YEAR_2100 = datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc).timestamp()
UNITS = {"milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
# A share of ids in common below which two files are taken for strangers, and one below which it is said.
STRANGERS, FEW = 0.01, 0.5
WRITE_ALIKE = "Write ids the same way in both files: case, leading zeros, decimals and spaces count."


def check_reading(config: Any) -> None:
    """Refuse keys of RecBole that would make other data of the files than they say.

    Raises:
        InputError: naming the key.
    """
    if config["normalize_field"]:
        raise InputError(
            "'normalize_field' to be left out",
            repr(config["normalize_field"]),
            "Times stay seconds, and a modality of kind statistic bins numbers: remove the key.",
        )
    _check_columns_read(config["load_col"], config["unload_col"])
    field, lists = config["field_separator"], config["seq_separator"]
    if len(field.encode()) != 1 or field in "\r\n" or field == lists:
        raise InputError(
            "'field_separator' to be one character, other than seq_separator", repr(field), "Set it to e.g. a tab."
        )
    names = [config[key] for key in NAMES]
    history = config["ITEM_ID_FIELD"] + config["LIST_SUFFIX"]
    names += [history, config["NEG_PREFIX"] + history]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"different names for {', '.join(NAMES)} and lists", f"'{twice}' twice", "Rename one of them.")


def _check_columns_read(load: Mapping[str, Any] | None, unload: Mapping[str, Any] | None) -> None:
    """RecBole passes over what names no file, and takes a text for its letters."""
    files = ("inter", "user", "item")
    for key, named in (("load_col", load or {}), ("unload_col", unload or {})):
        for file, columns in named.items():
            every = key == "load_col" and columns == "*"
            if file not in files or not (every or isinstance(columns, (list, tuple))):
                raise InputError(
                    f"{key} to map inter, user or item to lists of columns",
                    f"{{{file}: {columns!r}}}",
                    f"Write e.g. {{item: [item_id, price]}}.{nearest(file, files) if file not in files else ''}",
                )
    for file in files:
        if (load or {}).get(file, "*") != "*" and (unload or {}).get(file):
            raise InputError(
                f"one of load_col and unload_col for .{file}",
                "both",
                f"Leave .{file} out of one of them; load_col: null reads every column.",
            )


def check_intervals(text: Any) -> None:
    """Refuse a filter that is no list of intervals.

    Raises:
        InputError: showing it.
    """
    _intervals(text)


def within(values: np.ndarray, text: Any) -> np.ndarray:
    """(n,) bool: which numbers lie in one of the intervals of a filter; NaN lies in none."""
    inside = np.zeros(len(values), dtype=bool)
    for low, high, has_low, has_high in _intervals(text):
        inside |= ((values >= low) if has_low else (values > low)) & ((values <= high) if has_high else (values < high))
    return inside


def _intervals(text: Any) -> list[tuple[float, float, bool, bool]]:
    """Lower and upper end of each interval, and whether they belong to it."""
    number, intervals = r"[-+]?(?:inf|[\d.]+(?:e[-+]?\d+)?)", []
    for interval in str(text).split(";"):
        found = re.fullmatch(rf"([\[(])\s*({number})\s*,\s*({number})\s*([\])])", interval.strip(), re.IGNORECASE)
        if not found or float(found[2]) > float(found[3]):
            raise InputError(
                "intervals such as '[4,inf)' or '[1,2];(5,9]'", repr(text), "Correct the filter, or leave it out."
            )
        intervals.append((float(found[2]), float(found[3]), found[1] == "[", found[4] == "]"))
    return intervals


def check_alias(key: str, alias: Any, token_columns: Sequence[str]) -> None:
    """Refuse names of further id columns that are no columns of tokens.

    Raises:
        InputError: naming them.
    """
    if alias is None:
        return
    if unknown := [str(field) for field in alias if field not in list(token_columns)]:
        raise InputError(
            f"{key} to name token columns", ", ".join(unknown), "Name token or token_seq columns of the atomic files."
        )


def check_lengths(lengths: Any, list_columns: Sequence[str]) -> None:
    """Refuse lengths of columns that are no lists.

    Raises:
        InputError: showing them.
    """
    if lengths is None:
        return
    if unknown := [str(field) for field in lengths if field not in list(list_columns)]:
        raise InputError(
            "'seq_len' to map list columns to lengths of 1 or more",
            ", ".join(unknown),
            f"Columns of lists here: {', '.join(list_columns) or 'none'}.",
        )


def feedback_columns(header: Iterable[str]) -> list[str]:
    """Columns whose name says that they tell clicks from other lines."""
    return [field for field in header if field.replace("_", "").lower() in FEEDBACK]


def check_all_are_clicks(values: pd.Series, file: str) -> None:
    """A feedback column is welcome only where it says of every line that it is a click.

    Raises:
        InputError: other values.
    """
    other = values[~values.astype(str).str.lower().isin(CLICKED)]
    if len(other):
        raise InputError(
            f"nothing but clicks in {file}, for every line is taken for one",
            f"column '{values.name}' with {len(other)} of {len(values)} other values (first {plain(other.iloc[0])!r})",
            f"If it says what was clicked, set label: {{field: {values.name}}}. Or keep the clicks, e.g. val_interval:"
            f" {{{values.name}: '[1,1]'}} for a float column; or, if the column is none of clicks, name it in"
            " unload_col or rename it.",
        )


def check_ids_meet(events: pd.Series, table: pd.Series, *, events_file: str, table_file: str) -> list[str]:
    """Notes on how many ids of the events have a line in the table.

    Raises:
        InputError: hardly any has; one id of each side is shown.
    """
    ids, known = distinct(events), distinct(table)
    if len(ids) == 0 or len(known) == 0:
        return []
    met = places(ids, known) >= 0
    share = met.mean()
    example = f"{ids[~met][0]!r} there and {known[0]!r} in {table_file}" if not met.all() else ""
    if share < STRANGERS:
        raise InputError(
            f"ids in {table_file} that occur in {events_file}",
            f"{int(met.sum())} of {len(ids)} ids of {events_file} ({example})",
            WRITE_ALIKE,
        )
    if share < FEW:
        return [f"{table_file}: only {100 * share:.0f} % of the ids of {events_file} are in it (e.g. {example})"]
    return []


def check_times(time: np.ndarray, *, field: str, file: str) -> None:
    """Refuse times that cannot be seconds since 1970.

    Raises:
        InputError: missing, infinite or negative times, times after the year 2100, or dates written as numbers.
    """
    unknown = ~np.isfinite(time)
    if unknown.any():
        raise InputError(
            f"a number in every {field} of {file}",
            f"{int(unknown.sum())} empty or infinite",
            "Fill in or drop those events.",
        )
    if (early := time[time < 0]).size:
        raise InputError(
            f"{field} of {file} in seconds since 1970",
            f"{early.size} before (first {early[0]:.15g})",
            "Correct those events; where times are relative, add a constant to all of them.",
        )
    late = float(time.max())
    if late >= YEAR_2100:
        unit = next((name for name, factor in UNITS.items() if late / factor < YEAR_2100), None)
        likely = f" (likely {unit}: {period(time / UNITS[unit])})" if unit else ""
        raise InputError(
            f"{field} of {file} in seconds since 1970, before the year 2100",
            f"{late:.15g}{likely}",
            f"Divide by {UNITS[unit]:,.0f}." if unit else "Convert the times to seconds.",
        )
    if _are_dates(time):
        raise InputError(
            f"{field} of {file} in seconds since 1970",
            f"dates as numbers, e.g. {time[0]:.0f}, which would be in {period(time[:1])[:4]}",
            "Convert the dates to seconds; recbole-marn prepare custom reads them.",
        )


def _are_dates(time: np.ndarray) -> bool:
    """Whether all of several numbers read as YYYYMMDD of 1900 to 2100, as few moments of 1970 do."""
    if time.min() < 19_000_000 or time.max() > 21_010_000:
        return False
    days = np.unique(time)
    if len(days) < 3 or not (days == np.floor(days)).all():
        return False
    year, month, day = days // 10_000, days // 100 % 100, days % 100
    return bool(((year >= 1900) & (year <= 2100) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())


def period(time: np.ndarray) -> str:
    """First and last date (UTC) of times in seconds."""
    first, last = (
        datetime.datetime.fromtimestamp(float(moment), tz=datetime.timezone.utc).date().isoformat()
        for moment in (time.min(), time.max())
    )
    return f"{first} to {last}"
