"""DIEN on multimodal items: Deep Interest Evolution Network for CTR Prediction (Zhou et al., AAAI 2019)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.layers.apgru import APGRU
from recbole_marn.layers.interest import AUGRU, BilinearAttention, NextBehaviourLoss
from recbole_marn.layers.kernels.segment import expand_rows
from recbole_marn.models.base import click_loss
from recbole_marn.models.parts import PredictionHead
from recbole_marn.models.rivals.concatenated import ConcatenatedModel

__all__ = ["MultimodalDIEN"]


class MultimodalDIEN(ConcatenatedModel):
    """Interests by a GRU, taught by what was clicked next; their evolution towards the candidate by an AUGRU."""

    loss_names = ("click", "auxiliary")

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x, width = self.settings, self.settings.width
        hidden = x.hidden_size or width
        self.interest = APGRU(input_size=width, hidden_size=hidden, gate="none")
        self.next_behaviour = NextBehaviourLoss(state_size=hidden, item_size=width, hidden_sizes=x.auxiliary_hidden)
        self.attention = BilinearAttention(state_size=hidden, candidate_size=width)
        self.evolution = AUGRU(input_size=hidden, hidden_size=hidden)
        self.head = PredictionHead.of(x, user_size=hidden, item_size=width, context_size=self.context_size)

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        item, candidate = batch.places(vector)
        return self._evolve(self.interest(item, None, batch.length), candidate, batch)

    def losses(self, batch: RaggedBatch, label: Tensor) -> dict[str, Tensor]:
        vector = self.represent(self.encoder(batch)).vector
        item, candidate = batch.places(vector)
        interest = self.interest(item, None, batch.length)  # (N, H)
        click = click_loss(self._evolve(interest, candidate, batch), label)
        readers = torch.bincount(batch.row_sequence, minlength=len(batch.length))  # (S,)
        auxiliary = self.next_behaviour(interest, item, batch.entity_id[batch.token], batch.length, readers)
        return {"click": click, "auxiliary": self.settings.auxiliary_weight * auxiliary}

    def _evolve(self, interest: Tensor, candidate: Tensor, batch: RaggedBatch) -> Tensor:
        token, row = expand_rows(batch.length, batch.row_sequence, interest.device)
        relevance = self.attention(interest, candidate, token, row)  # (N',)
        user = self.evolution(interest, relevance, token, batch.length[batch.row_sequence])  # (B, H)
        return self.head(user, candidate, self.context_of(batch))
