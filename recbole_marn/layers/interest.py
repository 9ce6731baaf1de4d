"""DIEN's three parts: interests, how relevant they are, and how they evolve (Zhou et al., AAAI 2019)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_marn.layers.kernels.segment import (
    last_state,
    no_tokens,
    packed_order,
    segment_softmax,
    sequence_of_token,
    to_device,
)
from recbole_marn.layers.mlp import MLP

__all__ = ["AUGRU", "BilinearAttention", "NextBehaviourLoss"]


class BilinearAttention(nn.Module):
    """a_t = softmax over the tokens of the row of h_t^T W cand (DIEN, interest evolving layer).

    Shapes: N tokens, B rows, N' pairs as `segment.expand_rows` gives them
        state (N, H), candidate (B, D), token (N',), row (N',) -> (N',)
    """

    def __init__(self, *, state_size: int, candidate_size: int):
        super().__init__()
        self.map = nn.Linear(state_size, candidate_size, bias=False)

    def forward(self, state: Tensor, candidate: Tensor, token: Tensor, row: Tensor) -> Tensor:
        score = (self.map(state).index_select(0, token) * candidate.index_select(0, row)).sum(1)
        return segment_softmax(score, row, len(candidate))


class AUGRU(nn.Module):
    """Last state of a GRU whose update gate is scaled by attention (DIEN's AUGRU).

        z_t = a_t * sigmoid(W_z x_t + U_z h_{t-1} + b_z)
        r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
        n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + b_h))
        h_t = (1 - z_t) * h_{t-1} + z_t * n_t,      h_0 = 0

    The attention belongs to a row, so that every row rolls its own copy of the history; only the products with x_t
    are shared by the rows that read the same history.

    Args:
        input_size: width of x_t.
        hidden_size: H.

    Shapes: x (N, input_size), attention (N',), token (N',), row_length (B,) the tokens of each row, whose sum is N'
        -> (B, H), zeros for a row without tokens
    """

    def __init__(self, *, input_size: int, hidden_size: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.from_input = nn.Linear(input_size, 3 * hidden_size)  # r, z, n
        self.from_state = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.b_h = nn.Parameter(torch.empty(hidden_size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, x: Tensor, attention: Tensor, token: Tensor, row_length: Tensor) -> Tensor:
        if len(token) == 0:
            return no_tokens(len(row_length), self.hidden_size, x, attention, *self.parameters())
        order, place, batch_sizes = packed_order(row_length, x.device)
        sizes = batch_sizes.tolist()
        inputs = self.from_input(x).index_select(0, token[order]).split(sizes)
        h = x.new_zeros(sizes[0], self.hidden_size)
        states = []
        for step_input, a in zip(inputs, attention[order, None].split(sizes), strict=True):
            h = h[: len(step_input)]  # longest rows first: those that ended are at the back
            r_input, z_input, n_input = step_input.chunk(3, dim=1)
            r_state, z_state, n_state = self.from_state(h).chunk(3, dim=1)
            z = a * torch.sigmoid(z_input + z_state)
            n = torch.tanh(n_input + torch.sigmoid(r_input + r_state) * (n_state + self.b_h))
            h = h + z * (n - h)
            states.append(h)
        return last_state(torch.cat(states).index_select(0, place), row_length)


class NextBehaviourLoss(nn.Module):
    """DIEN's auxiliary loss: a state must tell the behaviour that came next from one that did not.

    (The interest extractor layer of DIEN's paper.)

        l = - mean_t [ log sigmoid(MLP([h_t ; x_{t+1}])) + log(1 - sigmoid(MLP([h_t ; x'_{t+1}]))) ] / 2

    x' is a behaviour of another sequence of the same batch: the token half the batch away from t + 1. The authors'
    code draws it from all interactions; both find an item as often as it is bought. Pairs for which that token lies
    in the same sequence or is the same item are left out. They are found on the CPU: a GPU is waited for, once.

    Args:
        state_size: H.
        item_size: D.
        hidden_sizes: of the MLP.

    Shapes: state (N, H), item (N, D), identity (N,) int64 which item, length (S,), weight (S,) how many rows read
        the sequence -> scalar, a differentiable zero without any pair
    """

    def __init__(self, *, state_size: int, item_size: int, hidden_sizes: Sequence[int] = (100, 50)):
        super().__init__()
        self.mlp = MLP(input_size=state_size + item_size, hidden_sizes=hidden_sizes, output_size=1)

    def forward(self, state: Tensor, item: Tensor, identity: Tensor, length: Tensor, weight: Tensor) -> Tensor:
        sequence, identity = sequence_of_token(length).cpu(), identity.cpu()
        n_tokens = len(sequence)
        now = torch.arange(max(n_tokens - 1, 0))
        other = (now + 1 + n_tokens // 2) % max(n_tokens, 1)
        follows = sequence[now] == sequence[now + 1]
        differs = (sequence[other] != sequence[now + 1]) & (identity[other] != identity[now + 1])
        now, other = now[follows & differs], other[follows & differs]
        if len(now) == 0:
            return self._logit(state[:0], item[:0]).sum()
        share = to_device(weight.cpu()[sequence[now]], state.device).to(state.dtype)
        now, other = to_device(now, state.device), to_device(other, state.device)
        now_state = state.index_select(0, now)
        clicked = self._logit(now_state, item.index_select(0, now + 1))
        unclicked = self._logit(now_state, item.index_select(0, other))
        loss = F.softplus(-clicked) + F.softplus(unclicked)
        return (loss * share).sum() / (2.0 * share.sum())

    def _logit(self, state: Tensor, item: Tensor) -> Tensor:
        return self.mlp(torch.cat([state, item], dim=1))[:, 0]
