import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from recbole_marn.layers.interest import AUGRU, BilinearAttention, NextBehaviourLoss
from recbole_marn.layers.kernels.segment import expand_rows

LENGTH, ROW_SEQUENCE = torch.tensor([3, 0, 2]), torch.tensor([2, 0, 1, 0])


def test_attention_is_the_softmax_of_the_bilinear_form():
    layer = BilinearAttention(state_size=3, candidate_size=4)
    state, candidate = torch.randn(5, 3), torch.randn(4, 4)
    token, row = expand_rows(LENGTH, ROW_SEQUENCE)
    alpha = layer(state, candidate, token, row)
    of_row = {2: [], 0: state[3:], 1: state[:3], 3: state[:3]}
    for b in (0, 1, 3):
        score = torch.stack([h @ layer.map.weight.t() @ candidate[b] for h in of_row[b]])
        assert torch.allclose(alpha[row == b], score.softmax(0), atol=1e-6)
    assert not (row == 2).any()


def augru_by_hand(layer, x, attention, token, row, n_rows):
    W_r, W_z, W_n = layer.from_input.weight.chunk(3)
    b_r, b_z, b_n = layer.from_input.bias.chunk(3)
    U_r, U_z, U_n = layer.from_state.weight.chunk(3)
    last = []
    for b in range(n_rows):
        h = torch.zeros(layer.hidden_size)
        for a, t in zip(attention[row == b], token[row == b], strict=True):
            r = torch.sigmoid(W_r @ x[t] + b_r + U_r @ h)
            z = a * torch.sigmoid(W_z @ x[t] + b_z + U_z @ h)
            n = torch.tanh(W_n @ x[t] + b_n + r * (U_n @ h + layer.b_h))
            h = (1 - z) * h + z * n
        last.append(h)
    return torch.stack(last)


def test_augru_and_its_gradients_are_those_of_the_equations():
    layer = AUGRU(input_size=3, hidden_size=5)
    x = torch.randn(5, 3, requires_grad=True)
    token, row = expand_rows(LENGTH, ROW_SEQUENCE)
    attention = torch.rand(len(token), requires_grad=True)
    direction = torch.randn(4, 5)
    ours = layer(x, attention, token, LENGTH[ROW_SEQUENCE])
    theirs = augru_by_hand(layer, x, attention, token, row, 4)
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert ours[2].tolist() == [0.0] * 5
    into = [x, attention, *layer.parameters()]
    for a, b in zip(
        torch.autograd.grad((ours * direction).sum(), into),
        torch.autograd.grad((theirs * direction).sum(), into),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-5)


def test_augru_without_attention_keeps_its_start():
    layer = AUGRU(input_size=3, hidden_size=5)
    token, _ = expand_rows(LENGTH, ROW_SEQUENCE)
    assert not layer(torch.randn(5, 3), torch.zeros(len(token)), token, LENGTH[ROW_SEQUENCE]).any()


def test_augru_of_empty_histories_is_zero():
    layer = AUGRU(input_size=3, hidden_size=5)
    out = layer(torch.zeros(0, 3), torch.zeros(0), torch.zeros(0, dtype=torch.int64), torch.tensor([0, 0]))
    assert out.tolist() == [[0.0] * 5] * 2


def test_auxiliary_loss_by_a_loop_over_pairs():
    """Tokens 0 1 2 | 3 4; half the batch is two tokens, and the pairs are (0, 1), (1, 2) and (3, 4)."""
    layer = NextBehaviourLoss(state_size=3, item_size=2, hidden_sizes=(4,))
    state, item = torch.randn(5, 3), torch.randn(5, 2)
    length, weight = torch.tensor([3, 2]), torch.tensor([2, 5])
    total, shares = 0.0, 0.0
    # (now, next, other, rows): the other is next + 2, around the end
    for now, following, other, rows in [(0, 1, 3, 2), (1, 2, 4, 2), (3, 4, 1, 5)]:
        logits = layer.mlp(torch.stack([torch.cat([state[now], item[i]]) for i in (following, other)]))[:, 0]
        total = total + rows * binary_cross_entropy_with_logits(logits, torch.tensor([1.0, 0.0]))
        shares += rows
    value = layer(state, item, torch.arange(5), length, weight)
    assert torch.allclose(value, total / shares)


@pytest.mark.parametrize(
    ("length", "identity"),
    [([4], [1, 2, 3, 4]), ([1, 1], [1, 2]), ([], []), ([2, 2], [1, 2, 1, 2])],
    ids=["one sequence", "nothing follows", "no tokens", "the other is the same item"],
)
def test_auxiliary_loss_without_pairs_is_a_differentiable_zero(length, identity):
    layer = NextBehaviourLoss(state_size=3, item_size=2)
    state = torch.randn(len(identity), 3, requires_grad=True)
    length = torch.tensor(length, dtype=torch.int64)
    value = layer(
        state, torch.randn(len(identity), 2), torch.tensor(identity, dtype=torch.int64), length, torch.ones(len(length))
    )
    value.backward()
    assert value.item() == 0.0
    assert not state.grad.any()


def test_minimising_the_auxiliary_loss_tells_what_comes_next():
    """Two kinds of sequences, each with an item of its own: ten steps must lower the loss."""
    layer = NextBehaviourLoss(state_size=2, item_size=2, hidden_sizes=(8,))
    length = torch.full((6,), 3)
    kind = torch.arange(6).repeat_interleave(3) // 3  # three sequences of one kind, three of the other
    state = item = torch.eye(2)[kind]
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    values = []
    for _ in range(40):
        optimizer.zero_grad()
        value = layer(state, item, torch.arange(18), length, torch.ones(6))
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]
