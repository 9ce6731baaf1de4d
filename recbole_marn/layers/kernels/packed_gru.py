"""A standard GRU over packed tokens whose backward pass writes into one buffer.

On the CPU `torch.gru` differentiates each step's slice of the input by itself: every step of the backward pass fills
and adds an array of the whole input's size, so that its cost grows with tokens times steps. Here it grows with tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

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
    gates = F.linear(x, weight_input, bias_input).to(weight_hidden.dtype)  # autocast stops here: steps are small
    return _PackedGRU.apply(gates, weight_hidden, bias_hidden, tuple(batch_sizes))


class _PackedGRU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor, sizes: tuple[int, ...]) -> Tensor:
        size = weight.shape[1]
        states, n = gates.new_empty(len(gates), size), gates.new_empty(len(gates), size)
        rz, hidden = gates.new_empty(len(gates), 2 * size), torch.empty_like(gates)  # hidden: U h + c
        h, transposed = gates.new_zeros(sizes[0], size), weight.t()
        steps = zip(
            *(x.split(sizes) for x in (*gates.split((2 * size, size), 1), hidden)),
            *(x.split(sizes) for x in (*hidden.split((2 * size, size), 1), rz, *rz.chunk(2, 1), n, states)),
            strict=True,
        )
        for gates_rz, gates_n, from_state, state_rz, state_n, rz_t, r, z, n_t, next_h in steps:
            h = h[: len(n_t)]  # longest sequences first: those that ended are at the back
            torch.addmm(bias, h, transposed, out=from_state)
            torch.add(gates_rz, state_rz, out=rz_t).sigmoid_()
            torch.addcmul(gates_n, r, state_n, out=n_t).tanh_()
            h = torch.lerp(n_t, h, z, out=next_h)
        ctx.save_for_backward(weight, states, rz, n, hidden[:, 2 * size :])
        ctx.sizes = sizes
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor | None, ...]:
        weight, states, rz, n, hidden_n = ctx.saved_tensors
        size, sizes = weight.shape[1], ctx.sizes
        r, z = rz.chunk(2, dim=1)
        before = _states_before(states, sizes)
        # With g the whole gradient of a state, that of U h + c is g times a factor known for all tokens beforehand.
        to_n = (1 - z) * (1 - n * n)
        factor = n.new_empty(len(n), 3, size)
        torch.mul(to_n * hidden_n * r, 1 - r, out=factor[:, 0])
        torch.mul((before - n) * z, 1 - z, out=factor[:, 1])
        torch.mul(to_n, r, out=factor[:, 2])
        grad = grad_states.clone()
        grad_hidden = torch.empty_like(factor)
        steps = list(zip(*(x.split(sizes) for x in (grad, z, factor, grad_hidden)), strict=True))
        for t in range(len(sizes) - 1, -1, -1):
            g, z_t, factor_t, grad_hidden_t = steps[t]
            torch.mul(g[:, None], factor_t, out=grad_hidden_t)
            if t:
                earlier = steps[t - 1][0][: len(g)]
                earlier.addcmul_(g, z_t).addmm_(grad_hidden_t.flatten(1), weight)
        grad_weight, grad_bias = grad_hidden.flatten(1).t() @ before, grad_hidden.flatten(1).sum(0)
        torch.mul(grad, to_n, out=grad_hidden[:, 2])  # from U h + c to W x + b only n's block changes
        return grad_hidden.flatten(1), grad_weight, grad_bias, None


def _states_before(states: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """(N, H): the state each token met, 0 for the first of a sequence."""
    before = torch.zeros_like(states)
    start = 0
    for earlier, count in zip(sizes, sizes[1:], strict=False):
        before[start + earlier : start + earlier + count] = states[start : start + count]
        start += earlier
    return before
