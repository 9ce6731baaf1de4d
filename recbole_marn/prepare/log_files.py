"""A click log as files: `.inter`, `.behaviours`, `.user`, `.item`, the settings that read them, and the record."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.errors import InputError
from recbole_marn.files.folders import staged_folder
from recbole_marn.prepare.atomic import spell_numbers, write_item
from recbole_marn.prepare.logs import RawLog, TokenColumn
from recbole_marn.prepare.meeting import check_meeting
from recbole_marn.prepare.record import (
    FORMAT_VERSION,
    RECORD,
    coverage_of_items,
    item_notes,
    origin,
    span,
    vector_notes,
    vectors_described,
    write_record,
)
from recbole_marn.prepare.settings_file import settings_of_log, spelled
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.word_vectors import write_words

__all__ = ["render_log", "write_log"]

_PIECE = 100_000  # rows turned into text at once


def write_log(
    data: RawLog, dataset: str, out: Path, options: Options, *, overwrite: bool, made_by: Mapping[str, Any]
) -> dict[str, Any]:
    """Write `out/DATASET/`, whole or not at all; `made_by` goes into the record as it is.

    Raises:
        InputError: no exposure, or one of a single class, tables that do not know each other's ids, or an option that
            is for clicks.
    """
    counts, behaviours = _checked_counts(data, options), data.behaviours
    _check_ids(data, options)
    known = dict.fromkeys(chain(data.exposures.item.tokens, behaviours.item.tokens if behaviours else ()))
    unseen = [token for token in data.items.rows if token not in known]
    tokens = [*known, *(unseen if options.keep_unseen_items else ())]
    with staged_folder(out / dataset, overwrite, RECORD.format(dataset)) as folder:
        _write(folder / f"{dataset}.inter", data.exposures.columns())
        write_item(folder / f"{dataset}.item", tokens, data.items)
        if behaviours is not None:
            _write(folder / f"{dataset}.behaviours", behaviours.columns())
        if data.users is not None:
            users = dict.fromkeys(chain(data.exposures.user.tokens, behaviours.user.tokens if behaviours else ()))
            write_item(folder / f"{dataset}.user", list(users), data.users, key="user_id")
        written = data.write_beside(folder, tokens, options.max_skipped)
        words = write_words(data.items, tokens, folder, options)
        if data.has_settings:
            settings = settings_of_log(data, dataset, sorted(written), bool(words))
            (folder / f"{dataset}.yaml").write_text(spelled(settings), encoding="utf-8", newline="\n")
        shown_often = np.bincount(np.array(data.exposures.item.codes), minlength=len(tokens))
        record = {
            "format": FORMAT_VERSION,
            "dataset": dataset,
            "log": True,
            "counts": counts | {"behaviours": len(behaviours) if behaviours else 0},
            "click_rate": counts["clicks"] / counts["exposures"],
            "published": dict(data.published),
            "time": span(np.frombuffer(data.exposures.time), data.counts_time),
            "coverage": coverage_of_items(shown_often, tokens, data.items, written),
            "vectors": vectors_described(data, written) | words,
            "columns": dict(data.columns),
            "checks": data.exposures.checks(),
            **origin(data, _notes(data, unseen, options) + vector_notes(written), data.sources, folder),
            **made_by,
        }
        write_record(folder / RECORD.format(dataset), record)
    return record


def _checked_counts(data: RawLog, options: Options) -> dict[str, int]:
    """Counts of a log of both classes."""
    if options.min_interactions > 1:
        raise InputError(
            "--min-interactions with a table of clicks", "a log of exposures",
            "Leave it out; user_inter_num_interval and item_inter_num_interval leave rows out of a run.",
        )  # fmt: skip
    counts = data.exposures.counts()
    if not counts["exposures"] or not 0 < counts["clicks"] < counts["exposures"]:
        raise InputError(
            "exposures with and without a click",
            f"{counts['clicks']:,} clicks in {counts['exposures']:,} exposures",
            "Check which column is the label. A table of clicks alone is --events.",
        )
    return counts


def _check_ids(data: RawLog, options: Options) -> None:
    """Whether the tables of items, users and behaviours know the ids of the exposures."""
    shown, least = data.exposures.item.tokens, options.min_matched
    if data.items.fields and data.items.rows:
        data.notes += check_meeting(shown, data.items.rows, ("the items shown", "the table of items"), least=least)
    if data.users is not None:
        users = data.exposures.user.tokens
        data.notes += check_meeting(users, data.users.rows, ("the users", "the table of users"), least=least)
    if data.behaviours is not None:
        users, sides = data.behaviours.user.tokens, ("the users of the exposures", "those of the behaviours")
        data.notes += check_meeting(data.exposures.user.tokens, users, sides, least=least)
        if not set(shown) & set(data.behaviours.item.tokens):  # a feed may show nothing but new items
            data.notes.append("no item shown is an item of the behaviours")


def _write(path: Path, columns: Mapping[str, TokenColumn | array]) -> None:
    """A tab-separated file with RecBole's typed header."""
    rows = len(next(iter(columns.values())).codes)  # the first column is one of tokens
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        header = [
            f"{name}:{'token' if isinstance(column, TokenColumn) else 'float'}" for name, column in columns.items()
        ]
        file.write("\t".join(header) + "\n")
        for start in range(0, rows, _PIECE):
            piece = slice(start, start + _PIECE)
            texts: Iterable[list[str]] = [
                column.texts(piece) if isinstance(column, TokenColumn) else _numbers(column[piece])
                for column in columns.values()
            ]
            file.writelines("\t".join(row) + "\n" for row in zip(*texts, strict=True))


def _numbers(values: array) -> list[str]:
    numbers = np.array(values)
    texts = spell_numbers(np.nan_to_num(numbers))
    return ["" if missing else text for text, missing in zip(texts, np.isnan(numbers).tolist(), strict=True)]


def _notes(data: RawLog, unseen: list[str], options: Options) -> list[str]:
    absent = "were never shown" if data.behaviours is None else "are in neither exposures nor behaviours"
    notes = item_notes(data.items, unseen, absent, options)
    if data.users is not None and data.users.duplicates:
        notes.append(f"{data.users.duplicates:,} users are described twice; the first description was taken")
    return notes


def render_log(record: Mapping[str, Any]) -> list[str]:
    """The lines of the report that only a log has."""
    checks = record["checks"]
    lines = [f"click rate: {record['click_rate']:.3%}"]
    if checks:
        lines += [
            "checks of the requests",
            f"  with two users: {checks['two_users']:,}; with two times: {checks['two_times']:,}; "
            f"an item shown twice: {checks['shown_twice']:,}",
            f"  without a click: {checks['without_click']:,}; all clicked: {checks['all_clicked']:,}",
        ]
    return lines
