"""Which loss trains what: the table of the paper's section 3.3, one test a row, and what each switch does to it."""

import pytest
import torch
from cases import prepared

from recbole_marn.models import invariant_branch

# Module of MARN -> the paper's name. Within the encoder, what lies above and below the aligned embedding.
PARTS = {
    "specific": "S",
    "invariant.projection": "I",
    "invariant.codes": "codes",
    "invariant.discriminator0": "D0",
    "invariant.discriminator1": "D1",
    "invariant.discriminator_specific": "Ds",
    "fusion": "attention",
    "property": "user",
    "rnn": "user",
    "pool": "user",
    "head": "user",
}
ITEM = {"embeddings", "Align", "S", "I", "attention"}


def part_of(parameter):
    if parameter.startswith("encoder."):
        return "Align" if ".align." in parameter else "embeddings"
    return next(part for module, part in PARTS.items() if parameter.startswith(f"{module}."))


@pytest.fixture
def train(settings):
    """A function that gives a model in the middle of training, and the gradients of each of its losses."""

    def make(name="MARN", **switches):
        parts = prepared(name, settings, **{"lambda0": 0.7} | switches)
        torch.manual_seed(3)
        model = parts.model
        model.step, model.total_steps = 1, 2
        interaction = parts.train.part.batch(range(100))
        return model, gradients(model, interaction), interaction

    return make


def gradients(model, interaction):
    """Loss -> parameter -> gradient; a parameter that is not reached, or only by zeros, is left out."""
    parameters = dict(model.named_parameters())
    found = {}
    for loss, value in model.losses(interaction.batch, interaction["label"]).items():
        reached = torch.autograd.grad(value, list(parameters.values()), retain_graph=True, allow_unused=True)
        pairs = zip(parameters, reached, strict=True)
        found[loss] = {name: gradient for name, gradient in pairs if gradient is not None and gradient.any()}
    return found


def routes(found):
    """Loss -> names of the parts it trains."""
    return {loss: {part_of(name) for name in reached} for loss, reached in found.items()}


# ------------------------------------------------------------------------------------ the table, row by row
def test_click_trains_all_but_the_discriminators(train):
    model, found, _ = train()
    assert routes(found)["click"] == ITEM | {"user"}
    others = {name for name, _ in model.named_parameters() if "discriminator" not in name}
    assert set(found["click"]) == others, "every single parameter"


def test_the_specific_loss_trains_s_and_the_shared_matrix_and_no_embedding(train):
    model, found, _ = train()
    assert routes(found)["specific"] == {"S", "D1"}
    assert set(found["specific"]) == {name for name, _ in model.named_parameters() if part_of(name) in ("S", "D1")}


def test_the_first_discriminator_trains_itself_alone(train):
    _, found, _ = train()
    assert routes(found)["D0"] == {"D0"}


def test_the_second_discriminator_trains_itself_and_i(train):
    _, found, _ = train()
    assert routes(found)["D1"] == {"D1", "I"}


@pytest.mark.parametrize("into_embedding", [False, True])
def test_i_receives_the_reversed_gradient_of_the_second_discriminator(train, monkeypatch, into_embedding):
    model, found, interaction = train(adversary_into_embedding=into_embedding)
    monkeypatch.setattr(invariant_branch, "reverse_gradient", lambda x, strength: x)
    straight = gradients(model, interaction)["D1"]
    assert set(straight) == set(found["D1"])
    for name, gradient in found["D1"].items():
        sign = 1.0 if part_of(name) == "D1" else -1.0
        assert torch.allclose(gradient, sign * straight[name], atol=1e-7), name


# --------------------------------------------------------------------------------------------- the switches
@pytest.mark.parametrize(
    ("switches", "loss", "parts"),
    [
        ({"adversary_into_embedding": True}, "D1", {"D1", "I", "Align", "embeddings"}),
        ({"specific_stop": "raw"}, "specific", {"S", "D1", "Align"}),
        ({"share_discriminator": False}, "specific", {"S", "Ds"}),
        ({"share_discriminator": False}, "D1", {"D1", "I"}),
        ({"degree_target": "feature"}, "D1", {"D1", "I"}),
        ({"degree_target": "both"}, "D1", {"D1", "I"}),
        ({"degree_normalise": "batch_mean"}, "D1", {"D1", "I"}),
        ({"degree_normalise": "batch_mean"}, "click", ITEM | {"user"}),
        ({"invariant_norm": "whiten"}, "D1", {"D1", "I"}),
        ({"invariant_norm": "whiten"}, "click", ITEM | {"user"}),
        ({"invariant_codes": 3}, "D0", {"D0"}),
        ({"invariant_codes": 3}, "D1", {"D1", "I", "codes"}),
        ({"invariant_codes": 3}, "click", ITEM | {"user", "codes"}),
        ({"alignment_weight": 0.5}, "alignment", {"I"}),
        ({"alignment_weight": 0.5, "invariant_codes": 3}, "alignment", {"I"}),
        ({"alignment_weight": 0.5, "adversary_into_embedding": True}, "alignment", {"I", "Align", "embeddings"}),
        ({"discriminator_hidden": [4]}, "D0", {"D0"}),
        ({"discriminator_hidden": [4]}, "D1", {"D1", "I"}),
        ({"adversary": "single"}, "D1", {"D1", "I"}),
        ({"adversary": "single"}, "specific", {"S", "D1"}),
        ({"adversary": "single"}, "click", ITEM | {"user"}),
        ({"adversary": "branch"}, "click", ITEM | {"user"}),
        ({"adversary": "branch", "alignment_weight": 0.5}, "alignment", {"I"}),
        ({"adversary": "none"}, "click", ITEM - {"I"} | {"user"}),
        ({"fusion": "conc"}, "click", ITEM - {"attention"} | {"user"}),
    ],
)
def test_switches_reroute_as_they_say(train, switches, loss, parts):
    _, found, _ = train(**switches)
    assert routes(found)[loss] == parts


def test_lambda_in_the_reversal_leaves_the_discriminator_at_full_strength(train):
    """L_D1 has weight 1 then, and I feels lambda times it."""
    _, on_loss, _ = train()
    model, in_reversal, _ = train(lambda_placement="reversal")
    weight = model.settings.lambda0 * (2 / (1 + torch.tensor(-5.0).exp()) - 1)
    for name, gradient in on_loss["D1"].items():
        factor = 1.0 if part_of(name) == "I" else weight
        assert torch.allclose(gradient, factor * in_reversal["D1"][name], atol=1e-6), name


@pytest.mark.parametrize(
    ("name", "losses"),
    [
        ("MARN", ("click", "specific", "D0", "D1")),
        ("BaseModelMAFDDMA", ("click", "specific", "D0", "D1")),
        ("BaseModelMAFADV", ("click", "specific", "D1")),
        ("BaseModelMAF", ("click",)),
        ("BaseModelCONC", ("click",)),
    ],
)
def test_rows_of_the_ablation_have_the_losses_of_the_paper(train, name, losses):
    model, found, _ = train(name)
    assert tuple(found) == model.loss_names == losses


def test_without_the_specific_discriminator_there_is_no_specific_loss(train):
    model, found, _ = train(specific_discriminator=False)
    assert tuple(found) == model.loss_names == ("click", "D0", "D1")
