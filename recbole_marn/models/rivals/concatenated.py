"""The item of the rivals that have no fusion of their own: all modalities side by side, mapped to one vector."""

from __future__ import annotations

from typing import Any

from recbole_marn.layers.fusion import sum_fusion
from recbole_marn.layers.projection import PrivateLinear
from recbole_marn.models.base import CTRModel, Represented
from recbole_marn.models.item_encoder import Cells

__all__ = ["ConcatenatedModel"]


class ConcatenatedModel(CTRModel):
    """x = W [e_1 ; e_2 ; ... ; e_M] + b, computed as sum_m (W_m e_m + b_m) over the modalities present.

    A linear map of a concatenation is the sum of linear maps of its parts; with a bias for each part, that one is
    missing is seen.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        width = self.settings.width
        self.concatenation = PrivateLinear(n=len(self.encoder.names), input_size=width, output_size=width)

    def represent(self, cells: Cells) -> Represented:
        return Represented(cells.add(sum_fusion(self.concatenation(cells.aligned), cells.mask)))
