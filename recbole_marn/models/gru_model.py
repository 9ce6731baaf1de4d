"""The user side of the rivals that differ in how they fuse modalities: MARN's, without the behaviour property."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.layers.apgru import APGRU
from recbole_marn.models.base import CTRModel
from recbole_marn.models.parts import PredictionHead, UserPooling

__all__ = ["GRUModel"]


class GRUModel(CTRModel):
    """A GRU over the item vectors, its last state, and the prediction network that all models share.

    Sub-classes implement `represent`. Settings: `GRUSettings`.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x, width = self.settings, self.settings.width
        hidden = x.hidden_size or width
        self.rnn = APGRU(input_size=width, hidden_size=hidden, gate="none")
        self.pool = UserPooling(
            how=x.pooling,
            state_size=hidden,
            item_size=width,
            hidden_sizes=x.attention_hidden,
            with_items=x.attention_values == "state_and_item",
        )
        self.head = PredictionHead(
            user_size=self.pool.output_size,
            item_size=width,
            hidden_sizes=x.prediction_hidden,
            product=x.prediction_product,
            dropout=x.dropout,
        )

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        item, candidate = vector[batch.token], vector[batch.candidate]  # (N, D), (B, D)
        state = self.rnn(item, None, batch.length)  # (N, H)
        user = self.pool(state, item, candidate, batch.length, batch.row_sequence)  # (B, .)
        return self.head(user, candidate)
