"""MMSS: Multi-modal Sentence Summarization with Modality Attention and Image Filtering (Li et al., IJCAI 2018)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.data.item_table import IdTable, TextTable, VectorTable
from recbole_marn.layers.fusion import sum_fusion
from recbole_marn.layers.modality_attention import ImageFilter, ModalityAttention
from recbole_marn.models.base import CTRModel, Represented
from recbole_marn.models.item_encoder import Cells
from recbole_marn.models.rivals.scoring import GRUScoring

__all__ = ["MMSS"]


class MMSS(CTRModel):
    """Its two ideas as item fusion: texts filter images, and attention over modalities in the context of the IDs.

    Texts are all modalities of kind `text`, images all of kind `vector`, IDs all of kind `id`; of several the mean
    is read. An item without any text keeps its image as it is; without IDs the attention has no context.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        width, names = self.settings.width, self.encoder.names
        attention_size = self.settings.modality_attention_size or width
        tables = dataset.item_table.modalities.values()
        self.texts = [index for index, table in enumerate(tables) if isinstance(table, TextTable)]
        self.ids = [index for index, table in enumerate(tables) if isinstance(table, IdTable)]
        images = [n for n, table in zip(names, tables, strict=True) if isinstance(table, VectorTable) and self.texts]
        self.filters = nn.ModuleDict({name: ImageFilter(width=width) for name in images})
        self.fusion = ModalityAttention(n_modalities=len(names), width=width, attention_size=attention_size)
        self.context = nn.Linear(width, attention_size, bias=False) if self.ids else None
        self.scoring = GRUScoring(self.settings, context_size=self.context_size)

    def represent(self, cells: Cells) -> Represented:
        filtered = self._filtered(cells)  # (R, M, D)
        context = None
        if self.context is not None:
            context = cells.items(self.context(_mean(cells, self.ids)))  # (E, A)
        projected = cells.entities(self.fusion.project(filtered))
        vector, attention = self.fusion(cells.entities(filtered), projected, cells.entities(cells.present), context)
        return Represented(vector, attention)

    def _filtered(self, cells: Cells) -> Tensor:
        """Aligned modalities in which every image has passed the filter of its item's text."""
        if not self.filters:
            return cells.aligned
        text = _mean(cells, self.texts)  # (R, D)
        has_text = cells.present[:, self.texts].any(1, keepdim=True)  # (R, 1)
        modalities = []
        for name, value in zip(self.encoder.names, cells.aligned.unbind(1), strict=True):
            if name in self.filters:
                value = torch.where(has_text, self.filters[name](text, value), value)
            modalities.append(value)
        return torch.stack(modalities, dim=1)

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        return self.scoring(vector, batch, self.context_of(batch))


def _mean(cells: Cells, index: list[int]) -> Tensor:
    """(R, D) mean of the modalities present among those at `index`, 0 without any."""
    present = cells.present[:, index]
    return sum_fusion(cells.aligned[:, index], present) / present.sum(1, keepdim=True).clamp_min(1)
