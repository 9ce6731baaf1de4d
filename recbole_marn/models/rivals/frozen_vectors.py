"""What models that compare items by their frozen vectors share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.errors import InputError
from recbole_marn.layers.kernels.segment import expand_rows
from recbole_marn.layers.similarity import log_counts, pair_tiers
from recbole_marn.models.base import CTRModel, Represented
from recbole_marn.models.item_encoder import Cells

__all__ = ["ComparesFrozenVectors"]


class ComparesFrozenVectors(CTRModel):
    """To be named before the model whose item vectors it lengthens: by the frozen vectors, each at length 1.

    Raises:
        InputError: no modality of kind `vector`.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        self.frozen_sizes = self.encoder.vector_sizes
        if not self.frozen_sizes:
            name = config["model"]
            raise InputError(
                f"a modality of kind 'vector' for {name}",
                f"none among {', '.join(self.encoder.names)}",
                "Describe one under modalities, name it in use_modalities, or choose MultimodalDIN.",
            )

    @property
    def vector_size(self) -> int:
        return self.settings.width + sum(self.frozen_sizes.values())

    def represent(self, cells: Cells) -> Represented:
        unit = [self.encoder.unit_vectors(name, cells.item) for name in self.frozen_sizes]
        return Represented(torch.cat([super().represent(cells).vector, *unit], dim=1))

    def compared(self, vector: Tensor, batch: RaggedBatch) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """From (E, vector_size): x (E, D), the tiers (P,) of pairs by each frozen vector, token and row (P,)."""
        x, *frozen = vector.split([self.settings.width, *self.frozen_sizes.values()], dim=1)
        token, row = expand_rows(batch.length, batch.row_sequence, vector.device)
        pair = batch.token[token], batch.candidate[row]
        return x, [pair_tiers(unit, *pair, self.settings.tiers) for unit in frozen], token, row

    def counted(self, tiers: list[Tensor], row: Tensor, batch: RaggedBatch, dtype: torch.dtype) -> Tensor:
        """(B, number of vectors * N): how many behaviours of each row lie in each tier, by each frozen vector."""
        return torch.cat([log_counts(tier, row, batch.n_rows, self.settings.tiers, dtype) for tier in tiers], dim=1)
