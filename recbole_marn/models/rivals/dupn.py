"""DUPN: Perceive Your Users in Depth (Ni et al., KDD 2018), its CTR task alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.layers.kernels.segment import expand_rows, segment_softmax, weighted_sum
from recbole_marn.layers.pair_score import PairScore
from recbole_marn.layers.property_lstm import PropertyLSTM
from recbole_marn.models.parts import BehaviourProperty, PredictionHead
from recbole_marn.models.rivals.concatenated import ConcatenatedModel

__all__ = ["DUPN"]


class DUPN(ConcatenatedModel):
    """An LSTM whose gates see the behaviour property, and attention by candidate and property.

    Without a query the candidate takes its place; without a property both parts do without.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x, width = self.settings, self.settings.width
        hidden = x.hidden_size or width
        self.property = BehaviourProperty.of(dataset)
        property_size = self.property.size if self.property else 0
        self.rnn = PropertyLSTM(input_size=width, property_size=property_size, hidden_size=hidden)
        self.attention = PairScore(
            token_size=hidden + property_size, candidate_size=width, hidden_sizes=x.attention_hidden, bias=False
        )
        self.head = PredictionHead.of(x, user_size=hidden, item_size=width, context_size=self.context_size)

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        item, candidate = batch.places(vector)  # (N, D), (B, D)
        property_ = self.property(batch.behaviour, batch.gap) if self.property else None  # (N, P)
        state = self.rnn(item, property_, batch.length)  # (N, H)
        token, row = expand_rows(batch.length, batch.row_sequence, state.device)
        seen = state if property_ is None else torch.cat([state, property_], dim=1)
        alpha = segment_softmax(self.attention(seen, candidate, token, row), row, batch.n_rows)
        user = weighted_sum(state, alpha, token, row, batch.n_rows)  # (B, H)
        return self.head(user, candidate, self.context_of(batch))
