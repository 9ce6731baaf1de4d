"""The invariant branch beyond what the routes and the naive model hold: its own switches, and checkpoints of old."""

import copy
import itertools

import numpy as np
import pytest
import torch
from cases import prepared

from recbole_marn.registry import MODELS

EVERYTHING = {
    "invariant_norm": "batch",
    "invariant_codes": 3,
    "degree_normalise": "batch_mean",
    "share_discriminator": False,
    "discriminator_hidden": [4],
    "alignment_weight": 0.5,
}
# What version 0.1.0 called the parameters of the branch with all of `EVERYTHING`, in its order.
OLD_PARAMETERS = [
    "invariant.weight",
    "invariant.bias",
    "invariant_norm.weight",
    "invariant_norm.bias",
    "codes.code",
    "discriminator1.mlp.layers.0.weight",
    "discriminator1.mlp.layers.0.bias",
    "discriminator1.mlp.layers.2.weight",
    "discriminator1.mlp.layers.2.bias",
    "discriminator_specific.mlp.layers.0.weight",
    "discriminator_specific.mlp.layers.0.bias",
    "discriminator0.mlp.layers.0.weight",
    "discriminator0.mlp.layers.0.bias",
    "discriminator0.mlp.layers.2.weight",
    "discriminator0.mlp.layers.2.bias",
]
OLD_BUFFERS = ["invariant_norm.running_mean", "invariant_norm.running_var", "codes.price", "degree_norm.running_mean"]


@pytest.fixture
def marn(settings):
    def make(name="MARN", **switches):
        return prepared(name, settings, **switches)

    return make


def rows(parts, n_rows=40):
    return parts.train._dataset.batch(np.arange(n_rows))


def scrambled(model):
    """The model with every parameter and kept buffer drawn anew."""
    generator = torch.Generator().manual_seed(5)
    for value in (*model.parameters(), *model.buffers()):
        if value.is_floating_point():
            value.data.copy_(torch.rand(value.shape, generator=generator))
    return model


# --------------------------------------------------------------------------------------------- checkpoints
def old_state(model):
    """The state as version 0.1.0 wrote it: the same values under the names it had."""
    own = dict(model.invariant.named_parameters())
    state = {key: value for key, value in model.state_dict().items() if not key.startswith("invariant.")}
    state |= {old: value.detach().clone() for old, value in zip(OLD_PARAMETERS, own.values(), strict=True)}
    invariant = model.invariant
    buffers = [invariant.norm.running_mean, invariant.norm.running_var, invariant.codes.price]
    return state | dict(zip(OLD_BUFFERS, [*buffers, invariant.degree_norm.running_mean], strict=True))


@pytest.mark.parametrize("copied", [False, True])
def test_old_checkpoints_load(marn, copied):
    before, after = scrambled(marn(**EVERYTHING).model), marn(**EVERYTHING).model
    after = copy.deepcopy(after) if copied else after  # RecBole counts operations on a copy
    state = old_state(before)
    names = list(state)
    after.load_state_dict(state)
    assert list(state) == names, "what was read from the file is left alone"
    now = after.state_dict()
    for name, value in before.state_dict().items():
        assert torch.equal(now[name], value) if isinstance(value, torch.Tensor) else now[name] == value, name


def test_a_key_that_never_was_is_still_refused(marn):
    model = marn().model
    with pytest.raises(RuntimeError, match="Unexpected key.*invariant_code"):
        model.load_state_dict(model.state_dict() | {"invariant_code.weight": torch.zeros(1)})


def test_the_order_of_parameters_is_that_of_old_optimizer_states(marn):
    """An optimizer's state is kept by number: encoder, S, attention, branch, property, GRU, pooling, head."""
    first_parts = [name.split(".")[0] for name, _ in marn(**EVERYTHING).model.named_parameters()]
    together = [part for part, _ in itertools.groupby(first_parts)]
    assert together == ["encoder", "specific", "fusion", "invariant", "property", "rnn", "pool", "head"]


# ------------------------------------------------------------------------------------------------ switches
def test_without_its_invariant_part_an_item_is_its_specific_one(marn):
    whole, plain = marn(), marn("BaseModelMAF")
    plain.model.load_state_dict(whole.model.state_dict(), strict=False)
    cells = whole.model.encoder(rows(whole).batch)
    without = whole.model.represent(cells, without_invariant=True)
    assert without.invariant is None
    assert torch.equal(without.vector, plain.model.represent(plain.model.encoder(rows(plain).batch)).vector)
    added = whole.model.represent(cells)
    assert torch.equal(added.vector, without.vector + added.invariant.vector)
    assert not torch.allclose(added.vector, without.vector)


def test_the_branch_alone_is_that_of_one_discriminator_without_its_game(marn):
    """The same item vectors and gradient of the click loss, and no discriminator in model, losses or checkpoint."""
    judged, alone = marn(adversary="single"), marn(adversary="branch")
    missing, unexpected = alone.model.load_state_dict(judged.model.state_dict(), strict=False)
    assert not missing and {name.split(".")[1] for name in unexpected} == {"discriminator1"}
    found = []
    for parts in (judged, alone):
        interaction = rows(parts)
        losses = parts.model.losses(interaction.batch, interaction["label"])
        losses["click"].backward()
        vector = parts.model.represent(parts.model.encoder(interaction.batch)).vector
        found.append((vector, {name: p.grad for name, p in parts.model.named_parameters() if p.grad is not None}))
    assert list(losses) == ["click"]
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1].keys() == found[1][1].keys() >= {"invariant.projection.weight"}
    assert all(torch.equal(gradient, found[1][1][name]) for name, gradient in found[0][1].items())


@pytest.mark.parametrize("items", ["all", "candidate"])
def test_the_alignment_loss_by_loops_and_at_its_weight(marn, items):
    """L_A = mean over occurrences of |c_em - mean_m c_em|^2 / D, on c with the modalities of an item together."""
    parts = marn(alignment_weight=0.25, adversary_items=items)
    model, interaction = parts.model, rows(parts)
    batch = interaction.batch
    cells = model.encoder(batch)
    c, present = cells.entities(model.represent(cells).invariant.c).detach(), cells.entities(cells.present)
    count = batch.entity_count if items == "all" else batch.candidate_count
    total = occurred = 0.0
    for e in range(len(c)):
        mine = c[e, present[e]]
        for vector in mine:
            total += float(count[e]) * float((vector - mine.mean(0)).square().mean())
            occurred += float(count[e])
    assert total > 0 and occurred != len(c) * c.shape[1]
    losses = model.losses(batch, interaction["label"])
    assert losses["alignment"].item() == pytest.approx(0.25 * total / occurred, rel=1e-5)


@pytest.mark.parametrize("hidden", [[], [4]])
def test_the_second_discriminator_alone_has_a_rate_of_its_own(marn, hidden):
    model = marn(discriminator_rate=3.0, discriminator_hidden=hidden, share_discriminator=False).model
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    slow, fast = model.parameters_by_rate()
    assert (slow[0], fast[0]) == (1.0, 3.0)
    theirs = [name for name in names.values() if name.startswith("invariant.discriminator1.")]
    assert [names[id(p)] for p in fast[1]] == theirs, "in an order that is the same in every process"
    assert [names[id(p)] for p in slow[1]] == [name for name in names.values() if name not in theirs]


@pytest.mark.parametrize("name", [name for name, row in MODELS.items() if row.ours])
def test_every_model_names_the_losses_it_returns(marn, name):
    parts = marn(name)
    assert tuple(parts.model.named_losses(rows(parts))) == parts.model.loss_names
