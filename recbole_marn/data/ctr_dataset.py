"""RecBole's Dataset over labelled rows: the same rows, in the same order, for every model."""

from __future__ import annotations

import copy
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType, ModelType

from recbole_marn.data import rows as row_rules
from recbole_marn.data.batch import RaggedBatch
from recbole_marn.data.item_features import ItemFeatures
from recbole_marn.data.item_table import ItemTable
from recbole_marn.data.labelled_rows import LabelledRows
from recbole_marn.data.protocol import PARTS, Protocol
from recbole_marn.data.rows import Events
from recbole_marn.errors import InputError, first_line
from recbole_marn.settings.data import DataSettings, IdModality
from recbole_marn.settings.parsing import from_mapping, nearest

__all__ = ["CTRDataLoader", "CTRDataset", "CTRInteraction"]


class CTRInteraction(Interaction):
    """Columns of B rows for RecBole, and the ragged batch of the same rows for this package's models."""

    def __init__(self, columns: dict[str, torch.Tensor], batch: RaggedBatch):
        super().__init__(columns)
        self.batch = batch

    def to(self, device: Any, selected_field: Any = None) -> CTRInteraction:
        return CTRInteraction(super().to(device, selected_field).interaction, self.batch.to(device))


class CTRDataset(Dataset):
    """Positive events of an `.inter` file as labelled rows with fixed negatives (settings: `DataSettings`).

    `build()` returns the training, validation and test parts. A part serves this package's models with ragged
    batches and RecBole's models with padded ones.

    Attributes:
        protocol: events, split and negatives, independent of RecBole.
        part: "train", "valid" or "test" once built.
        rows: the part's labelled rows.
        sealed: set before `build()`: the test part is not built, and `build()` returns None in its place.
        notes: what was dropped, masked or missing, for the log and the record.
    """

    def __init__(self, config: Any):
        self.settings = from_mapping(DataSettings, config.final_config_dict, complete=False)
        self.modality_settings = self.settings.modality_settings()
        self.behaviour_settings = self.settings.behaviour_settings()
        self.serves_ragged = getattr(config.model_class, "batch_format", "padded") == "ragged"
        self.notes: list[str] = []
        self.part: str | None = None
        self.sealed = False
        with warnings.catch_warnings():
            # pandas' advice on RecBole's own loading code.
            warnings.simplefilter("ignore", FutureWarning)
            super().__init__(config)

    # ------------------------------------------------------------------------------------------- loading
    def _load_data(self, token: str, dataset_path: str) -> None:
        if not (Path(dataset_path) / f"{token}.inter").is_file():
            raise _no_such_dataset(token, dataset_path)
        try:
            super()._load_data(token, dataset_path)
        except ValueError as error:  # of the header, of a number, of the number of columns, of the encoding
            raise InputError(
                f"readable atomic files in {dataset_path}",
                f"'{first_line(error)}' from RecBole's reader",
                "Check that each header names columns as field:type, and that every line has as many columns.",
            ) from error
        self._check_columns()

    def _data_filtering(self) -> None:
        before = len(self.inter_feat)
        try:
            super()._data_filtering()
        except ValueError as error:
            raise InputError(
                "filters that name columns of the data and leave some events",
                f"'{first_line(error)}' from RecBole's filters",
                "Correct val_interval, user_inter_num_interval or item_inter_num_interval.",
            ) from error
        if left := before - len(self.inter_feat):
            self.notes.append(f"events: {left} of {before} left out by filters or for want of a line in .item or .user")

    def _check_columns(self) -> None:
        """Every column the settings name must be there, and events need user, item and time."""
        behaviour = self.behaviour_settings
        wanted = [("inter", self.uid_field, "token"), ("inter", self.iid_field, "token")]
        wanted += [("inter", self.time_field, "float")]
        wanted += [("inter", behaviour.kind, "token")] if behaviour.kind else []
        wanted += [("item", self.settings.release_field, "float")] if self.settings.release_field else []
        for file, field, kind in wanted:
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
            raise InputError(f"events in {self.dataset_name}.inter", "an empty table", "Check the file.")
        unknown = ~np.isfinite(self.inter_feat[self.time_field].to_numpy(dtype=np.float64))
        if unknown.any():
            raise InputError(
                f"a number in every {self.time_field} of {self.dataset_name}.inter",
                f"{int(unknown.sum())} empty or infinite",
                "Fill in or drop those events.",
            )

    def _fill_nan(self) -> None:
        # RecBole fills missing numbers with the mean; a statistic must know that they were missing.
        fields = self.item_feat.columns if self.item_feat is not None else []
        self.item_numbers = {
            # A copy: RecBole fills in place.
            field: self.item_feat[field].to_numpy(dtype=np.float64, copy=True)
            for field in fields
            if self.field2type[field] == FeatureType.FLOAT
        }
        # And it fills short vectors with zeros; an item without one has none.
        self.item_sequences = {
            field: [np.zeros(0) if isinstance(value, float) else value for value in self.item_feat[field]]
            for field in fields
            if self.field2type[field] == FeatureType.FLOAT_SEQ
        }
        super()._fill_nan()

    # -------------------------------------------------------------------------------------------- parts
    def build(self) -> list[CTRDataset | None]:
        """The training, validation and test parts.

        Raises:
            InputError: repeated events (unless `repeats` says what to do), a part without rows, too few items
                for the negatives asked for, an item file or vector file that does not fit the settings.
        """
        events = self._sorted_events()
        self._drop_columns()
        self._change_feat_format()
        release = self.settings.release_field
        self.protocol = Protocol(
            events,
            self.settings,
            self.item_num,
            self.config["MAX_ITEM_LIST_LENGTH"],
            None if release is None else self.item_numbers[release],
            self.notes,
            self.sealed,
        )
        self._training_rows = self.protocol.labelled("train")
        if self.serves_ragged:
            self._find_features()
        parts = [self._part("train", self._training_rows)]
        others = ("valid",) if self.sealed else ("valid", "test")
        parts += [self._part(name, self.protocol.labelled(name)) for name in others]
        # RecBole asks the whole data set for one row, to count a model's operations.
        self.part, self.rows = parts[0].part, parts[0].rows
        self.split_sha256 = self.protocol.sha256(
            {part.part: part.rows for part in parts}, self._token_hash(self.uid_field), self._token_hash(self.iid_field)
        )
        for part in parts:
            part.split_sha256 = self.split_sha256
        return [*parts, None] if self.sealed else parts

    def test_part(self, sampling: str) -> CTRDataset:
        """The test positives against negatives drawn in another way: uniform, popularity or matched."""
        return self._part("test", self.protocol.labelled("test", sampling=sampling))

    def resample(self, epoch: int) -> None:
        """Draw this training part's negatives anew."""
        self.rows = self.protocol.resampled(self.rows, epoch)

    def _part(self, name: str, rows: LabelledRows) -> CTRDataset:
        part = copy.copy(self)
        part.part = name
        part.rows = rows
        if self.serves_ragged:
            at_time = self.features.at_time if name == "train" else None
            part.rows = LabelledRows(rows.events, rows.rows, rows.negatives, at_time, self.features.gap)
        chosen = self.protocol.part_of_event == PARTS[name]
        events = self.protocol.events
        part.inter_feat = Interaction(
            {
                self.uid_field: torch.from_numpy(events.user[chosen]),
                self.iid_field: torch.from_numpy(events.item[chosen]),
                self.time_field: torch.from_numpy(events.time[chosen]),
            }
        )
        return part

    def _sorted_events(self) -> Events:
        table, kind = self.inter_feat, self.behaviour_settings.kind
        events = row_rules.sort_events(
            table[self.uid_field].to_numpy(dtype=np.int64),
            table[self.iid_field].to_numpy(dtype=np.int64),
            table[self.time_field].to_numpy(dtype=np.float64),
            None if kind is None else table[kind].to_numpy(dtype=np.int64),
            user_key=self._token_hash(self.uid_field),
            item_key=self._token_hash(self.iid_field),
        )
        self.behaviour_cardinality = None if kind is None else self.num(kind)
        repeats = row_rules.count_repeats(events)
        if repeats and self.settings.repeats == "error":
            raise InputError(
                "each (user, item) pair once",
                f"{repeats} of {events.n_events} events that repeat a pair",
                "Set repeats: first to keep each pair's first event, or repeats: keep if repeating is behaviour.",
            )
        if repeats and self.settings.repeats == "first":
            events = row_rules.first_of_each_pair(events)
            self.notes.append(f"events: {repeats} that repeat a (user, item) pair were left out")
        alone = int((np.bincount(events.user) == 1).sum())
        if alone:
            self.notes.append(f"users: {alone} with a single event have no row (their event still counts)")
        return events

    def _token_hash(self, field: str) -> np.ndarray:
        """(n,) uint64, a fixed hash of each token of a field by internal id."""
        return pd.util.hash_array(self.field2id_token[field].astype(object), categorize=False)

    def _drop_columns(self) -> None:
        """No model may see the target's own behaviour or rating; RecBole's models see IDs alone."""
        for field in list(self.inter_feat.columns):
            if field not in (self.uid_field, self.iid_field, self.time_field):
                self._del_col(self.inter_feat, field)
        self.set_field_property(self.label_field, FeatureType.FLOAT, FeatureSource.INTERACTION, 1)
        if self.serves_ragged:
            return
        ids = {field for m in self.modality_settings.values() if isinstance(m, IdModality) for field in m.fields}
        for feat, keep in ((self.user_feat, {self.uid_field}), (self.item_feat, ids | {self.iid_field})):
            for field in list(feat.columns) if feat is not None else ():
                if field not in keep:
                    self._del_col(feat, field)

    # ------------------------------------------------------------------------------------------ features
    def _find_features(self) -> None:
        self.features = ItemFeatures.build(
            _Columns(self), self.modality_settings, self.behaviour_settings, self._training_rows, self.protocol.counts
        )
        self.notes += self.features.table.notes

    @property
    def item_table(self) -> ItemTable:
        return self.features.table

    # ------------------------------------------------------------------------------------------- batches
    def __len__(self) -> int:
        return self.rows.n_rows if self.part else len(self.inter_feat)

    def __getitem__(self, index: Any, join: bool = True) -> Interaction:
        return self.batch(np.atleast_1d(np.asarray(index))) if self.part else super().__getitem__(index, join)

    def batch(self, row: np.ndarray) -> Interaction:
        """Rows (B,) of this part in the form the configured model takes."""
        columns = self.rows.columns(row)
        tensors = {
            self.uid_field: torch.from_numpy(columns["user"]),
            self.iid_field: torch.from_numpy(columns["item"]),
            self.time_field: torch.from_numpy(columns["time"]).float(),
            self.label_field: torch.from_numpy(columns["label"]),
        }
        if self.serves_ragged:
            return CTRInteraction(tensors, self.rows.ragged(row, static=self.item_table.statistic))
        interaction = Interaction(tensors)
        if self.config["MODEL_TYPE"] == ModelType.SEQUENTIAL:
            self._add_padded_history(interaction, row)
        return self.join(interaction)

    def _add_padded_history(self, interaction: Interaction, row: np.ndarray) -> None:
        width = self.config["MAX_ITEM_LIST_LENGTH"]
        field = self.iid_field + self.config["LIST_SUFFIX"]
        events = self.protocol.events
        _, length = self.rows.history(row)
        interaction[field] = torch.from_numpy(self.rows.padded(row, events.item, width))
        interaction[self.config["ITEM_LIST_LENGTH_FIELD"]] = torch.from_numpy(length)
        if self.config["model"] == "DIEN":
            unclicked = self.rows.padded(row, self.unclicked_item, width)
            interaction[self.config["NEG_PREFIX"] + field] = torch.from_numpy(unclicked)

    @cached_property
    def unclicked_item(self) -> np.ndarray:
        """(E,) for DIEN's auxiliary loss: an item beside each event that its user never touched."""
        return self.protocol.unclicked_items()


class CTRDataLoader(AbstractDataLoader):
    """Batches of whole groups: a positive and its negatives, which share a history, stay together.

    Order and resampled negatives are functions of the seed and the epoch, so that a resumed run repeats them.
    """

    def __init__(self, config: Any, dataset: CTRDataset, sampler: Any, shuffle: bool = False):
        self.sample_size = dataset.rows.n_groups
        self.rows_per_group = dataset.rows.rows_per_group
        self.part = dataset.part
        super().__init__(config, dataset, sampler, shuffle=shuffle)

    def _init_batch_size_and_step(self) -> None:
        rows = self.config["train_batch_size" if self.part == "train" else "eval_batch_size"]
        self.step = max(1, rows // self.rows_per_group)
        self.set_batch_size(self.step * self.rows_per_group)

    def set_epoch(self, epoch: int) -> None:
        """Prepare the order, and with `resample_negatives` the negatives, of an epoch."""
        self.generator.manual_seed(self.config["seed"] * 1_000_003 + epoch)
        if self._dataset.settings.resample_negatives:
            self._dataset.resample(epoch)

    def collate_fn(self, index: list[int]) -> Any:
        interaction = self._dataset.batch(self._dataset.rows.rows_of_groups(np.asarray(index)))
        return interaction if self.part == "train" else (interaction, None, None, None)


class _Columns:
    """The item columns of a data set after RecBole has numbered their tokens (see item_features.ItemColumns)."""

    def __init__(self, dataset: CTRDataset):
        self._dataset = dataset
        self.n_items = dataset.item_num
        self.folder = Path(dataset.dataset_path)

    def fields(self) -> list[str]:
        feat = self._dataset.item_feat
        return list(feat.columns) if feat is not None else [self._dataset.iid_field]

    def codes(self, field: str) -> tuple[np.ndarray, int]:
        if field == self._dataset.iid_field:
            return np.arange(self.n_items), self.n_items
        self._check(field, FeatureType.TOKEN)
        return self._dataset.item_feat[field].numpy(), self._dataset.num(field)

    def numbers(self, field: str) -> np.ndarray:
        self._check(field, FeatureType.FLOAT)
        return self._dataset.item_numbers[field]

    def words(self, field: str) -> tuple[np.ndarray, dict[str, int]]:
        self._check(field, FeatureType.TOKEN_SEQ)
        return self._dataset.item_feat[field].numpy(), self._dataset.field2token_id[field]

    def vectors(self, field: str) -> list[np.ndarray]:
        self._check(field, FeatureType.FLOAT_SEQ)
        return self._dataset.item_sequences[field]

    def token_id(self) -> dict[str, int]:
        return self._dataset.field2token_id[self._dataset.iid_field]

    def _check(self, field: str, kind: FeatureType) -> None:
        found = self._dataset.field2type[field]
        if found != kind:
            raise InputError(
                f"item column {field}:{kind.value}", f"{field}:{found.value}", "Correct the header of the .item file."
            )


def _no_such_dataset(name: str, path: str) -> InputError:
    from recbole_marn.registry import datasets_at_hand, known_datasets

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
