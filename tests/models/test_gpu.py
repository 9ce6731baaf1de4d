"""Every model of the package on a GPU, where there is one: the losses and gradients of the CPU."""

import copy

import pytest
import torch
from cases import OUR_MODELS, prepared

from recbole_marn.data.part import moved

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.mark.parametrize("name", OUR_MODELS)
def test_a_step_is_that_of_the_cpu(name, settings):
    parts = prepared(name, settings, use_gpu=False)
    parts.model.train()
    for module in parts.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # a GPU drops others
    interaction = next(iter(parts.train))
    found = {}
    for device in ("cpu", "cuda"):
        model = copy.deepcopy(parts.model).to(device)
        losses = model.calculate_loss(moved(interaction, torch.device(device)))
        losses = losses if isinstance(losses, tuple) else (losses,)
        if (total := sum(losses)).requires_grad:
            total.backward()
        gradients = {n: p.grad.cpu() for n, p in model.named_parameters() if p.grad is not None}
        found[device] = [loss.detach().cpu() for loss in losses], gradients
    torch.testing.assert_close(found["cuda"][0], found["cpu"][0], rtol=1e-3, atol=1e-4)
    assert set(found["cuda"][1]) == set(found["cpu"][1])
    for parameter, gradient in found["cpu"][1].items():
        assert torch.linalg.norm(found["cuda"][1][parameter] - gradient) <= 1e-2 * torch.linalg.norm(gradient) + 1e-5


@pytest.mark.parametrize("name", OUR_MODELS)
def test_evaluation_is_that_of_the_cpu(name, settings):
    parts = prepared(name, settings, use_gpu=False)
    parts.model.eval()
    interaction = next(iter(parts.valid))[0]
    expected = parts.model.predict(interaction)
    on_gpu = parts.model.to("cuda").eval()
    found = on_gpu.predict(moved(interaction, torch.device("cuda")))
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-4)
