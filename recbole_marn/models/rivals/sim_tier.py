"""SimTier: tiers of similarity beside DIN (Sheng et al., Multimodal Representations at Taobao, CIKM 2024)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.errors import InputError
from recbole_marn.layers.kernels.segment import expand_rows
from recbole_marn.layers.similarity import SimilarityTiers
from recbole_marn.models.base import Represented
from recbole_marn.models.item_encoder import Cells
from recbole_marn.models.parts import PredictionHead
from recbole_marn.models.rivals.multimodal_din import MultimodalDIN

__all__ = ["SimTier"]


class SimTier(MultimodalDIN):
    """How many behaviours resemble the candidate, and how much, by each frozen vector; counts join the prediction.

    The item vector is DIN's, followed by the frozen vectors at length 1.

    Raises:
        InputError: no modality of kind `vector`.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x, self.frozen_sizes = self.settings, self.encoder.vector_sizes
        if not self.frozen_sizes:
            raise InputError(
                "a modality of kind 'vector' for SimTier",
                f"none among {', '.join(self.encoder.names)}",
                "Describe one under modalities, name it in use_modalities, or choose MultimodalDIN.",
            )
        self.tiers = SimilarityTiers(n_tiers=x.tiers)
        counts, context = x.tiers * len(self.frozen_sizes), self.context_size
        self.head = PredictionHead.of(x, user_size=x.width, item_size=x.width, context_size=context, beside_size=counts)

    @property
    def vector_size(self) -> int:
        return self.settings.width + sum(self.frozen_sizes.values())

    def represent(self, cells: Cells) -> Represented:
        unit = [self.encoder.unit_vectors(name, cells.item) for name in self.frozen_sizes]
        return Represented(torch.cat([super().represent(cells).vector, *unit], dim=1))

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        x, *frozen = vector.split([self.settings.width, *self.frozen_sizes.values()], dim=1)
        user, candidate = self.interest(x, batch)
        token, row = expand_rows(batch.length, batch.row_sequence, vector.device)
        pair = batch.token[token], batch.candidate[row]
        counts = [self.tiers(unit, *pair, row, batch.n_rows) for unit in frozen]
        return self.head(user, candidate, self.context_of(batch), torch.cat(counts, dim=1))
