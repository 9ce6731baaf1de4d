"""MARN beyond what every model satisfies: its formulas by hand, its schedule, its switches."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from cases import prepared

from recbole_marn.settings.models import MARNSettings

TWO = {"use_modalities": ["ids", "image"]}


@pytest.fixture
def marn(settings):
    def make(name="MARN", **switches):
        return prepared(name, settings, **switches)

    return make


def batch_of(parts, n_rows=24):
    return parts.train.part.batch(np.arange(n_rows))


def losses(model, interaction, *, step=1):
    model.step, model.total_steps = step, 4
    return model.losses(interaction.batch, interaction["label"])


# ---------------------------------------------------------------------------------------------- the item
@pytest.fixture
def by_hand(marn):
    """rep of every item from eqs. (2), (3) and the maximum of section 3.3, and what the model says."""
    parts = marn(**TWO)
    model = parts.model.eval()
    item = torch.arange(1, model.encoder.n_items)
    cells = model.encoder.snapshot(item)
    expected = []
    for e, has in zip(cells.aligned, cells.present, strict=True):
        specific, weighted = torch.zeros(8), []
        for m in np.flatnonzero(has):
            s = (e[m] @ model.specific.weight[m] + model.specific.bias[m]).relu()
            specific += torch.tanh(s @ model.fusion.score.weight[m] + model.fusion.score.bias[m]) * s
            c = model.invariant.projection(e[m]).relu()
            weighted.append((1 - model.invariant.discriminator0(c).softmax(0)[m]) * c)
        expected.append(specific + torch.stack(weighted).amax(0))
    return model, cells, torch.stack(expected)


def test_item_vector_is_s_plus_the_largest_weighted_c_with_images_missing(by_hand):
    model, cells, expected = by_hand
    assert cells.present[:, 0].all() and not cells.present[:, 1].all()
    assert torch.allclose(model.represent(cells).vector, expected, atol=1e-6)


def test_degree_of_an_untrained_discriminator_is_one_minus_its_share(marn):
    model = marn().model.eval()
    with torch.no_grad():
        for parameter in model.invariant.discriminator0.parameters():
            parameter.zero_()
    cells = model.encoder.snapshot(torch.arange(1, 10))
    degree = model.represent(cells).invariant.degree
    assert torch.allclose(degree[cells.present], torch.tensor(0.75))
    assert not degree[~cells.present].any()


def test_what_stands_where_an_image_is_missing_does_not_matter(marn):
    """The row of the vector file that a missing one happens to point to."""
    parts = marn(**TWO)
    model, interaction = parts.model, batch_of(parts)
    before = losses(model, interaction)
    assert not model.encoder.frozen["present"][interaction.batch.item].all()
    missing = ~model.encoder.frozen["present"][:, 1]
    model.encoder.frozen["image_row"][missing] = 5
    assert all(torch.equal(before[name], value) for name, value in losses(model, interaction).items())


def test_the_order_of_modalities_does_not_matter(marn):
    order = [2, 0, 3, 1]
    parts = marn()
    names = parts.model.encoder.names
    modalities = dict(parts.config["modalities"])
    other = marn(modalities={names[m]: modalities[names[m]] for m in order})
    assert other.model.encoder.names == [names[m] for m in order]
    state = copy.deepcopy(parts.model.state_dict())
    for key, value in state.items():
        if key.startswith(("specific.", "fusion.", "invariant.discriminator")):
            state[key] = value[order]
    other.model.load_state_dict(state)
    ours, theirs = losses(parts.model, batch_of(parts)), losses(other.model, batch_of(other))
    for name in ours:
        assert torch.allclose(ours[name], theirs[name], atol=1e-6), name
    vectors = [model.eval().item_vectors() for model in (parts.model, other.model)]
    assert torch.allclose(*vectors, atol=1e-6)


def test_the_specific_discriminator_is_the_second_discriminator(marn):
    parts = marn()
    model, interaction = parts.model, batch_of(parts)
    assert not model.invariant.discriminator_specific
    before = losses(model, interaction)
    with torch.no_grad():
        model.invariant.discriminator1.mlp.layers[0].weight[0] += 1.0
    after = losses(model, interaction)
    assert after["specific"] != before["specific"] and after["D1"] != before["D1"]
    assert after["D0"] == before["D0"] and after["click"] == before["click"]


# -------------------------------------------------------------------------------------------- the history
def test_apgru_without_weights_for_the_property_is_the_plain_gru(marn):
    ours, plain = marn(), marn(rnn="gru")
    with torch.no_grad():
        ours.model.rnn.P_z.zero_()
    missing = plain.model.load_state_dict(ours.model.state_dict(), strict=False)
    assert not missing.missing_keys
    assert {key.split(".")[0] for key in missing.unexpected_keys} == {"rnn", "property"}
    assert torch.equal(ours.model.predict(batch_of(ours)), plain.model.predict(batch_of(plain)))


def test_the_property_counts(marn):
    parts = marn()
    interaction = batch_of(parts)
    before = parts.model.predict(interaction)
    interaction.batch = dataclasses.replace(interaction.batch, gap=torch.zeros_like(interaction.batch.gap))
    assert not torch.allclose(before, parts.model.predict(interaction))


def test_without_a_behaviour_property_apgru_is_a_gru(marn):
    parts = marn(behaviour={})
    assert parts.model.property is None
    assert parts.model.rnn.gate == "none"
    assert parts.model.predict(batch_of(parts)).isfinite().all()


# ------------------------------------------------------------------------------------------- the schedule
def test_lambda_is_zero_at_the_start_and_lambda0_at_the_end(marn):
    """lambda(p) = lambda0 (2 / (1 + exp(-gamma p)) - 1) weighs L_S and L_D1, and neither of the others."""
    parts = marn(lambda0=0.4)
    model, interaction = parts.model, batch_of(parts)
    start, quarter, end = (losses(model, interaction, step=step) for step in (0, 1, 4))
    for name in ("specific", "D1"):
        assert start[name] == 0.0
        assert torch.allclose(quarter[name] / end[name], torch.tensor(0.84828364 / 0.9999092), atol=1e-6)
    for name in ("click", "D0"):
        assert torch.equal(start[name], end[name])
    whole = losses(marn(lambda0=1.0).model, interaction, step=4)["D1"]
    assert torch.allclose(end["D1"], 0.4 * whole)


def test_a_step_is_a_backward_pass_in_training_and_survives_a_checkpoint(marn):
    parts = marn()
    model, interaction = parts.model, batch_of(parts)
    model.prepare_training(steps_per_epoch=5, epochs=4)
    for _ in range(5):
        sum(model.calculate_loss(interaction)).backward()
    model.calculate_loss(interaction)  # looked at, not learned from
    with torch.no_grad():
        model.calculate_loss(interaction)
    model.eval()
    sum(model.calculate_loss(interaction)).backward()
    model.predict(interaction)
    assert model.progress == 0.25
    resumed = marn().model
    resumed.load_state_dict(model.state_dict())
    resumed.prepare_training(steps_per_epoch=5, epochs=4)
    assert resumed.progress == 0.25
    model.step = 100
    assert model.progress == 1.0


def test_adversary_epochs_end_the_schedule_early(marn):
    model = marn(adversary_epochs=2).model
    model.prepare_training(steps_per_epoch=5, epochs=4)
    assert model.total_steps == 10


# -------------------------------------------------------------------------------------------- the switches
# A second value for each switch; those of the ablation rows and of other shapes included.
ALTERNATIVES = {
    "id_dropout": [0.9],
    "fusion": ["conc"],
    "adversary": ["single", "branch", "none"],
    "rnn": ["gru"],
    "pooling": ["last"],
    "projection_activation": ["leakyrelu", "tanh", "none"],
    "attention_activation": ["sigmoid"],
    "attention_normalise": [True],
    "lambda0": [0.5],
    "gamma": [3.0],
    "lambda_placement": ["reversal"],
    "adversary_epochs": [1],
    "degree_target": ["feature", "both"],
    "degree_normalise": ["batch_mean"],
    "discriminator_hidden": [[4]],
    "share_discriminator": [False],
    "specific_discriminator": [False],
    "specific_stop": ["raw"],
    "adversary_into_embedding": [True],
    "adversary_items": ["candidate"],
    "adversary_reduction": ["sum_modalities"],
    "discriminator_rate": [5.0],
    "invariant_pooling": ["mean"],
    "invariant_norm": ["batch", "whiten"],
    "invariant_codes": [3],
    "alignment_weight": [0.5],
    "gate": ["prop_only", "no_hidden", "scale", "none"],
    "hidden_size": [5],
    "attention_hidden": [[6]],
    "attention_values": ["state_and_item"],
    "width": [6],
    "modality_norm": ["batch"],
    "prediction_hidden": [[5]],
    "prediction_product": [True],
    "dropout": [0.5],
}
# Another way to compute the same numbers.
WITHOUT_EFFECT = {"reference_kernels"}


def fingerprint(parts):
    """Losses and gradient of one step and the learning rates: what training is made of."""
    model = parts.model
    model.prepare_training(steps_per_epoch=4, epochs=2)
    model.step = 1
    torch.manual_seed(0)
    interaction = batch_of(parts)
    values = model.losses(interaction.batch, interaction["label"])
    sum(values.values()).backward()
    gradient = sum(p.grad.abs().sum() for p in model.parameters() if p.grad is not None)
    rates = [factor for factor, _ in model.parameters_by_rate()]
    return [round(value.item(), 6) for value in (*values.values(), gradient)] + rates


@pytest.fixture(scope="module")
def default_fingerprint():
    return {}


@pytest.mark.parametrize(("switch", "value"), [(s, v) for s, values in ALTERNATIVES.items() for v in values])
def test_every_switch_is_connected(marn, default_fingerprint, switch, value):
    if not default_fingerprint:
        default_fingerprint["MARN"] = fingerprint(marn())
    assert fingerprint(marn(**{switch: value})) != default_fingerprint["MARN"]


@pytest.mark.parametrize(("into_embedding", "times"), [(True, 1), (False, 2)])
def test_the_click_loss_and_d1_share_one_c_where_both_reach_the_embeddings(marn, into_embedding, times):
    parts = marn(invariant_norm="batch", adversary_into_embedding=into_embedding)
    seen = []
    parts.model.invariant.norm.register_forward_hook(lambda *_: seen.append(1))
    losses(parts.model, batch_of(parts))
    assert len(seen) == times


def test_slow_kernels_compute_the_same(marn):
    assert np.allclose(fingerprint(marn()), fingerprint(marn(reference_kernels=True)), atol=1e-5)


def test_no_switch_is_left_out():
    switches = {field.name for field in dataclasses.fields(MARNSettings)}
    assert switches == set(ALTERNATIVES) | WITHOUT_EFFECT


def test_every_row_of_the_ablation_differs_from_the_one_before(marn):
    base = ("IDs", "IMAGE", "CONC", "MAF", "MAFADV", "MAFDDMA")
    seen = [fingerprint(marn(name)) for name in (*(f"BaseModel{row}" for row in base), "MARN")]
    assert all(a != b for a, b in zip(seen, seen[1:], strict=False))
