"""Every modality of an item, aligned to one width: e_im = Align_m(raw_im) (paper section 3.2)."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.data.item_table import IdTable, ItemTable, StatisticTable, TextTable, VectorTable
from recbole_marn.errors import InputError
from recbole_marn.layers.encoders import CategoricalEncoder, TextEncoder, VectorEncoder
from recbole_marn.layers.fusion import larger_of
from recbole_marn.layers.normalisation import ModalityBatchNorm
from recbole_marn.settings.data import ModalitySettings

__all__ = ["Cells", "ItemEncoder"]

# Cells of items beside cells of statistics need masks and have to be joined: that pays where whole entities would be
# more by this factor.
SPLIT_FROM = 1.15


@dataclass
class Cells:
    """Aligned modalities in R rows, and how entities are put together from them.

    A cell is a row of modalities. Whatever is computed modality by modality is computed on cells, of which there are
    as few as possible: either one an entity, or, where few statistics meet many items, U cells of items, in which the
    statistic modalities are absent, then V of statistics, in which all others are. An entity then joins two of them.

    Attributes:
        aligned: (R, M, D), R = E or U + V.
        present: (R, M) bool.
        entity_item: (E,) the item cell of each entity, or None when the cells are the entities.
        entity_statistic: (E,) the statistic cell of each entity, or None when the cells are the entities.
        is_statistic: (M,) bool.
        item: (E,) the item of each entity.
        count: (R,) occurrences, if every row carried its own history; None in evaluation.
        candidate_count: (R,) occurrences as a candidate; None in evaluation.
    """

    aligned: Tensor
    present: Tensor
    entity_item: Tensor | None
    entity_statistic: Tensor | None
    is_statistic: Tensor
    item: Tensor
    count: Tensor | None = None
    candidate_count: Tensor | None = None

    @cached_property
    def mask(self) -> Tensor | None:
        """`present`, or None where nothing is absent and masking would be wasted; a GPU is not waited for."""
        return None if self.present.is_cpu and bool(self.present.all()) else self.present

    def counted(self, entity_count: Tensor, candidate_count: Tensor) -> Cells:
        """The same cells with the occurrences of entities (E,) added up by cell."""
        return dataclasses.replace(
            self, count=self._by_cell(entity_count), candidate_count=self._by_cell(candidate_count)
        )

    def _by_cell(self, count: Tensor) -> Tensor:
        if self.entity_item is None:
            return count
        total = count.new_zeros(len(self.present)).index_add_(0, self.entity_item, count)
        return total.index_add_(0, self.entity_statistic, count)

    def items(self, value: Tensor) -> Tensor:
        """Values of cells (R, ...) as values of entities (E, ...), taken from their item cells."""
        return value if self.entity_item is None else value.index_select(0, self.entity_item)

    def entities(self, value: Tensor) -> Tensor:
        """Values of cells (R, M, ...) as values of entities (E, M, ...)."""
        if self.entity_item is None:
            return value
        chosen = self.is_statistic.view(1, -1, *[1] * (value.dim() - 2))
        return torch.where(chosen, value.index_select(0, self.entity_statistic), self.items(value))

    def add(self, fused: Tensor) -> Tensor:
        """Sums over each cell's modalities (R, D) as sums over each entity's (E, D)."""
        if self.entity_item is None:
            return fused
        return self.items(fused) + fused.index_select(0, self.entity_statistic)

    def join(self, pooled: Tensor, how: str) -> Tensor:
        """Maxima or means over each cell's modalities (R, D) as those over each entity's (E, D)."""
        if self.entity_item is None:
            return pooled
        if how == "mean":
            number = self.present.sum(1, keepdim=True).to(pooled.dtype)  # (R, 1)
            return self.add(pooled * number) / self.add(number).clamp_min(1)
        return larger_of(pooled, self.present.any(1), self.entity_item, self.entity_statistic)


class FrozenTables(nn.Module):
    """Tables that are read and never learned: not in checkpoints, and shared by copies of a model."""

    def __init__(self, tables: Mapping[str, Tensor]):
        super().__init__()
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    def __deepcopy__(self, memo: dict) -> FrozenTables:
        # RecBole copies the model to count operations; a catalogue of image vectors must not double for that.
        twin = copy.copy(self)
        twin._buffers = dict(self._buffers)
        return twin

    def __getitem__(self, name: str) -> Tensor:
        return self._buffers[name]


class ItemEncoder(nn.Module):
    """Looks items up in the item table and encodes each modality once per unique item.

    Args:
        table: the data set's items.
        settings: modality name -> its settings (sizes of the text CNN and of a statistic's embeddings).
        width: D.
        reference_kernels: slow, readable kernels for titles and images.
        normalise: batch normalisation of each aligned modality.
        id_field: the field of ID modalities that tells one item from all others.
        id_dropout: share of a batch's items whose `id_field` is unknown (code 0) while the model trains, so that an
            item without a known id is no stranger.
    """

    def __init__(
        self,
        table: ItemTable,
        settings: Mapping[str, ModalitySettings],
        *,
        width: int,
        reference_kernels: bool = False,
        normalise: bool = False,
        id_field: str = "",
        id_dropout: float = 0.0,
    ):
        super().__init__()
        self.names = table.names
        self.width = width
        self.id_dropout = id_dropout
        self.id_columns = {
            name: column
            for name, modality in table.modalities.items()
            if isinstance(modality, IdTable) and (column := modality.column_of(id_field)) is not None
        }
        self._hidden: Tensor | None = None
        self.statistic_columns = {
            name: slice(modality.start, modality.stop)
            for name, modality in table.modalities.items()
            if isinstance(modality, StatisticTable)
        }
        self.encoders = nn.ModuleDict()
        for name, modality in table.modalities.items():
            if isinstance(modality, IdTable):
                sizes, bags = modality.sizes, modality.bags
                encoder = CategoricalEncoder(
                    cardinalities=modality.cardinalities, sizes=sizes, width=width, bags=bags
                )
            elif isinstance(modality, VectorTable):
                encoder = VectorEncoder(size=modality.matrix.shape[1], width=width, reference=reference_kernels)
            elif isinstance(modality, TextTable):
                encoder = _text_encoder(modality, settings[name], width, reference_kernels)
            else:
                sizes = (settings[name].size,) * len(modality.cardinalities)
                encoder = CategoricalEncoder(cardinalities=modality.cardinalities, sizes=sizes, width=width)
            _enter(self.encoders, name, encoder)
        self.frozen = FrozenTables(_frozen(table))
        self.norm = ModalityBatchNorm(n_modalities=len(self.names), width=width) if normalise else None

    @property
    def n_items(self) -> int:
        """Rows of the item table, the padding included."""
        return len(self.frozen["present"])

    @property
    def vector_sizes(self) -> dict[str, int]:
        """Numbers in a frozen vector of each modality of kind `vector`."""
        return {name: e.align.in_features for name, e in self.encoders.items() if isinstance(e, VectorEncoder)}

    def unit_vectors(self, name: str, item: Tensor) -> Tensor:
        """Frozen vectors (n, V) of items (n,) at length 1; zeros for an item without."""
        vector = self.frozen[f"{name}_matrix"][self.frozen[f"{name}_row"][item]].float()
        present = self._shown(self.frozen["present"][item])[:, self.names.index(name)]
        return normalize(vector, dim=1).masked_fill(~present[:, None], 0.0)

    @contextmanager
    def reading(self, table: ItemTable) -> Iterator[None]:
        """Encode other items, whose codes are of the same vocabularies and bins."""
        with self.looking_up(_frozen(table)):
            yield

    @contextmanager
    def looking_up(self, tables: Mapping[str, Tensor]) -> Iterator[None]:
        """Look items up in other tables of the same names."""
        own, self.frozen = self.frozen, FrozenTables(tables).to(self.frozen["present"].device)
        try:
            yield
        finally:
            self.frozen = own

    @contextmanager
    def hiding(self, names: Collection[str]) -> Iterator[None]:
        """Encode as if no item had the modalities `names`, statistics known at the row's time among them."""
        self._hidden = torch.tensor([name in names for name in self.names], device=self.frozen["present"].device)
        try:
            yield
        finally:
            self._hidden = None

    def _shown(self, present: Tensor) -> Tensor:
        """(R, M) without the modalities that are hidden."""
        return present if self._hidden is None else present & ~self._hidden

    def forward(self, batch: RaggedBatch, *, stop_at_raw: bool = False) -> Cells:
        """Encode the unique items and statistics of a batch.

        Args:
            stop_at_raw: no gradient below the alignment.
        """
        cells = self._cells(batch.item, batch.statistic, batch.entity_item, batch.entity_statistic, stop_at_raw)
        return self.normalised(cells.counted(batch.entity_count, batch.candidate_count))

    def snapshot(self, item: Tensor) -> Cells:
        """Encode items (U,) with their statistics at the end of training; entity u is item u."""
        entity = torch.arange(len(item), device=item.device)
        return self.normalised(self._cells(item, self.frozen["statistic"][item], entity, entity, False))

    def normalised(self, cells: Cells) -> Cells:
        """`cells` with aligned vectors normalised by modality, where the settings say so."""
        if self.norm is None:
            return cells
        return dataclasses.replace(cells, aligned=self.norm(cells.aligned, cells.mask, cells.count))

    def _cells(
        self, item: Tensor, statistic: Tensor, entity_item: Tensor, entity_statistic: Tensor, stop_at_raw: bool
    ) -> Cells:
        encoded = [
            _aligned(encoder, statistic[:, self.statistic_columns[name]], stop_at_raw)
            if name in self.statistic_columns
            else self._encode(name, encoder, item, stop_at_raw)
            for name, encoder in self.encoders.items()
        ]
        is_statistic = self.frozen["is_statistic"]
        of_entity = item.index_select(0, entity_item)  # half of the time of item[entity_item]
        present_item = self.frozen["present"].index_select(0, item) & ~is_statistic  # (U, M)
        present_statistic = present_item.new_zeros(len(statistic), len(self.names))  # (V, M)
        for index, name in enumerate(self.names):
            if name in self.statistic_columns:
                present_statistic[:, index] = statistic[:, self.statistic_columns[name]].any(1)
        present_item, present_statistic = self._shown(present_item), self._shown(present_statistic)
        if len(entity_item) <= SPLIT_FROM * (len(item) + len(statistic)) or not self.statistic_columns:
            index = [entity_statistic if name in self.statistic_columns else entity_item for name in self.names]
            encoded = [value.index_select(0, entity) for value, entity in zip(encoded, index, strict=True)]
            present = present_item.index_select(0, entity_item)
            if self.statistic_columns:
                present = present | present_statistic.index_select(0, entity_statistic)
            return Cells(_side_by_side(encoded), present, None, None, is_statistic, of_entity)
        behind, before = (0, 0, 0, len(statistic)), (0, 0, len(item), 0)  # rows of zeros
        empty = [before if name in self.statistic_columns else behind for name in self.names]
        encoded = [pad(value, rows) for value, rows in zip(encoded, empty, strict=True)]
        present = torch.cat([present_item, present_statistic])
        aligned = _side_by_side(encoded)
        return Cells(aligned, present, entity_item, len(item) + entity_statistic, is_statistic, of_entity)

    def _encode(self, name: str, encoder: nn.Module, item: Tensor, stop_at_raw: bool) -> Tensor:
        if isinstance(encoder, VectorEncoder):
            return encoder(self.frozen[f"{name}_matrix"], self.frozen[f"{name}_row"].index_select(0, item))
        lookup = "words" if isinstance(encoder, TextEncoder) else "codes"
        codes = self.frozen[f"{name}_{lookup}"].index_select(0, item)
        if self.training and self.id_dropout and name in self.id_columns:
            codes = self._without_some_ids(codes, self.id_columns[name])
        return _aligned(encoder, codes, stop_at_raw)

    def _without_some_ids(self, codes: Tensor, column: int) -> Tensor:
        """Codes (U, F) with 0 in a column of items drawn at random."""
        dropped = torch.rand(len(codes), device=codes.device) < self.id_dropout
        codes = codes.clone()
        codes[:, column] = codes[:, column].masked_fill(dropped, 0)
        return codes


def _frozen(table: ItemTable) -> dict[str, Tensor]:
    """What is looked up of an item table, by name."""
    is_statistic = [isinstance(modality, StatisticTable) for modality in table.modalities.values()]
    frozen = {"present": table.present, "statistic": table.statistic, "is_statistic": np.array(is_statistic)}
    for name, modality in table.modalities.items():
        if isinstance(modality, IdTable):
            frozen[f"{name}_codes"] = modality.codes
        elif isinstance(modality, VectorTable):
            frozen[f"{name}_matrix"], frozen[f"{name}_row"] = modality.matrix, modality.row.clip(min=0)
        elif isinstance(modality, TextTable):
            frozen[f"{name}_words"] = modality.words
    return {name: torch.from_numpy(value) for name, value in frozen.items()}


def _side_by_side(modalities: list[Tensor]) -> Tensor:
    """M times (R, D) as (R, M, D), modality after modality in memory, as they are multiplied."""
    return torch.stack(modalities).transpose(0, 1)


def _aligned(encoder: nn.Module, codes: Tensor, stop_at_raw: bool) -> Tensor:
    raw = encoder.raw(codes)
    return encoder.align(raw.detach() if stop_at_raw else raw)


def _enter(encoders: nn.ModuleDict, name: Any, encoder: nn.Module) -> None:
    try:
        encoders[name] = encoder
    except (KeyError, TypeError):  # no text, a point in it, or a word that torch's dictionaries have themselves
        raise InputError(
            "a name of a modality that torch takes, too",
            repr(name),
            "Choose another: text without points, and no word of its own such as items, keys, type or values.",
        ) from None


def _text_encoder(table: TextTable, settings: ModalitySettings, width: int, reference: bool) -> TextEncoder:
    vectors = None if table.word_vectors is None else torch.from_numpy(table.word_vectors)
    return TextEncoder(
        word_vectors=vectors,
        vocabulary=table.vocabulary if vectors is None else None,
        word_size=settings.word_size if vectors is None else None,
        windows=tuple(settings.windows),
        filters=settings.filters,
        width=width,
        trainable=settings.train_words,
        reference=reference,
    )
