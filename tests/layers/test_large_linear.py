import pytest
import torch
import torch.nn.functional as F

from recbole_marn.layers.kernels import large_linear as module
from recbole_marn.layers.kernels.large_linear import large_linear, pad_rows, plain_product


@pytest.fixture(params=[False, True], ids=["by F.linear", "by oneDNN where there is one"])
def path(request, monkeypatch):
    monkeypatch.setattr(module, "LARGE", 0)
    monkeypatch.setattr(module, "HAS_ONEDNN", request.param and module.HAS_ONEDNN)


def operands(n=37, k=19, m=11, dtype=torch.float32):
    return (torch.randn(shape, dtype=dtype, requires_grad=True) for shape in ((n, k), (m, k), (m,)))


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("outputs", [11, 23], ids=["narrower than its input", "wider"])
def test_equals_f_linear_with_all_gradients(path, has_bias, outputs):
    x, weight, bias = operands(m=outputs)
    inputs = (x, weight, bias) if has_bias else (x, weight)
    probe = torch.randn(37, outputs)
    fast, plain = large_linear(*inputs), F.linear(*inputs)
    assert torch.allclose(fast, plain, atol=1e-5)
    ours = torch.autograd.grad((fast * probe).sum(), inputs)
    theirs = torch.autograd.grad((plain * probe).sum(), inputs)
    for grad, expected in zip(ours, theirs, strict=True):
        assert torch.allclose(grad, expected, atol=1e-4)


def test_transposed_views(path):
    a, b = torch.randn(8, 40), torch.randn(8, 30)
    assert torch.allclose(plain_product(a.t(), b.t()), a.t() @ b, atol=1e-5)


def test_other_types_and_small_products_are_f_linears(monkeypatch):
    """Double precision is what gradient checks need; a small product would not pay for a program of its own."""
    x, weight, bias = operands(dtype=torch.double)
    assert torch.autograd.gradcheck(large_linear, (x, weight, bias))
    monkeypatch.setattr(module, "HAS_ONEDNN", True)
    called = []
    monkeypatch.setattr(F, "linear", lambda *inputs: called.append(inputs) or inputs[0])
    plain_product(torch.randn(2, 3), torch.randn(4, 3))
    assert called


def test_only_what_needs_a_gradient_gets_one():
    x, weight, bias = operands()
    large_linear(x.detach(), weight, bias.detach()).sum().backward()
    assert x.grad is None and bias.grad is None
    assert torch.allclose(weight.grad, x.detach().sum(0).expand(11, -1), atol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 900, 1_000, 1_500, 7_000, 100_000])
def test_padding_is_with_zeros_and_short(n):
    index = torch.arange(1, n + 1)
    padded = pad_rows(index)
    assert torch.equal(padded[:n], index) and padded[n:].sum() == 0
    assert len(padded) - n < max(module.ROW_STEP, n / 16 + 1)


def test_few_lengths_occur():
    assert len({len(pad_rows(torch.zeros(n, dtype=torch.long))) for n in range(6_000, 8_000)}) <= 17


def test_autocast_multiplies_both_ways_in_its_type_and_returns_float32(path):
    x, weight, bias = operands()
    exact = torch.autograd.grad(large_linear(x, weight, bias).square().sum(), (x, weight, bias))
    with torch.autocast("cpu"):
        out = large_linear(x, weight, bias)
    assert torch.equal(out, (x.detach().bfloat16() @ weight.detach().bfloat16().t()).float() + bias)
    short = torch.autograd.grad(out.square().sum(), (x, weight, bias))
    for mine, theirs in zip(short[:2], exact[:2], strict=True):
        assert mine.dtype == torch.float32 and torch.equal(mine, mine.bfloat16().float())
        assert 1e-4 < (mine - theirs).norm() / theirs.norm() < 2e-2
