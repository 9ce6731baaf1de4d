"""The item side of each model as ONNX takes it: from codes, words and vectors to item vectors."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from recbole_marn.layers.encoders import TextEncoder, VectorEncoder
from recbole_marn.models.base import EXTRACTION_CHUNK, CTRModel
from recbole_marn.models.item_encoder import Cells
from recbole_marn.serving.scorer import CTRScorer

__all__ = ["ItemSide", "vectors_without_modalities"]


class _Masked(Cells):
    """Cells of a graph, which cannot ask whether anything is absent."""

    @property
    def mask(self) -> Tensor:
        return self.present


class ItemSide(nn.Module):
    """Vectors of items that are in no table.

    Shapes: present (n, M) bool and, by modality, codes (n, F) or words (n, T) int64, or a vector (n, W) -> (n, D).
        What stands in an absent modality does not matter.
    """

    def __init__(self, model: CTRModel):
        super().__init__()
        self.model = model
        self.encoders = nn.ModuleDict({name: _plain(encoder) for name, encoder in model.encoder.encoders.items()})

    def forward(self, present: Tensor, content: dict[str, Tensor]) -> Tensor:
        aligned = [
            encoder.align(content[name]) if isinstance(encoder, VectorEncoder) else encoder(content[name])
            for name, encoder in self.encoders.items()
        ]
        encoder = self.model.encoder
        cells = _Masked(torch.stack(aligned, dim=1), present, None, None, encoder.frozen["is_statistic"])
        return self.model.represent(encoder.normalised(cells)).vector


def _plain(encoder: nn.Module) -> nn.Module:
    """The fast form for titles finds distinct words, whose number no graph knows."""
    if isinstance(encoder, TextEncoder):
        encoder = copy.copy(encoder)
        encoder.reference = True
    return encoder


@torch.no_grad()
def vectors_without_modalities(scorer: CTRScorer, size: int = EXTRACTION_CHUNK) -> Iterator[np.ndarray]:
    """(at most `size`, M, D) of all items by number: their vectors if they lacked the m-th modality.

    NaN where an item lacks it anyway, and for items that were added, whose content is not kept.
    """
    model, total = scorer.model, len(scorer.items) + 1
    for start in range(0, total, size):
        stop = min(start + size, total)
        found = np.full((stop - start, len(model.encoder.names), model.vector_size), np.nan, dtype=np.float32)
        kept = [number for number in range(max(1, start), stop) if number not in scorer.described]
        if kept:
            cells = model.encoder.snapshot(torch.tensor(kept))
            rows = np.array(kept) - start
            for index in range(found.shape[1]):
                present = cells.present.clone()
                present[:, index] = False
                vector = model.represent(dataclasses.replace(cells, present=present)).vector.numpy()
                has = cells.present[:, index].numpy()
                found[rows[has], index] = vector[has]
        yield found
