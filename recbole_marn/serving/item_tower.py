"""The item side of each model as ONNX takes it: from codes, words and vectors to item vectors."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from recbole_marn.layers.encoders import TextEncoder, VectorEncoder
from recbole_marn.models.base import EXTRACTION_CHUNK, CTRModel
from recbole_marn.models.item_encoder import Cells
from recbole_marn.serving.exported_items import tower_inputs
from recbole_marn.serving.scorer import CTRScorer

__all__ = ["ItemSide", "side_inputs", "text_widths", "vectors_without_modalities"]


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
        encoder, item = self.model.encoder, torch.arange(present.shape[0])
        tables, aligned = {"present": present, "is_statistic": encoder.frozen["is_statistic"]}, []
        for name, own in self.encoders.items():
            if isinstance(own, VectorEncoder):
                aligned.append(own.align(content[name]))
                tables |= {f"{name}_matrix": content[name], f"{name}_row": item}
            else:
                aligned.append(own(content[name]))
        cells = _Masked(torch.stack(aligned, dim=1), present, None, None, tables["is_statistic"], item)
        with encoder.looking_up(tables):  # SimTier's item vectors have frozen ones among them
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
    side, total = ItemSide(scorer.model), len(scorer.items) + 1
    table, widths = scorer.catalogue.table, text_widths(scorer)
    for start in range(0, total, size):
        stop = min(start + size, total)
        found = np.full((stop - start, len(table.names), scorer.model.vector_size), np.nan, dtype=np.float32)
        kept = np.array([n for n in range(max(1, start), stop) if n not in scorer.described], dtype=np.int64)
        if len(kept):
            present, content = side_inputs(tower_inputs(table, kept, widths))
            for index in range(found.shape[1]):
                has, less = present[:, index].clone(), present.clone()
                less[:, index] = False
                found[kept[has] - start, index] = side(less, content)[has].numpy()
        yield found


def text_widths(scorer: CTRScorer) -> dict[str, int]:
    """How many words the texts of the item side have: `content.<modality>` -> number."""
    settings = scorer.item_codes.settings
    return {
        f"content.{name}": max(*encoder.windows, settings[name].max_words)
        for name, encoder in scorer.model.encoder.encoders.items()
        if isinstance(encoder, TextEncoder)
    }


def side_inputs(given: Mapping[str, np.ndarray]) -> tuple[Tensor, dict[str, Tensor]]:
    """What the tower's graph takes, as `ItemSide` takes it."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in given.items()}
    present = tensors.pop("present")
    return present, {name.removeprefix("content."): value for name, value in tensors.items()}
