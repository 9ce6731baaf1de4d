"""What the histories of a log are made of: lines of a table as sorted events, or lists that came with the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recbole_marn.data import rows as row_rules
from recbole_marn.data.log_histories import GivenHistories, LogBehaviours
from recbole_marn.data.log_loading import LogFiles
from recbole_marn.data.rows import Events
from recbole_marn.errors import InputError
from recbole_marn.settings.logs import PURCHASES

__all__ = ["behaviours_of", "given_with_rows", "type_ids"]


def type_ids(dataset: LogFiles, types: Sequence[str], key: str = "types") -> list[int]:
    """The numbers of types of behaviours that the setting `key` names.

    Raises:
        InputError: an unknown one, or behaviours without types.
    """
    kind = dataset.behaviour_settings.kind
    if kind is None:
        raise InputError(f"behaviour: {{kind: COLUMN}} for behaviours: {{{key}: ...}}", "no kind", "Name the column.")
    known = dataset.field2token_id[kind]
    if unknown := [name for name in types if name not in known]:
        raise InputError(
            f"types of behaviours among {', '.join(map(str, dataset.field2id_token[kind][1:]))}",
            ", ".join(unknown),
            f"Correct behaviours: {{{key}: ...}}.",
        )
    return [known[name] for name in types]


def behaviours_of(dataset: LogFiles, table: pd.DataFrame, types: Sequence[str] | None) -> LogBehaviours:
    """Lines of a table: histories are made of the types named, purchases are counted among all.

    Raises:
        InputError: as `type_ids`; repeats, where `repeats: error` allows none.
    """
    wanted = None if dataset.settings.counts_purchases else types
    counted = _sorted_behaviours(dataset, table, wanted)
    source = counted
    if types is not None and wanted is None:
        source = counted.take(np.isin(counted.behaviour, type_ids(dataset, types)))
    timed = dataset.time_field in table
    return LogBehaviours(source, timed=timed, counted=counted, purchase_types=_purchase_ids(dataset))


def _purchase_ids(dataset: LogFiles) -> list[int]:
    """The numbers of the types that are purchases: those that the settings name, or that are called so.

    Raises:
        InputError: as `type_ids`.
    """
    behaviours = dataset.settings.behaviours_settings()
    if behaviours is not None and behaviours.purchase_types is not None:
        if not dataset.settings.counts_purchases:
            dataset.notes.append("behaviours: purchase_types says nothing, for no statistic counts purchases")
        return type_ids(dataset, behaviours.purchase_types, "purchase_types")
    types = [] if dataset.behaviour_types is None else [str(token) for token in dataset.behaviour_types]
    found = [number for number, token in enumerate(types) if token.lower() in PURCHASES]
    if dataset.settings.counts_purchases and not found:
        raise InputError(
            f"a type of behaviours among {', '.join(PURCHASES)}, for statistics of purchases",
            f"types {', '.join(types[1:]) or 'none'}",
            "Name the column of types under behaviour: {kind: ...} and the purchases under behaviours: "
            "{purchase_types: [...]}, or leave purchases and purchase_rate out.",
        )
    return found


def _sorted_behaviours(dataset: LogFiles, table: pd.DataFrame, wanted: Sequence[str] | None) -> Events:
    """Lines of some types in order; those without times in the order of their file.

    Raises:
        InputError: repeats, where `repeats: error` allows none.
    """
    kind = dataset.behaviour_settings.kind
    user, item = (table[field].to_numpy(dtype=np.int64) for field in (dataset.uid_field, dataset.iid_field))
    types = None if kind is None else table[kind].to_numpy(dtype=np.int64)
    if wanted is not None:
        kept = np.isin(-1 if types is None else types, type_ids(dataset, wanted))
        user, item, types, table = user[kept], item[kept], types[kept], table[kept]
    if dataset.time_field in table:
        keys = {"user_key": dataset.token_hash(dataset.uid_field), "item_key": dataset.token_hash(dataset.iid_field)}
        time = table[dataset.time_field].to_numpy(dtype=np.float64)
        events = row_rules.sort_events(user, item, time, types, **keys)
    else:
        order = np.argsort(user, kind="stable")
        unknown = np.full(len(order), np.nan)
        events = Events(user[order], item[order], unknown, None if types is None else types[order])
    repeats = row_rules.count_repeats(events, by_type=True)
    if repeats and dataset.settings.repeats == "error":
        raise InputError(
            "each behaviour (user, item, type) once",
            f"{repeats} of {events.n_events} that repeat one",
            "Set repeats: first to keep the first of each, or repeats: keep.",
        )
    if repeats and dataset.settings.repeats == "first":
        dataset.notes.append(f"behaviours: {repeats} that repeat a (user, item, type) were left out")
        events = row_rules.first_of_each_pair(events, by_type=True)
    return events


def given_with_rows(dataset: LogFiles, is_row: np.ndarray) -> GivenHistories:
    """The lists in the rows: items, and times and types where there are such lists.

    Raises:
        InputError: lists of different lengths.
    """
    table = dataset.inter_feat.iloc[np.flatnonzero(is_row)]

    def joined(field: str) -> tuple[np.ndarray, np.ndarray]:
        length = table[field].map(len).to_numpy(dtype=np.int64)
        return np.concatenate([np.zeros(0), *table[field]]), length

    items = dataset.list_field(dataset.iid_field)
    item, length = joined(items)
    parallel: dict[str, np.ndarray | None] = {}
    for name, column in (("time", dataset.list_field(dataset.time_field)), ("kind", dataset.type_field)):
        parallel[name] = None
        if column in table:
            parallel[name], other = joined(column)
            _check_lengths_agree(items, length, column, other)
    said = dataset.config["ITEM_LIST_LENGTH_FIELD"]
    if ("inter", said) in dataset.numbers:
        _check_lengths_agree(items, length, said, dataset.numbers["inter", said][is_row])
    types = None if parallel["kind"] is None else parallel["kind"].astype(np.int64)
    return GivenHistories(item.astype(np.int64), length, parallel["time"], types)


def _check_lengths_agree(items: str, length: np.ndarray, column: str, other: np.ndarray) -> None:
    wrong = np.flatnonzero(length != other)
    if wrong.size:
        row = wrong[0]
        raise InputError(
            f"histories in {items} as long as {column} says",
            f"{wrong.size} that are not (first in row {row + 1}: {length[row]} items, {other[row]:g})",
            "Correct the lists; items, times and types stand side by side.",
        )
