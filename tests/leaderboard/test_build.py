"""From a request to tables: real training on the tiny data set, in this process unless marked slow."""

import json
import os
import shutil

import numpy as np
import pytest
from asking import request, tuning

from recbole_marn.errors import InputError
from recbole_marn.evaluation.record import read_record, read_records, run_name_of, sealed_text
from recbole_marn.leaderboard import build as build_module
from recbole_marn.leaderboard import search as search_module
from recbole_marn.leaderboard.build import build
from recbole_marn.leaderboard.plan import Plan
from recbole_marn.leaderboard.records import Folders
from recbole_marn.leaderboard.verify import verify

pytestmark = pytest.mark.host


def snapshot(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_from_grid_to_verified_tables(common, here, tmp_path):
    line, failures = build(request(common, out=tmp_path / "results"))
    assert failures == [] and (line["runs"], line["failed"], line["rows"], line["records"]) == (4, 0, 2, 4)
    report = verify(tmp_path / "results", "tiny")
    assert report.problems == [] and report.from_scores == 4
    before = snapshot(tmp_path / "results")
    assert len(here) == 4
    build(request(common, out=tmp_path / "results"))
    assert len(here) == 4 and snapshot(tmp_path / "results") == before
    record = read_records(Folders(tmp_path / "results", "tiny").records)[0]
    assert record["data"]["users"] == 30 and record["data"]["test_rows"] > 0
    assert str(tmp_path) not in json.dumps(record) and str(common["data_path"]) not in json.dumps(record)


def test_test_parts_that_finished_runs_lack_are_told(common, here, tmp_path, capsys):
    out, file = tmp_path / "results", tmp_path / "s.yaml"
    file.write_text("also_test: []")
    build(request(common, out=out, models=["LR"], seeds=1, config_files=[str(file)]))
    record = read_records(Folders(out, "tiny").records)[0]
    assert "test" in record["metrics"] and "test_matched" not in record["metrics"]
    assert "finished without" not in capsys.readouterr().err
    build(request(common, out=out, seeds=1))
    told = capsys.readouterr().err
    for kind in ("popularity", "matched"):
        assert f"finished without also_test: {kind}, and not run again: LR; remove their records" in told


def test_a_file_says_where_checkpoints_stay(common, here, tmp_path):
    (tmp_path / "s.yaml").write_text(f"checkpoint_dir: {tmp_path / 'kept'}")
    given = {key: value for key, value in common.items() if key != "checkpoint_dir"}
    build(request(given, out=tmp_path / "results", models=["LR"], seeds=1, config_files=[str(tmp_path / "s.yaml")]))
    assert len(list((tmp_path / "kept").glob("LR-*.pth"))) == 2


@pytest.mark.parametrize("key", ["seed: 7", "run_name: mine"])
def test_a_file_leaves_to_the_leaderboard_what_it_decides(common, tmp_path, key):
    (tmp_path / "s.yaml").write_text(key)
    with pytest.raises(InputError, match="settings that a leaderboard leaves open"):
        build(request(common, out=tmp_path / "results", config_files=[str(tmp_path / "s.yaml")]))


def test_records_accumulate(common, here, tmp_path):
    build(request(common, out=tmp_path / "results", models=["LR"], seeds=1))
    kept = snapshot(tmp_path / "results" / "records" / "tiny")
    line, _ = build(request(common, out=tmp_path / "results"))
    assert line["rows"] == 2 and line["records"] == 4 and len(here) == 4
    assert kept.items() <= snapshot(tmp_path / "results" / "records" / "tiny").items()


def as_an_older_version_wrote_it(out, path, key, kind="run"):
    """The record without a setting that came later, under the name it had then."""
    record = read_record(path, kind)
    del record["settings"][key], record["sha256"]
    record["run"] = run_name_of(record["settings"])
    if kind == "run":
        scores = Folders(out, "tiny").scores
        name = f"{record['run']}.scores.npz"
        (scores / record["scores"]["file"]).rename(scores / name)
        record["scores"]["file"] = name
    path.unlink()
    path.with_name(f"{record['run']}.json").write_text(sealed_text(record))
    return record["run"]


@pytest.mark.parametrize("key", ["resample_negatives", "matched_pool", "lambda0"])
def test_records_without_a_setting_that_came_later_are_those_of_its_default(common, here, tmp_path, key):
    out = tmp_path / "results"
    build(request(common, out=out, models=["MARN"], seeds=1))
    path = next(Folders(out, "tiny").records.glob("*.json"))
    name = as_an_older_version_wrote_it(out, path, key)
    assert name != here.pop()
    line, _ = build(request(common, out=out, models=["MARN"], seeds=2))
    assert [run.split("-")[2] for run in here] == ["2021"]
    assert (line["rows"], line["records"]) == (1, 2)
    assert verify(out, "tiny").problems == []


def test_a_setting_that_is_not_at_its_default_is_another_row(common, here, tmp_path):
    out = tmp_path / "results"
    build(request(common, out=out, models=["MARN"], seeds=1))
    as_an_older_version_wrote_it(out, next(Folders(out, "tiny").records.glob("*.json")), "lambda0")
    line, _ = build(request({**common, "lambda0": 0.5}, out=out, models=["MARN"], seeds=1))
    assert (line["rows"], line["records"], len(here)) == (2, 2, 2)


def test_trials_of_an_older_version_are_not_repeated(common, here, tmp_path):
    out, space = tmp_path / "results", tmp_path / "space.yaml"
    space.write_text("all: {learning_rate: [0.5]}\n")
    tuning = {"out": out, "models": ["LR"], "seeds": 1, "tune": 2, "space": str(space)}
    build(request(common, **tuning))
    for path in list(Folders(out, "tiny").trials.glob("*.json")):
        as_an_older_version_wrote_it(out, path, "resample_negatives", "trial")
    for path in Folders(out, "tiny").records.glob("*.json"):
        path.unlink()
    here.clear()
    build(request(common, **tuning))
    assert [run.split("-")[0] for run in here] == ["LR"]
    assert verify(out, "tiny").problems == []


def test_a_leaderboards_numbers_are_those_of_a_run(common, here, tmp_path):
    from recbole_marn.quick_start import run

    build(request(common, out=tmp_path / "results", models=["LR"], seeds=1))
    record = read_records(Folders(tmp_path / "results", "tiny").records)[0]
    alone = run("LR", "tiny", config_dict={**common, "seed": 2020, "also_test": ["matched"]}, saved=True)
    for part in ("valid", "test", "test_matched"):
        assert record["metrics"][part] == pytest.approx(record["metrics"][part] | alone[part], abs=2e-6)
    assert record["run"] == os.path.basename(alone["record"]).removesuffix(".json")


def test_other_data_under_the_same_name_stop_before_anything_runs(common, here, tmp_path):
    out = tmp_path / "results"
    build(request(common, out=out))
    other = tmp_path / "other"
    shutil.copytree(common["data_path"], other)
    with open(other / "tiny" / "tiny.inter", "a") as file:
        file.write("u1\t025\t999999999\tbuy\n")
    before = snapshot(out)
    with pytest.raises(InputError, match=r"same file tiny\.inter.*nothing was overwritten"):
        build(request({**common, "data_path": str(other)}, out=out))
    assert snapshot(out) == before and len(here) == 4


def test_data_prepared_anew_while_runs_wait_are_not_recorded_as_the_old_ones(common, here, tmp_path, monkeypatch):
    """Vectors alone change: rows and split stay as they are."""
    data = shutil.copytree(common["data_path"], tmp_path / "data")
    run_jobs = build_module.run_jobs

    def prepared_anew(jobs, *rest, **more):
        run_jobs(jobs[:1], *rest, **more)
        np.save(data / "tiny" / "image.npy", -np.load(data / "tiny" / "image.npy"))
        return run_jobs(jobs[1:], *rest, **more)

    monkeypatch.setattr(build_module, "run_jobs", prepared_anew)
    asked = request({**common, "data_path": str(data)}, out=tmp_path / "results", models=["MARN"], tune=None)
    with pytest.raises(InputError, match=r"image\.npy as it was when the command began .* another content"):
        build(asked)
    assert len(here) == len(read_records(Folders(tmp_path / "results", "tiny").records)) == 1


def test_files_of_one_name_in_two_folders_are_two(common, here, tmp_path):
    """The second vectors of a run change: the table is of other data."""
    data = shutil.copytree(common["data_path"], tmp_path / "data")
    modalities = {name: common["modalities"][name] for name in ("ids", "image")}
    for name in ("vgg", "clip"):
        (data / "tiny" / name).mkdir()
        for file in ("image.npy", "image.ids"):
            shutil.copy(data / "tiny" / file, data / "tiny" / name / file)
        modalities[name] = {"kind": "vector", "file": f"{name}/image.npy", "ids": f"{name}/image.ids"}
    del modalities["image"]
    settings = {**common, "data_path": str(data), "modalities": modalities}
    build(request(settings, out=tmp_path / "results", models=["LR"], seeds=1))
    files = read_records(Folders(tmp_path / "results", "tiny").records)[0]["data"]["files"]
    assert {name for name in files if "image" in name} == {
        f"{folder}/image.{kind}" for folder in ("vgg", "clip") for kind in ("npy", "ids")
    }
    for name in ("vgg", "clip"):
        image = data / "tiny" / name / "image.npy"
        before = np.load(image)
        np.save(image, -before)
        with pytest.raises(InputError, match=f"same file {name}/image.npy"):
            build(request(settings, out=tmp_path / "results", models=["LR"], seeds=2))
        np.save(image, before)


def test_other_negatives_do_not_share_a_table(common, here, tmp_path):
    out = tmp_path / "results"
    build(request(common, out=out, models=["LR"], seeds=1))
    before = snapshot(out)
    with pytest.raises(
        InputError, match="same sample_seed. Got 2020 in LR-tiny.* and 7 in LR-tiny.*nothing was over"
    ):
        build(request({**common, "sample_seed": 7}, out=out, models=["LR"], seeds=1))
    assert snapshot(out) == before and len(here) == 1


def test_a_grid_over_test_negatives_is_refused(common, here, tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text("LR: {eval_negatives: [2, 3]}")
    with pytest.raises(InputError, match="same eval_negatives. Got 2 in .* and 3 in"):
        build(request(common, out=tmp_path / "results", grid=str(grid)))
    assert here == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"models": ["LR", "MRAN"]}, "'MRAN'"),
        ({"baseline": "DIN"}, "--baseline.*'DIN'"),
        ({"seeds": 0}, "--seeds=0"),
        ({"jobs": 0}, "--jobs=0"),
        ({"tune": 0}, "--tune=0"),
        ({"tune": 2, "space": "absent.yaml"}, "absent.yaml"),
        ({"space": "rates.yaml"}, "--space alone"),
        ({"grid": "absent.yaml"}, "absent.yaml"),
    ],
)
def test_bad_input_stops_before_anything_runs(common, here, tmp_path, changed, told):
    with pytest.raises(InputError, match=told):
        build(request(common, out=tmp_path / "results", **changed))
    assert here == [] and not (tmp_path / "results").exists()


def test_anchor_rows_are_added_once(common, tmp_path, monkeypatch):
    rows = []

    class Seen(Exception):
        pass

    def look(plan, planned, seeds):
        rows[:] = [row.label for row in planned]
        raise Seen

    monkeypatch.setattr(build_module, "runs_of", look)
    with pytest.raises(Seen):
        build(request(common, out=tmp_path / "results", anchors=True, models=["Popularity", "BaseModelIMAGE"], seeds=1))
    assert rows == ["Popularity", "BaseModelIMAGE", "MARN -statistic"]


def test_all_models_leave_out_what_the_data_cannot_feed(common):
    from recbole_marn.registry import MODELS

    assert Plan("tiny", common).possible_models() == list(MODELS)
    kinds = {name: kind for name, kind in common["modalities"].items() if name != "image"}
    without = Plan("tiny", {**common, "modalities": kinds}).possible_models()
    # the last two compare frozen vectors
    assert set(MODELS) - set(without) == {"BaseModelIMAGE", "DecoupledMF", "SimTier"}


# ---------------------------------------------------------------------------------------------- rows, baseline
def test_two_names_for_the_same_settings(common, here, tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text("rows: {LR again: {model: LR, weight_decay: 0.0}}\n")
    with pytest.raises(InputError, match="'LR again', which has the settings of another row"):
        build(request(common, out=tmp_path / "results", grid=str(grid)))
    assert here == []


def test_rows_under_another_name_are_told(common, here, tmp_path, capsys, monkeypatch):
    """An earlier command named one row otherwise, and a search chose the settings of another one."""
    out, grid = tmp_path / "results", tmp_path / "grid.yaml"
    build(request(common, out=out, models=["LR"], seeds=1))
    assert "stands in the table" not in capsys.readouterr().err
    grid.write_text("rows: {mine: {model: LR}}\n")
    build(request(common, out=out, models=["Popularity"], grid=str(grid), seeds=1, baseline="mine"))
    assert "row 'mine' stands in the table as 'LR', which has the same settings" in capsys.readouterr().err
    assert read_record(Folders(out, "tiny").statistics, "statistics")["baseline"] == "LR"
    alike = "A: {model: LR, weight_decay: 0.1}, B: {model: LR, weight_decay: 0.1, learning_rate: 0.05}"
    grid.write_text(f"rows: {{{alike}}}\n")
    search = tuning(tmp_path, "LR: {learning_rate: [0.05]}", models=["Popularity"], grid=str(grid))
    monkeypatch.setattr(search_module, "best_trials", lambda trials, number: trials[-number:])
    line, _ = build(request(common, out=tmp_path / "tuned", **search))
    assert "row 'B' stands in the table as 'A', which has the same settings" in capsys.readouterr().err
    assert line["rows"] == 2


def test_a_baseline_that_got_a_longer_name_is_still_found(common, here, tmp_path):
    """Two sets of settings of one name are told apart; the name alone means the one that a search chose."""
    out = tmp_path / "results"
    build(request({**common, "learning_rate": 1e-6}, out=out, seeds=1))
    line, _ = build(request(common, out=out, baseline="LR", **tuning(tmp_path, "all: {learning_rate: [0.05]}")))
    statistics = read_record(Folders(out, "tiny").statistics, "statistics")
    chosen = next(record for record in read_records(Folders(out, "tiny").records) if record["tuned"])
    assert line["rows"] == 3
    assert statistics["baseline"] == f"LR (learning_rate={chosen['settings']['learning_rate']})"
