"""Popularity, ItemCF and RandomScore: what each ranks by, and that training moves the calibration alone."""

import numpy as np
import planted_log
import pytest
import tiny
import torch
from cases import prepared
from scipy.stats import spearmanr

from recbole_marn.models.base import CTRModel, OurModel
from recbole_marn.quick_start import build_config, prepare_run

OF_MODELS_WITH_A_TOWER = ("width", "prediction_hidden", "attention_hidden")
NAMES = ["Popularity", "ItemCF", "RandomScore"]


@pytest.fixture(scope="module")
def clubs(tmp_path_factory):
    """30 items in 3 clubs; every user buys 7 of the 10 items of a club."""
    folder, rng = tmp_path_factory.mktemp("clubs"), np.random.default_rng(0)
    tokens = tiny.item_tokens(30)
    events = [
        (f"u{user}", tokens[10 * (user % 3) + item], 3600.0 * time, "view")
        for user in range(90)
        for time, item in enumerate(rng.permutation(10)[:7])
    ]
    tiny.write_dataset(folder, n_items=30, events=events)
    return folder


def trained(name, folder):
    settings = tiny.settings(folder, name, epochs=5, eval_negatives=10)
    parts = prepare_run(build_config(name, tiny.NAME, config_dict=settings), quiet=True)
    parts.trainer.fit(parts.train, parts.valid, saved=False, verbose=False)
    return parts, parts.trainer.evaluate(parts.test, load_best_model=False)["uauc"]


def test_item_cf_finds_what_is_bought_together_and_the_others_do_not(clubs):
    assert trained("ItemCF", clubs)[1] > 0.9
    assert 0.3 < trained("RandomScore", clubs)[1] < 0.7
    assert 0.3 < trained("Popularity", clubs)[1] < 0.7


def test_popularity_ranks_by_the_training_count(settings):
    parts = prepared("Popularity", settings)
    dataset = parts.test.part
    rows = dataset.batch(np.arange(len(dataset)))
    events, training = dataset.protocol.events, dataset.protocol.part_of_event == 0
    count = [np.sum(events.item[training] == item) for item in rows["item_id"].tolist()]
    evidence = parts.model.evidence(rows)
    assert torch.allclose(evidence, torch.tensor(count, dtype=torch.float32).log1p())
    assert len(evidence.unique()) > 2


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_popularity_of_a_log_is_the_smoothed_click_rate_whatever_is_kept_of_the_negatives(share, tmp_path):
    rows = planted_log.exposures(n_requests=160)
    planted_log.write(tmp_path, rows)
    settings = planted_log.settings(tmp_path, "Popularity", keep_negatives=share)
    settings = {key: value for key, value in settings.items() if key not in OF_MODELS_WITH_A_TOWER}
    parts = prepare_run(build_config("Popularity", "log", config_dict=settings), quiet=True)
    training = [row for row in rows if row.part == "train"]
    overall = np.mean([row.label for row in training])

    def rate(item):
        shown = [row.label for row in training if row.item == item]
        return (sum(shown) + 20 * overall) / (len(shown) + 20)

    scores = parts.trainer.scores(parts.test)
    tokens = parts.test.part.id2token("item_id", scores["item"])
    np.testing.assert_allclose(scores["score"], [rate(token) for token in tokens], rtol=1e-5)
    assert len(np.unique(scores["score"])) > 5


@pytest.mark.parametrize("name", NAMES)
def test_a_ranking_of_a_log_starts_at_its_click_rate(name, tmp_path):
    """Early stopping ends a training that changes no order before a constant would be found."""
    rows = planted_log.exposures(n_requests=160)
    planted_log.write(tmp_path, rows)
    settings = planted_log.settings(tmp_path, name, keep_negatives=0.5)
    settings = {key: value for key, value in settings.items() if key not in OF_MODELS_WITH_A_TOWER}
    parts = prepare_run(build_config(name, "log", config_dict=settings), quiet=True)
    rate = np.mean([row.label for row in rows if row.part == "train"])
    share = parts.model.bias.sigmoid().item()
    assert share / (share + (1 - share) / 0.5) == pytest.approx(rate)


def test_item_cf_knows_training_events_only(settings):
    """The users of an item's row are those who clicked it in training."""
    parts = prepared("ItemCF", settings)
    protocol = parts.test.part.protocol
    users = np.diff(parts.model.similarity.users_of_item.indptr)
    training = protocol.part_of_event == 0
    assert users.tolist() == np.bincount(protocol.events.item[training], minlength=protocol.n_items).tolist()
    assert training.sum() < protocol.events.n_events


def test_random_scores_change_with_the_seed_only(settings):
    one, same, other = (prepared("RandomScore", settings, seed=seed) for seed in (1, 1, 2))
    scores = [run.trainer.scores(run.test)["score"] for run in (one, same, other)]
    assert np.array_equal(scores[0], scores[1])
    assert not np.isin(scores[2], scores[0]).any()


@pytest.mark.parametrize("name", NAMES)
def test_training_calibrates_and_keeps_the_order(name, clubs):
    parts, _ = trained(name, clubs)
    untrained = prepare_run(build_config(name, tiny.NAME, config_dict=tiny.settings(clubs, name, eval_negatives=10)))
    after, before = (run.trainer.scores(run.test)["score"] for run in (parts, untrained))
    assert spearmanr(before, after).statistic == pytest.approx(1.0)
    assert not np.allclose(before, after)
    assert [name for name, _ in parts.model.named_parameters()] == ["scale", "bias"]


@pytest.mark.parametrize("name", NAMES)
def test_there_is_no_item_tower(name, settings):
    model = prepared(name, settings).model
    assert isinstance(model, OurModel) and not isinstance(model, CTRModel)
    assert not model.makes_item_vectors
    assert not [name for name in ("encoder", "item_vectors", "represent", "score") if hasattr(model, name)]
