"""Recurrent layers on padded sequences, as ONNX takes them: its own GRU and LSTM, and a scan of other cells.

Shapes: B sequences, T steps, C states that roll along each sequence, H their width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.nn.functional import linear

from recbole_marn.layers.apgru import APGRU
from recbole_marn.layers.property_lstm import PropertyLSTM

__all__ = ["ScaledGRU", "States", "gru", "lstm"]


class States(nn.Module):
    """x (B, T, I) and property (B, T, P) or None -> (B, T, H): ONNX's own operator in the exported graph, else torch's.

    It rolls [x ; property].
    """

    def __init__(self, operator: str, weights: tuple[Tensor, ...], order: list[int], **attributes: Any):
        super().__init__()
        self.operator, self.size, self.attributes = operator, weights[1].shape[1], attributes
        for name, value in zip(("w_x", "w_h", "b_x", "b_h"), weights, strict=True):
            self.register_buffer(name, value.detach().clone())

        def reordered(value: Tensor) -> Tensor:
            blocks = value.detach().chunk(len(order))
            return torch.cat([blocks[block] for block in order])

        self.register_buffer("onnx_w", reordered(weights[0])[None])
        self.register_buffer("onnx_r", reordered(weights[1])[None])
        self.register_buffer("onnx_b", torch.cat([reordered(weights[2]), reordered(weights[3])])[None])

    def forward(self, x: Tensor, property: Tensor | None) -> Tensor:
        x = x if property is None else torch.cat([x, property], dim=2)
        if torch.onnx.is_in_onnx_export():
            x = x.transpose(0, 1)  # (T, B, I), the only layout that ONNX Runtime has
            last = (1, x.shape[1], self.size)
            shapes = ((x.shape[0], 1, x.shape[1], self.size), *[last] * (2 if self.operator == "LSTM" else 1))
            states = torch.onnx.ops.symbolic_multi_out(
                self.operator, (x, self.onnx_w, self.onnx_r, self.onnx_b),
                attrs={"hidden_size": self.size, **self.attributes}, dtypes=(x.dtype,) * len(shapes), shapes=shapes,
                version=18,
            )[0]  # fmt: skip
            return states[:, 0].transpose(0, 1)
        start = x.new_zeros(1, x.shape[0], self.size)
        weights = (self.w_x, self.w_h, self.b_x, self.b_h)
        if self.operator == "LSTM":
            return torch.lstm(x, (start, start), weights, True, 1, 0.0, False, False, True)[0]
        return torch.gru(x, start, weights, True, 1, 0.0, False, False, True)[0]


class ScaledGRU(nn.Module):
    """A GRU whose update gate is scaled from outside, as `AUGRU` and the gate "scale" of `APGRU` compute it.

        z_t = scale_t * sigmoid(z_x + U_z h),  r_t = sigmoid(r_x + U_r h),  n_t = tanh(n_x + r_t * (U_n h + b_h))
        h = h + z_t * (n_t - h)

    Where the scale is 0 a state stays.

    Args:
        weight: (3 H, H), U_r, U_z and U_n.
        bias: (H,), b_h.

    Shapes: from_input (B, T, 3 H) r_x, z_x and n_x, scale (B, C, T, 1 or H) -> (B, C, T, H)
    """

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.register_buffer("weight", weight.detach().clone())
        self.register_buffer("bias", bias.detach().clone())

    def forward(self, from_input: Tensor, scale: Tensor) -> Tensor:
        start = from_input.new_zeros(scale.shape[0], scale.shape[1], len(self.bias))
        steps = from_input.transpose(0, 1), scale.permute(2, 0, 1, 3)
        if torch.onnx.is_in_onnx_export():
            states = scan(lambda h, step: (self._step(h, *step), self._step(h, *step)), start, steps)[1]
            return states.permute(1, 2, 0, 3)
        states, h = [], start
        for step in zip(*steps, strict=True):
            h = self._step(h, *step)
            states.append(h)
        return torch.stack(states, dim=2)

    def _step(self, h: Tensor, from_input: Tensor, scale: Tensor) -> Tensor:
        """h (B, C, H), from_input (B, 3 H), scale (B, C, 1 or H) -> (B, C, H)."""
        r_x, z_x, n_x = from_input[:, None].chunk(3, dim=2)
        r_h, z_h, n_h = linear(h, self.weight).chunk(3, dim=2)
        z = scale * torch.sigmoid(z_x + z_h)
        n = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * (n_h + self.bias))
        return h + z * (n - h)


class ScaledStates(nn.Module):
    """The gate "scale" of `APGRU`: x (B, T, I) and property (B, T, P) -> (B, T, H)."""

    def __init__(self, rnn: APGRU):
        super().__init__()
        self.rnn = rnn
        self.states = ScaledGRU(torch.cat([rnn.U_r, rnn.U_z, rnn.U_n]), rnn.b_h)

    def forward(self, x: Tensor, property: Tensor) -> Tensor:
        rnn = self.rnn
        weight, bias = torch.cat([rnn.W_r, rnn.W_z, rnn.W_n]), torch.cat([rnn.b_r, rnn.b_z, rnn.b_n])
        scale = torch.sigmoid(linear(property, rnn.P_z))
        return self.states(linear(x, weight, bias), scale[:, None])[:, 0]


def gru(rnn: APGRU) -> nn.Module:
    """(B, T, .) and a property or None -> the states of a trained unit."""
    if rnn.gate == "scale":
        return ScaledStates(rnn)
    # torch: r, z, n; ONNX: z, r, h.
    return States("GRU", rnn.gru_weights(), [1, 0, 2], linear_before_reset=1)


def lstm(rnn: PropertyLSTM) -> nn.Module:
    """As `gru`."""
    # torch: i, f, g, o; ONNX: i, o, f, c.
    return States("LSTM", rnn.lstm_weights(), [0, 3, 1, 2])
