"""Quadratic Interest Network for Multimodal Click-Through Rate Prediction (Li et al. 2025, arXiv 2504.17699)."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.layers.kernels.segment import expand_rows
from recbole_marn.layers.quadratic import QuadraticNetwork
from recbole_marn.layers.target_attention import SparseTargetAttention
from recbole_marn.models.parts import PredictionHead
from recbole_marn.models.rivals.concatenated import ConcatenatedModel

__all__ = ["QIN"]


class QIN(ConcatenatedModel):
    """Sparse attention by the candidate without a softmax, and a prediction of quadratic layers."""

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x = self.settings
        self.attention = SparseTargetAttention(width=x.width, attention_size=x.attention_size or 2 * x.width)
        self.head = PredictionHead.of(
            x,
            user_size=x.width,
            item_size=x.width,
            context_size=self.context_size,
            network=partial(QuadraticNetwork, n_layers=x.quadratic_layers),
        )

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        item, candidate = batch.places(vector)  # (N, D), (B, D)
        token, row = expand_rows(batch.length, batch.row_sequence, item.device)
        user = self.attention(item, candidate, token, row)  # (B, D)
        return self.head(user, candidate, self.context_of(batch))
