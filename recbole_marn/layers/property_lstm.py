"""DUPN's LSTM, whose gates see the property of the behaviour (Ni et al., KDD 2018)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_marn.layers.kernels.segment import no_tokens, one_chunk, packed_order

__all__ = ["PropertyLSTM"]


class PropertyLSTM(nn.Module):
    """States of an LSTM over ragged sequences; the property p_t opens and closes, the item x_t is what is stored.

        i_t = sigmoid(W_i x_t + P_i p_t + U_i h_{t-1} + b_i),     f_t and o_t alike
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
        c_t = f_t * c_{t-1} + i_t * g_t,     h_t = o_t * tanh(c_t),     h_0 = c_0 = 0

    This is one standard LSTM on [x_t ; p_t] whose weights from p_t to g_t are zero, so that the fast kernels serve.

    Args:
        input_size: width of x_t.
        property_size: P, width of p_t; 0 makes it a plain LSTM.
        hidden_size: H.

    Shapes: x (N, input_size), property (N, P) or None, length (S,) -> h (N, H) in the order of the tokens
    """

    def __init__(self, *, input_size: int, property_size: int = 0, hidden_size: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.W = nn.Parameter(torch.empty(4 * hidden_size, input_size))  # torch's order: i, f, g, o
        self.P = nn.Parameter(torch.empty(3 * hidden_size, property_size)) if property_size else None  # i, f, o
        self.U = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.b = nn.Parameter(torch.empty(4 * hidden_size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def lstm_weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights of the `nn.LSTM` on [x ; p] that computes the same: weight_ih, weight_hh, bias_ih, bias_hh."""
        weight_input = self.W
        if self.P is not None:
            input_gate, forget_gate, output_gate = self.P.chunk(3)
            weight_property = torch.cat([input_gate, forget_gate, torch.zeros_like(input_gate), output_gate])
            weight_input = torch.cat([weight_input, weight_property], dim=1)
        return weight_input, self.U, self.b, torch.zeros_like(self.b)

    def forward(self, x: Tensor, property: Tensor | None, length: Tensor) -> Tensor:
        if len(x) == 0:
            seen = (x,) if property is None else (x, property)
            return no_tokens(0, self.hidden_size, *seen, *self.parameters())
        token_of_packed, packed_of_token, batch_sizes = packed_order(length, x.device)
        seen = x if self.P is None else torch.cat([x, property], dim=1)
        states = self._stepwise if x.is_cpu else self._fast
        packed = states(seen.index_select(0, token_of_packed), batch_sizes)
        return packed.index_select(0, packed_of_token)

    def _fast(self, packed: Tensor, batch_sizes: Tensor) -> Tensor:
        """(N, H) states of packed tokens by the operator beneath `nn.LSTM`, which itself accepts only parameters."""
        start = packed.new_zeros(1, int(batch_sizes[0]), self.hidden_size)
        biases, layers, dropout, both_ways = True, 1, 0.0, False
        weights, training = one_chunk(self.lstm_weights()), self.training
        states, _, _ = torch.lstm(
            packed, batch_sizes, (start, start), weights, biases, layers, dropout, training, both_ways
        )
        return states

    def _stepwise(self, packed: Tensor, batch_sizes: Tensor) -> Tensor:
        """The same; on the CPU the operator's backward pass grows with tokens times steps, this one with tokens."""
        weight_input, weight_hidden, bias, _ = self.lstm_weights()
        sizes = batch_sizes.tolist()
        h = c = packed.new_zeros(sizes[0], self.hidden_size)
        states = []
        for from_input in F.linear(packed, weight_input, bias).split(sizes):
            h, c = h[: len(from_input)], c[: len(from_input)]  # longest sequences first: ended ones are at the back
            i, f, g, o = torch.addmm(from_input, h, weight_hidden.t()).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            states.append(h)
        return torch.cat(states)
