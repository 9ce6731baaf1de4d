"""Every modality of an item, aligned to one width: e_im = Align_m(raw_im) (paper section 3.2)."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from recbole_marn.data.item_table import IdTable, ItemTable, StatisticTable, TextTable, VectorTable
from recbole_marn.layers.encoders import CategoricalEncoder, TextEncoder, VectorEncoder
from recbole_marn.settings import ModalitySettings

__all__ = ["ItemEncoder"]


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
    """

    def __init__(
        self, table: ItemTable, settings: Mapping[str, ModalitySettings], *, width: int, reference_kernels: bool = False
    ):
        super().__init__()
        self.names = table.names
        self.width = width
        self.statistic_columns = {
            name: slice(modality.start, modality.stop)
            for name, modality in table.modalities.items()
            if isinstance(modality, StatisticTable)
        }
        frozen = {"present": torch.from_numpy(table.present), "statistic": torch.from_numpy(table.statistic)}
        self.encoders = nn.ModuleDict()
        for name, modality in table.modalities.items():
            if isinstance(modality, IdTable):
                frozen[f"{name}_codes"] = torch.from_numpy(modality.codes)
                encoder = CategoricalEncoder(
                    cardinalities=modality.cardinalities, sizes=modality.sizes, width=width
                )
            elif isinstance(modality, VectorTable):
                frozen[f"{name}_matrix"] = torch.from_numpy(modality.matrix)
                frozen[f"{name}_row"] = torch.from_numpy(modality.row).clamp(min=0)
                encoder = VectorEncoder(size=modality.matrix.shape[1], width=width, reference=reference_kernels)
            elif isinstance(modality, TextTable):
                frozen[f"{name}_words"] = torch.from_numpy(modality.words)
                encoder = _text_encoder(modality, settings[name], width, reference_kernels)
            else:
                sizes = (settings[name].size,) * len(modality.cardinalities)
                encoder = CategoricalEncoder(cardinalities=modality.cardinalities, sizes=sizes, width=width)
            self.encoders[name] = encoder
        self.frozen = FrozenTables(frozen)

    @property
    def n_items(self) -> int:
        return len(self.frozen["present"])

    def forward(
        self, item: Tensor, entity_item: Tensor, statistic: Tensor, *, stop_at_raw: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Encode unique items (U,) as entities (E,): `entity_item` indexes `item`, `statistic` (E, C) are codes.

        Args:
            stop_at_raw: no gradient below the alignment.

        Returns:
            aligned modalities (E, M, D) and whether each is present (E, M). Absent ones hold any finite value.
        """
        encoded = []
        for name, encoder in self.encoders.items():
            if name in self.statistic_columns:
                raw = encoder.raw(statistic[:, self.statistic_columns[name]])
                encoded.append(encoder.align(raw.detach() if stop_at_raw else raw))
            else:
                encoded.append(self._encode(name, encoder, item, stop_at_raw)[entity_item])
        return torch.stack(encoded, dim=1), self.frozen["present"][item[entity_item]]

    def snapshot(self, item: Tensor) -> tuple[Tensor, Tensor]:
        """Items (U,) with their statistics at the end of training, as (U, M, D) and (U, M)."""
        everything = torch.arange(len(item), device=item.device)
        return self(item, everything, self.frozen["statistic"][item])

    def _encode(self, name: str, encoder: nn.Module, item: Tensor, stop_at_raw: bool) -> Tensor:
        if isinstance(encoder, VectorEncoder):
            return encoder(self.frozen[f"{name}_matrix"], self.frozen[f"{name}_row"][item])
        lookup = "words" if isinstance(encoder, TextEncoder) else "codes"
        raw = encoder.raw(self.frozen[f"{name}_{lookup}"][item])
        return encoder.align(raw.detach() if stop_at_raw else raw)


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
