import pytest
import torch

from recbole_marn.layers.mlp import MLP, activation_by_name


def test_each_name_gives_its_function():
    x = torch.tensor([-2.0, 0.0, 3.0])
    expected = {
        "relu": [0.0, 0.0, 3.0],
        "leakyrelu": [-0.02, 0.0, 3.0],
        "tanh": torch.tanh(x).tolist(),
        "sigmoid": torch.sigmoid(x).tolist(),
        "none": x.tolist(),
    }
    for name, values in expected.items():
        assert activation_by_name(name)(x).tolist() == pytest.approx(values)


def test_unknown_activation_names_the_choices():
    with pytest.raises(ValueError, match=r"relu, leakyrelu, tanh, sigmoid, none\. Got 'gelu'"):
        activation_by_name("gelu")


def test_hidden_layers_are_activated_and_the_output_is_not():
    mlp = MLP(input_size=3, hidden_sizes=[4, 2], output_size=1, activation="tanh")
    first, _, second, _, last = mlp.layers
    x = torch.randn(5, 3)
    expected = last(torch.tanh(second(torch.tanh(first(x)))))
    assert torch.equal(mlp(x), expected)
    assert mlp.output_size == 1


def test_without_output_it_ends_after_an_activation():
    mlp = MLP(input_size=3, hidden_sizes=[4])
    assert mlp(torch.randn(50, 3)).min() == 0.0
    assert mlp.output_size == 4


def test_without_any_layer_it_is_the_identity():
    mlp = MLP(input_size=3, hidden_sizes=[])
    x = torch.randn(2, 3)
    assert torch.equal(mlp(x), x)
    assert mlp.output_size == 3


def test_dropout_acts_in_training_only():
    mlp = MLP(input_size=3, hidden_sizes=[200], activation="sigmoid", dropout=0.5)
    x = torch.randn(1, 3)
    dropped = (mlp(x) == 0).float().mean()
    assert 0.3 < dropped < 0.7
    assert (mlp.eval()(x) > 0).all()
