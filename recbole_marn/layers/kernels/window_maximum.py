"""Maxima over the windows of a title, from what each distinct word contributes to each position of a window.

Numba compiles the two loops where it is installed; elsewhere torch makes the same numbers, bit for bit, in more steps.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from recbole_marn.layers.kernels.compiled import compiled_loops

__all__ = ["window_maximum"]

# Titles per piece. On a CPU the sums of all windows of a piece should stay in the cache, and in the backward pass the
# indices of its words; a GPU wants few launches.
CHUNK = 512
GRADIENT_CHUNK = 64
CUDA_CHUNK = 4096


def window_maximum(product: Tensor, place: Tensor, length: Tensor, windows: Sequence[int]) -> Tensor:
    """max over the windows of a title of the summed contributions of their words, for each window size and filter.

        out[u, k, f] = max over t of sum_{j<k} product[place[u, t + j], k, j, f]

    Args:
        product: (n_words, sum of k * filters), what each word gives to each position j of each window size k.
        place: (U, T) int64, row of `product` for each word of each title; T >= max(windows).
        length: (U,) int64, words of each title; t runs from 0 to max(length - k, 0).
        windows: the window sizes k.

    Returns:
        (U, len(windows) * filters). The backward pass needs only where each maximum was found.
    """
    return _WindowMaximum.apply(product, place, length, tuple(windows))


class _WindowMaximum(torch.autograd.Function):
    """`product` is read as rows of `filters` numbers: word number w has its share for position j of window size k in
    row w * sum(windows) + (sum of the sizes before k) + j.

    On a CPU torch's steps take titles of like length together, so that a piece is no wider than its titles; on a GPU
    that would mean waiting for the lengths. The compiled loops add gradients in the same order.
    """

    @staticmethod
    def forward(ctx: Any, product: Tensor, place: Tensor, length: Tensor, windows: tuple[int, ...]) -> Tensor:
        filters = product.shape[1] // sum(windows)
        first_row, rows = place * sum(windows), product.reshape(-1, filters)
        features = product.new_empty(len(place), len(windows) * filters)
        out = features.view(len(place), len(windows), filters)
        found = torch.empty_like(out, dtype=torch.int16)
        kept = found if ctx.needs_input_grad[0] else None
        order = length.argsort() if product.is_cpu else None
        loops = compiled_loops(product)
        if loops is not None:
            loops.window_maxima(*_arrays(rows, first_row, length), windows, *_arrays(out, found))
        elif order is None:
            _maxima(rows, first_row, length, windows, out, kept)
        else:
            first_row, in_order = first_row.index_select(0, order), torch.empty_like(out)
            _maxima(rows, first_row, length.index_select(0, order), windows, in_order, kept)
            out.index_copy_(0, order, in_order)
        if kept is not None:
            ctx.save_for_backward(first_row, kept, order)
            ctx.windows, ctx.shape, ctx.loops = windows, product.shape, loops
        return features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        first_row, found, order = ctx.saved_tensors
        grad, grad_product = grad.view(found.shape), grad.new_zeros(ctx.shape)
        if ctx.loops is not None:
            rows = grad_product.view(-1, found.shape[2])
            ctx.loops.add_to_winners(*_arrays(grad, first_row, found, order), ctx.windows, *_arrays(rows))
        else:
            grad = grad if order is None else grad.index_select(0, order)
            _add_to_winners(grad, first_row, found, ctx.windows, grad_product)
        return grad_product, None, None, None


def _arrays(*tensors: Tensor) -> tuple[Any, ...]:
    return tuple(tensor.detach().numpy() for tensor in tensors)


def _maxima(
    rows: Tensor, first_row: Tensor, length: Tensor, windows: tuple[int, ...], out: Tensor, found: Tensor | None
) -> None:
    """Write the maxima into `out` and where they were found into `found`, both (U, len(windows), filters)."""
    chunk = CHUNK if rows.is_cpu else CUDA_CHUNK
    for begin in range(0, len(first_row), chunk):
        titles = slice(begin, begin + chunk)
        longest = length[titles, None]
        width = max(int(longest[-1]), *windows) if rows.is_cpu else first_row.shape[1]
        for i, k in enumerate(windows):
            # Beyond the title the last window inside is repeated: that changes no maximum and needs no mask.
            start = torch.arange(width - k + 1, device=rows.device)
            start = torch.minimum(start, (longest - k).clamp_min(0))
            j = torch.arange(k, device=rows.device)
            row = first_row[titles].gather(1, (start[:, :, None] + j).flatten(1)).view(-1, k)
            value = F.embedding_bag(row + (sum(windows[:i]) + j), rows, mode="sum").view(*start.shape, -1)
            best = torch.amax(value, 1, out=out[titles, i])
            if found is not None:
                # A comparison into numbers and amax run on vectors; one into booleans and max with indices do not.
                is_best = torch.eq(value, best[:, None], out=torch.empty_like(value, dtype=found.dtype))
                torch.amax(is_best.mul_(start.to(found.dtype)[:, :, None]), 1, out=found[titles, i])


def _add_to_winners(
    grad: Tensor, first_row: Tensor, found: Tensor, windows: tuple[int, ...], grad_product: Tensor
) -> None:
    """Add the gradient of each maximum to the contributions of the window's words."""
    numbers = torch.arange(grad_product.shape[1], device=grad.device)  # of a word, filters of all (k, j) side by side
    window = torch.cat([torch.full((k,), i, device=grad.device) for i, k in enumerate(windows)])
    j = torch.cat([torch.arange(k, device=grad.device) for k in windows])[:, None]
    chunk = GRADIENT_CHUNK if grad.is_cpu else CUDA_CHUNK
    for begin in range(0, len(found), chunk):
        titles = slice(begin, begin + chunk)
        word = (found[titles].index_select(1, window).long() + j).flatten(1)
        index = (first_row[titles] * found.shape[2]).gather(1, word) + numbers
        share = grad[titles].index_select(1, window)
        # Along one axis scatter_add_ takes half the time that it takes along rows.
        grad_product.view(-1).scatter_add_(0, index.flatten(), share.flatten())
