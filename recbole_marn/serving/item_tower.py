"""The item side of each model as ONNX takes it: from codes, words and vectors to item vectors."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from recbole_marn.layers.encoders import TextEncoder, VectorEncoder
from recbole_marn.models.base import CTRModel
from recbole_marn.models.item_encoder import Cells

__all__ = ["ItemSide"]


class _Masked(Cells):
    """Cells of a graph, which cannot ask whether anything is absent."""

    @property
    def mask(self) -> Tensor:
        return self.present


class ItemSide(nn.Module):
    """Vectors of items that are in no table.

    Shapes: present (n, M) bool and, by modality, codes (n, F) int64, words (n, T) int64 or a vector (n, W)
        -> (n, D). What stands in an absent modality does not matter.
    """

    def __init__(self, model: CTRModel):
        super().__init__()
        self.model = model
        self.encoders = nn.ModuleDict(
            {name: _plain(encoder) for name, encoder in model.encoder.encoders.items()}
        )

    def forward(self, present: Tensor, content: dict[str, Tensor]) -> Tensor:
        aligned = []
        for name, encoder in self.encoders.items():
            given = content[name]
            aligned.append(encoder.align(given) if isinstance(encoder, VectorEncoder) else encoder(given))
        encoder = self.model.encoder
        cells = _Masked(torch.stack(aligned, dim=1), present, None, None, encoder.frozen["is_statistic"])
        return self.model.represent(encoder._normalised(cells)).vector


def _plain(encoder: nn.Module) -> nn.Module:
    """The kernel for titles finds distinct words, whose number no graph knows."""
    if isinstance(encoder, TextEncoder):
        encoder = copy.copy(encoder)
        encoder.reference = True
    return encoder
