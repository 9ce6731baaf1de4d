"""A linear layer on chosen rows of a large frozen table, without a copy of these rows."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from recbole_marn.layers.kernels.large_linear import autocast_type, pad_rows, plain_product

__all__ = ["gather_linear", "gather_linear_reference"]

# On a GPU fresh memory costs nothing but launches do, so that few large pieces are better than many small ones.
CUDA_CHUNK = 8192
# Up to so many gathered numbers are kept for the backward pass: gathering a small batch twice takes longer than that.
KEPT = 1 << 20


def gather_linear_reference(table: Tensor, row: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The formula of `gather_linear` in one line; keeps the gathered (U, size) rows for the backward pass."""
    return F.linear(table[row].to(weight.dtype), weight, bias)


def gather_linear(table: Tensor, row: Tensor, weight: Tensor, bias: Tensor, *, chunk: int = 256) -> Tensor:
    """out_u = W table[row_u] + b, piece by piece: the same small buffer is filled and multiplied for each piece.

    On a CPU the plain form spends more time on page faults of the fresh (U, size) temporary than on the product.
    The backward pass gathers again, so that of a large batch nothing but the row numbers is kept.

    Args:
        table: (V, size), float16, bfloat16 or of the weight's type; gets no gradient. Under autocast the products are
            in its type.
        row: (U,) int64.
        weight: (width, size).
        bias: (width,).
        chunk: rows per piece on a CPU.

    Returns:
        (U, width), of the weight's type.
    """
    chunk = chunk if table.is_cpu else max(chunk, CUDA_CHUNK)
    return _GatherLinear.apply(table, row, weight, bias, chunk, autocast_type(weight) or weight.dtype)


class _Rows:
    """Pieces of table[row] in the wanted type; each piece overwrites the one before."""

    def __init__(self, table: Tensor, row: Tensor, dtype: torch.dtype, chunk: int):
        self.table, self.row = table, row
        self.chunk = min(chunk, len(row))
        self.stored = table.new_empty(self.chunk, table.shape[1])
        self.wanted = self.stored if table.dtype == dtype else torch.empty_like(self.stored, dtype=dtype)

    def __iter__(self):
        for begin in range(0, len(self.row), max(self.chunk, 1)):
            row = self.row[begin : begin + self.chunk]
            stored, wanted = self.stored[: len(row)], self.wanted[: len(row)]
            torch.index_select(self.table, 0, row, out=stored)
            if wanted.dtype != stored.dtype:
                wanted.copy_(stored)
            yield slice(begin, begin + len(row)), wanted


class _GatherLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, table: Tensor, row: Tensor, weight: Tensor, bias: Tensor, chunk: int, multiply_in: torch.dtype
    ) -> Tensor:
        ctx.chunk, ctx.multiply_in = chunk, multiply_in
        padded = pad_rows(row)
        narrow = weight.to(multiply_in)
        x = None
        if len(padded) * table.shape[1] <= KEPT:
            x = table.index_select(0, padded).to(multiply_in)
            out = plain_product(x, narrow).to(weight.dtype)
        else:
            out = weight.new_empty(len(padded), len(weight))
            for piece, rows in _Rows(table, padded, multiply_in, chunk):
                out[piece] = plain_product(rows, narrow)
        ctx.save_for_backward(table, row, weight, x)
        return out[: len(row)].add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        table, row, weight, x = ctx.saved_tensors
        grad_weight = grad_bias = None
        if ctx.needs_input_grad[2]:
            padded = pad_rows(row)
            narrow = F.pad(grad, (0, 0, 0, len(padded) - len(row))).to(ctx.multiply_in)
            if x is None:
                grad_weight = torch.zeros_like(weight)
                for piece, rows in _Rows(table, padded, ctx.multiply_in, ctx.chunk):
                    grad_weight += plain_product(narrow[piece].t(), rows.t())
            else:
                grad_weight = plain_product(narrow.t(), x.t()).to(weight.dtype)
        if ctx.needs_input_grad[3]:
            grad_bias = grad.sum(0)
        return None, None, grad_weight, grad_bias, None, None
