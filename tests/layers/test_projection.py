import pytest
import torch

from recbole_marn.layers.mlp import activation_by_name
from recbole_marn.layers.projection import PrivateLinear, linear_twice


def test_each_modality_has_its_own_map():
    layer = PrivateLinear(n=3, input_size=4, output_size=2)
    x = torch.randn(5, 3, 4)
    expected = torch.stack([x[:, m] @ layer.weight[m] + layer.bias[m] for m in range(3)], dim=1)
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_a_modality_trains_its_own_map_only():
    layer = PrivateLinear(n=2, input_size=4, output_size=2)
    layer(torch.randn(5, 2, 4))[:, 1].sum().backward()
    assert layer.weight.grad[0].abs().sum() == 0 and layer.bias.grad[0].abs().sum() == 0
    assert layer.weight.grad[1].abs().sum() > 0 and layer.bias.grad[1].tolist() == [5.0, 5.0]


def test_no_items():
    assert PrivateLinear(n=2, input_size=4, output_size=3)(torch.zeros(0, 2, 4)).shape == (0, 2, 3)


def private(x):
    layer = PrivateLinear(n=3, input_size=4, output_size=2)
    return layer, layer.twice


def shared(x):
    layer = torch.nn.Linear(4, 2)
    return layer, lambda x, activation: linear_twice(layer, x, activation)


@pytest.mark.parametrize("kind", [private, shared])
@pytest.mark.parametrize("name", ["none", "relu", "tanh"])
@pytest.mark.parametrize("used", ["both", "first", "stopped", "neither"])
def test_twice_equals_two_passes_of_which_the_second_stops_at_its_input(kind, name, used):
    activation = activation_by_name(name)
    x = torch.randn(5, 3, 4, requires_grad=True)
    layer, twice = kind(x)
    probes = [torch.randn(5, 3, 2) * (used in ("both", name)) for name in ("first", "stopped")]
    chosen = [place for place, name in enumerate(("first", "stopped")) if used in ("both", name)] or [0, 1]
    results = []
    for outputs in (twice(x, activation), (activation(layer(x)), activation(layer(x.detach())))):
        loss = sum((outputs[place] * probes[place]).sum() for place in chosen)
        inputs = [x, *layer.parameters()]
        results.append([*outputs, *torch.autograd.grad(loss, inputs, allow_unused=True)])
    for mine, theirs in zip(*results, strict=True):
        assert (mine is None) == (theirs is None)
        assert mine is None or torch.allclose(mine, theirs, atol=1e-6)
    assert (results[0][2] is None) == (used == "stopped")


def test_twice_without_a_gradient_of_the_input():
    x = torch.randn(5, 3, 4)
    layer = PrivateLinear(n=3, input_size=4, output_size=2)
    first, stopped = layer.twice(x, torch.nn.Identity())
    (first + stopped).sum().backward()
    assert layer.bias.grad.tolist() == [[10.0, 10.0]] * 3
