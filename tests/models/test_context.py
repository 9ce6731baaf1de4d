"""Profile and context in every model of ours: they are read, learned from, and left alone where there are none."""

import dataclasses

import numpy as np
import pytest
import torch
from cases import OUR_MODELS, alone, prepared, shuffled, unshared
from contexts import FIELDS, POSITION, drawn, in_context
from sklearn.metrics import roc_auc_score

from recbole_marn.data.batch import StatisticCodes, assemble
from recbole_marn.data.part import CTRInteraction
from recbole_marn.layers.context import side_by_side, with_code
from recbole_marn.registry import model_class

READERS = [name for name in OUR_MODELS if model_class(name).makes_item_vectors]
SCORERS = [name for name in OUR_MODELS if name not in READERS]
# Each with its own prediction network, and both of NAML's.
VARIANTS = [(name, {}) for name in READERS] + [("NAML", {"own_head": True}), ("MARN", {"prediction_product": True})]
# One of each way to read a context: the shared prediction network, with the product, two heads of their own, and a
# network that starts from the candidate. The others take half a second each.
QUICK = [("MARN", {}), ("MARN", {"prediction_product": True}), ("NAML", {"own_head": True}),
         ("MultimodalxDeepFM", {}), ("HSTU", {})]  # fmt: skip


def mostly_slow(cases, quick):
    return [pytest.param(*case, marks=() if case in quick else pytest.mark.slow) for case in cases]


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def clicks(batch):
    """Clicked where the position is 1, 2 or 3, not at 4, 5, 6 or where it is unknown."""
    position = batch.context[:, POSITION]
    return ((position > 0) & (position < 4)).float()


def batch_of(dataset, n_rows=96):
    return dataset.batch(np.arange(n_rows)).batch


def predicted(model, batch):
    return model.predict(CTRInteraction({}, batch))


def trained(model, batch, generator, steps):
    """Losses of steps on the same rows, each row at a new moment at every step."""
    model.train()
    optimiser, losses = torch.optim.Adam(model.parameters(), lr=0.02), []
    for _ in range(steps):
        moment = drawn(batch, generator)
        named = model.losses(moment, clicks(moment))
        optimiser.zero_grad()
        sum(named.values()).backward()
        optimiser.step()
        losses.append(named["click"].item())
    return losses


@torch.no_grad()
def auc(model, batch, generator, draws=12):
    """Over moments that were not trained on; a row says nothing about its click."""
    moments = [drawn(batch, generator) for _ in range(draws)]
    model.eval()
    scores = torch.cat([predicted(model, moment) for moment in moments])
    return roc_auc_score(torch.cat([clicks(moment) for moment in moments]), scores)


def test_all_but_the_scorers_read_profile_and_context():
    assert SCORERS == ["ItemCF", "Popularity", "RandomScore"]


@pytest.mark.parametrize(("name", "switches"), mostly_slow(VARIANTS, QUICK))
def test_a_click_that_hangs_on_a_field_alone_is_learned(name, switches, settings, generator):
    model, dataset = in_context(name, settings, **switches)
    batch = batch_of(dataset)
    losses = trained(model, batch, generator, steps=60)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert auc(model, batch, generator) > 0.9


@pytest.mark.parametrize(("name",), mostly_slow([(name,) for name in READERS], {(name,) for name, _ in QUICK}))
def test_without_the_field_nothing_is_learned(name, settings, generator):
    parts = prepared(name, settings)
    batch = batch_of(parts.train.part)
    trained(parts.model, batch, generator, steps=20)
    n_rows = 12 * batch.n_rows
    assert abs(auc(parts.model, batch, generator) - 0.5) < 4 * (1 / (3 * n_rows)) ** 0.5  # standard errors at chance


@pytest.mark.parametrize(("name", "switches"), VARIANTS)
def test_at_one_position_scores_do_not_hang_on_what_the_row_says(name, switches, settings, generator):
    model, dataset = in_context(name, settings, **switches)
    batch = drawn(batch_of(dataset), generator)
    other = dataclasses.replace(batch, context=batch.context.clone())
    other.context[:, POSITION] = other.context[torch.randperm(batch.n_rows, generator=generator), POSITION]
    trained(model, batch, generator, steps=3)
    model.eval()

    def fixed(rows):
        return dataclasses.replace(rows, context=with_code(rows.context, POSITION, 1))

    with torch.no_grad():
        assert not torch.equal(predicted(model, batch), predicted(model, other))
        assert torch.equal(predicted(model, fixed(batch)), predicted(model, fixed(other)))


@pytest.mark.parametrize(("name", "switches"), VARIANTS)
def test_scores_of_rows_do_not_hang_on_the_batch(name, switches, settings, generator):
    model, dataset = in_context(name, settings, **switches)
    trained(model, batch_of(dataset), generator, steps=3)
    rows = dataset.batch(np.arange(20))
    rows = CTRInteraction(rows.interaction, drawn(rows.batch, generator))
    order = torch.randperm(20, generator=generator)
    model.eval()
    with torch.no_grad():
        score = model.predict(rows)
        assert torch.allclose(model.predict(shuffled(rows, order)), score[order], atol=1e-6)
        assert torch.allclose(model.predict(unshared(rows)), score, atol=1e-6)
        for row in range(3):
            one = alone(dataset, row).batch
            one = dataclasses.replace(one, context=rows.batch.context[[row]])
            assert predicted(model, one).item() == pytest.approx(score[row].item(), abs=1e-6)


@pytest.mark.parametrize(("name", "switches"), VARIANTS)
def test_gradients_reach_every_table(name, switches, settings, generator):
    model, dataset = in_context(name, settings, **switches)
    # The unknown starts at zero and in a bag stays there.
    for tables in model.context_encoder.tables:
        torch.nn.init.normal_(tables.table.weight)
    batch = drawn(batch_of(dataset), generator)
    model.losses(batch, clicks(batch))["click"].backward()
    parameters = {name: p for name, p in model.named_parameters() if "context" in name}
    assert {name.split(".")[0] for name in parameters} >= {"context_encoder"}
    assert all(p.grad.isfinite().all() and p.grad.any() for p in parameters.values())
    for tables in model.context_encoder.tables:
        assert tables.table.weight.grad.any(1).all(), "a code that occurs learns"


# -------------------------------------------------------------------------------------- where it enters
WITH_HEAD = [name for name in READERS if name != "MultimodalxDeepFM"]


@pytest.mark.parametrize("product", [False, True])
@pytest.mark.parametrize("name", WITH_HEAD)
def test_it_stands_beside_user_and_candidate_in_the_prediction(name, product, settings, generator):
    """What the prediction network is given: that of the model without context, then the embeddings."""
    model, dataset = in_context(name, settings, prediction_product=product)
    plain = prepared(name, settings, prediction_product=product).model
    own = dict(model.named_parameters())
    with torch.no_grad():
        for key, parameter in plain.named_parameters():
            if parameter.shape == own[key].shape:  # what reads the context is wider
                parameter.copy_(own[key])
    batch = drawn(batch_of(dataset), generator)
    seen = []
    for each in (model, plain):
        head = each.scoring.head if hasattr(each, "scoring") else each.head
        head.mlp.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
        each.eval()
        each.score(each.item_vectors(batch.entity_id), batch)
    (with_context, _), (without, _) = seen
    assert torch.allclose(with_context[:, : without.shape[1]], without, atol=1e-6)
    embedded = side_by_side(model.context_encoder(batch.context))
    beside = with_context[:, without.shape[1] :]
    assert torch.equal(beside[:, : embedded.shape[1]], embedded)
    assert beside.shape[1] == embedded.shape[1] + product * model.settings.width, "once more, times the candidate"
    assert embedded.shape[1] == sum(field.width for field in FIELDS)


def test_xdeepfm_has_each_field_in_all_three_parts(settings, generator):
    model, dataset = in_context("MultimodalxDeepFM", settings)
    batch = drawn(batch_of(dataset, 12), generator)
    vector = torch.randn(len(batch.entity_item), model.vector_size, generator=generator)
    ends = batch.length.cumsum(0)
    expected = []
    parts = model.context_encoder(batch.context)
    for row, (sequence, candidate) in enumerate(zip(batch.row_sequence, batch.candidate, strict=True)):
        history = vector[batch.token[ends[sequence] - batch.length[sequence] : ends[sequence]]].mean(0)
        context = torch.cat([value[row].flatten() for value in parts])
        both = torch.cat([history, vector[candidate]])
        aligned = [x @ w + b for value, maps in zip(parts, model.context_alignment.maps, strict=True)
                   for x, w, b in zip(value[row], maps.weight, maps.bias, strict=True)]  # fmt: skip
        fields = torch.cat([both.view(8, 8), torch.stack(aligned)])
        assert len(fields) == 2 * 4 + len(FIELDS)
        explicit = model.from_interaction(model.interaction(fields[None]))[0, 0]
        deep = model.head.mlp(torch.cat([both, context]))[0]
        expected.append(model.linear(torch.cat([both, context]))[0] + explicit + deep)
    assert torch.allclose(model.score(vector, batch), torch.stack(expected), atol=1e-5)


def test_naml_adds_a_linear_term_to_its_dot_product(settings, generator):
    model, dataset = in_context("NAML", settings, own_head=True)
    plain, term = drawn(batch_of(dataset), generator), model.scoring.from_context
    vector = torch.randn(len(plain.entity_item), model.vector_size, generator=generator)
    other = drawn(plain, generator)
    difference = model.score(vector, other) - model.score(vector, plain)
    expected = (model.context_of(other) - model.context_of(plain)) @ term.weight[0]
    assert torch.allclose(difference, expected, atol=1e-5)


# ------------------------------------------------------------------------------------- where there is none
@pytest.mark.parametrize("name", READERS)
def test_without_fields_a_model_has_no_part_of_it(name, settings):
    model = prepared(name, settings).model
    assert model.context_encoder is None and model.context_size == 0
    assert not [key for key in model.state_dict() if key.startswith(("context_", "from_context"))]


@pytest.mark.parametrize("name", SCORERS)
def test_scorers_do_not_care(name, settings, generator):
    model, dataset = in_context(name, settings)
    rows = dataset.batch(np.arange(12))
    score = model.eval().predict(rows)
    assert torch.equal(model.predict(CTRInteraction(rows.interaction, drawn(rows.batch, generator))), score)


# ----------------------------------------------------------------------------------------------- batches
def test_codes_travel_with_the_rows():
    codes = np.array([[1, 0], [2, 3]])
    arrays = {
        "token_item": np.array([1, 2]),
        "length": np.array([2, 0]),
        "row_sequence": np.array([0, 1]),
        "candidate_item": np.array([3, 1]),
        "statistics": StatisticCodes(np.zeros((4, 0), dtype=np.int64)),
    }
    batch = assemble(**arrays, context=codes)
    assert batch.context.tolist() == codes.tolist() and batch.context.dtype == torch.int64
    assert batch.to("cpu").context.tolist() == codes.tolist()
    assert batch.to("meta").context.device.type == "meta"
    assert assemble(**arrays).context is None
