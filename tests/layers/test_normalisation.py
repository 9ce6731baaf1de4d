import pytest
import torch
from torch import nn

from recbole_marn.layers.normalisation import ModalityBatchNorm

PRESENT = torch.tensor([[True, True, False], [True, False, False], [False, True, True], [True, True, False]])
COUNT = torch.tensor([1.0, 3.0, 2.0, 5.0])


def with_random_scale():
    layer = ModalityBatchNorm(n_modalities=3, width=4).double()
    nn.init.uniform_(layer.weight)
    nn.init.uniform_(layer.bias)
    return layer


@pytest.mark.parametrize("m", [0, 1])
def test_equals_batch_norm_of_the_repeated_rows_of_a_modality(m):
    layer = with_random_scale()
    plain = nn.BatchNorm1d(4).double()
    plain.load_state_dict({"weight": layer.weight[m], "bias": layer.bias[m]}, strict=False)
    here = PRESENT[:, m]
    repeats = COUNT[here].long()
    first = repeats.cumsum(0) - repeats
    for _ in range(2):  # the second step averages over the first
        x = (torch.randn(4, 3, 4, dtype=torch.double) * 3 + 2).masked_fill(~PRESENT[:, :, None], float("nan"))
        x.requires_grad_()
        out = layer(x, PRESENT, COUNT)
        rows = x.detach()[here, m].requires_grad_()
        expected = plain(rows.repeat_interleave(repeats, 0))
        assert torch.allclose(out[here, m], expected[first])
        assert torch.allclose(layer.running_mean[m], plain.running_mean)
        assert torch.allclose(layer.running_var[m], plain.running_var)
        probe = torch.randn_like(rows)
        (grad,) = torch.autograd.grad((out[here, m] * probe).sum(), x)
        (expected_grad,) = torch.autograd.grad((expected[first] * probe).sum(), rows)
        assert torch.allclose(grad[here, m], expected_grad)
        assert grad[~PRESENT].abs().sum() == 0


def test_absent_entries_are_zero_and_a_lone_value_is_its_own_mean():
    layer = with_random_scale()
    out = layer(torch.randn(4, 3, 4, dtype=torch.double), PRESENT, COUNT)
    assert out[~PRESENT].abs().sum() == 0
    assert torch.allclose(out[2, 2], layer.bias[2])


def test_evaluation_uses_the_running_averages():
    layer = with_random_scale()
    layer.running_mean.uniform_()
    layer.running_var.uniform_(1.0, 2.0)
    before = layer.running_mean.clone()
    layer.eval()
    x = torch.randn(4, 3, 4, dtype=torch.double)
    expected = (x - layer.running_mean) / (layer.running_var + layer.eps).sqrt() * layer.weight + layer.bias
    assert torch.allclose(layer(x), expected)
    assert torch.equal(layer(x, PRESENT, COUNT)[PRESENT], layer(x)[PRESENT])
    assert torch.equal(layer.running_mean, before)


@pytest.mark.parametrize("n_items", [0, 1, 4])
def test_modalities_that_do_not_occur_leave_the_averages_alone(n_items):
    layer = with_random_scale()
    x, nobody = torch.randn(n_items, 3, 4, dtype=torch.double), torch.zeros(n_items, 3, dtype=torch.bool)
    out = layer(x, nobody, torch.ones(n_items))
    assert out.abs().sum() == 0
    assert layer.running_mean.abs().sum() == 0 and (layer.running_var == 1).all()
