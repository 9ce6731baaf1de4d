"""RecBole's Dataset on columns of codes: what it does to columns of text, without making text of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureType

from recbole_marn.data.atomic import AtomicTable, read_atomic
from recbole_marn.data.made_once import MadeOnce, made_here
from recbole_marn.data.numbering import TokenIds, distinct, number_tokens, places
from recbole_marn.data.rows import Events
from recbole_marn.data.twin import arrow
from recbole_marn.data.twin_table import read_columns
from recbole_marn.settings.data import DataSettings

__all__ = ["ColumnarDataset"]


class ColumnarDataset(Dataset):
    """Reads atomic files by columns where that pays, and takes RecBole's steps on what it read.

    Sub-classes set `settings` and `notes` before they let RecBole read, and `events` before they let it convert.
    """

    settings: DataSettings
    notes: list[str]
    events: Events
    _is_coded = False  # whether .inter was read by columns
    _make: Callable[[Callable[[], Any]], Any] = staticmethod(made_here)  # what is as long as the log is made through it

    def _get_preset(self) -> None:
        super()._get_preset()
        self.field2token_id = TokenIds(self.field2id_token)

    def _read(self, path: Path, keep: Callable[[str], bool]) -> AtomicTable:
        separator, encoding = self.config["field_separator"], self.config["encoding"] or "utf-8"
        table = None
        if self._wants_twin(path):
            if arrow() is None:
                self.notes.append(
                    f"{path.name}: read as text for want of pyarrow, which reads it by columns in a fraction of time"
                    ' and memory: pip install "recbole-marn[parquet]"'
                )
            table = read_columns(path, separator=separator, encoding=encoding, keep=keep, whole=self.time_field)
        if table is None:
            lists = self.config["seq_separator"]
            table = read_atomic(path, separator=separator, list_separator=lists, encoding=encoding, keep=keep)
        self.notes += table.notes
        return table

    def _wants_twin(self, path: Path) -> bool:
        least = self.settings.columnar_from_mb
        return least is not None and path.is_file() and path.stat().st_size >= least * 2**20

    def _choose_maker(self, events: Path) -> None:
        """Where a file of events would be read by columns, one of several processes makes what all need."""
        if not self.config["single_spec"] and self._wants_twin(events):
            self._make = MadeOnce(self.config)

    def _note_coding(self) -> None:
        """To be called once the events are read."""
        self._is_coded = isinstance(self.inter_feat[self.uid_field].dtype, pd.CategoricalDtype)

    def _filter_nan_user_or_item(self) -> None:
        """RecBole numbers all lines for it, and drops others where both a user and an item are missing."""
        tables = {
            "inter": (self.inter_feat, [self.uid_field, self.iid_field]),
            "user": (self.user_feat, [self.uid_field]),
            "item": (self.item_feat, [self.iid_field]),
        }
        for name, (table, fields) in tables.items():
            if table is not None and any(table[field].hasnans for field in fields):
                before = len(table)
                table.dropna(subset=fields, inplace=True)
                lines = f"{before - len(table)} lines without {' or '.join(fields)}"
                self.notes.append(f"{self.dataset_name}.{name}: {lines} were left out")

    def _filter_by_inter_num(self) -> None:
        """RecBole counts the tokens of all events even where no number of them is too small."""
        intervals = (self.config["user_inter_num_interval"], self.config["item_inter_num_interval"])
        if any(text not in (None, "[0,inf)") for text in intervals):
            super()._filter_by_inter_num()

    def _filter_inter_by_user_or_item(self) -> None:
        """RecBole copies all events even where every user and item is known."""
        tables = ((self.user_feat, self.uid_field), (self.item_feat, self.iid_field))
        known = [
            (places(distinct(self.inter_feat[field]), distinct(table[field])) >= 0).all()
            for table, field in tables
            if table is not None
        ]
        if not all(known):
            super()._filter_inter_by_user_or_item()

    def _remap(self, remap_list: list[tuple[pd.DataFrame, str, FeatureType]]) -> None:
        """RecBole's numbers, of coded columns too, and no dictionary of tokens before somebody asks for it."""
        if any(kind != FeatureType.TOKEN for _, _, kind in remap_list):
            super()._remap(remap_list)
        elif remap_list:
            ids, tokens = number_tokens([feat[field] for feat, field, _ in remap_list])
            for (feat, field, _), numbers in zip(remap_list, ids, strict=True):
                self.field2id_token.setdefault(field, tokens)
                narrow = self._is_coded and feat is self.inter_feat
                feat[field] = numbers if narrow else numbers.astype(np.int64)

    def _dataframe_to_interaction(self, data: pd.DataFrame) -> Interaction:
        """Of coded events RecBole gets the sorted ones, as they are: its own conversion would widen and copy them."""
        if data is not self.inter_feat or not self._is_coded:
            return super()._dataframe_to_interaction(data)
        fields, events = (self.uid_field, self.iid_field, self.time_field), self.events
        columns = zip(fields, (events.user, events.item, events.time), strict=True)
        with warnings.catch_warnings():
            # Events that another process made are mapped, and torch has no tensors that cannot be written to.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return Interaction({field: torch.from_numpy(values) for field, values in columns})

    def _fill_nan(self) -> None:
        tables = self.feat_name_list
        if self._is_coded:  # nothing is missing in users, items and times, and the twin is not to be written into
            self.feat_name_list = [name for name in tables if name != "inter_feat"]
        super()._fill_nan()
        self.feat_name_list = tables
