import importlib.util
import math

import pytest
import torch

from recbole_marn.layers.kernels import compiled
from recbole_marn.layers.kernels import window_maximum as kernel
from recbole_marn.layers.kernels.compiled import compiled_loops
from recbole_marn.layers.kernels.window_maximum import window_maximum

WINDOWS = (2, 3)


def titles(n=40, words=12, width=9, filters=5, dtype=torch.float32):
    """What words contribute, where titles have them, and titles of 0 to `width` words."""
    product = torch.randn(words, sum(WINDOWS) * filters, dtype=dtype)
    return product, torch.randint(0, words, (n, width)), torch.randint(0, width + 1, (n,))


def without_numba(monkeypatch):
    monkeypatch.setattr(kernel, "compiled_loops", lambda x: None)


def maxima_and_gradient(product, place, length):
    product = product.clone().requires_grad_()
    out = window_maximum(product, place, length, WINDOWS)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return out, *torch.autograd.grad((out * weight).sum(), product)


@pytest.mark.usefixtures("loops")
def test_each_maximum_by_hand():
    product, place, length = titles()
    out = window_maximum(product, place, length, WINDOWS).view(len(place), len(WINDOWS), -1)
    shares = product.view(len(product), sum(WINDOWS), -1)
    for title in range(len(place)):
        for i, k in enumerate(WINDOWS):
            first = sum(WINDOWS[:i])
            sums = [
                sum(shares[place[title, start + j], first + j] for j in range(k))
                for start in range(max(int(length[title]) - k, 0) + 1)
            ]
            assert torch.allclose(out[title, i], torch.stack(sums).amax(0), atol=1e-6)


@pytest.mark.usefixtures("loops")
def test_gradcheck():
    place, length = torch.randint(0, 6, (5, 4)), torch.tensor([0, 1, 2, 3, 4])
    product = torch.randn(6, 10, dtype=torch.double, requires_grad=True)  # 2 filters
    assert torch.autograd.gradcheck(lambda p: window_maximum(p, place, length, WINDOWS), product)


@pytest.mark.usefixtures("loops")
def test_backward_keeps_only_where_the_maximum_was():
    product = torch.randn(6, 10, requires_grad=True)
    place, length = torch.randint(0, 6, (50, 9)), torch.full((50,), 9)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        out = window_maximum(product, place, length, WINDOWS)
    assert sorted((x.dtype, x.numel()) == (torch.int16, out.numel()) for x in kept) == [False, False, True]
    assert all(not x.dtype.is_floating_point for x in kept)


@pytest.mark.usefixtures("loops")
def test_of_equal_maxima_the_last_gets_the_gradient():
    product = torch.zeros(3, sum(WINDOWS), requires_grad=True)
    window_maximum(product, torch.tensor([[0, 1, 2]]), torch.tensor([3]), WINDOWS).sum().backward()
    # Windows of two: words 1 and 2; the one of three has all words.
    assert product.grad.tolist() == [[0, 0, 1, 0, 0], [1, 0, 0, 1, 0], [0, 1, 0, 0, 1]]


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("word", [0, 1, 2])
def test_what_is_no_number_is_not_hidden_by_a_maximum(word):
    product = torch.ones(3, sum(WINDOWS))
    product[word] = math.nan
    out = window_maximum(product, torch.tensor([[0, 1, 2]]), torch.tensor([3]), WINDOWS)
    assert out.isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("chunk", [7, 512])
def test_compiled_loops_give_the_same_bits_as_torch(monkeypatch, dtype, chunk):
    pytest.importorskip("numba")
    monkeypatch.setattr(kernel, "CHUNK", chunk)
    monkeypatch.setattr(kernel, "GRADIENT_CHUNK", chunk)
    data = titles(n=300, dtype=dtype)
    compiled = maxima_and_gradient(*data)
    without_numba(monkeypatch)
    assert all(map(torch.equal, compiled, maxima_and_gradient(*data)))


def test_compiled_loops_serve_numbers_of_a_processor():
    pytest.importorskip("numba")
    assert compiled_loops(torch.ones(1)) is compiled_loops(torch.ones(1, dtype=torch.float64)) is not None
    assert compiled_loops(torch.ones(1, dtype=torch.bfloat16)) is None
    assert compiled_loops(torch.ones(1, device="meta")) is None


def test_without_numba_there_are_none(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert compiled._loops.__wrapped__() is None


def test_a_numba_that_does_not_load_is_told(monkeypatch):
    def broken(name):
        raise ImportError("Numba needs NumPy 2.5 or less")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.warns(UserWarning, match="does not load: Numba needs NumPy 2.5 or less. torch makes the same numbers"):
        assert compiled._loops.__wrapped__() is None
