"""Pointwise attention of HSTU over a history and towards a candidate (Zhai et al., ICML 2024)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_marn.layers.kernels.padded import Padding
from recbole_marn.layers.kernels.segment import to_device

__all__ = ["HSTULayer"]


class HSTULayer(nn.Module):
    """One layer of HSTU (section 3.1), in which a candidate is the last token of the history of its row.

        U, V, Q, K = split(silu(W LN(x)))                   pointwise projection
        A_ij = silu(q_i^T k_j + r_{i-j}) / L,   j <= i      pointwise aggregated attention
        y = x + W_o (LN(A V) * U)                           pointwise transformation

    Nothing is normalised by a softmax, so that how much of an interest there was is kept. r is the bias of a distance,
    one a head. The paper's bias also sees the time between two behaviours; here what is known of a behaviour's time
    comes with its token. Rows that read one history share its states: a candidate looks at the history, never a
    history at a candidate.

    Args:
        width: D, of tokens; the heads divide it.
        n_heads: heads of equal width.
        max_length: L, the longest history.

    Shapes: history (N, D), candidate (B, D), row_sequence (B,) -> the same two
    """

    def __init__(self, *, width: int, n_heads: int, max_length: int):
        super().__init__()
        self.n_heads, self.max_length = n_heads, max_length
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 4 * width)
        self.distance = nn.Parameter(torch.zeros(max_length + 1, n_heads))
        self.read_norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, width)

    def forward(
        self, history: Tensor, candidate: Tensor, padding: Padding, length: Tensor, row_sequence: Tensor
    ) -> tuple[Tensor, Tensor]:
        gate, value, query, key = F.silu(self.project(self.norm(history))).chunk(4, dim=1)
        own_gate, own_value, own_query, own_key = F.silu(self.project(self.norm(candidate))).chunk(4, dim=1)
        value, query, key = (self.heads(padding.spread(x)) for x in (value, query, key))  # (S, L, heads, d)
        read = padding.gather(self.within(query, key, value))
        own = self._towards(own_query, own_key, own_value, key, value, length, row_sequence)
        return self.transform(history, read, gate), self.transform(candidate, own, own_gate)

    def heads(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., heads, d)"""
        return x.unflatten(-1, (self.n_heads, -1))

    def transform(self, x: Tensor, read: Tensor, gate: Tensor) -> Tensor:
        """y of tokens x that read `read` (..., D)."""
        return x + self.output(self.read_norm(read) * gate)

    def within(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(S, L, D): each behaviour reads those up to itself. What lies behind a sequence is read by nobody."""
        position = torch.arange(query.shape[1], device=query.device)
        distance = position[:, None] - position  # (L, L)
        bias = self.distance[distance.clamp_min(0)].permute(2, 0, 1)  # (heads, L, L)
        score = torch.einsum("sihd,sjhd->shij", query, key) + bias
        weight = F.silu(score).masked_fill(distance < 0, 0.0) / self.max_length
        return torch.einsum("shij,sjhd->sihd", weight, value).flatten(2)

    def _towards(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        history_key: Tensor,
        history_value: Tensor,
        length: Tensor,
        row_sequence: Tensor,
    ) -> Tensor:
        """(B, D): each candidate reads the history of its row, and itself."""
        query, key, value = self.heads(query), self.heads(key), self.heads(value)  # (B, heads, d)
        sequence = to_device(row_sequence, query.device)
        distance = to_device(length[row_sequence][:, None] - torch.arange(history_key.shape[1]), query.device)  # (B, L)
        score = torch.einsum("bhd,bjhd->bjh", query, history_key.index_select(0, sequence))
        weight = F.silu(score + self.distance[distance.clamp_min(0)]) / self.max_length
        # Behind a history the values are zeros, so that its weights there read nothing.
        read = torch.einsum("bjh,bjhd->bhd", weight, history_value.index_select(0, sequence))
        itself = F.silu((query * key).sum(2) + self.distance[0]) / self.max_length
        return (read + itself[:, :, None] * value).flatten(1)
