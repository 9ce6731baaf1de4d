"""xDeepFM with modalities as fields: Combining Explicit and Implicit Feature Interactions (Lian et al., KDD 2018)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.layers.cin import CompressedInteraction
from recbole_marn.layers.context import ContextAlignment, side_by_side
from recbole_marn.layers.kernels.segment import to_device
from recbole_marn.layers.pooling import sequence_mean
from recbole_marn.models.base import CTRModel, Represented
from recbole_marn.models.item_encoder import Cells
from recbole_marn.models.parts import PredictionHead

__all__ = ["MultimodalxDeepFM"]


class MultimodalxDeepFM(CTRModel):
    """logit = w^T [fields] + v^T CIN(fields) + DNN([fields]); fields are the modalities of history and candidate.

    A field is an aligned modality, of width D: M of the candidate and M averaged over the history. A modality that
    is missing is a field of zeros. Each field of profile and context is one more, aligned to D for the CIN, while the
    linear and the deep part read it as it is. The deep part is the prediction network that all models share.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x, context, context_size = self.settings, self.context_encoder, self.context_size
        n_context = 0 if context is None else sum(context.fields_of_width)
        self.interaction = CompressedInteraction(
            n_fields=2 * len(self.encoder.names) + n_context, layer_sizes=x.cin_layers
        )
        self.from_interaction = nn.Linear(self.interaction.output_size, 1, bias=False)
        self.linear = nn.Linear(2 * self.vector_size + context_size, 1, bias=False)
        self.head = PredictionHead.of(
            x, user_size=self.vector_size, item_size=self.vector_size, context_size=context_size
        )
        self.context_alignment = None
        if context is not None:
            self.context_alignment = ContextAlignment(
                widths=context.widths, fields_of_width=context.fields_of_width, output_size=x.width
            )

    @property
    def vector_size(self) -> int:
        """All modalities side by side: M * D."""
        return len(self.encoder.names) * self.settings.width

    def represent(self, cells: Cells) -> Represented:
        fields = cells.entities(cells.aligned.masked_fill(~cells.present[:, :, None], 0.0))  # (E, M, D)
        return Represented(fields.flatten(1))

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        candidate = vector.index_select(0, batch.candidate)  # (B, M * D)
        history = sequence_mean(vector.index_select(0, batch.token), batch.length)  # (S, M * D)
        history = history.index_select(0, to_device(batch.row_sequence, vector.device))
        both = torch.cat([history, candidate], dim=1)
        fields = both.unflatten(1, (-1, self.settings.width))  # (B, 2 * M, D)
        context = None
        if self.context_encoder is not None:
            parts = self.context_encoder(batch.context)
            context = side_by_side(parts)  # (B, C)
            both = torch.cat([both, context], dim=1)
            fields = torch.cat([fields, self.context_alignment(parts)], dim=1)
        explicit = self.linear(both) + self.from_interaction(self.interaction(fields))  # (B, 1)
        return explicit[:, 0] + self.head(history, candidate, context)
