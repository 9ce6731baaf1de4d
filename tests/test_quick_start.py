"""A run leaves a checkpoint, its scores and a record with all that is needed to repeat and to check it."""

import copy
import hashlib
import importlib
import json
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tiny
import yaml

from recbole_marn import quick_start
from recbole_marn.errors import InputError
from recbole_marn.evaluation.metrics import uauc
from recbole_marn.evaluation.record import read_record
from recbole_marn.registry import MODELS
from recbole_marn.training import checkpoint


@pytest.fixture(scope="module")
def finished(data_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    result = quick_start.run(
        config_dict=tiny.settings(data_path, checkpoint_dir=str(folder), also_test=["popularity", "matched"])
    )
    return result, json.loads(Path(result["record"]).read_text()), folder


def test_what_a_run_returns(finished):
    result, _, folder = finished
    assert (result["model"], result["dataset"], result["seed"]) == ("MARN", "tiny", 2020)
    for part in ("valid", "test", "test_popularity", "test_matched"):
        assert list(result[part]) == ["AUC", "UAUC", "LogLoss"]
        assert all(type(value) is float for value in result[part].values())
    assert result["best_valid_score"] == result["valid"]["UAUC"]
    assert result["test_result"]["auc"] == result["test"]["AUC"]
    assert result["epochs"] == 2 and result["seconds_per_epoch"] > 0 and result["parameters"] > 100
    assert len(result["split_sha256"]) == 64
    assert {path.suffix for path in folder.iterdir()} == {".pth", ".json", ".npz", ".pt"}


def test_the_record_repeats_the_result_and_names_all_it_depends_on(finished):
    result, record, folder = finished
    for key in ("model", "dataset", "seed", "epochs", "parameters"):
        assert record[key] == result[key]
    for part in ("valid", "test", "test_matched"):
        assert {name: record["metrics"][part][name] for name in result[part]} == pytest.approx(result[part], abs=1e-5)
    assert record["data"]["split_sha256"] == result["split_sha256"] and record["data"]["users_scored"]["test"] > 0
    assert record["format"] == 1 and record["memory_mb"] > 10 and record["seconds"] > 0
    assert read_record(Path(result["record"]), "training") == record
    assert record["paper"] == MODELS["MARN"].paper
    assert record["settings"]["lambda0"] == 0.05 and record["settings"]["width"] == 8
    libraries = {"recbole", "torch", "numpy", "pandas", "scipy"} | ({"numba"} if find_spec("numba") else set())
    assert set(record["versions"]) == {"recbole_marn", "python"} | libraries
    assert len(record["history"]) == 2 and set(record["history"][0]["losses"]) == {"click", "specific", "D0", "D1"}
    assert any("have no vector and are masked" in note for note in record["notes"])
    scores = folder / record["scores"]["file"]
    assert record["scores"]["sha256"] == hashlib.sha256(scores.read_bytes()).hexdigest()


def test_the_metrics_can_be_recomputed_from_the_scores(finished):
    _, record, folder = finished
    scores = np.load(folder / record["scores"]["file"])
    for part in ("valid", "test", "test_popularity", "test_matched"):
        user, label, score = (scores[f"{part}_{name}"] for name in ("user", "label", "score"))
        assert record["metrics"][part]["UAUC"] == pytest.approx(uauc(user, label, score), abs=1e-6)
    assert (scores["test_user"] == scores["test_popularity_user"]).all()
    assert (scores["test_item"] != scores["test_popularity_item"]).any()


def test_the_settings_of_a_record_repeat_the_run(finished):
    result, record, folder = finished
    again = quick_start.load_run(result["checkpoint"])
    scores = np.load(folder / record["scores"]["file"])
    np.testing.assert_array_equal(again.trainer.scores(again.test)["score"], scores["test_score"])


def test_the_same_settings_give_the_same_result(finished, data_path):
    again = quick_start.run(config_dict=tiny.settings(data_path, also_test=["popularity", "matched"]))
    assert {key: again[key] for key in ("valid", "test", "split_sha256")} == {
        key: finished[0][key] for key in ("valid", "test", "split_sha256")
    }
    assert Path(again["record"]).name == Path(finished[0]["record"]).name


def test_another_seed_gives_another_result_on_the_same_rows(finished, settings):
    other = quick_start.run(config_dict=settings(seed=1))
    assert other["split_sha256"] == finished[0]["split_sha256"]
    assert other["test"] != finished[0]["test"]


def test_nothing_is_written_unless_asked(settings):
    result = quick_start.run(config_dict=settings(epochs=1), saved=False)
    assert result["record"] is None and result["checkpoint"] is None
    assert not os.listdir("saved")


@pytest.mark.parametrize("name", ["json.dumps", "numpy.savez_compressed"])
def test_an_interrupted_write_leaves_no_record(settings, monkeypatch, name):
    module, function = name.split(".")

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module(module), function, stop)
    with pytest.raises(KeyboardInterrupt):
        quick_start.run(config_dict=settings(epochs=1, run_name="mine"))
    assert "mine.json" not in os.listdir("saved")
    assert not [name for name in os.listdir("saved") if name.endswith(".part")]


def test_a_run_says_that_it_writes_over_one_of_other_rows(settings, capsys):
    """A model trained anew on the next day's data took the place of yesterday's, and nothing said so."""
    given = settings("LR", epochs=1, run_name="mine", verbose=False)

    def told(**changed):
        quick_start.run(config_dict=given | changed)
        return "saved/mine.pth of other rows" in capsys.readouterr().err

    assert [told(), told(), told(sample_seed=7), told(sample_seed=7)] == [False, False, True, False]


def test_a_record_is_written_after_its_scores(settings, monkeypatch):
    order = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda made, path: (order.append(Path(path).suffix), replace(made, path)))
    quick_start.run(config_dict=settings(epochs=1))
    assert order[-2:] == [".npz", ".json"]


def test_names_may_come_from_a_file(data_path):
    given = tiny.settings(data_path, "LR", epochs=1)
    Path("mine.yaml").write_text(yaml.safe_dump(given))
    assert quick_start.run(config_file_list=["mine.yaml"])["model"] == "LR"


def test_a_dictionary_of_settings_is_not_changed(settings):
    given = settings(epochs=1)
    before = json.dumps(given)
    quick_start.run(config_dict=given, saved=False)
    assert json.dumps(given) == before


def test_an_unknown_model_by_every_door(settings):
    for call in (quick_start.run, quick_start.objective_function, quick_start.build_config):
        with pytest.raises(InputError, match="Got 'MRN'"):
            call(config_dict=settings() | {"model": "MRN"})
    given = settings()
    del given["model"]
    Path("mine.yaml").write_text("model: MRN\n")
    with pytest.raises(InputError, match="Got 'MRN'"):
        quick_start.run(config_file_list=["mine.yaml"], config_dict=given)


@pytest.mark.parametrize(
    ("content", "text"),
    [("- a\n", "Got a list in mine.yaml."), ("a: [\n", "Expected a readable YAML file of settings. Got mine.yaml"),
     ("a: !!python/object/apply:os.mkdir [made]\n", "Expected a readable YAML file of settings. Got mine.yaml"),
     ("epochs: 1\nsplit: time\nepochs: 2\n", "each key once in mine.yaml. Got 'epochs' in line 1 and in line 3"),
     ("user:\n  fields: {age: 8}\n  fields: {city: 8}\n", "Got 'fields' in line 2 and in line 3")],
)  # fmt: skip
def test_a_file_of_settings_that_is_none(settings, content, text):
    Path("mine.yaml").write_text(content)
    with pytest.raises(InputError) as error:
        quick_start.build_config(config_file_list=["mine.yaml"], config_dict=settings())
    assert text in str(error.value)
    assert not os.path.exists("made")


def test_a_checkpoint_of_other_data_is_not_loaded(finished, tmp_path):
    tiny.write_dataset(tmp_path, seed=9)
    with pytest.raises(InputError, match="Expected a checkpoint of this data set and split"):
        quick_start.load_run(finished[0]["checkpoint"], data_path=str(tmp_path))


def test_a_checkpoint_is_loaded_where_the_data_now_are(finished, tmp_path):
    tiny.write_dataset(tmp_path)
    parts = quick_start.load_run(finished[0]["checkpoint"], data_path=str(tmp_path))
    assert parts.train.part.dataset_path == str(tmp_path / "tiny")


def test_checkpoints_hold_what_was_learned_and_no_tables(finished):
    """A catalogue of images would be written with every better epoch."""
    content = checkpoint.load(finished[0]["checkpoint"])
    parts = quick_start.load_run(finished[0]["checkpoint"])
    frozen = {name for name, _ in parts.model.named_buffers() if ".frozen." in f".{name}"}
    assert any("image" in name for name in frozen)
    assert not frozen & set(content["state_dict"])
    # RecBole copies the model to count its operations; the copy shares the tables.
    twin = copy.deepcopy(parts.model)
    name = next(name for name in frozen if name.endswith("image_matrix"))
    assert twin.get_buffer(name).data_ptr() == parts.model.get_buffer(name).data_ptr()
    assert twin.get_parameter("specific.weight").data_ptr() != parts.model.get_parameter("specific.weight").data_ptr()


def test_a_run_where_a_gpu_would_be_used_loads_on_a_machine_without(settings):
    """Its settings name GPU 0, which is a default and not a wish."""
    given = settings("Popularity", epochs=1, use_gpu=True)
    path = quick_start.run("Popularity", "tiny", config_dict=given)["checkpoint"]
    assert quick_start.load_run(path).model.step > 0
