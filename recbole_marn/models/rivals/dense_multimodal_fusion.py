"""Dense Multimodal Fusion for Hierarchically Joint Representation (Hu et al., ICASSP 2019), as item fusion."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.layers.dense_fusion import DenseFusion
from recbole_marn.models.base import CTRModel, Represented
from recbole_marn.models.item_encoder import Cells
from recbole_marn.models.rivals.scoring import GRUScoring

__all__ = ["DenseMultimodalFusion"]


class DenseMultimodalFusion(CTRModel):
    """Private layers of every modality with a shared layer at each level. RecBole's `DMF` is another model."""

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        self.fusion = DenseFusion(
            n_modalities=len(self.encoder.names), width=self.settings.width, levels=self.settings.levels
        )
        self.scoring = GRUScoring(self.settings, context_size=self.context_size)

    def represent(self, cells: Cells) -> Represented:
        return Represented(self.fusion(cells.aligned, cells.mask, cells.add))

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        return self.scoring(vector, batch, self.context_of(batch))
