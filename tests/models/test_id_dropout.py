"""`id_dropout`: unknown ids in training, untrained ids unknown in evaluation, and runs of old keep their names."""

import numpy as np
import pytest
import torch

from recbole_marn import load_scorer
from recbole_marn.data.item_table import IdTable
from recbole_marn.quick_start import build_config, load_run, prepare_run, run
from recbole_marn.training.identity import run_name


def prepared(settings, **changed):
    return prepare_run(build_config("MARN", "tiny", config_dict=settings(**changed)), quiet=True)


def test_a_run_without_it_has_the_name_and_the_losses_it_had(settings):
    off, on = (build_config("MARN", "tiny", config_dict=settings(id_dropout=share)) for share in (0.0, 0.2))
    assert run_name(off) != run_name(on)
    without = build_config("MARN", "tiny", config_dict=settings())
    del without.final_config_dict["id_dropout"]  # as configurations of old were
    assert run_name(off) == run_name(without)


def test_the_share_of_items_without_an_id_is_that_asked_for(settings):
    parts = prepared(settings, id_dropout=0.3)
    encoder = parts.model.encoder
    column = encoder.id_columns["ids"]
    assert list(encoder.id_columns) == ["ids"]
    codes = torch.ones(20_000, 2, dtype=torch.long)
    dropped = encoder._without_some_ids(codes, column)
    assert float((dropped[:, column] == 0).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert (dropped[:, 1 - column] == 1).all() and (codes == 1).all(), "the category stays"


def test_ids_are_dropped_in_training_alone(settings):
    parts = prepared(settings, id_dropout=0.9)
    batch, encoder = next(iter(parts.train)).batch, parts.model.encoder
    encoder.train()
    assert not torch.equal(encoder(batch).aligned, encoder(batch).aligned)
    encoder.eval()
    assert torch.equal(encoder(batch).aligned, encoder(batch).aligned)


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_an_item_that_training_never_saw_is_unknown(settings, share):
    parts = prepared(settings, id_dropout=share)
    part = parts.train.part
    table = part.item_table.modalities["ids"]
    trained = part.protocol.counts.snapshot() > 0
    assert isinstance(table, IdTable) and not trained[1:].all()
    column = table.column_of("item_id")
    unknown = table.codes[1:, column] == 0
    assert (unknown == (~trained[1:] if share else np.zeros_like(unknown))).all()
    assert (table.codes[1:, 1 - column] > 0).all(), "its category is known"


def test_checkpoint_and_scorer_know_it_too(settings):
    given = settings(epochs=1, id_dropout=0.5)
    path = run("MARN", "tiny", config_dict=given)["checkpoint"]
    parts, scorer = load_run(path), load_scorer(path)
    trained = parts.train.part.protocol.counts.snapshot() > 0
    item = int(np.flatnonzero(~trained[1:])[0]) + 1
    token = str(parts.train.part.field2id_token["item_id"][item])
    vector = parts.model.item_vectors(torch.tensor([item])).numpy()
    np.testing.assert_allclose(scorer.item_vectors([token]), vector, rtol=1e-5)


def test_an_untrained_item_that_is_described_anew_stays_unknown(settings):
    """It was given the embedding of its id, which no step had moved."""
    path = run("MARN", "tiny", config_dict=settings(epochs=1, id_dropout=0.5))["checkpoint"]
    part, scorer = load_run(path).train.part, load_scorer(path)
    trained = part.protocol.counts.snapshot() > 0
    tokens = part.field2id_token["item_id"]
    new, known = str(tokens[1:][~trained[1:]][0]), str(tokens[1:][trained[1:]][0])
    content = {"category": ["toy"] * 3, "title": ["red house"] * 3, "price": [3.5] * 3, "train_interactions": [0] * 3}
    scorer.add_items({"item_id": ["never seen", new, known], **content})
    stranger, again, trained_one = scorer.item_vectors(["never seen", new, known])
    np.testing.assert_allclose(again, stranger, atol=1e-6)
    assert not np.allclose(trained_one, stranger, atol=1e-4)
