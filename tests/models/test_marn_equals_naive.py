"""Ragged rows, unique items, statistics as entities, shared histories, losses by count: nothing changes a number."""

import numpy as np
import pytest
import torch
from cases import prepared
from naive_marn import NaiveMARN
from torch import nn

MODELS = {
    "MARN": {},
    "MARN with leaky units": {"projection_activation": "leakyrelu"},
    "BaseModelMAFDDMA": {},
    "BaseModelMAFADV": {},
    "MARN with the branch alone": {"adversary": "branch"},
    "BaseModelMAF": {},
    "BaseModelCONC": {},
}
# Few rows meet few combinations of items and statistics, many rows many: the encoder treats them differently.
N_ROWS = {"entities encoded": 10, "entities joined": 40}


@pytest.fixture(params=N_ROWS)
def n_rows(request):
    return N_ROWS[request.param]


@pytest.fixture(params=MODELS)
def pair(request, settings, n_rows):
    """A model in float64 in the middle of training, the same computed naively, and rows of unlike histories."""
    name = request.param.split()[0]
    parts = prepared(name, settings, train_negatives=2, lambda0=0.7, **MODELS[request.param])
    model = parts.model.double().train()
    model.step, model.total_steps = 1, 4
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    with torch.no_grad():  # what stands for nothing stays zero in training, too
        model.encoder.encoders["title"].word_vectors[0] = 0.0
        for table in model.modules():
            if isinstance(table, nn.Embedding) and table.padding_idx is not None:
                table.weight[table.padding_idx] = 0.0
    rows = np.random.default_rng(0).permutation(len(parts.train.part))[:n_rows]
    return model, NaiveMARN(model, parts.train.part), rows


def test_the_rows_put_every_difficulty_to_the_test(pair):
    model, naive, rows = pair
    batch = naive.dataset.batch(rows).batch
    readers = torch.bincount(batch.row_sequence)
    assert len(batch.length.unique()) > 2, "histories of different lengths"
    assert len(readers.unique()) > 1, "histories read by different numbers of rows"
    assert len(batch.item) < len(batch.entity_item) < len(batch.token) + len(batch.candidate)
    assert (model.encoder(batch).entity_item is None) == (len(rows) == N_ROWS["entities encoded"])
    assert not model.encoder.frozen["present"][batch.item].all(), "missing modalities"


def test_logits_losses_and_every_gradient_are_equal(pair):
    model, naive, rows = pair
    interaction = naive.dataset.batch(rows)
    label = interaction["label"].double()
    vector = model.represent(model.encoder(interaction.batch)).vector
    ours, (logit, theirs) = model.losses(interaction.batch, label), naive.losses(rows)
    assert torch.allclose(model.score(vector, interaction.batch), logit, rtol=1e-9, atol=1e-9)
    assert tuple(ours) == tuple(theirs) == model.loss_names
    # Kernels that serve two losses at once must be right alone and together.
    ours, theirs = (losses | {"their sum": sum(losses.values())} for losses in (ours, theirs))
    parameters = dict(model.named_parameters())
    for name in ours:
        assert torch.allclose(ours[name], theirs[name], rtol=1e-9), name
        gradients = [
            torch.autograd.grad(losses[name], list(parameters.values()), allow_unused=True, retain_graph=True)
            for losses in (ours, theirs)
        ]
        for parameter, a, b in zip(parameters, *gradients, strict=True):
            a, b = (torch.zeros(()) if value is None else value for value in (a, b))
            assert torch.allclose(a, b.to(a), rtol=1e-7, atol=1e-10), (name, parameter)
