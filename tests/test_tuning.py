"""RecBole's HyperTuning over our objective: fixed settings reach each trial, and validation chooses."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import yaml

from recbole_marn import cli, quick_start
from recbole_marn.data.protocol import Protocol
from recbole_marn.errors import Diverged, InputError
from recbole_marn.registry import properties_folder
from recbole_marn.settings.host import CLICKS_ALONE
from recbole_marn.training.trainer import CTRTrainer
from recbole_marn.tuning import trials
from recbole_marn.tuning.ray import Cluster
from recbole_marn.tuning.search import tune
from recbole_marn.tuning.space import read_space

from recbole.quick_start import objective_function as of_recbole  # isort: skip
from recbole.trainer import HyperTuning  # isort: skip

CHOICES = "learning_rate choice [0.001, 0.05]\n"
LISTS = CHOICES + "prediction_hidden choice [[4], [8, 4]]\n"


@pytest.fixture
def space():
    """Write a search space; returns its path."""

    def write(text=CHOICES):
        Path("mine.hyper").write_text(text)
        return "mine.hyper"

    return write


def run(settings, space, **changed):
    given = {
        "model": "MARN",
        "dataset": "tiny",
        "config_dict": settings,
        "params_file": space,
        "output_file": "out.json",
    }
    return tune(**given | changed), json.loads(Path("out.json").read_text())


def own(settings):
    """Settings without the keys the space searches."""
    return {key: value for key, value in settings.items() if key not in ("learning_rate", "prediction_hidden")}


def error_of(*args, **kwargs):
    with pytest.raises(InputError) as error:
        run(*args, **kwargs)
    return str(error.value)


# ------------------------------------------------------------------------------------------------ the search
def test_exhaustive_search_tries_every_combination_once(settings, space):
    result, file = run(own(settings(epochs=1)), space(LISTS))
    tried = [
        (trial["settings"]["learning_rate"], tuple(trial["settings"]["prediction_hidden"])) for trial in file["trials"]
    ]
    assert sorted(tried) == [(0.001, (4,)), (0.001, (8, 4)), (0.05, (4,)), (0.05, (8, 4))]
    assert result["trials"] == 4
    assert (result["model"], result["dataset"], result["algo"]) == ("MARN", "tiny", "exhaustive")
    assert result["output_file"] == "out.json" and "notes" not in result


def test_what_no_trial_reads_is_told(settings, space):
    given = own(settings(epochs=1, adagrad_init=0.5, nproc=2, resume=True))
    result, _ = run(given, space("learning_rate choice [0.001]\n"))
    assert result["notes"] == [
        "adagrad_init does nothing in this run: it is read with learner: adagrad",
        "a search does not read nproc, resume: a trial trains in one process, keeps no files and has no test part",
    ]


def test_the_file_of_another_search_is_not_written_over(settings, space):
    _, before = run(own(settings(epochs=1)), space(LISTS))
    told = error_of(own(settings(epochs=1)), space(LISTS.replace("0.05", "0.06")))
    assert "another space" in told and "--output_file" in told
    assert "another settings" in error_of(own(settings(epochs=2)), space(LISTS))
    assert before["settings"]["epochs"] == 1 and "data_path" not in before["settings"]
    assert json.loads(Path("out.json").read_text()) == before
    Path("out.json").write_text("my notes")
    assert "Give another --output_file" in error_of(own(settings(epochs=1)), space(LISTS))
    assert Path("out.json").read_text() == "my notes"


@pytest.mark.parametrize("algo", ["random", "bayes"])
def test_drawn_searches_try_as_often_as_asked_and_repeat(settings, space, algo):
    text = "learning_rate loguniform -7,-2\nwidth quniform 4,12,4\nlambda0 uniform 0,0.1\nrnn choice ['gru', 'apgru']\n"
    given = own(settings(epochs=1))
    del given["width"]
    result, file = run(given, space(text), algo=algo, max_evals=3)
    assert result["trials"] == len(file["trials"]) == 3
    for trial in file["trials"]:
        drawn = trial["settings"]
        assert math.exp(-7) <= drawn["learning_rate"] <= math.exp(-2)
        assert drawn["width"] in (4, 8, 12) and type(drawn["width"]) is int
        assert 0 <= drawn["lambda0"] <= 0.1 and drawn["rnn"] in ("gru", "apgru")
    again = run(given, space(text), algo=algo, max_evals=3)[1]
    assert [trial["settings"] for trial in again["trials"]] == [trial["settings"] for trial in file["trials"]]


def test_a_trial_is_the_run_of_its_settings(settings, space):
    given = own(settings(epochs=2))
    given["prediction_hidden"] = [4]
    result, file = run(given, space())
    for trial in file["trials"]:
        assert quick_start.run(config_dict=given | trial["settings"], saved=False)["valid"] == trial["valid"]
    best = max(file["trials"], key=lambda trial: trial["valid"]["UAUC"])
    assert result["best"] == {"settings": best["settings"], "valid": best["valid"]}
    assert file["best"] == best


def test_a_metric_that_should_be_small(settings, space):
    result, file = run(own(settings(epochs=1, valid_metric="LogLoss")), space())
    assert result["best"]["valid"]["LogLoss"] == min(trial["valid"]["LogLoss"] for trial in file["trials"])


def test_fixed_settings_reach_each_trial(settings, space, monkeypatch):
    seen = []
    fit = CTRTrainer.fit

    def watch(self, *args, **kwargs):
        seen.append(
            {key: self.config[key] for key in ("seed", "gamma", "lambda0", "model", "dataset", "learning_rate")}
        )
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(CTRTrainer, "fit", watch)
    Path("base.yaml").write_text("gamma: 3.5\nlearning_rate: 0.7\nlambda0: 0.6\n")
    run(
        own(settings(epochs=1, seed=5, lambda0=0.4)),
        space("learning_rate choice [0.01, 0.02]"),
        config_file_list=["base.yaml"],
    )
    assert seen == [
        {"seed": 5, "gamma": 3.5, "lambda0": 0.4, "model": "MARN", "dataset": "tiny", "learning_rate": rate}
        for rate in sorted((s["learning_rate"] for s in seen), key=[s["learning_rate"] for s in seen].index)
    ]
    assert sorted(s["learning_rate"] for s in seen) == [0.01, 0.02], "searched over file"


def test_what_is_fixed_is_not_searched(settings, space):
    result, file = run(own(settings(epochs=1)) | {"learning_rate": 0.02}, space(LISTS))
    assert result["trials"] == 2
    assert set(file["space"]) == {"prediction_hidden"}


def test_the_test_part_is_never_built_and_nothing_is_left(settings, space, monkeypatch):
    parts = []
    labelled = Protocol.labelled

    def watch(self, part, **more):
        parts.append(part)
        return labelled(self, part, **more)

    monkeypatch.setattr(Protocol, "labelled", watch)
    run(own(settings(epochs=1)), space())
    assert set(parts) == {"train", "valid"}
    assert not list(Path("saved").glob("*"))


def test_a_search_without_any_test_event(settings, space, tmp_path):
    """The events of the test period are not in the file: a run cannot be tested, a search finds its settings."""
    rng = np.random.default_rng(0)
    events = [
        (f"u{user}", tiny.item_tokens(25)[item], 3600.0 * hour, "buy")
        for user in range(30)
        for hour, item in enumerate(rng.choice(25, 5, replace=False))
    ]
    tiny.write_dataset(tmp_path, events=events)
    given = own(settings(epochs=1)) | {"data_path": str(tmp_path), "split": "time", "split_times": [4 * 3600, 5 * 3600]}
    with pytest.raises(InputError, match="Got no row for test"):
        quick_start.run(config_dict=given)
    assert run(given, space())[0]["trials"] == 2


def test_each_trial_is_written_as_it_ends(settings, space, monkeypatch):
    fit, found = CTRTrainer.fit, []

    def watch(self, *args, **kwargs):
        found.append(len(json.loads(Path("out.json").read_text())["trials"]) if Path("out.json").exists() else 0)
        if len(found) == 2:
            raise KeyboardInterrupt
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(CTRTrainer, "fit", watch)
    with pytest.raises(KeyboardInterrupt):
        run(own(settings(epochs=1)), space())
    assert found == [0, 1]
    assert len(json.loads(Path("out.json").read_text())["trials"]) == 1
    assert not list(Path().glob(".*part"))


def test_more_than_ten_trials_without_a_better_one(settings, space, monkeypatch):
    """RecBole's own default gives up after ten."""
    monkeypatch.setattr(CTRTrainer, "fit", lambda self, *args, **kwargs: (0.5, {"uauc": 0.5}))
    text = f"learning_rate choice {[0.001 * (1 + i) for i in range(12)]}"
    assert run(own(settings("LR")), space(text), model="LR")[0]["trials"] == 12


# ------------------------------------------------------------------------------------------------- trials that fail
def diverge_above(monkeypatch, limit):
    fit = CTRTrainer.fit

    def maybe(self, *args, **kwargs):
        if self.config["learning_rate"] > limit:
            raise Diverged("nan", 0.1)
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(CTRTrainer, "fit", maybe)


@pytest.mark.parametrize(("algo", "text"), [("exhaustive", CHOICES), ("bayes", "learning_rate uniform 0,0.02\n")])
def test_a_trial_that_diverges_does_not_end_the_search(settings, space, monkeypatch, algo, text):
    diverge_above(monkeypatch, 0.01)
    result, file = run(own(settings(epochs=1)), space(text), algo=algo, max_evals=8)
    failed = [trial for trial in file["trials"] if trial["settings"]["learning_rate"] > 0.01]
    assert 0 < len(failed) < len(file["trials"])
    assert all(trial["failure"] == str(Diverged("nan", 0.1)) and trial["valid"] == {} for trial in failed)
    assert result["best"]["settings"]["learning_rate"] <= 0.01


def test_no_trial_that_trains(settings, space, monkeypatch):
    diverge_above(monkeypatch, 0)
    assert "Expected a trial that trains. Got 2 that diverged." in error_of(own(settings()), space())


def test_a_fault_ends_the_search(settings, space, monkeypatch):
    monkeypatch.setattr(CTRTrainer, "fit", lambda *args, **kwargs: int("x"))
    with pytest.raises(ValueError, match="invalid literal"):
        run(own(settings()), space())


# ------------------------------------------------------------------------------------------------------ the space
def test_kinds_of_lines():
    Path("a.hyper").write_text(
        "# a comment\n\nlearning_rate loguniform -7,-2\nwidth quniform 8, 64, 8\nlambda0 uniform 0,1\n"
        "prediction_hidden choice [[64], [128, 64]]\nrnn choice ['gru','apgru']\n"
    )
    assert read_space(Path("a.hyper")) == {
        "learning_rate": ("loguniform", [-7, -2]),
        "width": ("quniform", [8, 64, 8]),
        "lambda0": ("uniform", [0, 1]),
        "prediction_hidden": ("choice", [[64], [128, 64]]),
        "rnn": ("choice", ["gru", "apgru"]),
    }


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("learning_rate", "Expected NAME choice, uniform, quniform or loguniform, and values in line 2 of mine.hyper."),
        ("learning_rate chioce [1]", "or NAME uniform 0,1. Did you mean 'choice'?"),
        ("learning_rate choice", "Expected NAME choice [a, b] in line 2 of mine.hyper. Got 'learning_rate choice'."),
        ("learning_rate choice []", "Expected NAME choice [a, b] in line 2"),
        ("learning_rate choice 0.1,0.2 0.3", "Expected NAME choice [a, b] in line 2"),
        ("learning_rate choice [__import__('os').mkdir('made')]", "Expected NAME choice [a, b] in line 2"),
        ("learning_rate uniform 1", "Expected NAME uniform low,high in line 2"),
        ("learning_rate uniform 2,1", "Expected NAME uniform low,high in line 2"),
        ("learning_rate uniform a,b", "Expected NAME uniform low,high in line 2"),
        ("learning_rate uniform 0,nan", "Expected NAME uniform low,high in line 2"),
        ("width quniform 1,2", "Expected NAME quniform low,high,step in line 2"),
        ("width quniform 1,2,0", "Expected NAME quniform low,high,step in line 2"),
        ("lambda0 choice [2]", "Expected each key once in mine.hyper. Got 'lambda0' again in line 2."),
    ],
)
def test_a_bad_line(settings, space, line, text):
    assert text in error_of(own(settings()), space(f"lambda0 choice [1]\n{line}\n"))
    assert not Path("made").exists()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("lamda0 choice [1]", "Got lamda0=1. lamda0 is no key of this run. Did you mean 'lambda0'?"),
        ("lambda0 choice [0.1, -1]", "Expected 'lambda0' to be at least 0. Got -1."),
        ("dropout uniform 0,2", "Expected 'dropout' to be between 0 and 0.95. Got 2.0."),
        ("epochs choice ['many']", "Expected 'epochs' to be of type int. Got 'many' (str)."),
    ],
)
def test_an_unknown_key_or_a_value_out_of_range_stops_before_the_first_trial(settings, space, monkeypatch, line, text):
    monkeypatch.setattr(trials, "objective_function", None)
    given = own(settings())
    del given["epochs"]
    assert text in error_of(
        given, space(f"width choice [4]\n{line}\n") if "width" not in given else space(line), algo="random"
    )


def test_a_search_without_anything_to_search(settings, space):
    given = own(settings())
    assert "Got a range for lambda0 in mine.hyper. Use --algo=random" in error_of(given, space("lambda0 uniform 0,1"))
    assert "Expected a key to search in mine.hyper." in error_of(given, space("# nothing\n"))
    assert "Got none that your settings do not fix already." in error_of(
        given | {"lambda0": 1}, space("lambda0 choice [1]")
    )
    assert "Expected max_evals of 1 or more. Got 0." in error_of(given, space(), algo="random", max_evals=0)
    assert "Got 'grid'. Choose one of them." in error_of(given, space(), algo="grid")
    assert "Expected a file with a search space. Got no.hyper, which does not exist." in error_of(given, "no.hyper")
    assert "Expected a search space for Popularity. Got one for " in error_of(
        {}, None, model="Popularity", config_dict={"data_path": given["data_path"]}
    )


def test_hyperopt_is_missing(settings, space, monkeypatch):
    monkeypatch.setitem(sys.modules, "hyperopt", None)
    assert "Install it: pip install hyperopt==0.2.5." in error_of(own(settings()), space())


@pytest.mark.parametrize("file", sorted((properties_folder() / "tune").glob("*.hyper")), ids=lambda file: file.stem)
def test_the_shipped_spaces_are_recboles_format_and_known_keys(file):
    ours = read_space(file)
    assert list(HyperTuning._build_space_from_file(str(file))) == list(ours)
    assert {kind for kind, _ in ours.values()} == {"choice"}
    quick_start.build_config(file.stem, "ml-100k", [], {name: values[0] for name, (_, values) in ours.items()})
    assert math.prod(len(values) for _, values in ours.values()) <= 20


# ------------------------------------------------------------------------------------ RecBole's class by itself
@pytest.mark.parametrize("algo", ["exhaustive", "random", "bayes"])
def test_recboles_class_with_its_own_and_our_objective(settings, algo):
    Path("fixed.yaml").write_text(yaml.safe_dump(own(settings(epochs=1)), sort_keys=False))
    best = []
    for objective in (quick_start.objective_function, of_recbole):
        search = HyperTuning(
            objective, params_dict={"choice": {"learning_rate": [0.02]}}, fixed_config_file_list=["fixed.yaml"],
            algo=algo, max_evals=1,
        )  # fmt: skip
        search.run()
        assert search.best_params == {"learning_rate": 0.02}
        best.append(search.best_score)
    assert best[0] == best[1]


# ------------------------------------------------------------------------------------------------ the command line
def test_the_sub_command(settings, space, capsys):
    Path("base.yaml").write_text(yaml.safe_dump(own(settings(epochs=1)), sort_keys=False))
    code = cli.main(["tune", "--model=MARN", "--dataset=tiny", "--config_files=base.yaml", f"--params_file={space()}",
                     "--output_file=found/out.json", "--gamma=2"])  # fmt: skip
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == 0
    assert list(result) == ["model", "dataset", "algo", "trials", "best", "output_file"]
    assert result["trials"] == len(json.loads(Path("found/out.json").read_text())["trials"]) == 2


@pytest.mark.parametrize(("given", "expected"), [
    ("--workers=2", "Expected --engine=ray with --workers. Got --engine=recbole."),
    ("--address=auto", "Expected --engine=ray with --address."),
    ("--max_evals=3", "Expected --algo=random or bayes with --max_evals. Got --algo=exhaustive."),
])  # fmt: skip
def test_options_that_would_do_nothing_are_refused(given, expected, capsys):
    assert cli.main(["tune", "--model=MARN", "--dataset=tiny", given]) == 2
    assert expected in capsys.readouterr().err


def test_the_sub_command_refuses_bad_input(space, capsys):
    code = cli.main(["tune", "--model=MARN", "--dataset=tiny", f"--params_file={space('x y z')}"])
    out, err = capsys.readouterr()
    assert code == 2 and "Traceback" not in err
    assert "in line 1 of mine.hyper. Got 'x y z'." in err


@pytest.mark.parametrize("values", ["[{[1]: 2}]", "[f(1)]", "[g(f(1))]", "{1: [2]}"])
def test_a_choice_that_is_no_list_of_literals_is_named(values, tmp_path):
    (tmp_path / "mine.hyper").write_text(f"lambda0 choice {values}\n")
    with pytest.raises(InputError, match=r"Expected NAME choice \[a, b\] in line 1"):
        read_space(tmp_path / "mine.hyper")


def test_a_space_in_another_encoding_is_named(tmp_path):
    (tmp_path / "mine.hyper").write_bytes("lambda0 choice [1]  # für".encode("latin-1"))
    with pytest.raises(InputError, match="in UTF-8"):
        read_space(tmp_path / "mine.hyper")


def test_a_file_that_cannot_be_written_is_found_out_before_the_first_trial(settings, space, monkeypatch):
    monkeypatch.setattr(trials, "objective_function", None)
    Path("file").touch()
    with pytest.raises(OSError):
        tune(model="MARN", dataset="tiny", config_dict=own(settings()), params_file=space(), output_file="file/t.json")


@pytest.mark.parametrize(
    "line",
    [
        "valid_metric choice ['AUC', 'LogLoss']", "sample_seed choice [1, 2]", "eval_negatives quniform 1,3,1",
        "rm_dup_inter choice ['first', 'last']", "threshold choice [{'rating': 3}, {'rating': 4}]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("cluster", [None, Cluster()])
def test_trials_of_other_metrics_or_rows_are_not_compared(settings, space, line, cluster):
    no_log = CLICKS_ALONE if "threshold" in line else ()
    fixed = {key: value for key, value in settings().items() if key not in (line.split()[0], *no_log)}
    algo = {"algo": "random", "max_evals": 1} if "quniform" in line else {}
    with pytest.raises(InputError, match=f"several values of {line.split()[0]} in mine.hyper"):
        run(fixed, space(line), cluster=cluster, **algo)
    assert not Path("out.json").exists()


@pytest.mark.parametrize("key", ["seed", "run_name", "nproc", "checkpoint_dir", "model", "metrics", "calibration"])
def test_what_is_no_hyper_parameter_is_not_searched(settings, space, key):
    with pytest.raises(InputError, match=f"hyper-parameters to search in mine.hyper. Got {key}. Take them out"):
        run(own(settings()), space(f"lambda0 choice [1]\n{key} choice [1]\n"))
    assert not Path("out.json").exists()
