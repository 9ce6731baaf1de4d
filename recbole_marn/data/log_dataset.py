"""A click log as raw data: `.inter` with labels, behaviours, profile and context, from which parts are cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recbole.utils import FeatureSource, FeatureType

from recbole_marn.data import event_checks, log_checks
from recbole_marn.data import rows as row_rules
from recbole_marn.data.atomic import AtomicTable
from recbole_marn.data.ctr_dataset import CTRDataset
from recbole_marn.data.log_columns import profile_and_context
from recbole_marn.data.log_protocol import LogProtocol
from recbole_marn.data.log_requests import Exposures, GivenHistories
from recbole_marn.data.log_splits import parts_of_words, split_rows_at_random
from recbole_marn.data.rows import Events
from recbole_marn.errors import InputError
from recbole_marn.settings.data import IdModality, TextModality

__all__ = ["LogDataset", "dataset_of"]

# The part of each line where parts are files; no column of a file can be called so.
PART = ":part"


def dataset_of(config: Any) -> CTRDataset:
    """The data set of a Config: a log where it says what the label is, else clicks alone."""
    return (CTRDataset if config["label"] is None else LogDataset)(config)


class LogDataset(CTRDataset):
    """Exposures with labels. Histories are made of the clicked rows, of behaviours, or come with the rows.

    Attributes:
        behaviours_feat: the behaviours of a second file, or None.
        columns: profile and context as they were read.

    Raises:
        InputError: beside those of `CTRDataset`, labels that are none, rows without a request.
    """

    behaviours_feat: pd.DataFrame | None = None

    # ------------------------------------------------------------------------------------------- loading
    def _inter_files(self, token: str) -> list[str]:
        if self.settings.split != "files":
            return super()._inter_files(token)
        if self.settings.split_files is None or len(self.settings.split_files) != 3:
            raise InputError(
                "split_files of training, validation and test for split: files",
                repr(self.settings.split_files),
                "Write e.g. [train, valid, test] for DATASET.train.inter and so on.",
            )
        return [f"{token}.{name}.inter" for name in self.settings.split_files]

    def _load_inter_feat(self, token: str, dataset_path: str) -> None:
        tables, lengths, first = [], {}, []
        for part, file in enumerate(self._inter_files(token)):
            if not (Path(dataset_path) / file).is_file():
                raise InputError(f"the file {file} in {dataset_path}", "no such file", "Correct split_files.")
            table = self._load_feat(str(Path(dataset_path) / file), FeatureSource.INTERACTION)
            first = first or list(table)
            if list(table) != first:
                raise InputError(
                    f"columns {', '.join(first)} in {file}, as in the first file", ", ".join(table), "Correct it."
                )
            lengths = {field: max(length, lengths.get(field, 0)) for field, length in self.field2seqlen.items()}
            tables.append(table.assign(**{PART: float(part)}) if self.settings.split == "files" else table)
        self.inter_feat = pd.concat(tables, ignore_index=True)
        self.field2seqlen.update(lengths)
        if self.settings.split == "files":
            self._check_unfiltered()
            self.set_field_property(PART, FeatureType.FLOAT, FeatureSource.INTERACTION, 1)
        if self.uid_field not in self.inter_feat:
            self.inter_feat[self.uid_field] = np.arange(len(self.inter_feat)).astype(str)
            self.set_field_property(self.uid_field, FeatureType.TOKEN, FeatureSource.USER_ID, 1)
            self.notes.append(f"no column {self.uid_field}: every row is a user of its own; there are no histories")

    def _check_unfiltered(self) -> None:
        for key in ("val_interval", "user_inter_num_interval", "item_inter_num_interval", "rm_dup_inter"):
            if self.config[key] and self.config[key] != "[0,inf)":  # what RecBole sets for its sequential models
                raise InputError(
                    f"'{key}' to be left out with split: files, whose rows are taken as they are",
                    repr(self.config[key]),
                    "Filter the files.",
                )

    def _load_data(self, token: str, dataset_path: str) -> None:
        super()._load_data(token, dataset_path)
        wanted = self.settings.behaviours_settings()
        if wanted is not None and wanted.file is not None:
            self._load_behaviours(Path(self.dataset_path) / wanted.file)

    def _load_behaviours(self, path: Path) -> None:
        if not path.is_file():
            raise InputError(f"the behaviours in {path}", "no such file", "Correct behaviours: {file: ...}.")
        kind = self.behaviour_settings.kind
        types = {self.uid_field: "token", self.iid_field: "token", self.time_field: "float"}
        types |= {kind: "token"} if kind else {}
        table = self._read(path, lambda field: field in types)
        for field, expected in types.items():
            found = table.header.get(field)
            if found != expected and not (found is None and field == self.time_field):
                raise InputError(
                    f"column {field}:{expected} in {path.name}",
                    f"{field}:{found}" if found else f"columns {', '.join(table.header)}",
                    "Correct the header, or the key that names the column.",
                )
        frame = table.frame.dropna(subset=[self.uid_field, self.iid_field]).reset_index(drop=True)
        if lost := len(table.frame) - len(frame):
            self.notes.append(f"{path.name}: {lost} lines without user or item were left out")
        if self.time_field in frame:
            time = frame[self.time_field].to_numpy(dtype=np.float64)
            event_checks.check_times(time, field=self.time_field, file=path.name)
        if kind and kind not in self.inter_feat:
            self._describe(kind, FeatureType.TOKEN, FeatureSource.INTERACTION, frame)
        self.behaviours_feat = frame

    def _wants_twin(self, path: Path) -> bool:
        """A log is read as text: its requests, lists and labels are made of text."""
        return False

    def _find_feedback(self, table: AtomicTable, unwanted: set[str], file: str) -> None:
        """A log has labels."""

    def _wanted_columns(self) -> list[tuple[str, str, str]]:
        wanted = super()._wanted_columns()
        settings, behaviours = self.settings, self.settings.behaviours_settings()
        kind = self.behaviour_settings.kind
        if kind and ((behaviours and behaviours.file) or settings.histories == "given"):
            wanted.remove(("inter", kind, "token"))
        if request := settings.request_settings():
            wanted.append(("inter", request.field, "token"))
        if settings.split == "field":
            if settings.split_field is None:
                raise InputError("split_field, the column that says train, valid or test", "none", "Name it.")
            wanted.append(("inter", settings.split_field, "token"))
        if settings.histories == "given":
            wanted.append(("inter", self._list_field(self.iid_field), "token_seq"))
        return wanted

    def _list_field(self, field: str) -> str:
        return field + self.config["LIST_SUFFIX"]

    def _set_alias(self, alias_name: str, default_value: list[str]) -> None:
        """Given histories hold items."""
        if alias_name == "item_id" and self.settings.histories == "given":
            default_value = [*default_value, self._list_field(self.iid_field)]
        super()._set_alias(alias_name, default_value)

    def _get_remap_list(self, field_list: np.ndarray) -> list[tuple[pd.DataFrame, str, FeatureType]]:
        """Behaviours share the numbers of users, items and types."""
        found = [entry for entry in super()._get_remap_list(field_list) if entry[1] in entry[0]]
        if self.behaviours_feat is not None:
            for field in field_list:
                if field in self.behaviours_feat and self.field2type[field] == FeatureType.TOKEN:
                    found.append((self.behaviours_feat, field, FeatureType.TOKEN))
        return found

    def _fill_nan(self) -> None:
        # RecBole fills missing numbers with the mean, and then makes labels of them.
        self.numbers = {
            (name, field): feat[field].to_numpy(dtype=np.float64, copy=True)
            for name, feat in (("inter", self.inter_feat), ("user", self.user_feat))
            if feat is not None
            for field in feat
            if self.field2type[field] == FeatureType.FLOAT
        }
        super()._fill_nan()

    def _set_label_by_threshold(self) -> None:
        """The key label says what a click is; RecBole's own files set thresholds for some of its models."""

    # ---------------------------------------------------------------------------------------------- rows
    def _take_rows(self) -> None:
        table, settings = self.inter_feat, self.settings
        behaviours = settings.behaviours_settings()
        kind = self.behaviour_settings.kind
        self.behaviour_type = None if kind is None else self.field2id_token[kind]
        is_row, is_behaviour = self._lines(behaviours)
        user, item = (table[field].to_numpy(dtype=np.int64) for field in (self.uid_field, self.iid_field))
        time = table[self.time_field].to_numpy(dtype=np.float64)
        label = self._labels(is_row)
        request, self.request_token = self._requests(is_row)
        given = self._given(is_row) if settings.histories == "given" else None
        rows = Exposures(user[is_row], item[is_row], time[is_row], label, request)
        self.exposures = Exposures(
            rows.user, rows.item, rows.time, label, request, self._parts(rows, is_row),
            None if given is None else given.fingerprint,
        )  # fmt: skip
        self.timed, self.clicks_are_behaviours = True, False
        if given is not None:
            self.behaviours, self.timed = given, given.time is not None
        elif self.behaviours_feat is not None:
            self.timed = self.time_field in self.behaviours_feat
            self.behaviours = self._behaviours(self.behaviours_feat, behaviours.types)
        elif is_behaviour is not None:
            self.behaviours = self._behaviours(table[is_behaviour], behaviours.types)
        else:
            self.clicks_are_behaviours = True
            self.behaviours = self._behaviours(table.iloc[np.flatnonzero(is_row)[label]])
        if not self.timed and self.behaviour_settings.time is not None:
            raise InputError(
                "behaviours with times for behaviour: {time: ...}",
                "behaviours without",
                "Set behaviour: {time: null}: without times, how long ago a behaviour was is absent.",
            )
        if not self.timed:
            self.notes.append("behaviours have no times: nobody can check that they are before the rows")
        self.columns = profile_and_context(self, is_row)

    def _lines(self, behaviours: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Which lines of .inter are rows, and which are behaviours; None where those are elsewhere."""
        every = np.ones(len(self.inter_feat), dtype=bool)
        if behaviours is None or behaviours.file is not None:
            return every, None
        kind = self.behaviour_settings.kind
        if kind is None or behaviours.types is None:
            raise InputError(
                "behaviours: {file: ...}, or {types: [...]} with behaviour: {kind: COLUMN}",
                f"types {behaviours.types}, kind {kind}",
                "Say in which file behaviours are, or which lines of .inter they are.",
            )
        found = self.inter_feat[kind].to_numpy(dtype=np.int64)
        is_behaviour = np.isin(found, self._type_ids(behaviours.types))
        is_row = ~is_behaviour if behaviours.row_types is None else np.isin(found, self._type_ids(behaviours.row_types))
        if not is_row.any():
            raise InputError("rows in .inter", "behaviours alone", "Set behaviours: row_types.")
        return is_row, is_behaviour

    def _type_ids(self, types: Any) -> list[int]:
        kind = self.behaviour_settings.kind
        if kind is None:
            raise InputError("behaviour: {kind: COLUMN} for behaviours: {types: ...}", "no kind", "Name the column.")
        known = self.field2token_id[kind]
        if unknown := [name for name in types if name not in known]:
            raise InputError(
                f"types of behaviours among {', '.join(map(str, self.behaviour_type[1:]))}",
                ", ".join(unknown),
                "Correct behaviours: {types: ...}.",
            )
        return [known[name] for name in types]

    def _labels(self, is_row: np.ndarray) -> np.ndarray:
        label, file = self.settings.label_settings(), f"{self.dataset_name}.inter"
        if label.field not in self.inter_feat or self.field2type[label.field].value not in ("token", "float"):
            raise InputError(
                f"column {label.field} of {file}, a token or a float, for the label",
                f"columns {', '.join(field for field in self.inter_feat if field != PART)}",
                "Correct label: {field: ...}, or add the column to load_col.",
            )
        if ("inter", label.field) in self.numbers:
            values = self.numbers["inter", label.field][is_row]
        else:
            tokens = self.field2id_token[label.field].astype(str)
            tokens[0] = ""
            values = tokens[self.inter_feat[label.field].to_numpy(dtype=np.int64)[is_row]]
        return log_checks.labels_of(values, field=label.field, file=file, at_least=label.at_least)

    def _requests(self, is_row: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        request = self.settings.request_settings()
        if request is None:
            return None, None
        codes = self.inter_feat[request.field].to_numpy(dtype=np.int64)[is_row]
        if missing := int((codes == 0).sum()):
            raise InputError(f"a request in every row of column {request.field}", f"{missing} empty", "Fill them in.")
        return codes, self.field2id_token[request.field]

    def _parts(self, rows: Exposures, is_row: np.ndarray) -> np.ndarray | None:
        settings = self.settings
        if settings.split == "files":
            return self.inter_feat[PART].to_numpy()[is_row].astype(np.int8)
        if settings.split == "field":
            code = self.inter_feat[settings.split_field].to_numpy(dtype=np.int64)[is_row]
            return parts_of_words(code, self.field2id_token[settings.split_field], settings.split_field)
        if settings.split == "random" and settings.split_unit == "row":
            if rows.request is not None:
                raise InputError(
                    "split_unit: request where rows have requests",
                    "row",
                    "A request is never split: set split_unit: request, or leave the key request out.",
                )
            return split_rows_at_random(settings, rows.user, rows.time)
        return None

    def _given(self, is_row: np.ndarray) -> GivenHistories:
        """The lists in the rows: items, and times and types where there are such lists."""
        table = self.inter_feat.iloc[np.flatnonzero(is_row)]

        def joined(field: str) -> tuple[np.ndarray, np.ndarray]:
            length = table[field].map(len).to_numpy(dtype=np.int64)
            return np.concatenate([np.zeros(0), *table[field]]), length

        items = self._list_field(self.iid_field)
        item, length = joined(items)
        parallel: dict[str, np.ndarray | None] = {}
        kind = self.behaviour_settings.kind
        for name, field in (("time", self.time_field), ("kind", kind)):
            column = None if field is None else self._list_field(field)
            parallel[name] = None
            if column in table:
                parallel[name], other = joined(column)
                self._check_lengths_agree(items, length, column, other)
        said = self.config["ITEM_LIST_LENGTH_FIELD"]
        if ("inter", said) in self.numbers:
            self._check_lengths_agree(items, length, said, self.numbers["inter", said][is_row])
        if kind is not None and parallel["kind"] is None:
            raise InputError(
                f"column {self._list_field(kind)}:token_seq beside {items} for behaviour: {{kind: {kind}}}",
                f"columns {', '.join(table)}",
                "Add it, or set behaviour: {kind: null}.",
            )
        types = None if parallel["kind"] is None else parallel["kind"].astype(np.int64)
        if types is not None:
            self.behaviour_type = self.field2id_token[self._list_field(kind)]
            self.behaviour_cardinality = len(self.behaviour_type)
        return GivenHistories(item.astype(np.int64), length, parallel["time"], types)

    def _check_lengths_agree(self, items: str, length: np.ndarray, column: str, other: np.ndarray) -> None:
        wrong = np.flatnonzero(length != other)
        if wrong.size:
            row = wrong[0]
            raise InputError(
                f"histories in {items} as long as {column} says",
                f"{wrong.size} that are not (first in row {row + 1}: {length[row]} items, {other[row]:g})",
                "Correct the lists; items, times and types stand side by side.",
            )

    def _behaviours(self, table: pd.DataFrame, wanted: Sequence[str] | None = None) -> Events:
        """Lines of some types as sorted events; those without times in the order of their file."""
        kind = self.behaviour_settings.kind
        user, item = (table[field].to_numpy(dtype=np.int64) for field in (self.uid_field, self.iid_field))
        types = None if kind is None else table[kind].to_numpy(dtype=np.int64)
        if wanted is not None:
            kept = np.isin(-1 if types is None else types, self._type_ids(wanted))
            user, item, types, table = user[kept], item[kept], types[kept], table[kept]
        if self.time_field in table:
            keys = {"user_key": self._token_hash(self.uid_field), "item_key": self._token_hash(self.iid_field)}
            time = table[self.time_field].to_numpy(dtype=np.float64)
            events = row_rules.sort_events(user, item, time, types, **keys)
        else:
            order = np.argsort(user, kind="stable")
            unknown = np.full(len(order), np.nan)
            events = Events(user[order], item[order], unknown, None if types is None else types[order])
        repeats = row_rules.count_repeats(events, by_type=True)
        if repeats and self.settings.repeats == "error":
            raise InputError(
                "each behaviour (user, item, type) once",
                f"{repeats} of {events.n_events} that repeat one",
                "Set repeats: first to keep the first of each, or repeats: keep.",
            )
        if repeats and self.settings.repeats == "first":
            self.notes.append(f"behaviours: {repeats} that repeat a (user, item, type) were left out")
            events = row_rules.first_of_each_pair(events, by_type=True)
        return events

    # --------------------------------------------------------------------------------------------- parts
    def _protocol(self, notes: list[str], sealed: bool) -> LogProtocol:
        protocol = LogProtocol(
            self.exposures, self.behaviours, self.timed, self.columns, self._extra(), self.settings,
            self.item_num, self.user_num, self.config["MAX_ITEM_LIST_LENGTH"], self.request_token,
            self.behaviour_type, notes, sealed, self.clicks_are_behaviours,
        )  # fmt: skip
        protocol.check_columns()
        return protocol

    def _extra(self) -> dict[str, np.ndarray]:
        """Columns of a row that RecBole's models read, which are tokens and lists of them."""
        if self.serves_ragged:
            return {}
        rows = [c for c in self.columns if not c.by_user and c.tokens is not None]
        return {column.name: column.values for column in rows}

    def _drop_columns(self) -> None:
        """No model may see what is no feature; RecBole's see users, items, profile, context and an item's tokens."""
        for field in list(self.inter_feat.columns):
            if field not in (self.uid_field, self.iid_field, self.time_field):
                known = {c.name: c for c in self.columns if not c.by_user}
                if self.serves_ragged or field not in known:
                    self._del_col(self.inter_feat, field)
        if self.behaviour_settings.kind in self.field2type:
            for known in (self.field2id_token, self.field2token_id, self.field2seqlen, self.field2source):
                known.pop(self.behaviour_settings.kind, None)
            del self.field2type[self.behaviour_settings.kind]
        self.set_field_property(self.label_field, FeatureType.FLOAT, FeatureSource.INTERACTION, 1)
        if self.serves_ragged:
            return
        kept = {self.uid_field, self.iid_field, *(column.name for column in self.columns)}
        for modality in self.modality_settings.values():
            kept |= set(modality.fields) if isinstance(modality, IdModality) else set()
            kept |= {modality.field} if isinstance(modality, TextModality) else set()
        for feat in (self.user_feat, self.item_feat):
            for field in list(feat.columns) if feat is not None else ():
                if field not in kept:
                    self._del_col(feat, field)
        numbers = [c.name for c in self.columns if c.tokens is None]
        if numbers:
            self.notes.append(f"{self.config['model']} reads no numbers: {', '.join(numbers)} left out, as in RecBole")
