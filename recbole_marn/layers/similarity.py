"""How alike candidate and history are in frozen vectors: tiers of similarity, counted (SimTier) or attended (DMF)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recbole_marn.layers.kernels.segment import segment_softmax, segment_sum, weighted_sum

__all__ = ["TierAttention", "log_counts", "pair_tiers", "tier_of"]

# Pairs compared at a time: bounds the memory of vectors of thousands of numbers.
CHUNK = 4096


def tier_of(cosine: Tensor, n_tiers: int) -> Tensor:
    """The tier of each cosine: N tiers cut [-1, 1] evenly; one on a border belongs to the tier above, 1 to the last."""
    return ((cosine + 1.0) * (n_tiers / 2)).long().clamp(0, n_tiers - 1)


@torch.no_grad()
def pair_tiers(unit: Tensor, first: Tensor, second: Tensor, n_tiers: int) -> Tensor:
    """`tier_of` the cosine of each pair; N where one side has no vector.

    Shapes: unit (E, V) vectors of length 1, or zeros for an entity without; first (P,) and second (P,) index into
        them -> (P,) int64, 0 to N
    """
    has_vector = unit.ne(0).any(1)
    cosine = torch.cat(
        [(unit[a] * unit[b]).sum(1) for a, b in zip(first.split(CHUNK), second.split(CHUNK), strict=True)]
    )
    return tier_of(cosine, n_tiers).masked_fill(~(has_vector[first] & has_vector[second]), n_tiers)


def log_counts(tier: Tensor, row: Tensor, n_rows: int, n_tiers: int, dtype: torch.dtype) -> Tensor:
    """out_bn = log(1 + number of behaviours t of row b whose pair with the candidate lies in tier n).

    The paper (Sheng et al., CIKM 2024, section 4.1) hands over the counts; their logarithm keeps histories of one and
    of a hundred clicks on one scale. A pair of which one side has no vector is counted nowhere.

    Shapes: tier (P,), row (P,) -> (n_rows, N)
    """
    one = torch.ones(tier.shape, dtype=dtype, device=tier.device)
    return _by_tier(one, tier, row, n_rows, n_tiers)[:, :n_tiers].log1p()


def _by_tier(value: Tensor, tier: Tensor, row: Tensor, n_rows: int, n_tiers: int) -> Tensor:
    """value (P,) added up by row and tier: (n_rows, N + 1)."""
    width = n_tiers + 1
    return segment_sum(value, row * width + tier, n_rows * width).view(n_rows, width)


class TierAttention(nn.Module):
    """Attention of a candidate whose keys and values know how similar behaviour and candidate look.

        a_t = softmax_t(q (W_k x_t + sum_m K_m[n_tm]) / sqrt(A)),   q = W_q cand
        u   = W_o sum_t a_t (W_v x_t + sum_m V_m[n_tm])

    n_tm is the tier of behaviour t and the candidate by frozen vector m. This is decoupled target attention (Fan et
    al. 2025, arXiv 2510.11066): W_k x_t and W_v x_t are computed once a behaviour, whatever the candidate, and what
    depends on both is looked up. Of the values the tables are read once a row and tier, weighted with the attention
    that falls into the tier.

    Args:
        width: D.
        attention_size: A.
        n_vectors: M, kinds of frozen vectors.
        n_tiers: N; a pair without vectors has an entry of its own.

    Shapes: N tokens, B rows, P pairs as `segment.expand_rows` gives them
        x (N, D), candidate (B, D), tiers M times (P,), token (P,), row (P,) -> (B, D), W_o's bias for an empty history
    """

    def __init__(self, *, width: int, attention_size: int, n_vectors: int, n_tiers: int):
        super().__init__()
        self.query = nn.Linear(width, attention_size, bias=False)
        self.key = nn.Linear(width, attention_size, bias=False)
        self.value = nn.Linear(width, attention_size, bias=False)
        self.output = nn.Linear(attention_size, width)
        # Nothing at first: a similarity has to earn its say.
        self.tier_key = nn.Parameter(torch.zeros(n_vectors, n_tiers + 1, attention_size))
        self.tier_value = nn.Parameter(torch.zeros(n_vectors, n_tiers + 1, attention_size))

    def forward(self, x: Tensor, candidate: Tensor, tiers: Sequence[Tensor], token: Tensor, row: Tensor) -> Tensor:
        n_rows, n_tiers = len(candidate), self.tier_key.shape[1] - 1
        query, key = self.query(candidate), self.key(x)
        score = (query.index_select(0, row) * key.index_select(0, token)).sum(1)
        for tier, table in zip(tiers, self.tier_key, strict=True):
            score = score + (query @ table.t())[row, tier]
        weight = segment_softmax(score * query.shape[1] ** -0.5, row, n_rows)
        read = weighted_sum(self.value(x), weight, token, row, n_rows)
        for tier, table in zip(tiers, self.tier_value, strict=True):
            read = read + _by_tier(weight, tier, row, n_rows, n_tiers) @ table
        return self.output(read)
