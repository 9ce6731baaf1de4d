"""Numbers that look random and are a function of integers."""

import torch
from torch import Tensor

__all__ = ["uniform_hash"]

# Odd 64-bit constants of the SplitMix64 generator (Steele et al., OOPSLA 2014), as signed integers.
STEP = 0x9E3779B97F4A7C15 - 2**64
FIRST, SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64
KEPT_BITS = 24  # all of them fit a float32


def uniform_hash(*keys: Tensor, seed: int = 0) -> Tensor:
    """A number in [0, 1) for each combination of integers: the same for the same keys, unrelated for others.

    Shapes: keys (n,) int64 each -> (n,) float32
    """
    value = torch.full_like(keys[0], seed)
    for key in keys:
        value = _scramble(value + STEP) + key
    return ((_scramble(value + STEP) >> (64 - KEPT_BITS)) & (2**KEPT_BITS - 1)).float() / 2**KEPT_BITS


def _scramble(value: Tensor) -> Tensor:
    """SplitMix64's finalizer: each bit of the input changes about half of the output's."""
    for shift, factor in ((30, FIRST), (27, SECOND)):
        value = (value ^ _shift_right(value, shift)) * factor
    return value ^ _shift_right(value, 31)


def _shift_right(value: Tensor, bits: int) -> Tensor:
    return (value >> bits) & (2 ** (64 - bits) - 1)
