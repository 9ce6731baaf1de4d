"""Rankings without item vectors: one number a row, calibrated to a probability."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.errors import InputError
from recbole_marn.models.base import CTRModel, Represented
from recbole_marn.models.item_encoder import Cells

__all__ = ["Scorer"]


class Scorer(CTRModel):
    """logit = softplus(a) * evidence + b: ranks by the evidence alone, a and b only calibrate."""

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        self.scale, self.bias = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.encoder.encoders.clear()

    @abstractmethod
    def evidence(self, interaction: Any) -> Tensor:
        """(B,) what speaks for each row's click."""

    def calculate_loss(self, interaction: Any) -> tuple[Tensor, ...]:
        return (binary_cross_entropy_with_logits(self._logit(interaction), interaction[self.label_field]),)

    def predict(self, interaction: Any) -> Tensor:
        return torch.sigmoid(self._logit(interaction))

    def _logit(self, interaction: Any) -> Tensor:
        return softplus(self.scale) * self.evidence(interaction) + self.bias

    def item_vectors(self, item: Tensor | None = None) -> Tensor:
        raise InputError(
            "a model that makes item vectors",
            f"{type(self).__name__}, which ranks by one number a row",
            "Choose another model.",
        )

    def represent(self, cells: Cells) -> Represented:
        return self.item_vectors()

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        return self.item_vectors()
