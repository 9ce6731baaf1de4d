"""YoutubeNet: Deep Neural Networks for YouTube Recommendations (Covington et al., RecSys 2016), for CTR."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.layers.kernels.segment import to_device
from recbole_marn.layers.pooling import sequence_mean
from recbole_marn.models.parts import PredictionHead
from recbole_marn.models.rivals.concatenated import ConcatenatedModel

__all__ = ["YoutubeNet"]


class YoutubeNet(ConcatenatedModel):
    """u = mean of the history's items; the prediction network does the rest."""

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x = self.settings
        self.head = PredictionHead.of(x, user_size=x.width, item_size=x.width, context_size=self.context_size)

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        user = sequence_mean(vector.index_select(0, batch.token), batch.length)  # (S, D)
        user = user.index_select(0, to_device(batch.row_sequence, vector.device))  # (B, D)
        return self.head(user, vector.index_select(0, batch.candidate), self.context_of(batch))
