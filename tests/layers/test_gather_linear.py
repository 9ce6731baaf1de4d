import pytest
import torch

from recbole_marn.layers.kernels import gather_linear as module
from recbole_marn.layers.kernels.gather_linear import gather_linear, gather_linear_reference

ROW = torch.tensor([4, 0, 0, 7, 3, 9, 4])


@pytest.fixture(params=["gathered once", "gathered twice"], autouse=True)
def size(request, monkeypatch):
    """Small batches are kept for the backward pass, large ones are not."""
    if request.param == "gathered twice":
        monkeypatch.setattr(module, "KEPT", 0)


def problem(dtype=torch.float32, weight_dtype=torch.float32):
    table = torch.randn(10, 5).to(dtype)
    weight = torch.randn(3, 5, dtype=weight_dtype, requires_grad=True)
    bias = torch.randn(3, dtype=weight_dtype, requires_grad=True)
    return table, weight, bias


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_equals_the_plain_formula_with_gradients(dtype, chunk):
    table, weight, bias = problem(dtype)
    probe = torch.randn(len(ROW), 3)
    fast = gather_linear(table, ROW, weight, bias, chunk=chunk)
    plain = gather_linear_reference(table, ROW, weight, bias)
    assert torch.allclose(fast, plain, atol=1e-6)
    for mine, theirs in zip(
        torch.autograd.grad((fast * probe).sum(), (weight, bias)),
        torch.autograd.grad((plain * probe).sum(), (weight, bias)),
        strict=True,
    ):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_by_hand():
    table = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    out = gather_linear(table, torch.tensor([1, 0]), torch.tensor([[1.0, 10.0]]), torch.tensor([0.5]))
    assert out.tolist() == [[43.5], [21.5]]


def test_gradcheck():
    table, weight, bias = problem(torch.double, torch.double)
    assert torch.autograd.gradcheck(lambda w, b: gather_linear(table, ROW, w, b, chunk=3), (weight, bias))


def test_only_what_needs_a_gradient_gets_one():
    table, weight, bias = problem()
    table.requires_grad_()
    weight.requires_grad_(False)
    gather_linear(table, ROW, weight, bias).sum().backward()
    assert table.grad is None and weight.grad is None
    assert bias.grad.tolist() == [7.0, 7.0, 7.0]


def test_no_rows():
    table, weight, bias = problem()
    out = gather_linear(table, ROW[:0], weight, bias)
    assert out.shape == (0, 3)
    out.sum().backward()
    assert weight.grad.abs().sum() == 0


def test_nothing_of_the_size_of_the_gathered_rows_is_kept_of_a_large_batch(monkeypatch):
    monkeypatch.setattr(module, "KEPT", 4)
    table, weight, bias = problem()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        gather_linear(table, ROW, weight, bias, chunk=2)
    assert {x.data_ptr() for x in kept} <= {table.data_ptr(), ROW.data_ptr(), weight.data_ptr()}


def test_autocast_multiplies_in_its_type_and_returns_float32():
    table, weight, bias = problem(torch.float16)
    with torch.autocast("cpu"):
        out = gather_linear(table, ROW, weight, bias)
    out.sum().backward()
    assert out.dtype == weight.grad.dtype == torch.float32
    expected = (table[ROW].bfloat16() @ weight.bfloat16().t()).float() + bias
    assert torch.allclose(out, expected, atol=1e-6)
    assert torch.allclose(weight.grad, table[ROW].float().sum(0).expand(3, -1), rtol=2e-2, atol=2e-2)
