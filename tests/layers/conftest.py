import pytest
import torch

from recbole_marn.layers.kernels import window_maximum


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(params=["compiled", "torch"])
def loops(request, monkeypatch):
    """A test is run by loops that Numba compiles, then by torch alone."""
    if request.param == "compiled":
        pytest.importorskip("numba")
    else:
        monkeypatch.setattr(window_maximum, "compiled_loops", lambda x: None)
