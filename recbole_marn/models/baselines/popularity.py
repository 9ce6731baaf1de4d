"""The simplest rival: how often the candidate occurred in training, or was clicked when it was shown."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from recbole_marn.data.log_protocol import LogProtocol
from recbole_marn.models.base import batch_of
from recbole_marn.models.baselines.ranking_model import RankingModel

__all__ = ["Popularity"]


class Popularity(RankingModel):
    """evidence = log(1 + training count of the candidate); in a log, of its smoothed click rate the log odds.

    The latter against those of all training rows, and softplus(a) starts at 1: before a and b move, the probability is
    the smoothed click rate (docs/logs.md).
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        if isinstance(dataset.protocol, LogProtocol):
            known = dataset.protocol.log_counts.of_items("click_rate")
            evidence = torch.logit(torch.from_numpy(known.snapshot())) - math.log(known.prior / (1 - known.prior))
            nn.init.constant_(self.scale, math.log(math.e - 1))  # softplus of it is 1
        else:
            evidence = torch.log1p(torch.from_numpy(dataset.protocol.counts.snapshot()).double())
        self.register_buffer("of_item", evidence.float(), persistent=False)

    def evidence(self, interaction: Any) -> Tensor:
        batch = batch_of(interaction)
        return self.of_item[batch.entity_id[batch.candidate]]
