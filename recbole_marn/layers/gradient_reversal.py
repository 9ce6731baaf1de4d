"""Gradient reversal (Ganin and Lempitsky 2015): how one backward pass plays both sides of MARN's eq. (7)."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["reverse_gradient"]


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * grad, None


def reverse_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """Forward: x. Backward: -strength * gradient. Whatever lies below x is trained against the loss above it.

    Shapes: any -> the same.
    """
    return _ReverseGradient.apply(x, strength)
