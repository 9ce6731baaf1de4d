"""The files of a click log as RecBole's data set reads them: rows, parts that are files, behaviours beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from recbole.utils import FeatureSource, FeatureType

from recbole_marn.data import event_checks
from recbole_marn.data.atomic import AtomicTable
from recbole_marn.data.ctr_dataset import CTRDataset
from recbole_marn.errors import InputError

__all__ = ["PART", "LogFiles"]

# The part of each line where parts are files; no column of a file can be called so.
PART = ":part"


class LogFiles(CTRDataset):
    """A log's files, read and checked; what rows they are says `LogDataset`.

    Attributes:
        behaviours_feat: the behaviours of a second file, or None.
        numbers: (table, column) -> float columns as they were read, NaN where one is missing.
    """

    behaviours_feat: pd.DataFrame | None = None

    def _inter_files(self, token: str) -> list[str]:
        if self.settings.split != "files":
            return super()._inter_files(token)
        if len(set(self.settings.split_files or ())) != 3:
            raise InputError(
                "split_files of training, validation and test for split: files, each another",
                repr(self.settings.split_files),
                "Write e.g. [train, valid, test] for DATASET.train.inter and so on.",
            )
        return [f"{token}.{name}.inter" for name in self.settings.split_files]

    def _load_inter_feat(self, token: str, dataset_path: str) -> None:
        tables, lengths, first = [], {}, []
        for part, file in enumerate(self._inter_files(token)):
            if not (Path(dataset_path) / file).is_file():
                raise InputError(
                    f"the file {file} in {dataset_path}",
                    "no such file",
                    f"Put it there, or name others in split_files: NAME stands for {token}.NAME.inter.",
                )
            table = self._load_feat(str(Path(dataset_path) / file), FeatureSource.INTERACTION)
            first = first or list(table)
            if list(table) != first:
                raise InputError(
                    f"columns {', '.join(first)} in {file}, as in the first file",
                    ", ".join(table),
                    "Give all these files the same header.",
                )
            lengths = {field: max(length, lengths.get(field, 0)) for field, length in self.field2seqlen.items()}
            tables.append(table.assign(**{PART: float(part)}) if self.settings.split == "files" else table)
        self.inter_feat = pd.concat(tables, ignore_index=True)
        self.field2seqlen.update(lengths)
        if self.settings.split == "files":
            self._check_unfiltered()
            self.set_field_property(PART, FeatureType.FLOAT, FeatureSource.INTERACTION, 1)
        self._without_users = self.uid_field not in self.inter_feat
        if self._without_users:
            self._number_users()

    def _number_users(self) -> None:
        """Of a log without users all that is known of one is a request, or where there are none, a row."""
        if self.uid_field != "user_id":  # somebody named a column
            raise InputError(
                f"column {self.uid_field} in .inter, as USER_ID_FIELD says",
                f"columns {', '.join(field for field in self.inter_feat if field != PART)}",
                "Correct USER_ID_FIELD, or leave it out where nobody knows the users.",
            )
        request = self.settings.request_settings()
        known = request is not None and request.field in self.inter_feat
        self.inter_feat[self.uid_field] = (
            self.inter_feat[request.field] if known else np.arange(len(self.inter_feat)).astype(str)
        )
        self.set_field_property(self.uid_field, FeatureType.TOKEN, FeatureSource.USER_ID, 1)
        what = f"every {'request' if known else 'row'} is a user of its own"
        histories = "" if self.settings.histories == "given" else "; there are no histories"
        self.notes.append(f"no column {self.uid_field}: {what}{histories}")

    def _check_has_users(self, what: str, file: str, key: str) -> None:
        """Made-up users are in no other file, where a number that happens to be in both would be taken for one."""
        if self._without_users:
            raise InputError(
                f"a column {self.uid_field} in .inter, for the {what} of {file}",
                "a log without users",
                f"Add the column, or leave that file out ({key}).",
            )

    def _load_feat(self, filepath: str, source: FeatureSource | str) -> pd.DataFrame | None:
        table = super()._load_feat(filepath, source)
        if table is not None and source == FeatureSource.USER:
            self._check_has_users("users", Path(filepath).name, "load_col")
        return table

    def _check_unfiltered(self) -> None:
        for key in ("val_interval", "user_inter_num_interval", "item_inter_num_interval", "rm_dup_inter"):
            if self.config[key] and self.config[key] != "[0,inf)":  # what RecBole sets for its sequential models
                raise InputError(
                    f"'{key}' to be left out with split: files, whose rows are taken as they are",
                    repr(self.config[key]),
                    "Leave the key out, and filter the files before.",
                )

    def _check_given_alone(self) -> None:
        for key in ("behaviours", "repeats"):
            if getattr(self.settings, key) not in (None, "keep"):
                raise InputError(
                    f"'{key}' to be left out with histories: given, which are taken as they come with the rows",
                    repr(getattr(self.settings, key)),
                    f"Set {key}: null, or histories: before.",
                )
        if self.settings.counts_purchases:
            raise InputError(
                "behaviours in a file or in .inter for statistics of purchases",
                "histories: given, where many rows tell of one purchase",
                "Leave purchases and purchase_rate out, or give behaviours in place of histories.",
            )

    def _filter_inter_by_user_or_item(self) -> None:
        if self.settings.split != "files":
            super()._filter_inter_by_user_or_item()

    def _load_data(self, token: str, dataset_path: str) -> None:
        if self.settings.histories == "given":
            self._check_given_alone()
        super()._load_data(token, dataset_path)
        wanted = self.settings.behaviours_settings()
        if wanted is not None and wanted.file is not None:
            self._check_has_users("behaviours", wanted.file, "behaviours")
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
        if frame.empty:
            raise InputError(f"behaviours in {path}", "none", "Write one a line, or leave behaviours: {file: ...} out.")
        users = self.inter_feat[self.uid_field]
        if not frame[self.uid_field].isin(users).any():
            raise InputError(
                f"behaviours of users of the log in {path.name}",
                f"none ({users.iloc[0]!r} there and {frame[self.uid_field].iloc[0]!r} here)",
                event_checks.WRITE_ALIKE,
            )
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
        if kind and ((behaviours and behaviours.file) or settings.histories == "given"):  # their types are elsewhere
            wanted.remove(("inter", kind, "token"))
        if request := settings.request_settings():
            wanted.append(("inter", request.field, "token"))
        if settings.split == "field":
            if settings.split_field is None:
                raise InputError(
                    "split_field, the column that says train, valid or test", "none", "Name it, e.g. split_field: part."
                )
            wanted.append(("inter", settings.split_field, "token"))
        if settings.histories == "given":
            wanted.append(("inter", self.list_field(self.iid_field), "token_seq"))
            wanted += [("inter", self.type_field, "token_seq")] if kind else []
            known = {self.list_field(self.time_field): "float_seq", self.config["ITEM_LIST_LENGTH_FIELD"]: "float"}
            wanted += [("inter", field, type_) for field, type_ in known.items() if field in self.inter_feat]
        return wanted

    @property
    def type_field(self) -> str | None:
        kind = self.behaviour_settings.kind
        return self.list_field(kind) if kind and self.settings.histories == "given" else kind

    def list_field(self, field: str) -> str:
        """Name of the column that holds the history of a field."""
        return field + self.config["LIST_SUFFIX"]

    def _set_alias(self, alias_name: str, default_value: list[str]) -> None:
        """Given histories hold items."""
        if alias_name == "item_id" and self.settings.histories == "given":
            default_value = [*default_value, self.list_field(self.iid_field)]
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
            (name, field): self._numbers(name, field)
            for name, feat in (("inter", self.inter_feat), ("user", self.user_feat))
            if feat is not None
            for field in feat
            if self.field2type[field] == FeatureType.FLOAT
        }
        super()._fill_nan()

    def _set_label_by_threshold(self) -> None:
        """The key label says what a click is; RecBole's own files set thresholds for some of its models."""
