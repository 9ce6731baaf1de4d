"""Attention of the candidate over the states of a history (MARN section 3.4; marn A.14)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recbole_marn.layers.mlp import MLP, activation_by_name
from recbole_marn.layers.kernels.segment import expand_rows, segment_softmax, weighted_sum

__all__ = ["CandidateAttention"]


class CandidateAttention(nn.Module):
    """What a history says about a candidate.

        g_t = MLP([h_t ; cand]),   alpha = softmax over the tokens of the history,   u = sum_t alpha_t h_t

    With `item_size` > 0 the item vectors r_t are read beside the states (our variant: states alone hide the items):

        g_t = MLP([h_t ; r_t ; cand ; r_t * cand]),   u = sum_t alpha_t [h_t ; r_t]

    The first layer is split by input, so that the share of h_t and r_t is computed once per token and the share of
    the candidate once per row, however many rows read the same history. The last layer has no bias: softmax would
    cancel it.

    Args:
        state_size: H.
        candidate_size: D.
        hidden_sizes: hidden layers of the MLP; the paper does not say.
        item_size: 0, or D for the variant.
        activation: of the hidden layers.

    Shapes: S sequences, N tokens, B rows, N' (row, token) pairs (see `segment`)
        state (N, H), candidate (B, D), length (S,), row_sequence (B,), item (N, D) or None
        -> u (B, H), with the variant (B, H + D), 0 for an empty history; alpha (N',)

    Raises:
        ValueError: `item_size` is neither 0 nor `candidate_size`.
    """

    def __init__(
        self,
        *,
        state_size: int,
        candidate_size: int,
        hidden_sizes: Sequence[int] = (64,),
        item_size: int = 0,
        activation: str = "relu",
    ):
        super().__init__()
        if item_size not in (0, candidate_size):
            raise ValueError(
                f"Expected item_size 0 or {candidate_size}, the candidate's. Got {item_size}. "
                "Give items and candidates the same width: they are multiplied."
            )
        first_size, *other_sizes = *hidden_sizes, 1
        has_bias = bool(hidden_sizes)
        self.from_token = nn.Linear(state_size + item_size, first_size, bias=has_bias)
        self.from_candidate = nn.Linear(candidate_size, first_size, bias=False)
        self.from_product = nn.Linear(item_size, first_size, bias=False) if item_size else None
        self.rest: nn.Module = nn.Identity()
        if other_sizes:
            hidden = MLP(input_size=first_size, hidden_sizes=other_sizes[:-1], activation=activation)
            last = nn.Linear(hidden.output_size, 1, bias=False)
            self.rest = nn.Sequential(activation_by_name(activation), hidden, last)
        self.output_size = state_size + item_size

    def forward(
        self, state: Tensor, candidate: Tensor, length: Tensor, row_sequence: Tensor, item: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        token, row = expand_rows(length, row_sequence, state.device)
        read = state if self.from_product is None else torch.cat([state, item], dim=1)
        first = self.from_token(read).index_select(0, token) + self.from_candidate(candidate).index_select(0, row)
        if self.from_product is not None:
            first = first + self.from_product(item.index_select(0, token) * candidate.index_select(0, row))
        alpha = segment_softmax(self.rest(first)[:, 0], row, len(row_sequence))
        return weighted_sum(read, alpha, token, row, len(row_sequence)), alpha
