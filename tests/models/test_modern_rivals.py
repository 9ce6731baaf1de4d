"""The rivals since 2024, row by row in loops, against the model on a whole batch."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import prepared

from recbole_marn.errors import InputError


@pytest.fixture
def on_batch(settings):
    """A function that gives a model and a batch of training rows, a row without a history among them."""

    def make(name, **switches):
        parts = prepared(name, settings, **switches)
        batch = parts.train.part.batch(np.arange(23)).batch
        empty = torch.arange(len(batch.length)) == 1
        assert torch.bincount(batch.row_sequence)[1] > 1 and batch.length[1] > 0
        kept = torch.repeat_interleave(~empty, batch.length)
        emptied = {name: getattr(batch, name)[kept] for name in ("token", "behaviour", "gap")}
        return parts.model.eval(), dataclasses.replace(batch, length=batch.length.masked_fill(empty, 0), **emptied)

    return make


def rows_of(batch, vector):
    """Per row: history (n, D), the tokens it consists of, candidate (D,), and the two entities of each pair."""
    ends = batch.length.cumsum(0)
    for sequence, candidate in zip(batch.row_sequence, batch.candidate, strict=True):
        tokens = torch.arange(ends[sequence] - batch.length[sequence], ends[sequence])
        yield vector[batch.token[tokens]], tokens, vector[candidate], batch.token[tokens], candidate


def drawn(model, batch):
    """Item vectors at random for the entities of a batch."""
    return torch.randn(len(batch.entity_item), model.vector_size, generator=torch.Generator().manual_seed(0))


# ------------------------------------------------------------------------------------------------ SimTier
def test_sim_tier_counts_behaviours_by_cosine_beside_din(on_batch):
    model, batch = on_batch("SimTier", tiers=4)
    cells = model.encoder(batch)
    vector = model.represent(cells).vector
    width, image = model.settings.width, model.encoder.frozen["image_matrix"]
    row_of, present = model.encoder.frozen["image_row"], model.encoder.frozen["present"]
    column = model.encoder.names.index("image")

    def frozen(entity):
        item = batch.item[batch.entity_item[entity]]
        return image[row_of[item]] if present[item, column] else None

    expected, met = [], 0
    for history, _, candidate, entities, other in rows_of(batch, vector):
        x, cand = history[:, :width], candidate[:width]
        user, counts = torch.zeros(width), torch.zeros(4)
        for one in x:
            user = user + _pair(model.attention, one, cand) * one
        for entity in entities:
            a, b = frozen(entity), frozen(other)
            if a is not None and b is not None:
                cosine = float(a @ b / a.norm() / b.norm())
                counts[min(3, math.floor((cosine + 1) * 2))] += 1
                met += 1
        expected.append(model.head.mlp(torch.cat([user, cand, (1 + counts).log()]))[0])
    assert met > 20
    assert torch.allclose(model.score(vector, batch), torch.stack(expected), atol=1e-5)


def _pair(layer, x, candidate):
    return layer.rest(layer.from_token(x) + layer.from_candidate(candidate) + layer.from_product(x * candidate))[0]


def test_sim_tier_says_that_it_needs_frozen_vectors(settings):
    with pytest.raises(InputError, match="a modality of kind 'vector' for SimTier"):
        prepared("SimTier", settings, use_modalities=["ids", "title"])


# ---------------------------------------------------------------------------------------------------- QIN
def test_qin_cuts_attention_off_below_zero_and_multiplies_the_input_by_itself(on_batch):
    model, batch = on_batch("QIN", quadratic_layers=2)
    vector, attention, network = drawn(model, batch), model.attention, model.head.mlp
    expected, cut = [], 0
    for history, _, candidate, _, _ in rows_of(batch, vector):
        user = torch.zeros(attention.query.out_features)
        for x in history:
            weight = attention.query(candidate) @ attention.key(x) / math.sqrt(len(user))
            cut += int(weight < 0)
            user = user + max(weight, torch.tensor(0.0)) * attention.value(x)
        seen = torch.cat([candidate + attention.output(user), candidate])
        for layer in range(2):
            norm, prelu, _ = network.activations[layer]
            seen = seen + prelu(norm(seen * network.maps[layer](seen)))
        expected.append(network.mlp(seen)[0])
    assert cut
    assert torch.allclose(model.score(vector, batch), torch.stack(expected), atol=1e-5)


# ----------------------------------------------------------------------------------------- TransformerDCN
def test_transformer_dcn_reads_each_behaviour_beside_the_candidate(on_batch):
    model, batch = on_batch("TransformerDCN", n_layers=2, n_heads=2, inner_size=8, cross_layers=2)
    vector, head = drawn(model, batch), model.head.mlp
    expected = []
    for history, _, candidate, _, _ in rows_of(batch, vector):
        user = torch.zeros(4 * len(candidate))
        if len(history):
            state = model.transformer(torch.cat([history, candidate.expand_as(history)], dim=1)[None])[0]
            user = torch.cat([state[-1], model.from_maximum(state.amax(0))])
        x = torch.cat([user, candidate])
        crossed = x
        for cross in head.crosses:
            crossed = x * cross(crossed) + crossed
        expected.append(head.output(torch.cat([crossed, head.deep(x)]))[0])
    assert torch.allclose(model.score(vector, batch), torch.stack(expected), atol=1e-5)


# --------------------------------------------------------------------------------------------------- HSTU
def test_hstu_reads_history_and_candidate_as_one_sequence(on_batch):
    """The candidate as the last token of its history, token by token."""
    model, batch = on_batch("HSTU", n_heads=2)
    for layer in model.layers:
        torch.nn.init.normal_(layer.distance, generator=torch.Generator().manual_seed(1))
    vector = drawn(model, batch)
    known = model.from_property(model.property(batch.behaviour, batch.gap))
    expected = []
    for history, tokens, candidate, _, _ in rows_of(batch, vector):
        x = torch.cat([history + known[tokens], candidate[None]])
        for layer in model.layers:
            x = torch.stack([_hstu_token(layer, x, i) for i in range(len(x))])
        expected.append(model.head.mlp(torch.cat([x[-1], candidate]))[0])
    assert torch.allclose(model.score(vector, batch), torch.stack(expected), atol=1e-5)


def _hstu_token(layer, x, i):
    gate, value, query, key = F.silu(layer.project(layer.norm(x))).chunk(4, dim=1)
    read = []
    for head, (q, k, v) in enumerate(
        zip(query.chunk(layer.n_heads, 1), key.chunk(layer.n_heads, 1), value.chunk(layer.n_heads, 1), strict=True)
    ):
        weights = [F.silu(q[i] @ k[j] + layer.distance[i - j, head]) / layer.max_length for j in range(i + 1)]
        read.append(sum(weight * v[j] for j, weight in enumerate(weights)))
    return x[i] + layer.output(layer.read_norm(torch.cat(read)) * gate[i])


@pytest.mark.parametrize(("name", "switches"), [("HSTU", {"n_heads": 3}), ("TransformerDCN", {"n_heads": 3})])
def test_heads_that_do_not_divide_the_width_are_refused(settings, name, switches):
    with pytest.raises(InputError, match="n_heads to divide"):
        prepared(name, settings, **switches)
