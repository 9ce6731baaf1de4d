"""Tokens that follow one another as a rectangle, for layers in which every token meets every other."""

import torch
from torch import Tensor

from recbole_marn.layers.kernels.segment import sequence_of_token, to_device

__all__ = ["Padding"]


class Padding:
    """Where the tokens of S sequences lie in (S, L), L the longest; the rest are zeros behind each sequence.

    Args:
        length: (S,) int64 on the CPU; 0 is allowed.
        device: of the values.

    Attributes:
        shape: S and L; L is at least 1.
        is_token: (S, L) bool.
    """

    def __init__(self, length: Tensor, device: torch.device):
        self.shape = (len(length), max(1, int(length.max()))) if len(length) else (0, 1)
        sequence = sequence_of_token(length, device)
        position = torch.arange(len(sequence), device=device) - to_device(length.cumsum(0) - length, device)[sequence]
        self.place = sequence * self.shape[1] + position  # (N,)
        self.is_token = torch.arange(self.shape[1], device=device) < to_device(length, device)[:, None]

    def spread(self, value: Tensor) -> Tensor:
        """(N, D) -> (S, L, D)."""
        flat = value.new_zeros(self.shape[0] * self.shape[1], value.shape[1])
        return flat.index_copy(0, self.place, value).view(*self.shape, -1)

    def gather(self, padded: Tensor) -> Tensor:
        """(S, L, D) -> (N, D)."""
        return padded.flatten(0, 1).index_select(0, self.place)
