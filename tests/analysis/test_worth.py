"""Sizes of attention against loops; a modality that is hidden or permuted; the worth of subsets."""

import dataclasses
from itertools import permutations

import numpy as np
import planted_log
import pytest
import torch

from recbole_marn.analysis.item_sizes import item_sizes
from recbole_marn.analysis.subject import Subject
from recbole_marn.analysis.worth import modality_worth, permuted_table, with_permuted, without_modalities
from recbole_marn.errors import InputError
from recbole_marn.quick_start import build_config, prepare_run
from recbole_marn.registry import MODELS

SMALL = {"width": 8, "prediction_hidden": [8]}


def prepared(settings, model="MARN", **changed):
    return prepare_run(build_config(model, "tiny", config_dict=settings(model, **changed)), quiet=True)


@pytest.fixture
def parts(settings):
    return prepared(settings)


def test_sizes_are_norms_of_equation_3_item_by_item(parts):
    model = parts.model
    sizes = item_sizes(model)
    for item in range(1, model.encoder.n_items):
        cells = model.encoder.snapshot(torch.tensor([item]))
        for m in range(len(model.encoder.names)):
            if not cells.present[0, m]:
                assert np.isnan(sizes["attention norm"][item - 1, m]) and np.isnan(sizes["fused norm"][item - 1, m])
                continue
            with torch.no_grad():
                s = torch.relu(model.specific(cells.aligned))[0, m].double().numpy()
                score = model.fusion.score(torch.relu(model.specific(cells.aligned)))[0, m].double().numpy()
            attention = [np.tanh(value) for value in score]
            assert sizes["attention norm"][item - 1, m] == pytest.approx(sum(a * a for a in attention) ** 0.5, rel=1e-4)
            fused = sum((a * b) ** 2 for a, b in zip(attention, s, strict=True)) ** 0.5
            assert sizes["fused norm"][item - 1, m] == pytest.approx(fused, rel=1e-4)
    assert np.isnan(sizes["attention norm"]).any(), "some items of `tiny` lack a vector, a title or a price"


def test_a_model_without_attention_has_no_sizes(settings):
    with pytest.raises(InputError, match="Expected a model with attention over modalities"):
        item_sizes(prepared(settings, "MultimodalDIN").model)


@pytest.mark.parametrize("name", ["ids", "image", "title", "statistic"])
def test_a_modality_is_gone_and_comes_back(parts, name):
    before, column = parts.trainer.scores(parts.valid)["score"], parts.model.encoder.names.index(name)
    with without_modalities(parts.model, {name}):
        during = parts.trainer.scores(parts.valid)["score"]
        assert np.isnan(item_sizes(parts.model)["attention norm"][:, column]).all()
    after = parts.trainer.scores(parts.valid)["score"]
    assert abs(before - during).max() > 0
    assert (before == after).all()


def test_without_a_modality_scores_as_a_model_that_never_had_it(settings):
    """BaseModelMAF without image: the weights of the others alone, loaded into a model without that modality."""
    both = prepared(settings, "BaseModelMAF", use_modalities=["ids", "image"])
    one = prepared(settings, "BaseModelMAF", use_modalities=["ids"])
    shapes = one.model.state_dict()
    kept = {
        name: value if value.shape == shapes[name].shape else value[:1]  # of what has an entry a modality, the first
        for name, value in both.model.state_dict().items()
        if name in shapes and isinstance(value, torch.Tensor)
    }
    one.model.load_state_dict(kept, strict=False)
    with without_modalities(both.model, {"image"}):
        deleted = both.trainer.scores(both.valid)["score"]
    np.testing.assert_allclose(deleted, one.trainer.scores(one.valid)["score"], rtol=1e-5)


def test_statistics_known_at_the_rows_time_are_hidden_too(tmp_path):
    planted_log.write(tmp_path, planted_log.exposures(n_requests=80))
    modalities = {
        "ids": {"kind": "id", "fields": {"item_id": 4}},
        "statistic": {"kind": "statistic", "fields": ["exposures"], "bins": [3], "size": 2},
    }
    given = planted_log.settings(tmp_path, modalities=modalities, statistics_until="row")
    parts = prepare_run(build_config(config_dict=given), quiet=True)
    before = parts.trainer.scores(parts.valid)["score"]
    with without_modalities(parts.model, {"statistic"}):
        without = parts.trainer.scores(parts.valid)["score"]
    assert abs(before - without).max() > 0
    for module in parts.model.encoder.encoders["statistic"].modules():
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter)
    parts.model.forget_vectors()
    with without_modalities(parts.model, {"statistic"}):
        assert (parts.trainer.scores(parts.valid)["score"] == without).all(), "hidden, its weights say nothing"


@pytest.mark.parametrize("name", ["ids", "image", "title", "statistic"])
def test_a_permuted_modality_is_dealt_out_among_those_that_have_it(parts, name):
    table, rng = parts.train.part.item_table, np.random.default_rng(0)
    other, column = permuted_table(table, name, rng), table.names.index(name)
    assert (other.present == table.present).all()
    with torch.no_grad():
        everything = torch.arange(1, table.n_items)
        before = parts.model.encoder.snapshot(everything).aligned.numpy()
        with with_permuted(parts.model, other):
            after = parts.model.encoder.snapshot(everything).aligned.numpy()
    kept = [m for m in range(len(table.names)) if m != column]
    assert (before[:, kept] == after[:, kept]).all()
    has = table.present[1:, column]
    assert (before[~has, column] == after[~has, column]).all()
    # The same values in another order.
    assert not (before[has, column] == after[has, column]).all()
    for values in (before, after):
        values[has, column] = values[has, column][np.lexsort(values[has, column].T)]
    np.testing.assert_allclose(before, after, rtol=1e-5)


def test_worth_is_that_of_scores_with_modalities_taken_away_one_by_one(settings):
    """Shapley by all orders in which three modalities may come, in a loop over the clicks."""
    names = ["ids", "image", "title"]
    parts = prepared(settings, use_modalities=names)
    subject = Subject("MARN", parts, parts.valid.part)
    rows = subject.part.rows
    group = rows.group_of(np.arange(rows.n_rows))
    worth = modality_worth(subject, rows, group, np.random.default_rng(0))
    label = subject.columns["label"] > 0
    clicks = np.flatnonzero(label)

    def accuracy(kept):
        with without_modalities(parts.model, set(names) - set(kept)):
            score = subject.scores_of(rows)["score"]
        found = []
        for click in clicks:
            rivals = [score[row] for row in range(len(score)) if group[row] == group[click] and not label[row]]
            found.append(np.mean([1.0 if score[click] > s else 0.5 if score[click] == s else 0.0 for s in rivals]))
        return np.array(found)

    gains = {name: [] for name in names}
    for order in permutations(names):
        for place, name in enumerate(order):
            gains[name].append(accuracy(order[: place + 1]) - accuracy(order[:place]))
    by_orders = np.stack([np.mean(gains[name], axis=0) for name in names], axis=1)
    np.testing.assert_allclose(worth.shapley, by_orders, atol=1e-12)
    np.testing.assert_allclose(worth.shapley.sum(axis=1), worth.accuracy - worth.nothing, atol=1e-12)
    assert (worth.nothing == 0.5).all(), "items without modalities are all alike"
    np.testing.assert_allclose(worth.dropped[:, 1], accuracy(names) - accuracy(["ids", "title"]), atol=1e-12)
    assert (worth.item == subject.columns["item"][clicks]).all()


def test_rows_of_some_groups_score_as_they_do_among_all(parts):
    part = parts.valid.part
    subject = Subject("MARN", parts, part)
    chosen = np.array([1, 4, 5])
    own = part.rows.rows_of_groups(chosen)
    some = subject.scores_of(part.rows.take(chosen))
    for name in ("user", "item", "label"):
        assert (some[name] == subject.columns[name][own]).all()
    np.testing.assert_allclose(some["score"], subject.columns["score"][own], rtol=1e-5)


def test_more_modalities_than_subsets_can_be_scored_of(parts, monkeypatch):
    monkeypatch.setattr("recbole_marn.analysis.worth.MOST_MODALITIES", 3)
    subject = Subject("MARN", parts, parts.valid.part)
    group = subject.part.rows.group_of(np.arange(subject.part.rows.n_rows))
    worth = modality_worth(subject, subject.part.rows, group, np.random.default_rng(0))
    assert worth.shapley is None and worth.dropped.shape == worth.permuted.shape == (len(worth.accuracy), 4)


def test_a_subject_is_not_changed_by_what_is_asked_of_it(parts):
    subject = Subject("MARN", parts, parts.valid.part)
    before = subject.columns["score"].copy()
    rows = dataclasses.replace(subject.part).rows
    group = rows.group_of(np.arange(rows.n_rows))
    modality_worth(subject, rows, group, np.random.default_rng(0))
    assert (subject.scores_of(rows)["score"] == before).all()


@pytest.mark.parametrize("name", [n for n, row in MODELS.items() if row.family in ("MARN", "multimodal")])
def test_items_without_modalities_are_all_alike_to_every_model(settings, name):
    """Whatever a model reads of an item passes the modalities that are hidden."""
    parts = prepare_run(build_config(name, "tiny", config_dict=settings(name, **SMALL)), quiet=True)
    with without_modalities(parts.model, set(parts.model.encoder.names)):
        score = parts.trainer.scores(parts.valid)["score"]
    per_group = parts.valid.part.rows.rows_per_group
    assert (np.ptp(score.reshape(-1, per_group), axis=1) < 1e-6).all()
    assert np.ptp(parts.trainer.scores(parts.valid)["score"].reshape(-1, per_group), axis=1).max() > 1e-6
