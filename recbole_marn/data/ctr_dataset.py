"""The raw data set: RecBole's Dataset that reads and checks atomic files, from which parts of labelled rows are cut."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType

from recbole_marn.data import event_checks
from recbole_marn.data import rows as row_rules
from recbole_marn.data.atomic import AtomicTable
from recbole_marn.data.columnar_dataset import ColumnarDataset
from recbole_marn.data.dataset_columns import DatasetColumns
from recbole_marn.data.fields import told_numbers
from recbole_marn.data.host_errors import host_errors
from recbole_marn.data.item_features import TRAIN_INTERACTIONS, ItemFeatures
from recbole_marn.data.labelled_rows import LabelledRows
from recbole_marn.data.numbering import token_hashes
from recbole_marn.data.part import Part, Parts
from recbole_marn.data.protocol import Protocol
from recbole_marn.data.rows import PARTS, Events
from recbole_marn.errors import InputError
from recbole_marn.registry import atomic_files, datasets_at_hand, known_datasets
from recbole_marn.settings.data import DataSettings, token_fields
from recbole_marn.settings.parsing import from_mapping, nearest

__all__ = ["CTRDataset"]


class CTRDataset(ColumnarDataset):
    """Positive events of an `.inter` file and the items and users beside it (settings: `DataSettings`).

    It reads the files, checks them, numbers their tokens and sorts the events. `parts()` cuts labelled rows from it;
    RecBole does so by `build()`. Neither changes the data set.

    Attributes:
        events: all events, sorted, repeats already treated.
        item_numbers: float columns of the items by internal id; NaN where a number is missing.
        item_sequences: float_seq columns of the items by internal id; an empty array where one is missing.
        behaviour_cardinality: number of behaviour types, padding included; None where events have none.
        behaviour_types: (behaviour_cardinality,) their names by code; None where events have none.
        notes: what was dropped or odd while the files were read.

    Raises:
        InputError: files that cannot be read as they are meant, columns that settings name and files lack, events that
            are no clicks, times that cannot be, ids that do not meet, repeats (unless `repeats` says what to do), and
            whatever RecBole's code cannot work with.
    """

    def __init__(self, config: Any):
        self.settings = from_mapping(DataSettings, config.final_config_dict, complete=False)
        self.modality_settings = self.settings.modality_settings()
        self.behaviour_settings = self.settings.behaviour_settings()
        self.serves_ragged = getattr(config.model_class, "batch_format", "padded") == "ragged"
        self.notes: list[str] = []
        self.item_numbers: dict[str, np.ndarray] = {}
        self.item_sequences: dict[str, list[np.ndarray]] = {}
        self._feedback: list[str] = []
        self._first_rows: Part | None = None
        self._token_hash: dict[str, np.ndarray] = {}
        event_checks.check_reading(config)
        with warnings.catch_warnings(), host_errors():
            # pandas' advice on RecBole's own loading code.
            warnings.simplefilter("ignore", FutureWarning)
            super().__init__(config)
        kind = self.type_field
        self.behaviour_cardinality = None if kind is None else self.num(kind)
        self.behaviour_types = None if kind is None else self.field2id_token[kind]
        self._take_rows()
        self._drop_columns()
        self._check_made_columns()
        self._note_pooling()
        with host_errors():
            self._change_feat_format()

    @property
    def type_field(self) -> str | None:
        """The column whose tokens are behaviour types, or None where events have none."""
        return self.behaviour_settings.kind

    # ------------------------------------------------------------------------------------------- loading
    def _load_data(self, token: str, dataset_path: str) -> None:
        folder, token = atomic_files(self.config)
        self.dataset_path = dataset_path = str(folder)
        if not (folder / self._inter_files(token)[0]).is_file():
            raise _no_such_dataset(token, dataset_path)
        super()._load_data(token, dataset_path)
        self._check_columns()
        self._note_coding()
        event_checks.check_lengths(self.config["seq_len"], self.seq_fields)
        for field, length in (self.config["seq_len"] or {}).items():
            most = int(length)
            self.field2seqlen[field] = min(most, self.field2seqlen[field])
            for table in self.field2feats(field):
                table[field] = [entry[:most] for entry in table[field]]
        for table, field, suffix in (
            (self.item_feat, self.iid_field, "item"),
            (self.user_feat, self.uid_field, "user"),
        ):
            if table is not None:
                files = {"events_file": f"{token}.inter", "table_file": f"{token}.{suffix}"}
                self.notes += event_checks.check_ids_meet(self.inter_feat[field], table[field], **files)

    def _inter_files(self, token: str) -> list[str]:
        return [f"{token}.inter"]

    def _load_feat(self, filepath: str, source: FeatureSource | str) -> pd.DataFrame | None:
        """RecBole's reader takes quotation marks for quoting, and short lines for missing values; this one does not."""
        wanted, unwanted = self._get_load_and_unload_col(source)
        if wanted == set():
            return None
        table = self._read(
            Path(filepath), lambda field: (wanted is None or field in wanted) and field not in (unwanted or ())
        )
        if absent := [field for field in wanted or unwanted or () if field not in table.header]:
            key = "load_col" if wanted else "unload_col"
            self.notes.append(f"{Path(filepath).name}: it has no column {', '.join(sorted(absent))}, which {key} names")
        if source == FeatureSource.INTERACTION:
            self._find_feedback(table, unwanted or set(), Path(filepath).name)
        if table.frame.columns.empty:
            self.logger.warning(f"No columns has been loaded from [{source}]")
            return None
        if table.frame.empty and source in (FeatureSource.ITEM, FeatureSource.USER):
            how = f"Write one for each {source.value}, or remove the file."
            raise InputError(f"lines below the header of {filepath}", "none", how)
        for field in table.frame:
            self._describe(field, FeatureType(table.header[field]), source, table.frame)
        key = {FeatureSource.ITEM: self.iid_field, FeatureSource.USER: self.uid_field}.get(source)
        if key in table.frame and (again := int(table.frame[key].duplicated().sum())):
            self.notes.append(f"{Path(filepath).name}: {again} lines that repeat a {key} were left out")
        return table.frame

    def _describe(self, field: str, kind: FeatureType, source: FeatureSource | str, table: pd.DataFrame) -> None:
        """Enter a column into RecBole's dictionaries, as its own reader does; they know one column of a name.

        Raises:
            InputError: another file has a column of that name.
        """
        if source != "link":
            keys = {FeatureSource.USER: (self.uid_field,), FeatureSource.ITEM: (self.iid_field,)}
            known = self.field2source.get(field, source)
            if known != source and field not in keys.get(source, (self.uid_field, self.iid_field)):
                files = " and ".join(f".{self._file_of(of)}" for of in (known, source))
                raise InputError(
                    f"column {field} in one of the files of {self.dataset_name}",
                    f"it in {files}",
                    "Rename one of the two, or leave it out by unload_col.",
                )
            self.field2source[field] = source
            self.field2type[field] = kind
            if "float" in kind.value:
                self.field2bucketnum[field] = 2
        self.field2seqlen[field] = max(map(len, table[field]), default=0) if kind.value.endswith("seq") else 1

    @staticmethod
    def _file_of(source: FeatureSource | str) -> str:
        ids = (FeatureSource.USER_ID, FeatureSource.ITEM_ID)
        return FeatureSource.INTERACTION.value if source in ids else FeatureSource(source).value

    def _find_feedback(self, table: AtomicTable, unwanted: set[str], file: str) -> None:
        """Columns that tell clicks from other lines are looked at once the filters are through."""
        for field in event_checks.feedback_columns(table.header):
            if field in unwanted:
                self.notes.append(f"{file}: column {field} was left out as unload_col says; every line is a click")
            elif field in table.frame:
                self._feedback.append(field)
            else:
                raise InputError(
                    f"nothing but clicks in {file}, for every line is taken for one",
                    f"column '{field}', which load_col leaves out",
                    "Keep the clicks alone, in the file or by loading the column and a val_interval on it; or, if it is"
                    " no column of clicks, name it in unload_col in place of load_col, or rename it.",
                )

    def _parse_intervals_str(self, intervals_str: Any) -> Any:
        """RecBole leaves out an interval it cannot read, and with it the filter."""
        if intervals_str is not None:
            event_checks.check_intervals(intervals_str)
        return super()._parse_intervals_str(intervals_str)

    def _init_alias(self) -> None:
        """RecBole leaves out an alias that is no token column."""
        for key in ("alias_of_user_id", "alias_of_item_id"):
            event_checks.check_alias(key, self.config[key], self.token_like_fields)
        super()._init_alias()

    def _data_filtering(self) -> None:
        before = len(self.inter_feat)
        super()._data_filtering()
        if left := before - len(self.inter_feat):
            self.notes.append(f"events: {left} of {before} left out by filters or for want of a line in .item or .user")
        for field in self._feedback:
            event_checks.check_all_are_clicks(self.inter_feat[field], f"{self.dataset_name}.inter")

    def _wanted_columns(self) -> list[tuple[str, str, str]]:
        """(file, column, type) that the settings name."""
        wanted = [("inter", self.uid_field, "token"), ("inter", self.iid_field, "token")]
        wanted += [("inter", self.time_field, "float")]
        wanted += [("inter", self.behaviour_settings.kind, "token")] if self.behaviour_settings.kind else []
        return wanted + ([("item", self.settings.release_field, "float")] if self.settings.release_field else [])

    def _check_columns(self) -> None:
        """Every column the settings name must be there, and events need user, item and time."""
        behaviour = self.behaviour_settings
        for file, field, kind in self._wanted_columns():
            table = self.inter_feat if file == "inter" else self.item_feat
            if table is None or field not in table:
                raise InputError(
                    f"column {field}:{kind} in {self.dataset_name}.{file}",
                    f"columns {', '.join(table.columns)}" if table is not None else "no such file",
                    "Add the column, or correct the key that names it (load_col, TIME_FIELD, behaviour).",
                )
            found = self.field2type[field].value
            if found != kind:
                raise InputError(
                    f"column {field}:{kind} in {self.dataset_name}.{file}",
                    f"{field}:{found}",
                    "Correct the header of the file, or the key that names the column.",
                )
        if behaviour.time not in (None, self.time_field):
            raise InputError(
                f"behaviour time to be {self.time_field}, the time events are ordered by",
                f"'{behaviour.time}'",
                "Set TIME_FIELD to that column, or behaviour time to null.",
            )
        if len(self.inter_feat) == 0:
            raise InputError(
                f"events in {self.dataset_name}.inter",
                "an empty table",
                "Write a line for each event below its header.",
            )
        time = self.inter_feat[self.time_field].to_numpy()
        event_checks.check_times(time, field=self.time_field, file=f"{self.dataset_name}.inter")

    def _fill_nan(self) -> None:
        # RecBole fills missing numbers with the mean; a statistic must know that they were missing.
        fields = self.item_feat.columns if self.item_feat is not None else []
        numbers = [field for field in fields if self.field2type[field] == FeatureType.FLOAT]
        self.item_numbers = {field: self._numbers("item", field) for field in numbers}
        # And it fills short vectors with zeros; an item without one has none.
        self.item_sequences = {
            field: [np.zeros(0) if isinstance(value, float) else value for value in self.item_feat[field]]
            for field in fields
            if self.field2type[field] == FeatureType.FLOAT_SEQ
        }
        super()._fill_nan()

    def _numbers(self, table: str, field: str) -> np.ndarray:
        """(n,) numbers of a column of .inter, .user or .item as they were read, NaN where they tell nothing."""
        read = getattr(self, f"{table}_feat")[field].to_numpy(dtype=np.float64, copy=True)  # RecBole fills in place
        told = told_numbers(field, read)
        if nothing := int(np.isnan(told).sum() - np.isnan(read).sum()):
            self.notes.append(f"{self.dataset_name}.{table}: {field} is 0 or less in {nothing} lines: taken as missing")
        return told

    # -------------------------------------------------------------------------------------------- parts
    def build(self) -> list[Part | None]:
        """RecBole's entry: the training, validation and test parts."""
        parts = self.parts()
        self._first_rows = parts.train
        return list(parts)

    def parts(self, *, sealed: bool = False) -> Parts:
        """The training, validation and test parts.

        Args:
            sealed: cut no test part; it is None.

        Raises:
            InputError: a part without rows, too few items for the negatives asked for, an item file or vector file
                that does not fit the settings.
        """
        protocol, rows, sha256 = self._make(partial(self._labelled, sealed))
        notes, features = protocol.notes, None
        if self.serves_ragged:
            moving = protocol.moving_statistics()
            features = ItemFeatures.build(
                DatasetColumns(self), self.modality_settings, self.behaviour_settings, rows["train"], moving,
                self.settings.id_min_count,
            )  # fmt: skip
            notes += features.table.notes
            if self.config["id_dropout"]:  # an id without a training row has learned nothing: it is unknown
                features = features.without_ids_of(~moving.trained, self.iid_field)
        notes += [note for name, of_part in rows.items() for note in protocol.notes_on(name, of_part)]

        def part(name: str) -> Part | None:
            if name not in rows:
                return None
            seen = rows[name] if features is None else features.seen_by(rows[name], training=name == "train")
            return Part(
                name, seen, sha256, tuple(notes), protocol, features, self.settings, self.behaviour_cardinality, self
            )

        return Parts(part("train"), part("valid"), part("test"))

    def _labelled(self, sealed: bool) -> tuple[Protocol, dict[str, LabelledRows], str]:
        """All that is as long as the log: the protocol, the rows of the parts, and their fingerprint."""
        protocol = self._protocol(list(self.notes), sealed)
        names = [name for name in PARTS if not (sealed and name == "test")]
        rows = {name: protocol.labelled(name) for name in names}
        if self.serves_ragged and TRAIN_INTERACTIONS in self.settings.statistic_fields():
            protocol.counts.put_in_order()
        return protocol, rows, protocol.sha256(rows, self.token_hash(self.uid_field), self.token_hash(self.iid_field))

    def _protocol(self, notes: list[str], sealed: bool) -> Protocol:
        release = self.settings.release_field
        return Protocol(
            self.events,
            self.settings,
            self.item_num,
            self.config["MAX_ITEM_LIST_LENGTH"],
            None if release is None else self.item_numbers[release],
            notes,
            sealed,
        )

    def _take_rows(self) -> None:
        folder, token = atomic_files(self.config)
        self._choose_maker(folder / f"{token}.inter")
        self.events = self._make(self._sorted_events)
        if left := len(self.inter_feat) - self.events.n_events:
            self.notes.append(f"events: {left} that repeat a (user, item) pair were left out")
        alone = int((self.events.size == 1).sum())
        if alone:
            self.notes.append(f"users: {alone} with a single event have no row (their event still counts)")

    def _sorted_events(self) -> Events:
        table, kind = self.inter_feat, self.behaviour_settings.kind
        events = row_rules.sort_events(
            table[self.uid_field].to_numpy(),
            table[self.iid_field].to_numpy(),
            table[self.time_field].to_numpy(),
            None if kind is None else table[kind].to_numpy(),
            user_key=self.token_hash(self.uid_field),
            item_key=self.token_hash(self.iid_field),
        )
        return events if self.settings.repeats == "keep" else self._without_repeats(events)

    def _without_repeats(self, events: Events) -> Events:
        once = row_rules.first_of_each_pair(events)
        repeats = events.n_events - once.n_events
        if repeats and self.settings.repeats in (None, "error"):
            raise InputError(
                "each (user, item) pair once",
                f"{repeats} of {events.n_events} events that repeat a pair",
                "Set repeats: first to keep each pair's first event, or repeats: keep if repeating is behaviour.",
            )
        return once

    def token_hash(self, field: str) -> np.ndarray:
        """(n,) uint64, a fixed hash of each token of a field by internal id."""
        if field not in self._token_hash:
            self._token_hash[field] = token_hashes(self.field2id_token[field])
        return self._token_hash[field]

    def _drop_columns(self) -> None:
        """No model may see the target's own behaviour or rating; RecBole's models see IDs alone."""
        for field in list(self.inter_feat.columns):
            if field not in (self.uid_field, self.iid_field, self.time_field):
                self._del_col(self.inter_feat, field)
        self.set_field_property(self.label_field, FeatureType.FLOAT, FeatureSource.INTERACTION, 1)
        if self.serves_ragged:
            return
        ids = token_fields(self.modality_settings.values(), words=False)
        for feat, keep in ((self.user_feat, {self.uid_field}), (self.item_feat, ids | {self.iid_field})):
            for field in list(feat.columns) if feat is not None else ():
                if field not in keep:
                    self._del_col(feat, field)

    def _check_made_columns(self) -> None:
        """A column that models see may not be called as one that is made: RecBole knows one of a name."""
        made = {self.label_field}
        if not self.serves_ragged:
            history = self.iid_field + self.config["LIST_SUFFIX"]
            made |= {history, self.config["NEG_PREFIX"] + history, self.config["ITEM_LIST_LENGTH_FIELD"]}
        for file, fields in self._seen_columns().items():
            if taken := [field for field in fields if field in made]:
                raise InputError(
                    f"no column {taken[0]} among those of .{file} that models see, for each row is given one",
                    "one",
                    "Rename it in the header, or leave it out by unload_col.",
                )

    def _seen_columns(self) -> dict[str, Iterable[str]]:
        """Columns that models see, by the file they are of, but for those of the modalities that are no tokens."""
        if self.serves_ragged:
            return {"item": token_fields(self.modality_settings.values())}
        return {name: feat.columns for name in ("user", "item") if (feat := getattr(self, f"{name}_feat")) is not None}

    def _note_pooling(self) -> None:
        """RecBole's models pool lists of users and items alone, and which columns are lists the files say."""
        seen = [field for feat in (self.user_feat, self.item_feat) if feat is not None for field in feat.columns]
        lists = [field for field in seen if self.field2type[field] == FeatureType.TOKEN_SEQ]
        if not self.serves_ragged and self.config["pooling_mode"] not in (None, "mean") and not lists:
            self.notes.append("pooling_mode does nothing in this run: users and items have no token_seq that it reads")

    # ---------------------------------------------------------------- one row, for RecBole's count of operations
    def __getitem__(self, index: Any, join: bool = True) -> Interaction:
        return super().__getitem__(index, join) if self._first_rows is None else self._first_rows[index]


def _no_such_dataset(name: str, path: str) -> InputError:
    known, there = known_datasets(), datasets_at_hand(Path(path).parent)
    how = (
        f"Prepare it from its raw files: recbole-marn prepare {name} --raw DIR."
        if name in known
        else f"Put its atomic files there, or correct the name.{nearest(name, [*known, *there])}"
    )
    return InputError(
        f"the data set '{name}' as {path}/{name}.inter",
        "no such file",
        f"{how} On this machine you can run: {', '.join(there)}.",
    )
