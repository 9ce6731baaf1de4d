"""Scaled dot products of a candidate and its history without a softmax (QIN, WWW 2025 MM-CTR challenge)."""

from torch import Tensor, nn

from recbole_marn.layers.kernels.segment import weighted_sum

__all__ = ["SparseTargetAttention"]


class SparseTargetAttention(nn.Module):
    """u = cand + W_o sum_t relu(q^T k_t / sqrt(A)) v_t,   q = W_q cand,  k_t = W_k x_t,  v_t = W_v x_t.

    Weights below zero are cut off and nothing is normalised, so that few behaviours take part and how many do is seen
    (Li et al. 2025, "adaptive sparse target attention").

    Args:
        width: D.
        attention_size: A.

    Shapes: N tokens, B rows, N' pairs as `segment.expand_rows` gives them
        x (N, D), candidate (B, D), token (N',), row (N',) -> (B, D)
    """

    def __init__(self, *, width: int, attention_size: int):
        super().__init__()
        self.query = nn.Linear(width, attention_size, bias=False)
        self.key = nn.Linear(width, attention_size, bias=False)
        self.value = nn.Linear(width, attention_size, bias=False)
        self.output = nn.Linear(attention_size, width)

    def forward(self, x: Tensor, candidate: Tensor, token: Tensor, row: Tensor) -> Tensor:
        query, key = self.query(candidate), self.key(x)
        score = (query.index_select(0, row) * key.index_select(0, token)).sum(1) * query.shape[1] ** -0.5
        read = weighted_sum(self.value(x), score.relu(), token, row, len(candidate))
        return candidate + self.output(read)
