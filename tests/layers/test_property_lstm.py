import pytest
import torch

from recbole_marn.layers.property_lstm import PropertyLSTM

LENGTH = torch.tensor([2, 0, 4, 1])


def by_hand(layer, x, property_, length):
    """The equations, one token at a time."""
    blocks = {"W": layer.W.chunk(4), "U": layer.U.chunk(4), "b": layer.b.chunk(4)}
    P = dict(zip("ifo", layer.P.chunk(3), strict=True)) if layer.P is not None else {}
    states, start = [], 0
    for n in length.tolist():
        h = c = torch.zeros(layer.hidden_size)
        for t in range(start, start + n):
            gate = {}
            for k, name in enumerate("ifgo"):
                gate[name] = blocks["W"][k] @ x[t] + blocks["U"][k] @ h + blocks["b"][k]
                if name in P:
                    gate[name] = gate[name] + P[name] @ property_[t]
            i, f, o = (torch.sigmoid(gate[name]) for name in "ifo")
            c = f * c + i * torch.tanh(gate["g"])
            h = o * torch.tanh(c)
            states.append(h)
        start += n
    return torch.stack(states)


@pytest.mark.parametrize("property_size", [0, 2])
def test_states_and_gradients_are_those_of_the_equations(property_size):
    layer = PropertyLSTM(input_size=3, property_size=property_size, hidden_size=5)
    x, property_ = torch.randn(7, 3), torch.randn(7, 2)
    direction = torch.randn(7, 5)
    states = layer(x, property_ if property_size else None, LENGTH)
    expected = by_hand(layer, x, property_, LENGTH)
    assert torch.allclose(states, expected, atol=1e-6)
    ours = torch.autograd.grad((states * direction).sum(), list(layer.parameters()))
    theirs = torch.autograd.grad((expected * direction).sum(), list(layer.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_both_kernels_agree():
    layer = PropertyLSTM(input_size=3, hidden_size=5)
    packed, batch_sizes = torch.randn(7, 3), torch.tensor([3, 2, 1, 1])
    assert torch.allclose(layer._fast(packed, batch_sizes), layer._stepwise(packed, batch_sizes), atol=1e-6)


def test_the_property_reaches_the_content_only_through_the_gates():
    """With the gates' weights for the property at zero, the property changes nothing."""
    layer = PropertyLSTM(input_size=3, property_size=2, hidden_size=5)
    x = torch.randn(7, 3)
    assert not torch.allclose(layer(x, torch.zeros(7, 2), LENGTH), layer(x, torch.ones(7, 2), LENGTH))
    with torch.no_grad():
        layer.P.zero_()
    assert torch.equal(layer(x, torch.zeros(7, 2), LENGTH), layer(x, torch.ones(7, 2), LENGTH))


def test_no_token_gives_no_state():
    assert PropertyLSTM(input_size=3, hidden_size=5)(torch.zeros(0, 3), None, torch.tensor([0])).shape == (0, 5)
