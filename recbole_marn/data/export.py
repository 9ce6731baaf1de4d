"""The rows as RecBole benchmark files. RecBole alone trains on them as we do with `shuffle_by: row` (docs/rows.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from recbole_marn.data.context_codes import Column
from recbole_marn.errors import InputError
from recbole_marn.files import check_plain_name, sha256, write_json
from recbole_marn.files.folders import staged_folder
from recbole_marn.settings.data import IdModality, TextModality

__all__ = ["export_benchmark"]

FIELD = "\t"
# Of the items of a history; RecBole's own is the space.
SEPARATORS = " |;,\x1f"
# Groups of rows put into text at a time: a few megabytes.
CHUNK = 20_000


def export_benchmark(parts: Sequence[Any], folder: str | Path, *, name: str, overwrite: bool = False) -> dict[str, Any]:
    """Write the rows of the three parts, in their order, for plain RecBole.

    Histories are written as they are: last L, oldest first. `neg_item_id_list` holds beside each of its items one
    that the user never touched, for DIEN. Which columns a model may load differs, so there are three settings files:
    NAME.context.yaml (LR, FM, xDeepFM, ...), NAME.sequential.yaml (DIN, ...) and NAME.dien.yaml.

    The folder is whole or absent. Lists are separated by a character that no token has: a space if possible.

    Args:
        parts: the training, validation and test `Part`.
        folder: RecBole's data_path; the files go to `folder/name`, which must not be there yet.
        name: the exported data set's name.
        overwrite: replace `folder/name` if it is there.

    Returns:
        name, folder, split_sha256, longest_history, rows by part, settings (file names), files (name -> SHA-256).
        The same is written to `NAME.export.json`, with the settings the rows were made by.

    Raises:
        InputError: a name with folders in it, a folder that is in use, a token with a tab or a line end, or items
            that use every separator there is.
    """
    check_plain_name("name", name, "--out names the folder")
    target = Path(folder) / name
    dataset = parts[0]
    fields = [dataset.iid_field, *_id_fields(dataset)]
    for field in [dataset.uid_field, *fields]:
        _check_tokens(field, dataset.field2id_token[field])
    users = _user_fields(dataset)
    lists = [dataset.field2id_token[f] for f in (*fields, *users) if dataset.field2type[f].value.endswith("seq")]
    lists += [column.tokens for column in _row_columns(dataset) if column.kind == "token_seq"]
    separator = _separator(np.concatenate([dataset.field2id_token[dataset.iid_field], *lists]))
    files = {
        f"{name}.item": _table(dataset, dataset.item_feat, dataset.iid_field, dataset.item_num, fields[1:], separator)
    }
    for part in parts:
        files[f"{name}.{part.name}.inter"] = _rows(part, dataset.unclicked_item, separator)
    if users:
        for field in users:
            _check_tokens(field, dataset.field2id_token[field])
        files[f"{name}.user"] = _table(
            dataset, dataset.user_feat, dataset.uid_field, dataset.user_num, users, separator
        )
    longest = max(int(part.rows.windows(np.arange(part.rows.n_groups))[1].max()) for part in parts)
    for kind, settings in _settings(dataset, longest, separator).items():
        files[f"{name}.{kind}.yaml"] = iter([yaml.safe_dump(settings, sort_keys=False)])
    with staged_folder(target, overwrite) as staging:
        for file, pieces in files.items():
            with open(staging / file, "w", encoding="utf-8", newline="\n") as written:
                written.writelines(pieces)
        summary = {
            "name": name,
            "folder": str(target),
            "split_sha256": dataset.split_sha256,
            "longest_history": longest,
            "rows": {part.name: part.rows.n_rows for part in parts},
            "settings": [file for file in files if file.endswith(".yaml")],
            "files": {file: sha256(staging / file) for file in files},
        }
        made_by = {key: value for key, value in vars(dataset.settings).items() if key != "modalities"}
        write_json(staging / f"{name}.export.json", summary | {"made_by": made_by})
    return summary


def _id_fields(dataset: Any) -> list[str]:
    """The token fields of items, and in a log their lists of words, that models of RecBole see on our rows."""
    wanted = {field for m in dataset.modality_settings.values() if isinstance(m, IdModality) for field in m.fields}
    if dataset.is_log:
        wanted |= {m.field for m in dataset.modality_settings.values() if isinstance(m, TextModality)}
    columns = dataset.item_feat.columns if dataset.item_feat is not None else []
    return [field for field in columns if field in wanted and field != dataset.iid_field]


def _check_tokens(field: str, tokens: np.ndarray) -> None:
    for token in tokens[1:]:
        if not token or any(character in token for character in (FIELD, "\n", "\r")):
            raise InputError(
                f"tokens of {field} without tabs and line ends",
                repr(str(token)),
                "They separate columns and lines: replace them in the atomic files, e.g. by underscores.",
            )


def _separator(tokens: np.ndarray) -> str:
    """The first of `SEPARATORS` that no item's token has."""
    used = set().union(*map(set, tokens[1:]))
    free = next((separator for separator in SEPARATORS if separator not in used), None)
    if free is None:
        raise InputError(
            f"a character of {SEPARATORS!r} that no item id has", "ids with all of them", "Write simpler item ids."
        )
    return free


def _user_fields(dataset: Any) -> list[str]:
    """The columns of users that models of RecBole see on the rows of a log."""
    wanted = dataset.settings.user_settings().fields if dataset.is_log else {}
    columns = dataset.user_feat.columns if dataset.user_feat is not None else []
    return [
        field for field in columns if field in wanted and field in dataset.field2id_token and field != dataset.uid_field
    ]


def _row_columns(dataset: Any) -> list[Column]:
    """The columns of rows that models of RecBole see on the rows of a log."""
    columns = dataset.protocol.columns if dataset.is_log else ()
    return [column for column in columns if not column.by_user and column.tokens is not None]


def _table(dataset: Any, table: Any, key: str, number: int, fields: Sequence[str], separator: str) -> Iterator[str]:
    """Every item or user, so that plain RecBole numbers all of them whichever columns it loads."""
    yield _line([f"{key}:token", *(f"{field}:{dataset.field2type[field].value}" for field in fields)])
    columns = [_tokens(dataset.field2id_token[field], table[field].numpy(), separator) for field in fields]
    names = dataset.field2id_token[key]
    for index in range(1, number):
        yield _line([names[index], *(column[index] for column in columns)])


def _tokens(names: np.ndarray, ids: np.ndarray, separator: str) -> list[str]:
    """The token of each id (n,), or of each list of ids (n, longest); empty where there is none."""
    names = names.astype(object)
    names[0] = ""
    if ids.ndim == 1:
        return names[ids].tolist()
    return [separator.join(names[row[row > 0]]) for row in ids]


def _list_fields(dataset: Any) -> tuple[str, str]:
    """Names of the history and of the unclicked items beside it."""
    history = dataset.iid_field + dataset.config["LIST_SUFFIX"]
    return history, dataset.config["NEG_PREFIX"] + history


def _rows(part: Any, unclicked: np.ndarray, separator: str) -> Iterator[str]:
    """Header and lines of one part, a positive's history put into text once for all its rows."""
    item_list, unclicked_list = _list_fields(part)
    kinds = {part.uid_field: "token", part.iid_field: "token", part.time_field: "float", part.label_field: "float"}
    further = _row_columns(part)
    kinds |= {column.name: column.kind for column in further}
    kinds |= {item_list: "token_seq", unclicked_list: "token_seq"}
    yield _line(f"{field}:{kind}" for field, kind in kinds.items())
    user_token, item_token = (part.field2id_token[field] for field in (part.uid_field, part.iid_field))
    rows = part.rows
    for start in range(0, rows.n_groups, CHUNK):
        group = np.arange(start, min(start + CHUNK, rows.n_groups))
        row_of = rows.rows_of_groups(group)
        columns, of_group = rows.columns(row_of), rows.group_of(row_of) - start
        texts = [_tokens(column.tokens, column.values[rows.requests.line[row_of]], separator) for column in further]
        event, length = rows.history(rows.first_row(group))
        ends = np.cumsum(length)
        histories = [
            [separator.join(tokens) for tokens in np.split(item_token[values[event]], ends[:-1])]
            for values in (rows.events.item, unclicked)
        ]
        for row in range(len(row_of)):
            yield _line(
                (
                    user_token[columns["user"][row]],
                    item_token[columns["item"][row]],
                    repr(float(columns["time"][row])),
                    f"{columns['label'][row]:.0f}",
                    *(text[row] for text in texts),
                    histories[0][of_group[row]],
                    histories[1][of_group[row]],
                )
            )


def _line(cells: Any) -> str:
    return FIELD.join(cells) + "\n"


def _settings(dataset: Any, longest: int, separator: str) -> dict[str, Mapping[str, Any]]:
    """What plain RecBole must be told, by kind of model."""
    user, item, time, label = dataset.uid_field, dataset.iid_field, dataset.time_field, dataset.label_field
    history, unclicked = _list_fields(dataset)
    items, users = [item, *_id_fields(dataset)], _user_fields(dataset)
    further = {"item": items} | ({"user": [user, *users]} if users else {})
    common = {
        "USER_ID_FIELD": user,
        "ITEM_ID_FIELD": item,
        "TIME_FIELD": time,
        "LABEL_FIELD": label,
        "field_separator": FIELD,
        "seq_separator": separator,
        "LIST_SUFFIX": dataset.config["LIST_SUFFIX"],
        "NEG_PREFIX": dataset.config["NEG_PREFIX"],
        "benchmark_filename": ["train", "valid", "test"],
        # The rows carry their labels: nothing is drawn, split or dropped any more.
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "labeled"},
        "train_neg_sample_args": None,
        "threshold": None,
        "repeatable": True,
        "normalize_all": False,
        "metrics": ["AUC", "LogLoss"],
        "valid_metric": "AUC",
    }
    # RecBole cuts or overflows lists that are longer than this, so it is the longest there is.
    sequential = {"MAX_ITEM_LIST_LENGTH": longest}
    plain = [user, item, time, label, *(column.name for column in _row_columns(dataset))]
    return {
        # Without the list, which these models would take for a bag of further features.
        "context": common | {"load_col": {"inter": plain, **further}},
        # Without the alias the list would have item ids of its own, silently.
        "sequential": common
        | sequential
        | {"load_col": {"inter": [*plain, history], **further}, "alias_of_item_id": [history]},
        "dien": common
        | sequential
        | {
            "load_col": {"inter": [*plain, history, unclicked], **further},
            "alias_of_item_id": [history, unclicked],
        },
    }
