"""Decoupled Multimodal Fusion for User Interest Modeling in CTR Prediction (Fan et al. 2025, arXiv 2510.11066)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.layers.mlp import MLP
from recbole_marn.layers.similarity import TierAttention
from recbole_marn.models.parts import PredictionHead
from recbole_marn.models.rivals.concatenated import ConcatenatedModel
from recbole_marn.models.rivals.frozen_vectors import ComparesFrozenVectors

__all__ = ["DecoupledMF"]


class DecoupledMF(ComparesFrozenVectors, ConcatenatedModel):
    """Two interests of a user, mixed: attention that sees similarities, and counts of similarities alone.

    The paper calls it DMF, which RecBole has for another model.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x, n_vectors = self.settings, len(self.frozen_sizes)
        self.attention = TierAttention(
            width=x.width, attention_size=x.attention_size or x.width, n_vectors=n_vectors, n_tiers=x.tiers
        )
        self.from_counts = MLP(input_size=n_vectors * x.tiers, hidden_sizes=x.count_hidden, output_size=x.width)
        self.mixture = nn.Parameter(torch.zeros(()))
        self.head = PredictionHead.of(x, user_size=x.width, item_size=x.width, context_size=self.context_size)

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        x, tiers, token, row = self.compared(vector, batch)
        item, candidate = batch.places(x)  # (N, D), (B, D)
        enriched = self.attention(item, candidate, tiers, token, row)
        user = self.mixed(enriched, self.from_counts(self.counted(tiers, row, batch, x.dtype)))
        return self.head(user, candidate, self.context_of(batch))

    def mixed(self, enriched: Tensor, counted: Tensor) -> Tensor:
        """The user: a share of the interest by attention, the rest by counts."""
        return counted + self.mixture.sigmoid() * (enriched - counted)
