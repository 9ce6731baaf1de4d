"""The simplest rival: how often the candidate occurred in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.models.base import CTRModel, Represented
from recbole_marn.models.item_encoder import Cells

__all__ = ["Popularity"]


class Popularity(CTRModel):
    """logit = softplus(a) * log(1 + training count) + b: ranks by count alone, a and b only calibrate."""

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        counts = torch.from_numpy(dataset.protocol.counts.snapshot()).double()
        self.register_buffer("log_count", torch.log1p(counts).float(), persistent=False)
        self.scale, self.bias = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.encoder.encoders.clear()

    def losses(self, batch: RaggedBatch, label: Tensor) -> dict[str, Tensor]:
        click = nn.functional.binary_cross_entropy_with_logits(self._logit(batch), label)
        return {"click": click}

    def predict(self, interaction: Any) -> Tensor:
        return torch.sigmoid(self._logit(interaction.batch))

    def _logit(self, batch: RaggedBatch) -> Tensor:
        return softplus(self.scale) * self.log_count[batch.entity_id[batch.candidate]] + self.bias

    def represent(self, cells: Cells) -> Represented:
        raise NotImplementedError("Popularity has no item vectors")

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        return self._logit(batch)
