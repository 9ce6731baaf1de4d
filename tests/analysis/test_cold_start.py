"""Cold items by loops over events, recall by a full sort of the catalogue, streamed in pieces."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import planted_log
import pytest
import tiny

from recbole_marn.analysis.context import Context
from recbole_marn.analysis.sections import cold_start as module
from recbole_marn.analysis.sections.cold_start import cold_items, cold_start, places_in_catalogue
from recbole_marn.analysis.subject import Subject, fitted
from recbole_marn.errors import InputError
from recbole_marn.evaluation.recall import recall_at
from recbole_marn.quick_start import build_config, prepare_run


def subject(config_dict, part="test"):
    parts = prepare_run(build_config(config_dict=config_dict), quiet=True)
    return Subject(config_dict["model"], parts, getattr(parts, part).part)


@pytest.fixture
def log(tmp_path):
    rows = planted_log.exposures(n_requests=80)
    planted_log.write(tmp_path, rows)
    return rows, planted_log.settings(tmp_path)


def new_at_the_end(folder):
    """Events of 25 items of which the last three occur on the last day only."""
    rng = np.random.default_rng(0)
    tokens, events = tiny.item_tokens(25), []
    for user in range(24):
        for time, item in enumerate(rng.choice(22, size=5, replace=False)):
            events.append((f"u{user}", tokens[item], 3600.0 * 24 * time, "view"))
        events.append((f"u{user}", tokens[22 + user % 3], 3600.0 * 24 * 6, "buy"))
    tiny.write_dataset(folder, name="cold", events=events)
    return tiny.settings(folder, dataset="cold")


@pytest.mark.parametrize("part", ["valid", "test"])
def test_cold_items_are_those_without_an_event_before(settings, part):
    found = subject(settings(), part)
    context = Context(found)
    protocol, before = found.part.protocol, {"valid": (0,), "test": (0, 1)}[part]
    seen = {int(i) for i, p in zip(protocol.events.item, protocol.part_of_event, strict=True) if p in before}
    assert set(np.flatnonzero(cold_items(context).cold)) == set(range(1, found.part.item_num)) - seen


def test_an_item_that_came_in_validation_is_new_there_and_known_in_the_test_rows(tmp_path):
    tokens = tiny.item_tokens(25)
    events = [(f"u{user}", tokens[item], 3600.0 * item, "view") for user in range(4) for item in range(user, user + 6)]
    events += [("u0", tokens[20], 3600.0 * 100, "view"), ("u0", tokens[9], 3600.0 * 200, "view")]
    tiny.write_dataset(tmp_path, name="late", events=events)
    late = {}
    for part in ("valid", "test"):
        found = subject(tiny.settings(tmp_path, dataset="late"), part)
        item = found.part.token2id("item_id", tokens[20])
        late[part] = bool(cold_items(Context(found)).cold[item])
    assert late == {"valid": True, "test": False}


def test_of_a_log_exposures_count(log):
    rows, given = log
    found = subject(given)
    seen = {row.item for row in rows if row.part in ("train", "valid")}
    tokens = found.part.field2id_token["item_id"]
    cold = {str(tokens[item]) for item in np.flatnonzero(cold_items(Context(found)).cold)}
    assert cold == {str(token) for token in tokens[1:]} - seen


@pytest.mark.parametrize("model", ["MARN", "ItemCF", "RandomScore", "DIN"])
def test_places_are_those_of_a_full_sort(tmp_path, monkeypatch, model):
    given = new_at_the_end(tmp_path)
    main = subject(given)
    found = main
    if model == "DIN":
        found = subject({k: v for k, v in given.items() if k not in tiny.OURS} | tiny.SIZES["DIN"] | {"model": "DIN"})
    elif model != "MARN":
        found = fitted(model, main)
    row = cold_items(Context(main)).click
    assert len(row) == 24
    monkeypatch.setattr(module, "PIECE", 7)
    recall = recall_at(places_in_catalogue(found, row), (1, 3, 10, 24))
    rows = main.part.rows
    everything = np.arange(1, main.part.item_num)
    for number, one in enumerate(row):
        scores = found.facing(np.array([one]), everything[None, :])[0]
        event, _ = rows.history(np.array([one]))
        own = int(rows.columns(np.array([one]))["item"][0])
        rivals = [
            float(scores[1 + at]) for at, item in enumerate(everything)
            if item != own and item not in rows.events.item[event]
        ]  # fmt: skip
        ranking = sorted([*rivals, float(scores[0])], reverse=True)
        places = [place for place, score in enumerate(ranking, start=1) if score == scores[0]]  # of ties any, by chance
        for k, value in zip((1, 3, 10, 24), recall[number], strict=True):
            assert value == pytest.approx(np.mean([place <= k for place in places]))


def test_a_row_in_its_own_place_scores_as_it_does(log):
    """Another item takes the place of the candidate: user, time, history and context stay."""
    found = subject(log[1])
    row = np.flatnonzero(found.columns["label"] > 0)[:5]
    item = found.columns["item"][row]
    scores = found.facing(row, np.stack([item, np.roll(item, 1)], axis=1))
    np.testing.assert_allclose(scores[:, 0], found.columns["score"][row], rtol=1e-5)
    np.testing.assert_allclose(scores[:, 1], scores[:, 0], rtol=1e-5)
    assert abs(scores[:, 2] - scores[:, 0]).max() > 0


def test_the_section_has_a_recall_a_model_and_auc_against_cold_and_warm(tmp_path):
    given = new_at_the_end(tmp_path)
    main = subject(given)
    rival = dataclasses.replace(subject(given | {"seed": 7}), label="other")
    section = cold_start(Context(main, [rival]))
    recall, auc = section.tables
    assert recall.columns[1::3] == ["RandomScore", "ItemCF", "other", "MARN"]
    by_k = {row[0]: row[1:] for row in recall.rows}
    for row in by_k.values():
        for value, low, high in zip(row[::3], row[1::3], row[2::3], strict=True):
            assert 0 <= low <= value <= high <= 1
    assert by_k[1000][::3] == [1, 1, 1, 1], "the catalogue has 25 items"
    assert by_k[10][3] == 0, "ItemCF has nothing to say of a new item, and there are more than ten others"
    kinds = {(row[0], row[1], row[2]) for row in auc.rows}
    assert {("MARN", "cold", "cold"), ("MARN", "cold", "warm")} <= kinds
    assert any("trained without id_dropout" in note for note in section.notes)


def test_clicks_on_cold_items_are_sampled_where_pairs_are_few(tmp_path):
    section = cold_start(Context(subject(new_at_the_end(tmp_path)), pairs=100))
    assert "of 4 clicks on cold items" in section.tables[0].caption
    assert any("4 of the clicks, drawn at random, were ranked" in note for note in section.notes)


def test_without_a_click_on_a_cold_item_the_section_says_so(tmp_path):
    rows = [row for row in planted_log.exposures(n_requests=80) if row.part != "test"]
    rows += [row._replace(part="test", request=row.request + "t") for row in rows if row.part == "train"][:40]
    planted_log.write(tmp_path, rows)
    with pytest.raises(InputError, match="clicks on items that training never saw, in the test rows"):
        cold_start(Context(subject(planted_log.settings(tmp_path))))


def test_pairs_of_many_users_and_items_are_told_apart():
    """Events have 32-bit ids, whose pairs do not fit there."""
    events = SimpleNamespace(user=np.array([1, 5], np.int32), item=np.array([7, 9], np.int32))
    part = SimpleNamespace(protocol=SimpleNamespace(events=events), item_num=2**30)
    columns = {"user": np.array([5, 1]), "item": np.array([11, 12]), "label": np.array([1.0, 1.0])}
    context = SimpleNamespace(part=part, subject=SimpleNamespace(columns=columns))
    touched = module._touched(context, np.array([0, 1]), np.array([[9, 11, 7], [7, 12, 9]]))
    assert touched.tolist() == [[True, True, False], [True, True, False]]
