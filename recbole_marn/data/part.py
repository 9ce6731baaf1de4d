"""One part of a data set: labelled rows as a value, which serves this package's models and RecBole's alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureType, ModelType

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.data.context import ContextField
from recbole_marn.data.fingerprint import split_sha256
from recbole_marn.data.item_features import ItemFeatures, OfItems
from recbole_marn.data.item_table import ItemTable
from recbole_marn.data.labelled_rows import LabelledRows
from recbole_marn.data.log_protocol import LogProtocol
from recbole_marn.data.logged_rows import LoggedRows
from recbole_marn.data.numbering import token_hashes
from recbole_marn.data.protocol import Protocol
from recbole_marn.data.rows import PARTS
from recbole_marn.errors import InputError
from recbole_marn.layers.kernels.segment import to_device
from recbole_marn.settings.data import DataSettings, token_fields

__all__ = ["CTRInteraction", "Part", "Parts", "moved"]


class CTRInteraction(Interaction):
    """Columns of B rows for RecBole, and the ragged batch of the same rows for this package's models."""

    def __init__(self, columns: dict[str, torch.Tensor], batch: RaggedBatch):
        super().__init__(columns)
        self.batch = batch

    def to(self, device: Any, selected_field: Any = None) -> CTRInteraction:
        return CTRInteraction(super().to(device, selected_field).interaction, self.batch.to(device))


def moved(interaction: Interaction, device: torch.device) -> Interaction:
    """The same on `device`, by copies that nobody waits for: RecBole's `Interaction.to` waits for each column."""
    columns = {name: to_device(value, device) for name, value in interaction.interaction.items()}
    if isinstance(interaction, CTRInteraction):
        return CTRInteraction(columns, interaction.batch.to(device))
    return Interaction(columns)


class _Fields:
    """What RecBole's models, trainer, collector and loaders ask a data set for; answered by the whole data set.

    RecBole 1.2.1: `context_aware_recommender` and the `ContextSeqEmb` layers read `num`, `fields`, `field2type`,
    `config`, `get_user_feature` and `get_item_feature`; the collector `num` and the counters; the trainer `item_num`.
    """

    source: Dataset

    @property
    def config(self) -> Any:
        return self.source.config

    @property
    def dataset_name(self) -> str:
        return self.source.dataset_name

    @property
    def dataset_path(self) -> str:
        return self.source.dataset_path

    @property
    def uid_field(self) -> str:
        return self.source.uid_field

    @property
    def iid_field(self) -> str:
        return self.source.iid_field

    @property
    def time_field(self) -> str:
        return self.source.time_field

    @property
    def label_field(self) -> str:
        return self.source.label_field

    @property
    def field2type(self) -> Mapping[str, FeatureType]:
        return self.source.field2type

    @property
    def field2source(self) -> Mapping[str, Any]:
        return self.source.field2source

    @property
    def field2id_token(self) -> Mapping[str, np.ndarray]:
        return self.source.field2id_token

    @property
    def field2token_id(self) -> Mapping[str, Mapping[str, int]]:
        return self.source.field2token_id

    @property
    def user_num(self) -> int:
        return self.source.user_num

    @property
    def item_num(self) -> int:
        return self.source.item_num

    @property
    def user_feat(self) -> Interaction | None:
        return self.source.user_feat

    @property
    def item_feat(self) -> Interaction | None:
        return self.source.item_feat

    def num(self, field: str) -> int:
        return self.source.num(field)

    def fields(self, ftype: Any = None, source: Any = None) -> list[str]:
        return self.source.fields(ftype, source)

    def get_user_feature(self) -> Interaction:
        return self.source.get_user_feature()

    def get_item_feature(self) -> Interaction:
        return self.source.get_item_feature()

    def id2token(self, field: str, ids: Any) -> Any:
        return self.source.id2token(field, ids)

    def token2id(self, field: str, tokens: Any) -> Any:
        return self.source.token2id(field, tokens)

    def join(self, columns: Interaction) -> Interaction:
        return self.source.join(columns)


@dataclass(frozen=True, eq=False)
class Part(_Fields, OfItems):
    """The training, validation or test part. Nothing is set on it from outside; other rows are another `Part`.

    Attributes:
        name: "train", "valid" or "test".
        rows: the labelled rows.
        split_sha256: fingerprint of the split this part belongs to.
        notes: what was dropped, masked or missing, for the log and the record.
        protocol: events and split of all parts, and negatives or what the log says.
        features: the item table and how values over time are binned; None for models of RecBole, which see ids alone.
        settings: which rows there are and what items look like.
        behaviour_cardinality: number of behaviour types, padding included; None where events have none.
        source: the data set the part was cut from: names, types and numbers of its fields.
    """

    name: str
    rows: LabelledRows | LoggedRows
    split_sha256: str
    notes: tuple[str, ...]
    protocol: Protocol | LogProtocol
    features: ItemFeatures | None
    settings: DataSettings
    behaviour_cardinality: int | None
    source: Dataset

    # ------------------------------------------------------------------------------------------ other rows
    def resampled(self, epoch: int) -> Part:
        """This training part with the negatives of an epoch."""
        return dataclasses.replace(self, rows=self.protocol.resampled(self.rows, epoch))

    def against(self, sampling: str) -> Part:
        """The same positives of an evaluation part against negatives drawn uniform, popularity or matched.

        Raises:
            InputError: the part is of a log.
        """
        if self.name == "train":
            raise ValueError("training rows are drawn by resampled(epoch)")
        if self.is_log:
            raise InputError("also_test to be empty for a log, which has its own negatives", sampling, "Leave it out.")
        rows = self.protocol.labelled(self.name, sampling=sampling)
        return dataclasses.replace(self, rows=dataclasses.replace(rows, at_time=self.rows.at_time, gap=self.rows.gap))

    # ---------------------------------------------------------------------------------------------- a log
    @property
    def is_log(self) -> bool:
        """Whether rows are exposures with labels, in requests; else clicks with drawn negatives."""
        return isinstance(self.rows, LoggedRows)

    @property
    def context_fields(self) -> tuple[ContextField, ...]:
        """Profile and context, in the order of the columns of `RaggedBatch.context`."""
        return self.protocol.context.fields if isinstance(self.protocol, LogProtocol) else ()

    def served(self) -> Part:
        """The same rows with the position fixed as `position: at_serving` says; this part where nothing is fixed."""
        if not isinstance(self.rows, LoggedRows) or self.settings.position is None:
            return self
        fixed = self.protocol.context.at_serving()
        rows = self.rows
        for column, code in fixed.codes.items():
            rows = rows.at_position(column, code)
        extra = {name: np.full_like(rows.extra[name], value) for name, value in fixed.ids.items() if name in rows.extra}
        return dataclasses.replace(self, rows=dataclasses.replace(rows, extra={**rows.extra, **extra}))

    # ---------------------------------------------------------------------------------------------- facts
    @cached_property
    def numbering_sha256(self) -> str:
        """Fingerprint of the numbers of tokens, by which embeddings go: another order of a file gives others."""
        fields = {self.uid_field, self.iid_field} | token_fields(self.modality_settings.values())
        if isinstance(self.protocol, LogProtocol):
            fields |= {column.name for column in self.protocol.columns if column.tokens is not None}
        tokens = {field: self.field2id_token[field] for field in fields if field in self.field2id_token}
        if self.source.behaviour_types is not None:
            tokens[":types"] = self.source.behaviour_types
        return split_sha256([{name: token_hashes(known) for name, known in tokens.items()}])

    @cached_property
    def items_sha256(self) -> str:
        """Fingerprint of what the model reads of the items, by number."""
        if self.features is not None:
            return self.item_table.sha256
        items = self.source.item_feat
        return split_sha256([{} if items is None else {name: items[name].numpy() for name in items.columns}])

    def facts(self) -> dict[str, int]:
        """Sizes for the record: users, items, catalogue, events of the whole data set, and rows of this part."""
        if isinstance(self.protocol, LogProtocol):
            return self.protocol.facts(self.name) | {"catalogue": self.item_num - 1, "rows": len(self)}
        events = self.protocol.events
        return {
            "users": len(events.first),
            "items": int(np.count_nonzero(np.bincount(events.item))),
            "catalogue": self.item_num - 1,
            "events": int(events.n_events),
            "rows": len(self),
        }

    @property
    def item_table(self) -> ItemTable:
        """What every item looks like, by number.

        Raises:
            InputError: the run is of a model that sees ids alone.
        """
        if self.features is None:
            raise InputError(
                "a model of this package",
                f"{self.config['model']}, which sees ids alone",
                "Choose one with modalities.",
            )
        return self.features.table

    @cached_property
    def inter_feat(self) -> Interaction:
        """The part's events, or rows of a log: user, item and time."""
        if self.is_log:
            columns = self.rows.columns(np.arange(len(self)))
            fields = {"user": self.uid_field, "item": self.iid_field, "time": self.time_field}
            return Interaction({field: torch.from_numpy(columns[name]) for name, field in fields.items()})
        events, chosen = self.protocol.events, self.protocol.part_of_event == PARTS[self.name]
        return Interaction(
            {
                self.uid_field: torch.from_numpy(events.user[chosen].astype(np.int64)),
                self.iid_field: torch.from_numpy(events.item[chosen].astype(np.int64)),
                self.time_field: torch.from_numpy(events.time[chosen]),
            }
        )

    @property
    def user_counter(self) -> dict[int, int]:
        """Events of each user in this part."""
        return self._count(self.uid_field)

    @property
    def item_counter(self) -> dict[int, int]:
        """Events of each item in this part."""
        return self._count(self.iid_field)

    def _count(self, field: str) -> dict[int, int]:
        ids, number = np.unique(self.inter_feat[field].numpy(), return_counts=True)
        return dict(zip(ids.tolist(), number.tolist(), strict=True))

    @property
    def unclicked_item(self) -> np.ndarray:
        """(E,) for DIEN's auxiliary loss: an item beside each event that its user never touched."""
        return self.protocol.unclicked_item

    # ------------------------------------------------------------------------------------------- batches
    def __len__(self) -> int:
        return self.rows.n_rows

    def __getitem__(self, index: Any) -> Interaction:
        return self.batch(np.atleast_1d(np.asarray(index)))

    def batch(self, row: np.ndarray) -> Interaction:
        """Rows (B,) of this part in the form the configured model takes."""
        columns = self.rows.columns(row)
        tensors = {
            self.uid_field: torch.from_numpy(columns["user"]),
            self.iid_field: torch.from_numpy(columns["item"]),
            self.time_field: torch.from_numpy(columns["time"]).float(),
            self.label_field: torch.from_numpy(columns["label"]),
        }
        if self.features is not None:
            return CTRInteraction(tensors, self.rows.ragged(row, static=self.features.table.statistic))
        tensors |= {field: torch.from_numpy(values) for field, values in self.rows.extra_of(row).items()}
        interaction = Interaction(tensors)
        if self.config["MODEL_TYPE"] == ModelType.SEQUENTIAL:
            self._add_padded_history(interaction, row)
        return self.join(interaction)

    def _add_padded_history(self, interaction: Interaction, row: np.ndarray) -> None:
        width = self.config["MAX_ITEM_LIST_LENGTH"]
        field = self.iid_field + self.config["LIST_SUFFIX"]
        _, length = self.rows.history(row)
        if self.config["model"] == "DIEN":
            length = np.maximum(length, 1)  # RecBole's packs no empty history: one padding item, whose vector is zero
        interaction[field] = torch.from_numpy(self.rows.padded(row, self.protocol.events.item, width))
        interaction[self.config["ITEM_LIST_LENGTH_FIELD"]] = torch.from_numpy(length)
        if self.config["model"] == "DIEN":
            unclicked = self.rows.padded(row, self.unclicked_item, width)
            interaction[self.config["NEG_PREFIX"] + field] = torch.from_numpy(unclicked)


class Parts(NamedTuple):
    """The parts of a data set; a sealed one has no test part."""

    train: Part
    valid: Part
    test: Part | None
