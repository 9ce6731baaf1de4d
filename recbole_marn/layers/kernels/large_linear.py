"""Large float32 matrix products on a CPU, through the faster of the two libraries that torch has on board.

`F.linear` multiplies with MKL, which on AMD processors with AVX-512 uses half of the vector width. oneDNN, which serves
torch's convolutions, uses all of it: on one core of an EPYC (Zen 5) 190 to 220 GF/s instead of 90 to 100, in the same
precision. With AVX2 alone (Zen 3) it still has 65 GF/s where MKL has 55.
torch offers no public function for it; its compiler's operator is used where it exists, and `F.linear` elsewhere.
Under autocast the products, forward and backward, are in its type, which halves their time again; results are float32.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["autocast_type", "large_linear", "pad_rows", "plain_product"]

# oneDNN compiles a program per shape, which costs as much as a product of this many multiplications.
LARGE = 1 << 22
# Ragged batches would bring a new shape at every step: numbers of rows are rounded up to a few.
ROW_STEP = 64


def _has_onednn() -> bool:
    return (
        getattr(torch.ops.mkldnn, "_linear_pointwise", None) is not None
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    )


HAS_ONEDNN = _has_onednn()


def large_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` with both gradients, for products of many million multiplications.

    Shapes: x (N, k), weight (m, k), bias (m,) -> (N, m)
    """
    return _LargeLinear.apply(x, weight, bias, autocast_type(x))


def autocast_type(x: Tensor) -> torch.dtype | None:
    """The type that autocast multiplies in on the device of x, or None without autocast."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def plain_product(
    a: Tensor, b: Tensor, bias: Tensor | None = None, multiply_in: torch.dtype | None = None
) -> Tensor:
    """a b^T + bias, without autograd; any of the arguments may be a transposed view.

    Shapes: a (n, k), b (m, k), bias (m,) -> (n, m), of the type of b, whatever type is multiplied in
    """
    if multiply_in is not None:
        product = torch.mm(a.to(multiply_in), b.to(multiply_in).t()).to(b.dtype)
        return product if bias is None else product.add_(bias)
    is_large = a.shape[0] * a.shape[1] * b.shape[0] >= LARGE
    if HAS_ONEDNN and is_large and a.dtype == torch.float32 and a.is_cpu:
        return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return F.linear(a, b, bias)


def _product_of_columns(a: Tensor, b: Tensor, multiply_in: torch.dtype | None) -> Tensor:
    """a^T b of a (n, k), b (n, m): the wider as the second argument, for oneDNN is slow to rearrange the first."""
    if a.shape[1] > b.shape[1]:
        return plain_product(b.t(), a.t(), None, multiply_in).t()
    return plain_product(a.t(), b.t(), None, multiply_in)


def pad_rows(index: Tensor) -> Tensor:
    """Indices (n,) with zeros behind, up to a length of which there are few: 1/16 longer at most, or ROW_STEP."""
    step = max(ROW_STEP, 1 << max(0, len(index).bit_length() - 5))
    return F.pad(index, (0, -len(index) % step))


class _LargeLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, multiply_in: torch.dtype | None
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.multiply_in = multiply_in
        return plain_product(x, weight, bias, multiply_in)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = plain_product(grad, weight.t(), None, ctx.multiply_in)
        if ctx.needs_input_grad[1]:
            grad_weight = _product_of_columns(grad, x, ctx.multiply_in)
        grad_bias = grad.sum(0) if ctx.needs_input_grad[2] else None
        return grad_x, grad_weight, grad_bias, None
