"""Transformer and DCN V2: the winner of the WWW 2025 multimodal CTR challenge (Xu et al. 2025, arXiv 2505.03543)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.errors import InputError
from recbole_marn.layers.cross import CrossAndDeep
from recbole_marn.layers.kernels.padded import Padding
from recbole_marn.layers.kernels.segment import expand_rows, last_state
from recbole_marn.models.parts import PredictionHead
from recbole_marn.models.rivals.concatenated import ConcatenatedModel

__all__ = ["TransformerDCN"]


class TransformerDCN(ConcatenatedModel):
    """Every behaviour beside the candidate through a Transformer; its last output and its maximum meet in a DCN.

    Raises:
        InputError: heads that do not divide 2 D.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x = self.settings
        size = 2 * x.width
        if size % x.n_heads:
            raise InputError(f"n_heads to divide 2 * width, {size}", str(x.n_heads), "Change n_heads or width.")
        layer = nn.TransformerEncoderLayer(
            d_model=size,
            nhead=x.n_heads,
            dim_feedforward=x.inner_size,
            dropout=x.transformer_dropout,
            batch_first=True,
        )
        self.transformer = nn.TransformerEncoder(layer, num_layers=x.n_layers, enable_nested_tensor=False)
        self.from_maximum = nn.Linear(size, size)
        self.head = PredictionHead.of(
            x,
            user_size=2 * size,
            item_size=x.width,
            context_size=self.context_size,
            network=partial(CrossAndDeep, n_layers=x.cross_layers),
        )

    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        item, candidate = batch.places(vector)  # (N, D), (B, D)
        token, row = expand_rows(batch.length, batch.row_sequence, item.device)
        both = torch.cat([item.index_select(0, token), candidate.index_select(0, row)], dim=1)  # (N', 2 D)
        return self.head(self._read(both, batch.length[batch.row_sequence]), candidate, self.context_of(batch))

    def _read(self, both: Tensor, length: Tensor) -> Tensor:
        """(N', 2 D) of the rows' histories with their lengths (B,) -> (B, 4 D), zeros without a history."""
        padding = Padding(length, both.device)
        hidden = ~padding.is_token
        hidden[:, 0] = False  # an empty history reads one place of zeros: attention to nothing is no number
        state = self.transformer(padding.spread(both), src_key_padding_mask=hidden)
        state = state.masked_fill(~padding.is_token[:, :, None], 0.0)
        highest = state.masked_fill(hidden[:, :, None], -torch.inf).amax(1)
        highest = self.from_maximum(highest).masked_fill(~padding.is_token[:, :1], 0.0)
        return torch.cat([last_state(padding.gather(state), length), highest], dim=1)
