"""SimTier: tiers of similarity beside DIN (Sheng et al., Multimodal Representations at Taobao, CIKM 2024)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.models.parts import PredictionHead
from recbole_marn.models.rivals.frozen_vectors import ComparesFrozenVectors
from recbole_marn.models.rivals.multimodal_din import MultimodalDIN

__all__ = ["SimTier"]


class SimTier(ComparesFrozenVectors, MultimodalDIN):
    """How many behaviours resemble the candidate, and how much, by each frozen vector; counts join the prediction."""

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x = self.settings
        counts, context = x.tiers * len(self.frozen_sizes), self.context_size
        self.head = PredictionHead.of(x, user_size=x.width, item_size=x.width, context_size=context, beside_size=counts)

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        x, tiers, _, row = self.compared(vector, batch)
        user, candidate = self.interest(x, batch)
        return self.head(user, candidate, self.context_of(batch), self.counted(tiers, row, batch, x.dtype))
