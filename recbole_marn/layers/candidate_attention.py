"""Attention of the candidate over the states of a history (MARN section 3.4)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from recbole_marn.layers.kernels.segment import expand_rows, segment_softmax, weighted_sum
from recbole_marn.layers.split_mlp import SplitMLP

__all__ = ["CandidateAttention"]


class CandidateAttention(SplitMLP):
    """What a history says about a candidate.

        g_t = MLP([h_t ; cand]),   alpha = softmax over the tokens of the history,   u = sum_t alpha_t h_t

    With `item_size` > 0 the item vectors r_t are read beside the states (our variant: states alone hide the items):

        g_t = MLP([h_t ; r_t ; cand ; r_t * cand]),   u = sum_t alpha_t [h_t ; r_t]

    The last layer has no bias: softmax would cancel it.

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
        if item_size not in (0, candidate_size):
            raise ValueError(
                f"Expected item_size 0 or {candidate_size}, the candidate's. Got {item_size}. "
                "Give items and candidates the same width: they are multiplied."
            )
        super().__init__(
            token_size=state_size + item_size,
            candidate_size=candidate_size,
            hidden_sizes=hidden_sizes,
            product=item_size > 0,
            bias=False,
            activation=activation,
        )
        self.output_size = state_size + item_size

    def forward(
        self, state: Tensor, candidate: Tensor, length: Tensor, row_sequence: Tensor, item: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        token, row = expand_rows(length, row_sequence, state.device)
        read = state if self.from_product is None else torch.cat([state, item], dim=1)
        alpha = segment_softmax(self.pair_scores(read, item, candidate, token, row), row, len(row_sequence))
        return weighted_sum(read, alpha, token, row, len(row_sequence)), alpha
