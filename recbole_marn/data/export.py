"""The rows as RecBole benchmark files. RecBole alone trains on them as we do with `shuffle_by: row` (docs/rows.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from recbole_marn.data.context_codes import Column
from recbole_marn.errors import InputError
from recbole_marn.files import check_plain_name, sha256, write_json
from recbole_marn.files.folders import staged_folder
from recbole_marn.settings.data import token_fields

__all__ = ["SUMMARY", "export_benchmark"]

SUMMARY = "{}.export.json"  # by the name of the data set

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
    target, layout = Path(folder) / name, _Layout(parts[0])
    longest = max(int(part.rows.windows(np.arange(part.rows.n_groups))[1].max()) for part in parts)
    files = layout.tables(name) | {f"{name}.{part.name}.inter": layout.rows(part) for part in parts}
    for kind, settings in layout.settings(longest).items():
        files[f"{name}.{kind}.yaml"] = iter([yaml.safe_dump(settings, sort_keys=False)])
    with staged_folder(target, overwrite, SUMMARY.format(name)) as staging:
        for file, pieces in files.items():
            with open(staging / file, "w", encoding="utf-8", newline="\n") as written:
                written.writelines(pieces)
        summary = {
            "name": name,
            "folder": str(target),
            "split_sha256": parts[0].split_sha256,
            "longest_history": longest,
            "rows": {part.name: part.rows.n_rows for part in parts},
            "settings": [file for file in files if file.endswith(".yaml")],
            "files": {file: sha256(staging / file) for file in files},
        }
        made_by = {key: value for key, value in vars(parts[0].settings).items() if key != "modalities"}
        write_json(staging / SUMMARY.format(name), summary | {"made_by": made_by})
    return summary


class _Layout:
    """Which columns of a data set are written, and as what.

    Args:
        part: any part of it; all know its fields.

    Attributes:
        items, users: columns of items and of users that models of RecBole see on our rows, behind the ids.
        further: columns of the rows that they see, of a log.
        history, unclicked: names of the history and of the unclicked items beside it.
        separator: of lists.

    Raises:
        InputError: as `export_benchmark`.
    """

    def __init__(self, part: Any):
        self.part = part
        self.items, self.users, self.further = _item_fields(part), _user_fields(part), _row_columns(part)
        self.history = part.iid_field + part.config["LIST_SUFFIX"]
        self.unclicked = part.config["NEG_PREFIX"] + self.history
        for field in (part.uid_field, part.iid_field, *self.items, *self.users):
            _check_tokens(field, part.field2id_token[field])
        fields = [field for field in (*self.items, *self.users) if part.field2type[field].value.endswith("seq")]
        lists = [part.field2id_token[field] for field in (part.iid_field, *fields)]
        lists += [column.tokens for column in self.further if column.kind == "token_seq"]
        self.separator = _separator(np.concatenate(lists))

    def tables(self, name: str) -> dict[str, Iterator[str]]:
        """Lines by file, of items and, where they have columns, of users."""
        part = self.part
        tables = {f"{name}.item": self._table(part.item_feat, part.iid_field, part.item_num, self.items)}
        if self.users:
            tables[f"{name}.user"] = self._table(part.user_feat, part.uid_field, part.user_num, self.users)
        return tables

    def _table(self, table: Any, key: str, number: int, fields: Sequence[str]) -> Iterator[str]:
        """Every item or user, so that plain RecBole numbers all of them whichever columns it loads."""
        tokens, kinds = self.part.field2id_token, self.part.field2type
        yield _line([f"{key}:token", *(f"{field}:{kinds[field].value}" for field in fields)])
        columns = [_texts(tokens[field], table[field].numpy(), self.separator) for field in fields]
        for index in range(1, number):
            yield _line([tokens[key][index], *(column[index] for column in columns)])

    def rows(self, part: Any) -> Iterator[str]:
        """Header and lines of one part, a group's history put into text once for all its rows."""
        kinds = {part.uid_field: "token", part.iid_field: "token", part.time_field: "float", part.label_field: "float"}
        kinds |= {column.name: column.kind for column in self.further}
        kinds |= {self.history: "token_seq", self.unclicked: "token_seq"}
        yield _line(f"{field}:{kind}" for field, kind in kinds.items())
        user_token, item_token = (part.field2id_token[field] for field in (part.uid_field, part.iid_field))
        rows = part.rows
        for start in range(0, rows.n_groups, CHUNK):
            group = np.arange(start, min(start + CHUNK, rows.n_groups))
            row_of = rows.rows_of_groups(group)
            columns, of_group = rows.columns(row_of), rows.group_of(row_of) - start
            texts = [
                _texts(column.tokens, column.values[rows.requests.line[row_of]], self.separator)
                for column in self.further
            ]
            event, length = rows.history(rows.first_row(group))
            ends = np.cumsum(length)[:-1]
            histories = [
                [self.separator.join(tokens) for tokens in np.split(item_token[values[event]], ends)]
                for values in (rows.events.item, self.part.unclicked_item)
            ]
            for row in range(len(row_of)):
                yield _line(
                    [
                        user_token[columns["user"][row]],
                        item_token[columns["item"][row]],
                        repr(float(columns["time"][row])),
                        f"{columns['label'][row]:.0f}",
                        *(text[row] for text in texts),
                        *(history[of_group[row]] for history in histories),
                    ]
                )

    def settings(self, longest: int) -> dict[str, Mapping[str, Any]]:
        """What plain RecBole must be told, by kind of model.

        Args:
            longest: behaviours of the longest history.
        """
        part = self.part
        user, item, time, label = part.uid_field, part.iid_field, part.time_field, part.label_field
        tables = {"item": [item, *self.items]} | ({"user": [user, *self.users]} if self.users else {})
        plain = [user, item, time, label, *(column.name for column in self.further)]
        common = {
            "USER_ID_FIELD": user,
            "ITEM_ID_FIELD": item,
            "TIME_FIELD": time,
            "LABEL_FIELD": label,
            "field_separator": FIELD,
            "seq_separator": self.separator,
            "LIST_SUFFIX": part.config["LIST_SUFFIX"],
            "NEG_PREFIX": part.config["NEG_PREFIX"],
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

        def with_lists(*lists: str) -> dict[str, Any]:
            return common | {
                # RecBole cuts or overflows lists that are longer than this, so it is the longest there is.
                "MAX_ITEM_LIST_LENGTH": longest,
                "load_col": {"inter": [*plain, *lists], **tables},
                # Without the alias the list would have item ids of its own, silently.
                "alias_of_item_id": list(lists),
            }

        return {
            # Without the list, which these models would take for a bag of further features.
            "context": common | {"load_col": {"inter": plain, **tables}},
            "sequential": with_lists(self.history),
            "dien": with_lists(self.history, self.unclicked),
        }


def _item_fields(part: Any) -> list[str]:
    """Token fields of items, and of a log their lists of words."""
    wanted = token_fields(part.modality_settings.values(), words=part.is_log)
    columns = part.item_feat.columns if part.item_feat is not None else []
    return [field for field in columns if field in wanted and field != part.iid_field]


def _user_fields(part: Any) -> list[str]:
    """Token fields of the users of a log."""
    wanted = part.settings.user_settings().fields if part.is_log else {}
    columns = part.user_feat.columns if part.user_feat is not None else []
    return [field for field in columns if field in wanted and field in part.field2id_token and field != part.uid_field]


def _row_columns(part: Any) -> list[Column]:
    """Token columns of the rows of a log."""
    columns = part.protocol.columns if part.is_log else ()
    return [column for column in columns if not column.by_user and column.tokens is not None]


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


def _texts(names: np.ndarray, ids: np.ndarray, separator: str) -> list[str]:
    """The token of each id (n,), or of each list of ids (n, longest); empty where there is none."""
    names = names.astype(object)
    names[0] = ""
    if ids.ndim == 1:
        return names[ids].tolist()
    return [separator.join(names[row[row > 0]]) for row in ids]


def _line(cells: Iterable[str]) -> str:
    return FIELD.join(cells) + "\n"
