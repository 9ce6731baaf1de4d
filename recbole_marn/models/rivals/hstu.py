"""HSTU as a CTR model: Actions Speak Louder than Words (Zhai et al., ICML 2024)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.errors import InputError
from recbole_marn.layers.hstu import HSTULayer
from recbole_marn.layers.kernels.padded import Padding
from recbole_marn.models.parts import BehaviourProperty, PredictionHead
from recbole_marn.models.rivals.concatenated import ConcatenatedModel

__all__ = ["HSTU"]


class HSTU(ConcatenatedModel):
    """Layers of pointwise attention in which the candidate ends its history; what it became is the user vector.

    Raises:
        InputError: heads that do not divide D.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x = self.settings
        if x.width % x.n_heads:
            raise InputError(f"n_heads to divide width, {x.width}", str(x.n_heads), "Change n_heads or width.")
        self.property = BehaviourProperty.of(dataset)
        self.from_property = nn.Linear(self.property.size, x.width, bias=False) if self.property else None
        self.layers = nn.ModuleList(
            HSTULayer(width=x.width, n_heads=x.n_heads, max_length=config["MAX_ITEM_LIST_LENGTH"])
            for _ in range(x.n_layers)
        )
        self.head = PredictionHead.of(x, user_size=x.width, item_size=x.width, context_size=self.context_size)

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        history, candidate = batch.places(vector)  # (N, D), (B, D)
        if self.property is not None:
            history = history + self.from_property(self.property(batch.behaviour, batch.gap))
        padding, user = Padding(batch.length, vector.device), candidate
        for layer in self.layers:
            history, user = layer(history, user, padding, batch.length, batch.row_sequence)
        return self.head(user, candidate, self.context_of(batch))
