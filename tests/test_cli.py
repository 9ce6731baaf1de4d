"""The command line: one JSON object at the end of stdout, exit code 2 and no traceback for bad input."""

import json
import re
from pathlib import Path

import pytest
import tiny
import yaml

from recbole_marn import cli
from recbole_marn.evaluation.record import read_record
from recbole_marn.registry import MODELS, known_datasets
from recbole_marn.settings.arguments import parse_value
from recbole_marn.training import checkpoint


# ---------------------------------------------------------------------------------------------------- the contract
def test_run_ends_in_a_table_and_one_json_line(run):
    code, out, _ = run("--also_test=[popularity]")
    assert code == 0
    *table, last = out.splitlines()
    result = json.loads(last)
    assert list(result) == [
        "model", "dataset", "seed", "split_sha256", "valid", "test", "test_popularity", "parameters", "epochs",
        "seconds_per_epoch", "record", "checkpoint",
    ]  # fmt: skip
    assert set(result["test"]) == {"AUC", "UAUC", "LogLoss"}
    record = read_record(Path(result["record"]), "training")
    assert {name: record["metrics"]["test"][name] for name in result["test"]} == pytest.approx(result["test"], abs=1e-5)
    assert checkpoint.load(result["checkpoint"])["split_sha256"] == result["split_sha256"]
    assert [line.split()[0] for line in table[-4:]] == ["part", "valid", "test", "test_popularity"]
    assert f"{result['test']['UAUC']:.4f}" in table[-2]


def test_the_script_is_the_run_sub_command(data_path, capsys, monkeypatch):
    import runpy
    import sys

    Path("base.yaml").write_text(yaml.safe_dump(tiny.settings(data_path, epochs=1)))
    script = Path(cli.__file__).parents[1] / "run_recbole_marn.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--model=LR", "--dataset=tiny", "--config_files=base.yaml"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(script), run_name="__main__")
    # base.yaml is MARN's: LR does not know its keys.
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert "Expected keys that a run of LR on our rows reads. Got " in told
    assert "Leave out width: LR has no such key" in told


def test_settings_of_the_command_line_win_over_files(run):
    code, out, _ = run("--seed=7", "--lambda0=0.3", "--prediction_hidden=[4]", "--rnn=gru", "--run_name=mine")
    settings = json.loads(Path("saved/mine.json").read_text())["settings"]
    assert (settings["seed"], settings["lambda0"], settings["prediction_hidden"], settings["rnn"]) == (
        7,
        0.3,
        [4],
        "gru",
    )


def test_several_files_and_the_later_wins(run):
    Path("more.yaml").write_text("seed: 11\n")
    assert json.loads(run(files="base.yaml more.yaml")[1].splitlines()[-1])["seed"] == 11


def test_models_and_datasets_list_everything(capsys, tmp_path):
    assert cli.main(["models"]) == 0
    out = capsys.readouterr().out
    for name, row in MODELS.items():
        assert re.search(rf"^{name}\s.*{re.escape(row.paper)}$", out, re.M), name
    tiny.write_dataset(tmp_path, name="hm")
    assert cli.main(["datasets", f"--data_path={tmp_path}"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(known_datasets()) <= set(lines)
    assert str(tmp_path / "hm") in lines["hm"]
    assert "recbole-marn prepare taobao --raw DIR" in lines["taobao"]
    assert "comes with RecBole" in lines["ml-100k"]


@pytest.mark.parametrize("job", cli.JOBS)
def test_every_jobs_help_says_what_it_does(job, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([job, "--help"])
    assert stop.value.code == 0
    usage, does, *_ = (" ".join(text.split()) for text in capsys.readouterr().out.split("\n\n"))
    assert usage.startswith(f"usage: recbole-marn {job} ")
    assert does.lower() == f"{cli.JOBS[job].help.lower()}."


def test_without_a_job_the_help_is_shown(capsys):
    assert cli.main([]) == 2
    assert "recbole-marn" in capsys.readouterr().out


def test_a_choice_that_a_job_does_not_know(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["tune", "--algo=grid"])
    assert stop.value.code == 2
    assert "usage: recbole-marn tune" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rum"], "Got 'rum'. Choose one. Did you mean 'run'?"),
        (["models", "--foo=1"], "Got --foo=1. `recbole-marn models --help` lists them."),
        (["run", "--model=MARN", "--epochs", "1"], "such as --epochs=VALUE."),
    ],
)
def test_a_wrong_job_or_argument(arguments, told, capsys):
    assert cli.main(arguments) == 2
    assert told in capsys.readouterr().err


def test_a_fault_of_ours_is_not_blamed_on_the_input(run, monkeypatch):
    from recbole_marn.training.trainer import CTRTrainer

    monkeypatch.setattr(CTRTrainer, "fit", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # the interpreter then shows the traceback and exits with 1
        run()


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("3", 3), ("true", True), ("True", True), ("null", None), ("None", None), ("[1, 2]", [1, 2]),
     ("[a, b]", ["a", "b"]), ("{time: timestamp}", {"time": "timestamp"}), ("{'a': 1}", {"a": 1}), ("maf", "maf"),
     ("a: [", "a: ["), ("__import__('os')", "__import__('os')"), ("saved/x", "saved/x"), ("0012", 10), ("", None)],
)  # fmt: skip
def test_values_are_literals(text, value):
    assert parse_value(text) == value
