import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from recbole_marn.layers.apgru import APGRU, GATES
from recbole_marn.layers.kernels.segment import packed_order

LENGTH = torch.tensor([2, 0, 5, 1, 0, 5, 3])
X, P, H = 3, 2, 4


def layer(gate="concat"):
    return APGRU(input_size=X, property_size=P, hidden_size=H, gate=gate).double()


def tokens():
    n = int(LENGTH.sum())
    return torch.randn(n, X, dtype=torch.double), torch.randn(n, P, dtype=torch.double)


def apgru_step(cell, x, p, h):
    """One step of one sequence by the formulas of the class, with the reset gate where torch applies it."""
    from_input = 0 if cell.W_z is None else cell.W_z @ x
    from_state = 0 if cell.U_z is None else cell.U_z @ h
    if cell.gate == "scale":
        z = torch.sigmoid(cell.P_z @ p) * torch.sigmoid(from_input + from_state + cell.b_z)
    elif cell.gate == "none":
        z = torch.sigmoid(from_input + from_state + cell.b_z)
    else:
        z = torch.sigmoid(from_input + cell.P_z @ p + from_state + cell.b_z)
    r = torch.sigmoid(cell.W_r @ x + cell.U_r @ h + cell.b_r)
    n = torch.tanh(cell.W_n @ x + cell.b_n + r * (cell.U_n @ h + cell.b_h))
    return (1 - z) * h + z * n


def loop(cell, x, p, length):
    states, token = [], 0
    for n in length.tolist():
        h = x.new_zeros(H)
        for _ in range(n):
            h = apgru_step(cell, x[token], p[token], h)
            states.append(h)
            token += 1
    return torch.stack(states)


@pytest.mark.parametrize("gate", GATES)
def test_states_and_gradients_equal_the_loop(gate):
    cell = layer(gate)
    x, p = (t.requires_grad_() for t in tokens())
    states, expected = cell(x, p, LENGTH), loop(cell, x, p, LENGTH)
    assert torch.allclose(states, expected, atol=1e-10)
    probe = torch.randn_like(states)
    inputs = [x, *cell.parameters()] + ([] if gate == "none" else [p])
    grads = torch.autograd.grad((states * probe).sum(), inputs)
    for grad, expected_grad in zip(grads, torch.autograd.grad((expected * probe).sum(), inputs), strict=True):
        assert torch.allclose(grad, expected_grad, atol=1e-10)
        assert grad.abs().sum() > 0


def test_single_precision():
    cell = layer().float()
    x, p = (t.float() for t in tokens())
    assert torch.allclose(cell(x, p, LENGTH), loop(cell, x, p, LENGTH), atol=1e-6)


def test_first_step_by_hand():
    """All weights 0 but the property's: n = tanh(b_n), z = sigmoid(p), h = z n. A large p takes the new state."""
    cell = APGRU(input_size=1, property_size=1, hidden_size=1)
    for parameter in cell.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        cell.b_n.fill_(100.0)
        cell.P_z.fill_(1.0)
    p = torch.tensor([[0.0], [30.0], [-30.0]])
    assert cell(torch.zeros(3, 1), p, torch.tensor([1, 1, 1])).flatten().tolist() == pytest.approx([0.5, 1.0, 0.0])
    states = cell(torch.zeros(3, 1), torch.tensor([[30.0], [-30.0], [0.0]]), torch.tensor([3]))
    assert states.flatten().tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_without_property_weights_it_is_a_plain_gru():
    """The property is in the update gate alone."""
    cell, plain = layer(), layer("none")
    with torch.no_grad():
        cell.P_z.zero_()
    plain.load_state_dict({k: v for k, v in cell.state_dict().items() if k != "P_z"})
    x, p = tokens()
    assert torch.allclose(cell(x, p, LENGTH), plain(x, None, LENGTH), atol=1e-12)
    assert torch.allclose(cell(x, p, LENGTH), cell(x, p + 1, LENGTH), atol=1e-12)


@pytest.mark.parametrize("gate", ["concat", "prop_only", "no_hidden", "none"])
def test_gru_weights_are_those_of_a_torch_gru(gate):
    """What an export may rely on: nn.GRU on [x ; p] with these weights gives the same states."""
    cell = layer(gate)
    x, p = tokens()
    seen = x if gate == "none" else torch.cat([x, p], dim=1)
    gru = nn.GRU(seen.shape[1], H).double()
    gru.load_state_dict(dict(zip(gru.state_dict(), cell.gru_weights(), strict=True)))
    there, back, batch_sizes = packed_order(LENGTH)
    states, _ = gru(PackedSequence(seen[there], batch_sizes))
    assert torch.allclose(cell(x, p, LENGTH), states.data[back], atol=1e-12)


def test_the_scaled_gate_is_no_standard_gru():
    with pytest.raises(ValueError, match="Got 'scale'"):
        layer("scale").gru_weights()


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.Adagrad, torch.optim.SGD])
@pytest.mark.parametrize("gate", ["concat", "prop_only", "no_hidden"])
def test_zero_blocks_stay_zero_under_training(optimizer, gate):
    cell = layer(gate)
    x, p = tokens()
    steps = optimizer(cell.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        steps.zero_grad()
        cell(x, p, LENGTH).square().sum().backward()
        steps.step()
    weight_ih, weight_hh, *_ = cell.gru_weights()
    reset, update, new = weight_ih.chunk(3)
    assert reset[:, X:].abs().sum() == 0 and new[:, X:].abs().sum() == 0
    assert update[:, X:].abs().min() > 0
    assert (update[:, :X].abs().sum() == 0) == (gate == "prop_only")
    assert (weight_hh.chunk(3)[1].abs().sum() == 0) == (gate == "no_hidden")


@pytest.mark.parametrize("gate", GATES)
def test_a_sequence_does_not_see_its_neighbours_nor_the_future(gate):
    cell = layer(gate)
    x, p = tokens()
    together = cell(x, p, LENGTH)
    start = 0
    for n in LENGTH.tolist():
        own = slice(start, start + n)
        assert torch.allclose(cell(x[own], p[own], torch.tensor([n])), together[own], atol=1e-12)
        start += n
    changed = x.clone()
    changed[6] += 1  # last token of the third sequence
    assert (cell(changed, p, LENGTH) != together).any(1).nonzero().flatten().tolist() == [6]


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("length", [[], [0, 0]])
def test_no_tokens(gate, length):
    x, p = tokens()
    assert layer(gate)(x[:0], p[:0], torch.tensor(length, dtype=torch.long)).shape == (0, H)


def test_constructor_errors():
    with pytest.raises(ValueError, match="concat, prop_only, no_hidden, scale, none. Got 'attention'"):
        APGRU(input_size=X, property_size=P, hidden_size=H, gate="attention")
    with pytest.raises(ValueError, match="behaviour property for gate 'concat'. Got property_size 0"):
        APGRU(input_size=X, hidden_size=H)
