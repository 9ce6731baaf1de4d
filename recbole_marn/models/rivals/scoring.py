"""The user side of the rivals that differ in how they fuse modalities: from item vectors to logits."""

from __future__ import annotations

from torch import Tensor, nn

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.layers.apgru import APGRU
from recbole_marn.layers.kernels.segment import to_device
from recbole_marn.layers.pooling import AdditiveAttention
from recbole_marn.models.parts import PredictionHead, UserPooling
from recbole_marn.settings.models import GRUSettings

__all__ = ["DotScoring", "GRUScoring"]


class GRUScoring(nn.Module):
    """A plain GRU over the item vectors, its last state, and the prediction network that all models share."""

    def __init__(self, settings: GRUSettings, *, context_size: int = 0):
        super().__init__()
        hidden = settings.hidden_size or settings.width
        self.rnn = APGRU(input_size=settings.width, hidden_size=hidden, gate="none")
        self.pool = UserPooling.of(settings, state_size=hidden)
        self.head = PredictionHead.of(
            settings, user_size=self.pool.output_size, item_size=settings.width, context_size=context_size
        )

    def forward(self, vector: Tensor, batch: RaggedBatch, context: Tensor | None) -> Tensor:
        """vector (E, D) of the batch's entities, context (B, C) or None -> logits (B,)."""
        item, candidate = batch.places(vector)  # (N, D), (B, D)
        state = self.rnn(item, None, batch.length)  # (N, H)
        user = self.pool(state, item, candidate, batch.length, batch.row_sequence)  # (B, .)
        return self.head(user, candidate, context)


class DotScoring(nn.Module):
    """Additive attention over the history, and its dot product with the candidate: NAML's own user side.

        logit = u^T x_cand,     with profile and context  u^T x_cand + w^T context + b

    The paper has neither. A linear term leaves the dot product what it is: one user's items rank by it alone.

    Args:
        width: D.
        attention_size: of the additive attention.
        context_size: C, or 0.
    """

    def __init__(self, *, width: int, attention_size: int, context_size: int = 0):
        super().__init__()
        self.attention = AdditiveAttention(width=width, attention_size=attention_size)
        self.from_context = nn.Linear(context_size, 1) if context_size else None

    def forward(self, vector: Tensor, batch: RaggedBatch, context: Tensor | None) -> Tensor:
        """vector (E, D) of the batch's entities, context (B, C) or None -> logits (B,)."""
        user = self.attention(vector.index_select(0, batch.token), batch.length)  # (S, D)
        user = user.index_select(0, to_device(batch.row_sequence, vector.device))  # (B, D)
        logit = (user * vector.index_select(0, batch.candidate)).sum(1)
        return logit if context is None else logit + self.from_context(context)[:, 0]
