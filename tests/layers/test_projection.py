import torch

from recbole_marn.layers.projection import PrivateLinear


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
