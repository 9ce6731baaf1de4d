"""A click log as raw data: which lines are rows, their labels, requests and parts, from which parts are cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from recbole.utils import FeatureSource, FeatureType

from recbole_marn.data import log_checks
from recbole_marn.data.ctr_dataset import CTRDataset
from recbole_marn.data.log_behaviours import behaviours_of, given_with_rows, type_ids
from recbole_marn.data.log_columns import profile_and_context
from recbole_marn.data.log_histories import LogBehaviours
from recbole_marn.data.log_loading import PART, LogFiles
from recbole_marn.data.log_protocol import LogProtocol
from recbole_marn.data.log_requests import Exposures
from recbole_marn.data.log_splits import parts_of_words, split_rows_at_random
from recbole_marn.errors import InputError
from recbole_marn.settings.data import token_fields

__all__ = ["LogDataset", "dataset_of"]


def dataset_of(config: Any) -> CTRDataset:
    """The data set of a Config: a log where it says what the label is, else clicks alone."""
    return (CTRDataset if config["label"] is None else LogDataset)(config)


class LogDataset(LogFiles):
    """Exposures with labels. Histories are made of the clicked rows, of behaviours, or come with the rows.

    Attributes:
        columns: profile and context as they were read.

    Raises:
        InputError: beside those of `CTRDataset`, labels that are none, rows without a request.
    """

    # ---------------------------------------------------------------------------------------------- rows
    def _take_rows(self) -> None:
        table, settings = self.inter_feat, self.settings
        behaviours = settings.behaviours_settings()
        is_row, is_behaviour = self._lines(behaviours)
        user, item = (table[field].to_numpy(dtype=np.int64) for field in (self.uid_field, self.iid_field))
        time = table[self.time_field].to_numpy(dtype=np.float64)
        label = self._labels(is_row)
        request, self.request_token = self._requests(is_row)
        given = given_with_rows(self, is_row) if settings.histories == "given" else None
        rows = Exposures(user[is_row], item[is_row], time[is_row], label, request)
        self.exposures = Exposures(
            rows.user, rows.item, rows.time, label, request, self._parts(rows, is_row),
            None if given is None else given.fingerprint,
        )  # fmt: skip
        if given is not None:
            self.behaviours = LogBehaviours(given, timed=given.time is not None)
        elif self.behaviours_feat is not None:
            self.behaviours = behaviours_of(self, self.behaviours_feat, behaviours.types)
        elif is_behaviour is not None:
            self.behaviours = behaviours_of(self, table[is_behaviour], behaviours.types)
        else:
            clicks = behaviours_of(self, table.iloc[np.flatnonzero(is_row)[label]], None)
            self.behaviours = replace(clicks, are_clicks=True)
        if not self.behaviours.timed:
            if self.behaviour_settings.time is not None:
                raise InputError(
                    "behaviours with times for behaviour: {time: ...}",
                    "behaviours without",
                    "Set behaviour: {time: null}: without times, how long ago a behaviour was is absent.",
                )
            self.notes.append("behaviours have no times: nobody can check that they are before the rows")
        self.columns = profile_and_context(self, is_row)

    def _lines(self, behaviours: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Which lines of .inter are rows, and which are behaviours; None where those are elsewhere."""
        every = np.ones(len(self.inter_feat), dtype=bool)
        if behaviours is not None and behaviours.file is not None and behaviours.row_types is not None:
            raise InputError(
                "behaviours: row_types where .inter holds behaviours, too",
                f"file {behaviours.file}",
                "Leave row_types out: every line of .inter is a row.",
            )
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
        is_behaviour = np.isin(found, type_ids(self, behaviours.types))
        is_row = ~is_behaviour if behaviours.row_types is None else np.isin(found, type_ids(self, behaviours.row_types))
        if not is_row.any():
            raise InputError("rows in .inter", "behaviours alone", "Set behaviours: row_types.")
        if neither := int((~is_row & ~is_behaviour).sum()):
            self.notes.append(f"{self.dataset_name}.inter: {neither} lines of other types were left out")
        return is_row, is_behaviour

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

    # --------------------------------------------------------------------------------------------- parts
    def _protocol(self, notes: list[str], sealed: bool) -> LogProtocol:
        protocol = LogProtocol(
            self.exposures, self.behaviours, self.columns, self._extra(), self.settings, self.item_num, self.user_num,
            self.config["MAX_ITEM_LIST_LENGTH"], self.request_token, notes, sealed,
        )  # fmt: skip
        protocol.check_columns()
        return protocol

    def _extra(self) -> dict[str, np.ndarray]:
        """Columns of a row that RecBole's models read, which are tokens and lists of them."""
        if self.serves_ragged:
            return {}
        rows = [c for c in self.columns if not c.by_user and c.tokens is not None]
        return {column.name: column.values for column in rows}

    def _seen_columns(self) -> dict[str, Iterable[str]]:
        return {**super()._seen_columns(), "inter": self._extra()}

    def _drop_columns(self) -> None:
        """No model may see what is no feature; RecBole's see users, items, profile, context and an item's tokens."""
        needed = {self.uid_field, self.iid_field, self.time_field}
        needed |= set() if self.serves_ragged else {column.name for column in self.columns if not column.by_user}
        for field in list(self.inter_feat.columns):
            if field not in needed:
                self._del_col(self.inter_feat, field)
        if self.behaviour_settings.kind in self.field2type:
            for known in (self.field2id_token, self.field2token_id, self.field2seqlen, self.field2source):
                known.pop(self.behaviour_settings.kind, None)
            del self.field2type[self.behaviour_settings.kind]
        self.set_field_property(self.label_field, FeatureType.FLOAT, FeatureSource.INTERACTION, 1)
        if self.serves_ragged:
            return
        kept = {self.uid_field, self.iid_field, *(column.name for column in self.columns)}
        kept |= token_fields(self.modality_settings.values())
        for feat in (self.user_feat, self.item_feat):
            for field in list(feat.columns) if feat is not None else ():
                if field not in kept:
                    self._del_col(feat, field)
        numbers = [c.name for c in self.columns if c.tokens is None]
        if numbers:
            self.notes.append(f"{self.config['model']} reads no numbers: {', '.join(numbers)} left out, as in RecBole")
