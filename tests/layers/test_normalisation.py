import pytest
import torch
from torch import nn

from recbole_marn.layers.normalisation import DegreeNorm, ModalityBatchNorm, ModalityWhitening

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


# -------------------------------------------------------------------------------------------- whitening
def covariance_by_loops(rows):
    """Mean and covariance of rows (n, D), pair by pair of dimensions."""
    n, width = rows.shape
    mean = [sum(rows[:, d]) / n for d in range(width)]
    cov = [[sum((rows[:, a] - mean[a]) * (rows[:, b] - mean[b])) / n for b in range(width)] for a in range(width)]
    return torch.tensor(mean, dtype=rows.dtype), torch.tensor(cov, dtype=rows.dtype)


def whitening(**kwargs):
    return ModalityWhitening(n_modalities=3, width=4, **kwargs).double()


def test_whitened_modalities_have_mean_zero_and_the_identity_as_covariance():
    x, present = torch.randn(40, 3, 4, dtype=torch.double) * 3 + 2, torch.rand(40, 3) < 0.8
    x[:, :, 1] += 2 * x[:, :, 0]
    count = torch.randint(1, 4, (40,)).double()
    out = whitening(shrinkage=0.0)(x.masked_fill(~present[:, :, None], float("nan")), present, count)
    assert out[~present].abs().sum() == 0
    for m in range(3):
        here = present[:, m]
        mean, cov = covariance_by_loops(out[here, m].repeat_interleave(count[here].long(), 0))
        assert torch.allclose(mean, torch.zeros(4, dtype=torch.double), atol=1e-9)
        assert torch.allclose(cov, torch.eye(4, dtype=torch.double), atol=1e-9)


def test_shrinkage_is_added_to_the_covariance():
    x = torch.randn(30, 3, 4, dtype=torch.double)
    out = whitening(shrinkage=0.5)(x)
    for m in range(3):
        mean, cov = covariance_by_loops(x[:, m])
        lower = torch.linalg.cholesky(cov + 0.5 * cov.trace() / 4 * torch.eye(4, dtype=torch.double))
        assert torch.allclose(out[:, m] @ lower.t() + mean, x[:, m])


def test_the_running_moments_whiten_in_evaluation():
    layer, x = whitening(shrinkage=0.0, momentum=0.25), torch.randn(30, 3, 4, dtype=torch.double) * 2 + 1
    layer(x)
    mean, cov = covariance_by_loops(x[:, 1])
    assert torch.allclose(layer.running_mean[1], 0.25 * mean)
    assert torch.allclose(layer.running_cov[1], 0.75 * torch.eye(4, dtype=torch.double) + 0.25 * cov)
    layer.eval()
    before = layer.running_cov.clone()
    out = layer(x[:1])
    lower = torch.linalg.cholesky(layer.running_cov[1])
    assert torch.allclose(lower @ out[0, 1] + layer.running_mean[1], x[0, 1])
    assert torch.equal(layer.running_cov, before)


def test_whitening_is_differentiable_where_a_modality_is_constant_or_absent():
    layer = ModalityWhitening(n_modalities=3, width=4)
    x = torch.randn(6, 3, 4)
    x[:, 1] = 1.0
    x.requires_grad_()
    present = torch.ones(6, 3, dtype=torch.bool)
    present[:, 2] = False
    out = layer(x, present)
    assert out[:, 1].abs().max() < 1e-3 and out[:, 2].abs().sum() == 0
    out.square().sum().backward()
    assert x.grad.isfinite().all()
    assert (layer.running_cov[2] == torch.eye(4)).all() and layer.running_mean[2].abs().sum() == 0


def test_whitening_has_the_gradient_of_finite_differences():
    layer = whitening()
    layer.momentum = 0.0
    x, present = torch.randn(5, 3, 4, dtype=torch.double, requires_grad=True), torch.rand(5, 3) < 0.8
    assert torch.autograd.gradcheck(lambda x: layer(x, present, torch.arange(1.0, 6.0).double()), x)


# -------------------------------------------------------------------------------------------------- degrees
def degrees():
    degree = torch.tensor([[0.5, 0.2, 0.9], [0.1, 0.4, 0.0], [0.3, 0.0, 0.6]])
    present = torch.tensor([[True, True, True], [True, True, False], [True, False, True]])
    return degree, present, torch.tensor([1.0, 3.0, 2.0])


def test_degrees_are_divided_by_their_mean_over_occurrences():
    degree, present, count = degrees()
    out = DegreeNorm(n_modalities=3)(degree, present, count)
    for m in range(3):
        occurring = [degree[e, m].item() for e in range(3) if present[e, m] for _ in range(int(count[e]))]
        for e in range(3):
            expected = degree[e, m].item() / (sum(occurring) / len(occurring)) if present[e, m] else 0.0
            assert out[e, m].item() == pytest.approx(expected, rel=1e-6)


def test_evaluation_divides_by_the_running_mean_of_training_and_leaves_it_alone():
    """The degree of an item must not hang on the items beside it, nor on the batch that happened to be the last."""
    degree, present, count = degrees()
    layer = DegreeNorm(n_modalities=3, momentum=0.25)
    assert torch.allclose(layer.running_mean, torch.full((3,), 1 - 1 / 3))
    layer(degree, present, count)
    mean = torch.tensor([(0.5 + 3 * 0.1 + 2 * 0.3) / 6, (0.2 + 3 * 0.4) / 4, (0.9 + 2 * 0.6) / 3])
    running = 0.75 * (1 - 1 / 3) + 0.25 * mean
    assert torch.allclose(layer.running_mean, running)
    layer.eval()
    together = layer(degree, present)
    assert torch.allclose(together, degree * present / running)
    alone = torch.cat([layer(degree[e : e + 1], present[e : e + 1]) for e in range(3)])
    assert torch.equal(together, alone)
    assert torch.allclose(layer.running_mean, running)


def test_a_modality_that_does_not_occur_keeps_its_running_mean():
    degree, present, count = degrees()
    present[:, 2] = False
    layer = DegreeNorm(n_modalities=3)
    assert not layer(degree, present, count)[:, 2].any()
    assert layer.running_mean[2] == pytest.approx(1 - 1 / 3)


def test_degrees_of_a_modality_that_d0_knows_for_certain_stay_0():
    layer = DegreeNorm(n_modalities=2)
    assert layer(torch.zeros(3, 2), torch.ones(3, 2, dtype=torch.bool)).abs().sum() == 0
