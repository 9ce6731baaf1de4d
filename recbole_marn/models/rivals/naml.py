"""NAML: Neural News Recommendation with Attentive Multi-View Learning (Wu et al., IJCAI 2019)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.layers.modality_attention import ModalityAttention
from recbole_marn.models.base import CTRModel, Represented
from recbole_marn.models.item_encoder import Cells
from recbole_marn.models.rivals.scoring import DotScoring, GRUScoring

__all__ = ["NAML"]


class NAML(CTRModel):
    """One attention weight a view (modality): r_m = ReLU(e_m), item = sum_m alpha_m r_m.

    The user side is the one all rows share, or with `own_head` NAML's: additive attention over the history and a
    dot product, to which profile and context add a linear term.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x, width = self.settings, self.settings.width
        attention_size = x.modality_attention_size or width
        self.fusion = ModalityAttention(
            n_modalities=len(self.encoder.names), width=width, attention_size=attention_size
        )
        self.scoring: nn.Module = (
            DotScoring(width=width, attention_size=attention_size, context_size=self.context_size)
            if x.own_head
            else GRUScoring(x, context_size=self.context_size)
        )

    def represent(self, cells: Cells) -> Represented:
        view = cells.aligned.relu()  # (R, M, D)
        projected = cells.entities(self.fusion.project(view))  # (E, M, A)
        vector, attention = self.fusion(cells.entities(view), projected, cells.entities(cells.present))
        return Represented(vector, attention)

    def user_vectors(self, history: Tensor, length: Tensor) -> Tensor | None:
        return self.scoring.attention(history, length) if isinstance(self.scoring, DotScoring) else None

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        return self.scoring(vector, batch, self.context_of(batch))
