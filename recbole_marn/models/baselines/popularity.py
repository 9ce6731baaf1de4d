"""The simplest rival: how often the candidate occurred in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recbole_marn.models.base import batch_of
from recbole_marn.models.baselines.ranking_model import RankingModel

__all__ = ["Popularity"]


class Popularity(RankingModel):
    """evidence = log(1 + training count of the candidate)."""

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        counts = torch.from_numpy(dataset.protocol.counts.snapshot()).double()
        self.register_buffer("log_count", torch.log1p(counts).float(), persistent=False)

    def evidence(self, interaction: Any) -> Tensor:
        batch = batch_of(interaction)
        return self.log_count[batch.entity_id[batch.candidate]]
