"""A plain DIN on padded histories, as an ordinary implementation would write it: what MARN's price is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_marn.layers.mlp import MLP

__all__ = ["PlainDIN"]


class PlainDIN(nn.Module):
    """Item and category embeddings, an activation unit over all L slots, an MLP (Zhou et al., KDD 2018).

    Args:
        codes: (n_items, 2) item and category codes by item id.
        cardinalities: of both.
        sizes: widths of both embeddings, which together are the width D of an item.
        attention_hidden: of the activation unit; the authors' code has 80 and 40, with sigmoids.
        prediction_hidden: as MARN's.
    """

    def __init__(
        self,
        *,
        codes: Tensor,
        cardinalities: Sequence[int],
        sizes: Sequence[int],
        attention_hidden: Sequence[int] = (80, 40),
        prediction_hidden: Sequence[int] = (128, 64),
    ):
        super().__init__()
        width = sum(sizes)
        self.codes = codes
        self.tables = nn.ModuleList(nn.Embedding(n, size) for n, size in zip(cardinalities, sizes, strict=True))
        for table in self.tables:
            nn.init.xavier_normal_(table.weight)
        self.unit = MLP(input_size=4 * width, hidden_sizes=attention_hidden, output_size=1, activation="sigmoid")
        self.mlp = MLP(input_size=3 * width, hidden_sizes=prediction_hidden, output_size=1)

    def forward(self, item: Tensor, length: Tensor) -> Tensor:
        """item (B, L + 1) with the candidate in the last slot, length (B,) -> logits (B,)."""
        codes = self.codes[item]
        x = torch.cat([table(codes[:, :, i]) for i, table in enumerate(self.tables)], dim=2)
        history, candidate = x[:, :-1], x[:, -1]
        target = candidate[:, None].expand_as(history)
        score = self.unit(torch.cat([target, history, target - history, target * history], dim=2))[:, :, 0]
        beyond = torch.arange(score.shape[1]) >= length[:, None]
        user = (score.masked_fill(beyond, 0.0)[:, :, None] * history).sum(1)
        return self.mlp(torch.cat([user, candidate, user * candidate], dim=1))[:, 0]

    def loss(self, item: Tensor, length: Tensor, label: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(self(item, length), label)
