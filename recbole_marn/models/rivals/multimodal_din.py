"""DIN on multimodal items: Deep Interest Network for Click-Through Rate Prediction (Zhou et al., KDD 2018)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.layers.kernels.segment import expand_rows, segment_softmax, weighted_sum
from recbole_marn.layers.pair_score import PairScore
from recbole_marn.models.parts import PredictionHead
from recbole_marn.models.rivals.concatenated import ConcatenatedModel

__all__ = ["MultimodalDIN"]


class MultimodalDIN(ConcatenatedModel):
    """u = sum_t a(x_t, candidate) x_t: an item of the history counts as much as it concerns the candidate.

    As in the paper the weights are not normalised, so that u keeps how strong an interest is.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x = self.settings
        self.attention = PairScore(
            token_size=x.width,
            candidate_size=x.width,
            hidden_sizes=x.attention_hidden,
            product=True,
            bias=not x.attention_normalise,
        )
        self.head = PredictionHead.of(x, user_size=x.width, item_size=x.width, context_size=self.context_size)

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        return self.head(*self.interest(vector, batch), self.context_of(batch))

    def interest(self, vector: Tensor, batch: RaggedBatch) -> tuple[Tensor, Tensor]:
        """Users and candidates (B, D) of rows whose entities have the vectors (E, D)."""
        item, candidate = batch.places(vector)  # (N, D), (B, D)
        token, row = expand_rows(batch.length, batch.row_sequence, item.device)
        weight = self.attention(item, candidate, token, row)
        if self.settings.attention_normalise:
            weight = segment_softmax(weight, row, batch.n_rows)
        return weighted_sum(item, weight, token, row, batch.n_rows), candidate
