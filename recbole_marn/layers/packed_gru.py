"""A standard GRU over packed tokens whose backward pass writes into one buffer.

On the CPU `torch.gru` differentiates each step's slice of the input by itself: every step of the backward pass fills and
adds an array of the whole input's size, so that its cost grows with tokens times steps. Here it grows with tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["packed_gru"]


def packed_gru(x: Tensor, batch_sizes: Sequence[int], weights: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """States of `nn.GRU` with zero initial state.

        r = sigmoid(W_r x + b_r + U_r h + c_r)
        z = sigmoid(W_z x + b_z + U_z h + c_z)
        n = tanh(W_n x + b_n + r * (U_n h + c_n))
        h' = (1 - z) * n + z * h                 torch's z keeps the old state

    Args:
        x: (N, X) tokens in the order of `PackedSequence`.
        batch_sizes: tokens of each step, not increasing.
        weights: weight_ih (3H, X), weight_hh (3H, H), bias_ih (3H,), bias_hh (3H,), blocks r, z, n.

    Returns:
        (N, H), in the order of x.
    """
    weight_input, weight_hidden, bias_input, bias_hidden = weights
    return _PackedGRU.apply(F.linear(x, weight_input, bias_input), weight_hidden, bias_hidden, tuple(batch_sizes))


class _PackedGRU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor, sizes: tuple[int, ...]) -> Tensor:
        size = weight.shape[1]
        states, before = (gates.new_empty(len(gates), size) for _ in range(2))
        rz, n, hidden_n = gates.new_empty(len(gates), 2 * size), torch.empty_like(states), torch.empty_like(states)
        h = gates.new_zeros(sizes[0], size)
        start = 0
        for count in sizes:
            step = slice(start, start + count)
            h = h[:count]  # longest sequences first: those that ended are at the back
            before[step] = h
            from_state = torch.addmm(bias, h, weight.t())
            torch.sigmoid(gates[step, : 2 * size] + from_state[:, : 2 * size], out=rz[step])
            r, z = rz[step].chunk(2, dim=1)
            hidden_n[step] = from_state[:, 2 * size :]
            torch.tanh(torch.addcmul(gates[step, 2 * size :], r, hidden_n[step]), out=n[step])
            h = torch.lerp(n[step], h, z, out=states[step])
            start += count
        ctx.save_for_backward(weight, before, rz, n, hidden_n)
        ctx.sizes = sizes
        return states

    @staticmethod
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor | None, ...]:
        weight, before, rz, n, hidden_n = ctx.saved_tensors
        size = weight.shape[1]
        r, z = rz.chunk(2, dim=1)
        # What does not depend on later steps is computed for all tokens at once.
        to_n = (1 - z) * (1 - n * n)
        to_z = (before - n) * z * (1 - z)
        to_r = hidden_n * r * (1 - r)
        grad_hidden = n.new_empty(len(n), 3 * size)  # with respect to U h + c
        grad_n = torch.empty_like(n)  # with respect to n's input part
        carried = n.new_zeros(ctx.sizes[0], size)
        end = len(n)
        for count in reversed(ctx.sizes):
            step = slice(end - count, end)
            grad = grad_states[step] + carried[:count]
            torch.mul(grad, to_n[step], out=grad_n[step])
            torch.mul(grad_n[step], to_r[step], out=grad_hidden[step, :size])
            torch.mul(grad, to_z[step], out=grad_hidden[step, size : 2 * size])
            torch.mul(grad_n[step], r[step], out=grad_hidden[step, 2 * size :])
            carried[:count] = torch.addmm(grad * z[step], grad_hidden[step], weight)
            end -= count
        grad_gates = torch.cat([grad_hidden[:, : 2 * size], grad_n], dim=1)
        return grad_gates, grad_hidden.t() @ before, grad_hidden.sum(0), None
