"""A history as one vector, whoever the candidate is."""

import torch
from torch import Tensor, nn

from recbole_marn.layers.kernels.segment import segment_softmax, segment_sum, sequence_of_token, to_device

__all__ = ["AdditiveAttention", "sequence_mean"]


def sequence_mean(value: Tensor, length: Tensor) -> Tensor:
    """Mean over the tokens of each sequence; zeros for a sequence without tokens.

    Shapes: value (N, ...), length (S,) -> (S, ...)
    """
    total = segment_sum(value, sequence_of_token(length, value.device), len(length))
    return total / to_device(length, value.device).clamp_min(1).to(value.dtype).view(-1, *[1] * (value.dim() - 1))


class AdditiveAttention(nn.Module):
    """Attention with a learned query (Bahdanau et al. 2015), as NAML reads a history (IJCAI 2019, section 3.2).

        alpha = softmax over the tokens of the sequence of q^T tanh(V x_t + v),     u = sum_t alpha_t x_t

    Args:
        width: D, of the tokens.
        attention_size: rows of V.

    Shapes: x (N, D), length (S,) -> (S, D), zeros for a sequence without tokens
    """

    def __init__(self, *, width: int, attention_size: int):
        super().__init__()
        self.project = nn.Linear(width, attention_size)
        self.query = nn.Linear(attention_size, 1, bias=False)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        sequence = sequence_of_token(length, x.device)
        score = self.query(torch.tanh(self.project(x)))[:, 0]
        alpha = segment_softmax(score, sequence, len(length))
        return segment_sum(alpha[:, None] * x, sequence, len(length))
