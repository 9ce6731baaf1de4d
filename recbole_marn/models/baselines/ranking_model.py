"""The base of rankings without item vectors: one number a row, calibrated to a probability."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from recbole_marn.data.log_protocol import LogProtocol
from recbole_marn.models.base import OurModel

__all__ = ["RankingModel"]


class RankingModel(OurModel):
    """logit = softplus(a) * evidence + b: ranks by the evidence alone, a and b only calibrate.

    In a log b starts at the log odds of a click among the rows that are trained on: the ranking does not change in
    training, so that early stopping ends it before b would be found.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        self.scale, self.bias = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        if isinstance(dataset.protocol, LogProtocol):
            rate = dataset.protocol.log_counts.prior("click_rate")
            odds = rate / (1 - rate) / dataset.protocol.settings.keep_negatives
            nn.init.constant_(self.bias, math.log(odds))

    @abstractmethod
    def evidence(self, interaction: Any) -> Tensor:
        """(B,) what speaks for each row's click."""

    def named_losses(self, interaction: Any) -> dict[str, Tensor]:
        return {"click": binary_cross_entropy_with_logits(self._logit(interaction), interaction[self.label_field])}

    def predict(self, interaction: Any) -> Tensor:
        """Click probabilities (B,)."""
        return torch.sigmoid(self._logit(interaction))

    def _logit(self, interaction: Any) -> Tensor:
        return softplus(self.scale) * self.evidence(interaction) + self.bias
