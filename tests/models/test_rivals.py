"""The wiring of every rival, row by row and item by item in loops, against the model on a whole batch."""

import numpy as np
import pytest
import torch
from cases import prepared

from recbole_marn.layers.kernels.segment import expand_rows
from recbole_marn.models.item_encoder import Cells


@pytest.fixture
def on_batch(settings):
    """A function that gives a model, a batch of training rows, and item vectors drawn at random for its entities."""

    def make(name, **switches):
        parts = prepared(name, settings, **switches)
        batch = parts.train.part.batch(np.arange(23)).batch
        generator = torch.Generator().manual_seed(0)
        return parts.model, batch, torch.randn(len(batch.entity_item), parts.model.vector_size, generator=generator)

    return make


def rows_of(model, batch, vector):
    """Per row: history (n, D), its property (n, P) or None, candidate (D,)."""
    ends = batch.length.cumsum(0)
    property_ = getattr(model, "property", None)
    known = property_(batch.behaviour, batch.gap) if property_ is not None else None
    for sequence, candidate in zip(batch.row_sequence, batch.candidate, strict=True):
        tokens = torch.arange(ends[sequence] - batch.length[sequence], ends[sequence])
        yield vector[batch.token[tokens]], None if known is None else known[tokens], vector[candidate]


def check_scores(model, batch, vector, of_row):
    expected = torch.stack([of_row(*row) for row in rows_of(model, batch, vector)])
    assert torch.allclose(model.score(vector, batch), expected, atol=1e-5)


def head(model, user, candidate):
    return model.head.mlp(torch.cat([user, candidate]))[0]


def pair(layer, x, candidate, product):
    """MLP([x ; candidate]) or MLP([x ; candidate ; x * candidate]) with the weights of a `PairScore`."""
    first = layer.from_token(x) + layer.from_candidate(candidate)
    return layer.rest(first + layer.from_product(x * candidate) if product else first)[0]


# --------------------------------------------------------------------------------------------- user side
def test_youtube_net_averages_the_history(on_batch):
    model, batch, vector = on_batch("YoutubeNet")
    check_scores(model, batch, vector, lambda history, _, cand: head(model, history.mean(0), cand))


@pytest.mark.parametrize("normalise", [False, True])
def test_din_weighs_every_item_of_the_history_by_the_candidate(on_batch, normalise):
    model, batch, vector = on_batch("MultimodalDIN", attention_normalise=normalise)

    def of_row(history, _, candidate):
        weight = torch.stack([pair(model.attention, x, candidate, product=True) for x in history])
        weight = weight.softmax(0) if normalise else weight
        return head(model, weight @ history, candidate)

    check_scores(model, batch, vector, of_row)


def test_dupn_attends_by_candidate_and_property_over_property_gated_states(on_batch):
    model, batch, vector = on_batch("DUPN")

    def of_row(history, property_, candidate):
        state = model.rnn(history, property_, torch.tensor([len(history)]))
        seen = torch.cat([state, property_], dim=1)
        alpha = torch.stack([pair(model.attention, x, candidate, product=False) for x in seen]).softmax(0)
        return head(model, alpha @ state, candidate)

    check_scores(model, batch, vector, of_row)


def test_dupn_without_a_property(on_batch):
    model, batch, vector = on_batch("DUPN", behaviour={})
    assert model.property is None and model.rnn.P is None
    assert model.score(vector, batch).isfinite().all()


def test_dien_evolves_interests_towards_the_candidate(on_batch):
    model, batch, vector = on_batch("MultimodalDIEN")

    def of_row(history, _, candidate):
        length = torch.tensor([len(history)])
        interest = model.interest(history, None, length)
        relevance = (interest @ model.attention.map.weight.t() @ candidate).softmax(0)
        user = model.evolution(interest, relevance, torch.arange(len(history)), length)[0]
        return head(model, user, candidate)

    check_scores(model, batch, vector, of_row)


def test_dien_adds_its_auxiliary_loss_at_its_weight(on_batch):
    model, batch, _ = on_batch("MultimodalDIEN", auxiliary_weight=0.25)
    label = torch.zeros(batch.n_rows)
    losses = model.losses(batch, label)
    vector = model.represent(model.encoder(batch)).vector
    interest = model.interest(vector[batch.token], None, batch.length)
    readers = torch.bincount(batch.row_sequence)
    args = (vector[batch.token], batch.entity_id[batch.token], batch.length, readers)
    assert torch.allclose(losses["auxiliary"], 0.25 * model.next_behaviour(interest, *args))
    click = torch.nn.functional.binary_cross_entropy_with_logits(model.score(vector, batch), label)
    assert torch.allclose(losses["click"], click)


def test_xdeepfm_adds_linear_explicit_and_deep_parts_of_history_and_candidate_fields(on_batch):
    model, batch, vector = on_batch("MultimodalxDeepFM")
    assert model.vector_size == 4 * 8

    def of_row(history, _, candidate):
        mean = history.mean(0)
        both = torch.cat([mean, candidate])
        explicit = model.from_interaction(model.interaction(both.view(1, 8, 8)))[0, 0]
        return model.linear(both)[0] + explicit + head(model, mean, candidate)

    check_scores(model, batch, vector, of_row)


@pytest.mark.parametrize("name", ["DenseMultimodalFusion", "MMSS", "NAML"])
@pytest.mark.parametrize("pooling", ["last", "attention"])
def test_the_fusions_share_gru_and_prediction(on_batch, name, pooling):
    model, batch, vector = on_batch(name, pooling=pooling)

    def of_row(history, _, candidate):
        length, row = torch.tensor([len(history)]), torch.tensor([0])
        state = model.scoring.rnn(history, None, length)
        user = state[-1]
        if pooling == "attention":
            user = model.scoring.pool.attention(state, candidate[None], length, row)[0][0]
        return model.scoring.head.mlp(torch.cat([user, candidate]))[0]

    check_scores(model, batch, vector, of_row)


def test_naml_with_its_own_head_is_a_dot_product(on_batch):
    model, batch, vector = on_batch("NAML", own_head=True)
    attention = model.scoring.attention

    def of_row(history, _, candidate):
        alpha = attention.query(torch.tanh(attention.project(history)))[:, 0].softmax(0)
        return (alpha @ history) @ candidate

    check_scores(model, batch, vector, of_row)


# ------------------------------------------------------------------------------------------------- items
def check_items(model, batch, of_item):
    """`of_item` takes the modalities present of one entity: index -> e_m."""
    cells = model.encoder(batch)
    assert not cells.present.all()
    entities = zip(cells.entities(cells.aligned), cells.entities(cells.present), strict=True)
    expected = torch.stack([of_item({m: e[m] for m in np.flatnonzero(has)}) for e, has in entities])
    assert torch.allclose(model.represent(cells).vector, expected, atol=1e-5)


def private(layer, m, x):
    return x @ layer.weight[m] + layer.bias[m]


@pytest.mark.parametrize("name", ["YoutubeNet", "DUPN", "MultimodalDIN", "MultimodalDIEN"])
def test_concatenated_items_are_a_linear_map_of_what_is_there(on_batch, name):
    model, batch, _ = on_batch(name)
    check_items(model, batch, lambda e: sum(private(model.concatenation, m, x) for m, x in e.items()))


def test_xdeepfm_items_are_their_modalities_side_by_side(on_batch):
    model, batch, _ = on_batch("MultimodalxDeepFM")
    check_items(model, batch, lambda e: torch.cat([e.get(m, torch.zeros(8)) for m in range(4)]))


def test_dense_multimodal_fusion_items(on_batch):
    model, batch, _ = on_batch("DenseMultimodalFusion", levels=3)
    layer = model.fusion

    def of_item(e):
        g = None
        for level in range(3):
            e = {m: private(layer.private[level], m, x).relu() for m, x in e.items()}
            met = sum(private(layer.shared[level], m, x) for m, x in e.items())
            g = (met if g is None else met + layer.carried[level - 1](g)).relu()
        return g

    check_items(model, batch, of_item)


def attend(layer, r, context=0.0):
    score = {m: layer.query(torch.tanh(private(layer.projection, m, x) + context))[0] for m, x in r.items()}
    beta = torch.stack(list(score.values())).softmax(0)
    return sum(weight * x for weight, x in zip(beta, r.values(), strict=True))


def test_naml_items(on_batch):
    model, batch, _ = on_batch("NAML")
    check_items(model, batch, lambda e: attend(model.fusion, {m: x.relu() for m, x in e.items()}))


def test_mmss_items(on_batch):
    """IDs are modality 0 and give the context, the image 1 is filtered by the title 2, if there is one."""
    model, batch, _ = on_batch("MMSS")

    def of_item(e):
        context = model.context(e[0])
        if 1 in e and 2 in e:
            e = e | {1: model.filters["image"](e[2][None], e[1][None])[0]}
        return attend(model.fusion, e, context)

    check_items(model, batch, of_item)


def test_mmss_reads_the_mean_of_several_texts_and_ids(on_batch):
    modalities = {
        "title": {"kind": "text", "field": "title", "word_size": 4, "windows": [1], "filters": 3},
        "again": {"kind": "text", "field": "title", "word_size": 4, "windows": [1], "filters": 3},
        "image": {"kind": "vector", "file": "image.npy", "ids": "image.ids"},
    }
    model, batch, _ = on_batch("MMSS", modalities=modalities)
    assert model.context is None

    def of_item(e):
        texts = [e[m] for m in (0, 1) if m in e]
        if 2 in e and texts:
            e = e | {2: model.filters["image"](torch.stack(texts).mean(0)[None], e[2][None])[0]}
        return attend(model.fusion, e) if e else torch.zeros(8)

    check_items(model, batch, of_item)


@pytest.mark.parametrize("name", ["MMSS", "NAML", "MultimodalxDeepFM", "DenseMultimodalFusion", "YoutubeNet"])
def test_joined_cells_give_the_items_of_whole_ones(on_batch, name):
    """The encoder gives one cell an entity, or parts of items to be joined; a fusion must not care."""
    model, batch, _ = on_batch(name)
    cells = model.encoder(batch)
    aligned, present = cells.entities(cells.aligned), cells.entities(cells.present)
    whole = Cells(aligned, present, None, None, cells.is_statistic, cells.item)
    other = Cells(
        torch.cat([whole.aligned, whole.aligned]),
        torch.cat([whole.present & ~whole.is_statistic, whole.present & whole.is_statistic]),
        torch.arange(len(whole.present)),
        len(whole.present) + torch.arange(len(whole.present)),
        whole.is_statistic,
        cells.item,
    )
    assert torch.allclose(model.represent(whole).vector, model.represent(other).vector, atol=1e-6)


def test_histories_are_shared(on_batch):
    """The batch these tests run on is worth its name."""
    _, batch, _ = on_batch("YoutubeNet")
    token, _ = expand_rows(batch.length, batch.row_sequence)
    assert len(token) > len(batch.token)
    assert len(batch.length.unique()) > 1
    assert len(torch.bincount(batch.row_sequence).unique()) > 1
