"""`recbole-marn leaderboard` as it is typed: what it prints, and with what it ends."""

import json
import os
from pathlib import Path

import pytest
import yaml

from recbole_marn.cli import main
from recbole_marn.leaderboard import build as build_module
from recbole_marn.leaderboard.records import Folders
from recbole_marn.training.jobs import Failure

pytestmark = pytest.mark.host


def arguments(common, tmp_path, *more):
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump({key: value for key, value in common.items() if key != "data_path"}))
    return ["leaderboard", "--dataset=tiny", "--models=LR", "--seeds=1", "--resamples=20", "--without_anchors",
            f"--config_files={file}", f"--data_path={common['data_path']}", "--out=results", *more]  # fmt: skip


def test_the_last_line_is_json(common, here, tmp_path, capsys):
    assert main(arguments(common, tmp_path)) == 0
    told, last = capsys.readouterr().out.splitlines()
    line = json.loads(last)
    assert told.startswith("LR leads. results/tiny.html says by how much")
    assert line["rows"] == 1 and os.path.exists(line["tables"]["html"])
    text = (tmp_path / "results" / "tiny.md").read_text()
    assert "--dataset=tiny --models=LR --seeds=1" in text and "--data_path" not in text
    assert main(["leaderboard", "--dataset=tiny", "--render_only", "--resamples=20", "--out=results"]) == 0
    assert (tmp_path / "results" / "tiny.md").read_text() == text
    assert main(["verify", "results"]) == 0


@pytest.mark.parametrize(
    ("more", "told"),
    [("--seed=3", "'seed'"), ("--lamda0=1", "lamda0"), ("--model=LR", "'model'"), ("--dataset_x=1", "dataset_x")],
)
def test_bad_input_ends_with_2(common, here, tmp_path, capsys, more, told):
    assert main(arguments(common, tmp_path, more)) == 2
    assert told in capsys.readouterr().err and here == []


def test_what_says_what_is_trained_does_nothing_where_tables_are_made_alone(common, here, tmp_path, capsys):
    assert main(arguments(common, tmp_path, "--render_only", "--tune=2")) == 2
    given = "--data_path, --models, --config_files, --tune, --without_anchors"
    assert f"Expected --render_only without what says what is trained. Got {given}." in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "1", "1000001"])
def test_too_few_resamples_and_too_many(common, here, tmp_path, capsys, number):
    assert main(arguments(common, tmp_path, f"--resamples={number}")) == 2
    assert "from 2 to 1,000,000 resamples. Got --seeds=1 --jobs=" in capsys.readouterr().err and here == []


@pytest.mark.parametrize("models", ["", ",", " , "])
def test_no_model_is_said_before_anything_runs(common, here, tmp_path, capsys, models):
    command = [part for part in arguments(common, tmp_path) if not part.startswith("--models")]
    assert main([*command, f"--models={models}"]) == 2
    told = capsys.readouterr().err
    assert "at least one model in --models" in told and "runs above" not in told and here == []


def test_the_named_rows_of_a_grid_may_be_all(common, here, tmp_path, capsys):
    grid = tmp_path / "grid.yaml"
    grid.write_text("rows:\n  Mine: {model: LR, learning_rate: 0.1}\n")
    command = [part for part in arguments(common, tmp_path, f"--grid={grid}") if not part.startswith("--models")]
    assert main([*command, "--models="]) == 0
    assert "Mine" in capsys.readouterr().out


def test_sections_of_models_that_are_not_asked_for_are_said(common, here, tmp_path, capsys):
    grid, space = tmp_path / "grid.yaml", tmp_path / "space.yaml"
    grid.write_text("all: {weight_decay: [0.0]}\nLR: {learning_rate: [0.5]}\nDIN: {learning_rate: [0.5]}\n")
    space.write_text("FM: {learning_rate: [0.5]}\n")
    assert main(arguments(common, tmp_path, f"--grid={grid}", "--tune=1", f"--space={space}")) == 0
    told = capsys.readouterr().err
    assert f"{grid}: section 'DIN' is passed over" in told and "'LR'" not in told and "'all'" not in told
    assert f"{space}: section 'FM' is passed over" in told


def test_nothing_to_render(tmp_path, capsys):
    assert main(["leaderboard", "--dataset=tiny", "--render_only", "--out=results"]) == 2
    assert "Expected records of finished runs" in capsys.readouterr().err


def test_a_full_disk_is_explained(common, here, tmp_path, capsys, monkeypatch):
    def full(self):
        raise OSError(28, "No space left on device", "results")

    monkeypatch.setattr(Folders, "prepare", full)
    assert main(arguments(common, tmp_path)) == 2
    told = capsys.readouterr().err
    assert "No space left on device" in told and "finished runs are kept" in told


@pytest.mark.parametrize(("kind", "code"), [("input", 2), ("library", 2), ("fault", 1)])
def test_failed_runs_are_named_and_the_rest_is_rendered(common, here, tmp_path, capsys, monkeypatch, kind, code):
    run = build_module.run_jobs

    def one_fails(jobs, processes, show_progress=True):
        return [*run(jobs[:1], processes), *(Failure(job, kind, "what went wrong") for job in jobs[1:])]

    monkeypatch.setattr(build_module, "run_jobs", one_fails)
    command = [part.replace("--seeds=1", "--seeds=2") for part in arguments(common, tmp_path)]
    assert main(command) == code
    captured = capsys.readouterr()
    assert "failed: LR-tiny-2021-" in captured.err and "what went wrong" in captured.err
    assert json.loads(captured.out.splitlines()[-1])["records"] == 1


@pytest.mark.slow
def test_real_processes(common, tmp_path, capsys, monkeypatch):
    """No fakes: every run in its own process, two at once."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    assert main(arguments(common, tmp_path, "--jobs=2", "--seeds=2", "--models=LR,MARN")) == 0
    assert main(["verify", "results"]) == 0
    assert not list(tmp_path.glob("log*")), "RecBole's logs lie about"
