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


# ------------------------------------------------------------------------------- by tiers of frozen vectors
@pytest.fixture
def tier_of():
    """A function that gives, of a model with 4 tiers, a batch and two entities, the tier of their photos' cosine."""

    def find(model, batch, a, b):
        image, column = model.encoder.frozen["image_matrix"], model.encoder.names.index("image")
        row_of, present = model.encoder.frozen["image_row"], model.encoder.frozen["present"]
        items = [batch.item[batch.entity_item[entity]] for entity in (a, b)]
        if not all(present[item, column] for item in items):
            return 4
        one, other = (image[row_of[item]] for item in items)
        return min(3, math.floor((float(one @ other / one.norm() / other.norm()) + 1) * 2))

    return find


def test_sim_tier_counts_behaviours_by_cosine_beside_din(on_batch, tier_of):
    model, batch = on_batch("SimTier", tiers=4)
    vector, width = model.represent(model.encoder(batch)).vector, model.settings.width
    expected, met = [], torch.zeros(5)
    for history, _, candidate, entities, other in rows_of(batch, vector):
        x, cand = history[:, :width], candidate[:width]
        user, counts = torch.zeros(width), torch.zeros(5)
        for one in x:
            user = user + _pair(model.attention, one, cand) * one
        for entity in entities:
            counts[tier_of(model, batch, entity, other)] += 1
        met += counts
        expected.append(model.head.mlp(torch.cat([user, cand, (1 + counts[:4]).log()]))[0])
    assert met[:4].sum() > 20 and met[4] > 0
    assert torch.allclose(model.score(vector, batch), torch.stack(expected), atol=1e-5)


def _pair(layer, x, candidate):
    return layer.rest(layer.from_token(x) + layer.from_candidate(candidate) + layer.from_product(x * candidate))[0]


def test_decoupled_mf_attends_by_tier_and_mixes_in_the_counts(on_batch, tier_of):
    model, batch = on_batch("DecoupledMF", tiers=4, attention_size=6)
    attention = model.attention
    with torch.no_grad():
        for table in (attention.tier_key, attention.tier_value):
            table.normal_(generator=torch.Generator().manual_seed(1))
        model.mixture.fill_(0.7)
    vector, width = model.represent(model.encoder(batch)).vector, model.settings.width
    expected = []
    for history, _, candidate, entities, other in rows_of(batch, vector):
        x, cand = history[:, :width], candidate[:width]
        tiers, counts = [tier_of(model, batch, entity, other) for entity in entities], torch.zeros(5)
        keys = [attention.key(one) + attention.tier_key[0, tier] for one, tier in zip(x, tiers, strict=True)]
        values = [attention.value(one) + attention.tier_value[0, tier] for one, tier in zip(x, tiers, strict=True)]
        read = torch.zeros(6)
        if keys:
            weight = torch.softmax(torch.stack([attention.query(cand) @ key for key in keys]) / math.sqrt(6), 0)
            read = weight @ torch.stack(values)
        for tier in tiers:
            counts[tier] += 1
        share = 1 / (1 + math.exp(-0.7))
        user = share * attention.output(read) + (1 - share) * model.from_counts((1 + counts[:4]).log())
        expected.append(model.head.mlp(torch.cat([user, cand]))[0])
    assert torch.allclose(model.score(vector, batch), torch.stack(expected), atol=1e-5)


@pytest.mark.parametrize("name", ["SimTier", "DecoupledMF"])
def test_models_of_tiers_say_that_they_need_frozen_vectors(name, settings):
    with pytest.raises(InputError, match=f"a modality of kind 'vector' for {name}"):
        prepared(name, settings, use_modalities=["ids", "title"])


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
