"""What a training step on a GPU waits for, found without one.

Tensors of torch's device "meta" have shapes but no numbers: whatever would wait for a number of the device raises, and
so does an operation that mixes devices. Whatever asks whether a tensor is on the CPU takes the way of a GPU.
"""

import pytest
import torch
from cases import OUR_MODELS, prepared
from contexts import FIELDS, WithContext, drawn

from recbole_marn.layers import fusion, projection
from recbole_marn.layers.kernels import gather_linear, large_linear
from recbole_marn.registry import model_class

# Presets share the class of the model they are a preset of; scorers do their counting on the CPU.
ONE_A_CLASS = {model_class(name): name for name in reversed(OUR_MODELS) if model_class(name).makes_item_vectors}
WAITING = "MultimodalDIEN"


@pytest.fixture(autouse=True)
def without_autocast(monkeypatch):
    """torch does not know whether it is on for "meta"."""
    for module in (fusion, gather_linear, large_linear, projection):
        monkeypatch.setattr(module, "autocast_type", lambda x: None)


def step_without_numbers(name, settings, **switches):
    parts = prepared(name, settings, **switches)
    model, interaction = parts.model.to("meta").train(), next(iter(parts.train)).to("meta")
    losses = model.calculate_loss(interaction)
    sum(losses).backward()
    return model, losses


@pytest.mark.parametrize("name", [name for name in ONE_A_CLASS.values() if name != WAITING])
def test_a_step_waits_for_nothing(name, settings):
    model, losses = step_without_numbers(name, settings)
    assert {loss.device.type for loss in losses} == {"meta"}
    assert any(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("switches", [{"attention_values": "state_and_item"}, {"gate": "scale"}, {"pooling": "last"}])
def test_nor_with_other_switches_of_marn(switches, settings):
    step_without_numbers("MARN", settings, **switches)


@pytest.mark.parametrize("name", [name for name in ONE_A_CLASS.values() if name != WAITING])
def test_nor_with_profile_and_context(name, settings):
    parts = prepared(name, settings)
    model = model_class(name)(parts.config, WithContext(parts.train.part, FIELDS)).to("meta")
    rows = next(iter(parts.train))
    batch = drawn(rows.batch, torch.Generator()).to("meta")
    sum(model.losses(batch, rows["label"].to("meta")).values()).backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "context" in name)


def test_nor_does_the_head_of_naml(settings):
    step_without_numbers("NAML", settings, own_head=True)


def test_the_pairs_of_dien_are_waited_for(settings):
    with pytest.raises(NotImplementedError, match="meta tensor"):
        step_without_numbers(WAITING, settings)
