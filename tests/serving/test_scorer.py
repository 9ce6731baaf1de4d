"""Scores and item vectors without the data: those of training and of unknown users."""

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from cases import OUR_MODELS

import recbole_marn
from recbole_marn import quick_start
from recbole_marn.errors import InputError
from recbole_marn.registry import model_class
from recbole_marn.serving.histories import History
from recbole_marn.serving.scorer import CTRScorer, load_scorer
from recbole_marn.training import checkpoint
from recbole_marn.training.click_rates import ClickRates

TOWERS = [name for name in OUR_MODELS if model_class(name).makes_item_vectors]


@pytest.mark.parametrize("model", TOWERS)
def test_scores_are_those_of_the_run(serve, model):
    """Of its test part, from histories alone; the folder of the data is gone."""
    served = serve(model)
    scorer = served.scorer()
    np.testing.assert_allclose(scorer.score(served.rows, served.histories), served.expected, rtol=0, atol=1e-6)
    in_a_table = scorer.score(pd.DataFrame(served.rows), pd.DataFrame(served.behaviours()), inclusive=True)
    np.testing.assert_allclose(in_a_table, served.expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("histories", "last"), [("before", 9), ("earlier", 3)])
def test_days_as_times_are_scored_as_in_the_run(tmp_path, histories, last):
    """Of behaviours of one day the table's order decided; training's own is by hash. Those of the very day of a row
    are in no history of `histories: earlier`, nor in serving.
    """
    draw, tokens, events = np.random.default_rng(0), tiny.item_tokens(25), []
    for user in range(20):
        items, days = draw.choice(tokens, 9, replace=False), [*np.sort(draw.integers(0, 4, 8)), last]
        events += [(f"u{user}", item, 86_400.0 * day, "view") for item, day in zip(items, days, strict=True)]
    tiny.write_dataset(tmp_path, events=events)
    changed = {"MAX_ITEM_LIST_LENGTH": 6, "histories": histories, "checkpoint_dir": str(tmp_path / "saved")}
    path = recbole_marn.run(config_dict=tiny.settings(tmp_path, epochs=1, **changed))["checkpoint"]
    run = recbole_marn.load_run(path)
    columns = run.test.part.rows.columns(np.arange(len(run.test.part)))
    rows = {f"{name}_id": run.test.part.field2id_token[f"{name}_id"][columns[name]] for name in ("user", "item")}
    table = pd.DataFrame(events, columns=["user_id", "item_id", "timestamp", "kind"]).sample(frac=1, random_state=0)
    found = load_scorer(path).score(rows | {"timestamp": columns["time"]}, table)
    np.testing.assert_allclose(found, run.trainer.scores(run.test)["score"], rtol=0, atol=1e-6)


def test_lines_that_training_filtered_out_are_no_behaviours(tmp_path):
    """Of ml-100k, whose clicks are ratings of 4 and 5, a table of all ratings was read as clicks."""
    tiny.write_dataset(tmp_path, events=[(f"u{user}", item, 3600.0 * at, "view") for user in range(9)
                                         for at, item in enumerate(tiny.item_tokens(8)[user % 2:])])  # fmt: skip
    filters = {"kind": ["view"], "timestamp": "[0,50000]"}
    settings = tiny.settings(tmp_path, epochs=1, val_interval=filters, checkpoint_dir=str(tmp_path / "saved"))
    path = recbole_marn.run(config_dict=settings)["checkpoint"]
    table = {"user_id": ["a", "a"], "item_id": ["003", "004"], "timestamp": [1e4, 1e5]}
    for scorer in (load_scorer(path), CTRScorer.of(recbole_marn.load_run(path))):
        assert len(scorer.behaviours(table | {"kind": ["view"] * 2}).item) == 2, "new ones are of another time"
        with pytest.raises(InputError, match="kind .'view'.*column 'kind' with 1 of 2 other values .first 'buy'"):
            scorer.behaviours(table | {"kind": ["view", "buy"]})


@pytest.mark.parametrize("model", TOWERS)
def test_a_user_who_did_nothing_has_a_score_that_is_no_other_rows_affair(serve, model):
    scorer = serve(model).scorer()
    rows = {"user_id": ["new", "new"], "item_id": ["001", "002"], "timestamp": [1e6, 1e6]}
    alone = scorer.score(rows)
    assert ((alone > 0) & (alone < 1)).all()
    beside = scorer.score({"item_id": ["001", "002", "003"], "timestamp": [1e6] * 3},
                          [History([]), History([]), History(["004"], [1e5], ["view"])])  # fmt: skip
    np.testing.assert_allclose(beside[:2], alone, atol=1e-6)


@pytest.mark.parametrize("model", TOWERS)
def test_item_vectors_are_those_of_the_model(serve, model):
    served = serve(model)
    scorer, theirs = served.scorer(), served.run.model.eval().item_vectors().numpy()
    np.testing.assert_array_equal(scorer.item_vectors(), theirs[1:])
    tokens = served.run.train.part.field2id_token["item_id"]
    assert scorer.items == tokens[1:].tolist()
    places = [tokens.tolist().index(item) for item in ("007", "003")]
    np.testing.assert_array_equal(scorer.item_vectors(["007", "003"]), theirs[places])


@pytest.mark.parametrize(
    ("rows", "seen"),
    [([1.7e12], [1.7e9]), ([20231115], [1.7e9]), ([1.7e9, 0], [1.7e9]), ([1.8e9], [1.7e12]), ([1.8e9], [20231115])],
)
def test_times_of_another_unit_are_refused(scorer, rows, seen):
    """By milliseconds, or dates written as numbers, every behaviour or none would be before the row."""
    scorer.facts = dataclasses.replace(scorer.facts, latest=1.7e9)
    columns = {"user_id": ["u"] * len(rows), "item_id": ["001"] * len(rows), "timestamp": rows}
    past = {"user_id": ["u"], "item_id": ["003"], "timestamp": seen, "kind": ["view"]}
    for behaviours in (past, [History(["003"], seen, ["view"])] * len(rows)):
        with pytest.raises(InputError, match="in the unit of the training data, which end at 1700000000"):
            scorer.score(columns, behaviours)
    columns["timestamp"] = [1.8e9] * len(rows)
    scorer.score(columns, past | {"user_id": ["u", "u"], "item_id": ["003"] * 2, "kind": ["view"] * 2,
                                  "timestamp": [0, 1.7e9]})  # fmt: skip


@pytest.mark.parametrize("model", ["MARN", "MultimodalDIN"])  # the latter reads no times
def test_a_history_has_nothing_after_its_row(serve, model):
    """A table of behaviours is cut at the row's time; of a list the later ones were read."""
    scorer, past, later = serve(model).scorer(), History(["003", "004"], [1e5, 2e5], ["view"] * 2), "200000 after 1500"
    rows = {"item_id": ["001", "002"], "timestamp": [2e5, 1.5e5]}
    with pytest.raises(InputError, match=f"{later}00 in row 1"):
        scorer.score(rows, [past] * 2)
    for ask in (scorer.score_request, scorer.top):
        with pytest.raises(InputError, match=f"{later}01 in row 0"):
            ask(past, candidates=["001"], time=150_001)
    assert len(scorer.score(rows, [past, History(["003"], np.array([1.5e5]), ["view"])])) == 2


def test_a_model_that_reads_no_times_needs_none(serve):
    scorer = serve("MultimodalDIN").scorer()
    rows = {"item_id": ["001"]}
    expected = scorer.score(rows, [History(["003"])])
    for times, more in (([1e5], {}), (None, {"timestamp": ["some day"]}), ([1e5], {"timestamp": [2e5]})):
        np.testing.assert_array_equal(scorer.score(rows | more, [History(["003"], times)]), expected)
    with pytest.raises(InputError, match="oldest behaviour first"):
        scorer.score(rows, [History(["003", "004"], [2e5, 1e5])])


def test_the_likeliest_items_are_those_with_the_highest_scores(scorer):
    history = History(["005", "003"], [1e5, 2e5], ["view", "buy"])
    scores = scorer.score(
        {"item_id": scorer.items, "timestamp": [3e5] * len(scorer.items)}, [history] * len(scorer.items)
    )
    best = scorer.top(history, 4, time=3e5)
    order = np.argsort(-scores)[:4]
    assert best.items == [scorer.items[place] for place in order]
    np.testing.assert_allclose(best.probability, scores[order], atol=1e-6)
    assert set(scorer.top(history, 99, time=3e5, unseen=True).items) == set(scorer.items) - {"005", "003"}
    some = ["011", "002", "007"]
    assert sorted(scorer.top(history, 9, some, time=3e5).items) == sorted(some)
    for wrong, text in (({"time": None}, "Expected a time"), ({"k": 0}, "Expected k of at least 1"),
                        ({"candidates": ["002", "zzz"]}, "Got 'zzz'.")):  # fmt: skip
        with pytest.raises(InputError) as error:
            scorer.top(**{"history": history, "time": 3e5, **wrong})
        assert text in str(error.value)


def test_a_model_without_the_behaviour_property_needs_no_times(serve):
    scorer = serve("NAML").scorer()
    assert len(scorer.top(["003", "005"], 2).items) == 2
    assert scorer.score({"item_id": ["001"]}, [History(["003"])]).shape == (1,)


@pytest.mark.parametrize(
    ("rows", "behaviours", "text"),
    [
        ({"item_id": ["001"]}, None, "Expected columns user_id, item_id of rows. Got item_id, without user_id."),
        ({"item_id": ["001"]}, [History(["003"], [1.0], ["view"])], "without timestamp"),
        ({"item_id": ["001"], "timestamp": [2.0]}, [History(["003"])], "Expected times of a history, one an item."),
        ({"item_id": ["001"], "timestamp": [2.0]}, [], "Expected one History a row. Got 0 for 1 rows."),
        ({"item_id": ["001"], "timestamp": [np.nan]}, [History([])], "Got nan in row 0."),
        ({"item_id": ["001"], "timestamp": [1e12]}, [History([])], "in the unit of the training data"),
        ({"item_id": ["001"], "timestamp": ["soon"]}, [History([])], "Expected times as numbers or dates"),
        ({"item_id": ["001"], "timestamp": [2.0]}, [History(["003", "004"], [2.0, 1.0], ["view"] * 2)], "oldest"),
        ({"item_id": ["001", "002"], "timestamp": [2.0]}, [History([])] * 2, "of one length"),
    ],
)
def test_rows_that_cannot_be_scored(scorer, rows, behaviours, text):
    with pytest.raises(InputError) as error:
        scorer.score(rows, behaviours)
    assert text in str(error.value)


def test_no_rows_have_no_scores(scorer):
    empty = {"user_id": [], "item_id": [], "timestamp": []}
    assert scorer.score(empty, empty | {"kind": []}).shape == (0,)


# --------------------------------------------------------------------------------------------- checkpoints
def copied(served, *suffixes):
    folder = Path(served.path).parent
    for file in folder.iterdir():
        if file.name.endswith(suffixes):
            shutil.copy(file, file.name)
    return Path(served.path).name


def test_a_checkpoint_is_small_and_goes_with_its_items(served):
    path = copied(served, ".pth", ".items.pt")
    assert len(list(Path().glob("*.items.pt"))) == 1, "the two epochs' files share one of items"
    content = checkpoint.load(path)
    assert content["items"]["file"] == next(Path().glob("*.items.pt")).name
    np.testing.assert_array_equal(load_scorer(path).item_vectors(), served.scorer().item_vectors())
    assert type(recbole_marn.load_scorer(path)) is recbole_marn.CTRScorer


def test_without_its_items(served):
    path = copied(served, ".pth")
    with pytest.raises(InputError, match="Copy it there, too"):
        load_scorer(path)


def test_items_that_were_damaged_are_written_anew(settings):
    """`Train again` said the error, and training again left them as they were."""
    given = settings(epochs=1)
    path = quick_start.run(config_dict=given)["checkpoint"]
    (items,) = Path(path).parent.glob("*.items.pt")
    whole = items.read_bytes()
    for damaged in (whole[:100], whole[:-1000] + bytes(1000)):
        items.write_bytes(damaged)
        quick_start.run(config_dict=given)
        assert load_scorer(path).items


def test_other_items(served, serve):
    path = copied(served, ".pth", ".items.pt")
    file = next(Path().glob("*.items.pt"))
    other = serve("MARN", use_modalities=["image", "title"])
    shutil.copy(next(Path(other.path).parent.glob("*.items.pt")), file)
    with pytest.raises(InputError, match="with another content"):
        load_scorer(path)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read so"):
        load_scorer(path)


@pytest.mark.parametrize("entry", ["moving", "context", "gap", "modalities"])
def test_items_that_another_version_wrote(served, entry):
    path = copied(served, ".pth", ".items.pt")
    file = next(Path().glob("*.items.pt"))
    state = checkpoint.load(file)
    del state[entry]
    checkpoint.save(file, state)
    content = checkpoint.load(path)
    content["items"]["sha256"] = checkpoint.digest(state)
    checkpoint.save(path, content)
    with pytest.raises(InputError, match=f"entries that this version .* Got others .KeyError: '{entry}'.* train again"):
        load_scorer(path)


class Dropper:
    def __reduce__(self):
        return os.mkdir, ("dropped",)


def test_items_that_are_a_pickle_run_nothing(served):
    path = copied(served, ".pth", ".items.pt")
    torch.save({"recbole_marn": {"format": 1}, "modalities": Dropper()}, next(Path().glob("*.items.pt")))
    with pytest.raises(InputError, match="plain data and tensors"):
        load_scorer(path)
    assert not os.path.exists("dropped")


def test_a_checkpoint_of_version_0_1_0_says_what_it_lacks_and_is_scored_where_the_data_are(settings):
    path = recbole_marn.run(config_dict=settings(epochs=1))["checkpoint"]
    content = checkpoint.load(path)
    del content["items"]
    checkpoint.save("old.pth", content)
    with pytest.raises(InputError) as error:
        load_scorer("old.pth")
    assert "trained by recbole_marn 0.1.0" in str(error.value) and "CTRScorer.of" in str(error.value)
    of_run = CTRScorer.of(recbole_marn.load_run("old.pth"))
    np.testing.assert_array_equal(of_run.item_vectors(), load_scorer(path).item_vectors())


@pytest.mark.parametrize("model", ["Popularity", "DIN"])
def test_a_model_without_item_vectors_says_what_to_use(settings, model):
    path = recbole_marn.run(config_dict=settings(model, epochs=1))["checkpoint"]
    with pytest.raises(InputError) as error:
        load_scorer(path)
    assert f"Got {model} in {path}." in str(error.value) and "load_data_and_model" in str(error.value)


def test_vectors_too_large_to_be_copied_are_read_where_they_are(tmp_path):
    folder = tiny.write_dataset(tmp_path / "data")
    given = tiny.settings(tmp_path / "data", epochs=1, copied_vectors_mb=0)
    path = recbole_marn.run(config_dict=given)["checkpoint"]
    expected = load_scorer(path).item_vectors()
    copied = recbole_marn.run(config_dict=given | {"copied_vectors_mb": 1})["checkpoint"]
    np.testing.assert_array_equal(load_scorer(copied).item_vectors(), expected)
    path = recbole_marn.run(config_dict=given)["checkpoint"]
    os.rename(folder / "image.npy", "moved.npy")
    with pytest.raises(InputError, match="vectors={'image': FILE}"):
        load_scorer(path)
    np.testing.assert_array_equal(load_scorer(path, vectors={"image": "moved.npy"}).item_vectors(), expected)
    np.save("other.npy", np.load("moved.npy") * 2)
    with pytest.raises(InputError, match="with another content"):
        load_scorer(path, vectors={"image": "other.npy"})


# ------------------------------------------------------------------------------------------ RecBole's own
def test_recboles_rankings_say_what_to_use(settings):
    """They take labelled rows by the number of an event: a wrong row, if nobody stopped them."""
    from recbole.utils.case_study import full_sort_topk

    run = recbole_marn.load_run(recbole_marn.run(config_dict=settings(epochs=1))["checkpoint"])
    user = run.train.part.token2id("user_id", ["u7"])
    with pytest.raises(InputError, match=r"load_scorer\(CHECKPOINT\)"):
        full_sort_topk(user, run.model, run.test, k=5)
    rows = run.test.part.batch(np.arange(3))
    with pytest.raises(InputError, match=r"load_scorer\(CHECKPOINT\)"):
        run.model.predict(rows.repeat_interleave(2))


def test_calibration_and_correction_are_those_of_the_run(serve):
    """A served probability is the one that was evaluated."""
    served = serve(calibration="platt")
    scorer = served.scorer()
    assert scorer.click_rates.state(), "the run fitted one"
    found = scorer.score(served.rows, served.histories)
    np.testing.assert_allclose(found, served.expected, atol=1e-6)
    scorer.click_rates = ClickRates()
    plain = scorer.score(served.rows, served.histories)
    assert np.abs(plain - served.expected).max() > 1e-3
