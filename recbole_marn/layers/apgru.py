"""APGRU: a gated recurrent unit whose update gate sees the property of the behaviour (MARN section 3.4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_marn.layers.kernels.packed_gru import packed_gru
from recbole_marn.layers.kernels.segment import no_tokens, one_chunk, packed_order

__all__ = ["APGRU", "GATES"]

GATES = ("concat", "prop_only", "no_hidden", "scale", "none")


class APGRU(nn.Module):
    """States of a GRU over ragged sequences, with the property p_t in the update gate alone.

        z_t = sigmoid(W_z x_t + P_z p_t + U_z h_{t-1} + b_z)             gate="concat", the default
        r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
        n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + b_h))
        h_t = (1 - z_t) * h_{t-1} + z_t * n_t,      h_0 = 0

    Other gates (the paper's formula is lost; ours to compare):
        prop_only   z_t = sigmoid(P_z p_t + U_z h_{t-1} + b_z)
        no_hidden   z_t = sigmoid(W_z x_t + P_z p_t + b_z)
        scale       z_t = sigmoid(P_z p_t) * sigmoid(W_z x_t + U_z h_{t-1} + b_z)
        none        z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z), a plain GRU

    All but "scale" are one standard GRU on [x_t ; p_t] (see `gru_weights`), so that the fast kernels serve.
    Two differences between the textbook and torch's GRU: r_t multiplies U_n h + b_h instead of h (that is why b_h
    exists), and torch's z keeps the old state where z here takes the new one: torch's is 1 - z = sigmoid(-(...)).

    Args:
        input_size: width of x_t.
        property_size: P, width of p_t; unused with gate="none".
        hidden_size: H.
        gate: one of GATES.

    Raises:
        ValueError: unknown gate, or a gate that needs the property without one.
    """

    def __init__(self, *, input_size: int, property_size: int = 0, hidden_size: int, gate: str = "concat"):
        super().__init__()
        if gate not in GATES:
            raise ValueError(f"Expected a gate out of {', '.join(GATES)}. Got {gate!r}. Choose one of them.")
        if gate != "none" and property_size < 1:
            raise ValueError(
                f"Expected a behaviour property for gate {gate!r}. Got property_size {property_size}. "
                "Give the behaviours a property, or choose gate 'none'."
            )
        self.hidden_size = hidden_size
        self.gate = gate

        def matrix(size: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(hidden_size, size))

        self.W_r, self.W_n = matrix(input_size), matrix(input_size)
        self.W_z = None if gate == "prop_only" else matrix(input_size)
        self.P_z = None if gate == "none" else matrix(property_size)
        self.U_r, self.U_n = matrix(hidden_size), matrix(hidden_size)
        self.U_z = None if gate == "no_hidden" else matrix(hidden_size)
        self.b_r, self.b_z, self.b_n, self.b_h = (nn.Parameter(torch.empty(hidden_size)) for _ in range(4))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def gru_weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights of the `nn.GRU` on [x ; p] that computes the same: weight_ih, weight_hh, bias_ih, bias_hh.

        Blocks are in torch's order r, z, n. What a gate does not see is a zero block, made here at every step and
        never a parameter, so that no optimizer can move it. The z blocks change sign, see the class.

        Raises:
            ValueError: gate "scale", which is no standard GRU.
        """
        if self.gate == "scale":
            raise ValueError(
                "Expected a gate that a standard GRU can compute. Got 'scale'. Use forward, or choose another gate."
            )
        zero = torch.zeros_like
        W_z = zero(self.W_r) if self.W_z is None else -self.W_z
        U_z = zero(self.U_r) if self.U_z is None else -self.U_z
        weight_input = torch.cat([self.W_r, W_z, self.W_n])
        if self.P_z is not None:
            no_property = zero(self.P_z)
            weight_property = torch.cat([no_property, -self.P_z, no_property])
            weight_input = torch.cat([weight_input, weight_property], dim=1)
        weight_hidden = torch.cat([self.U_r, U_z, self.U_n])
        bias_input = torch.cat([self.b_r, -self.b_z, self.b_n])
        bias_hidden = torch.cat([zero(self.b_r), zero(self.b_z), self.b_h])
        return weight_input, weight_hidden, bias_input, bias_hidden

    def forward(self, x: Tensor, property: Tensor | None, length: Tensor) -> Tensor:
        """The state after every token.

        Args:
            x: (N, input_size) tokens of sequence 0, then of sequence 1, ..., each oldest first.
            property: (N, P), or None with gate "none".
            length: (S,) int64 tokens of each sequence, may be 0; on the CPU, see `segment`.

        Returns:
            (N, H) in the order of the tokens.
        """
        if len(x) == 0:
            seen = (x,) if property is None else (x, property)
            return no_tokens(0, self.hidden_size, *seen, *self.parameters())
        token_of_packed, packed_of_token, batch_sizes = packed_order(length, x.device)
        seen = x if self.P_z is None or self.gate == "scale" else torch.cat([x, property], dim=1)
        seen = seen.index_select(0, token_of_packed)
        if self.gate == "scale":
            property = property.index_select(0, token_of_packed)
            states = self._scaled_states(seen, property, batch_sizes)
        else:
            states = self._gru_states(seen, batch_sizes)
        return states.index_select(0, packed_of_token)

    def _gru_states(self, packed: Tensor, batch_sizes: Tensor) -> Tensor:
        """(N, H) states of packed tokens: by cuDNN on a GPU, by our own kernel on a CPU."""
        if packed.is_cpu:
            return packed_gru(packed, batch_sizes.tolist(), self.gru_weights())
        start = packed.new_zeros(1, int(batch_sizes[0]), self.hidden_size)
        has_biases, layers, dropout, bidirectional = True, 1, 0.0, False
        states, _ = torch.gru(
            packed, batch_sizes, start, one_chunk(self.gru_weights()), has_biases, layers, dropout, self.training,
            bidirectional,
        )
        return states

    def _scaled_states(self, x: Tensor, property: Tensor, batch_sizes: Tensor) -> Tensor:
        """(N, H) states of packed tokens for gate "scale", one step of all sequences at a time."""
        from_input = F.linear(
            x, torch.cat([self.W_r, self.W_z, self.W_n]), torch.cat([self.b_r, self.b_z, self.b_n])
        )
        limit = torch.sigmoid(F.linear(property, self.P_z))
        weight_hidden = torch.cat([self.U_r, self.U_z, self.U_n])
        sizes = batch_sizes.tolist()
        h = x.new_zeros(sizes[0], self.hidden_size)
        states = []
        for step_input, step_limit in zip(from_input.split(sizes), limit.split(sizes), strict=True):
            h = h[: len(step_input)]  # longest sequences first: those that ended are at the back
            r_input, z_input, n_input = step_input.chunk(3, dim=1)
            r_hidden, z_hidden, n_hidden = F.linear(h, weight_hidden).chunk(3, dim=1)
            r = torch.sigmoid(r_input + r_hidden)
            z = step_limit * torch.sigmoid(z_input + z_hidden)
            n = torch.tanh(n_input + r * (n_hidden + self.b_h))
            h = (1.0 - z) * h + z * n
            states.append(h)
        return torch.cat(states)
