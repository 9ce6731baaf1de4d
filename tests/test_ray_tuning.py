"""Ray Tune as engine: what a trial reports, what goes on after a kill, and that Ray changes no number."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from recbole_marn.errors import Diverged, InputError
from recbole_marn.host.compat import old_numpy_names
from recbole_marn.quick_start import run
from recbole_marn.training.trainer import CTRTrainer
from recbole_marn.tuning import ray as ray_tuning
from recbole_marn.tuning.ray import Cluster
from recbole_marn.tuning.search import tune

with old_numpy_names():
    pytest.importorskip("ray.tune", reason="ray is not installed or does not import here")
pytestmark = pytest.mark.host

CHOICES = "learning_rate choice [0.001, 0.05]\nlambda0 choice [0.01, 0.2]\n"


@pytest.fixture
def fixed(settings):
    return {key: value for key, value in settings().items() if key not in ("learning_rate", "lambda0")}


@pytest.fixture
def reports(monkeypatch):
    """A session without Ray: what is reported."""
    told = []
    monkeypatch.setattr(ray_tuning, "_session", lambda: (told.append, "trial"))
    return told


# ------------------------------------------------------------------------------------------------- a trial
def test_a_trial_reports_the_best_value_so_far_after_every_epoch(fixed, reports, tmp_path):
    ray_tuning._trial({"learning_rate": 0.05}, {**fixed, "epochs": 4, "stopping_step": 10}, ".")
    values = [report["valid_score"] for report in reports]
    assert [report["epoch"] for report in reports] == [1, 2, 3, 4] and values == sorted(values)
    alone = run(config_dict={**fixed, "learning_rate": 0.05, "epochs": 4, "stopping_step": 10}, saved=False)
    assert reports[-1]["valid"] == alone["valid"] and values[-1] == alone["best_valid_score"]


def test_a_trial_goes_on_after_its_last_epoch(fixed, reports, monkeypatch):
    given = {**fixed, "epochs": 3, "stopping_step": 10}
    ray_tuning._trial({"learning_rate": 0.05}, {**given, "run_name": "whole"}, ".")
    whole = list(reports)
    for file in Path("trial").glob("*.pth"):
        file.unlink()
    save = CTRTrainer._save_state

    def killed(self, epoch):
        save(self, epoch)
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CTRTrainer, "_save_state", killed)
        ray_tuning._trial({"learning_rate": 0.05}, given, ".")
    reports.clear()
    ray_tuning._trial({"learning_rate": 0.05}, given, ".")
    assert [report["epoch"] for report in reports] == [3] and reports == whole[2:]
    ray_tuning._trial({"learning_rate": 0.05}, given, ".")
    assert reports == whole[2:] * 2, "a finished trial reports what it has found, and trains no further"


def test_a_trial_that_diverges_says_so_and_loses(fixed, reports, monkeypatch):
    def diverge(self, *args, **kwargs):
        raise Diverged("nan", 0.1)

    monkeypatch.setattr(CTRTrainer, "fit", diverge)
    ray_tuning._trial({"learning_rate": 0.05}, fixed, ".")
    ray_tuning._trial({"learning_rate": 0.05}, {**fixed, "valid_metric": "LogLoss"}, ".")
    assert [report["valid_score"] for report in reports] == [-math.inf, math.inf]
    assert all(report["failure"] == str(Diverged("nan", 0.1)) for report in reports)


# ---------------------------------------------------------------------------------------------- bad input
def test_another_search_in_the_same_place_is_refused(tmp_path):
    folder = tmp_path / "tune.json.ray"
    ray_tuning._check_same_search(folder, {"model": "MARN", "gamma": 10.0, "shape": (4, 2)})
    ray_tuning._check_same_search(folder, {"model": "MARN", "gamma": 10.0, "shape": [4, 2]})
    before = (folder / "search.json").read_bytes()
    with pytest.raises(InputError, match="Got another gamma, width"):
        ray_tuning._check_same_search(folder, {"model": "MARN", "gamma": 3.0, "shape": [4, 2], "width": 4})
    assert (folder / "search.json").read_bytes() == before


@pytest.mark.parametrize(
    ("line", "most"), [("choice", [[2, 7]]), ("uniform", [2.0, 7.0]), ("loguniform", [0.0, math.log(7)]), (None, None)]
)
def test_no_trial_is_ended_before_the_epochs_of_its_settings(line, most):
    space = {} if line is None else {"epochs": (line, most[0] if line == "choice" else most)}
    wanted = 3 if line is None else 7
    assert ray_tuning._most_epochs(SimpleNamespace(space=space, config={"epochs": 3})) == wanted


def test_a_search_does_not_go_on_with_other_data(fixed, monkeypatch, tmp_path):
    data = Path(shutil.copytree(fixed["data_path"], tmp_path / "data"))
    monkeypatch.setattr(ray_tuning, "_started", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search({**fixed, "data_path": str(data)})
    np.save(data / "tiny" / "image.npy", -np.load(data / "tiny" / "image.npy"))
    with pytest.raises(InputError, match="Got another data"):
        search({**fixed, "data_path": str(data)})


def search(fixed, **more):
    Path("mine.hyper").write_text(CHOICES)
    given = {"model": "MARN", "dataset": "tiny", "config_dict": fixed, "params_file": "mine.hyper"}
    given |= {"cluster": Cluster(), "output_file": "out.json"}
    return tune(**{**given, **more})


@pytest.mark.parametrize("cluster", [{"workers": 0}, {"gpus": -1.0}, {"gpus": math.nan}])
def test_a_cluster_without_workers(fixed, cluster):
    with pytest.raises(InputError, match="one worker or more"):
        search(fixed, cluster=Cluster(**cluster))


def test_ray_is_missing(fixed, monkeypatch):
    monkeypatch.delattr("ray.tune.Tuner")
    with pytest.raises(InputError, match=r"Install it: pip install 'recbole-marn\[ray\]'"):
        search(fixed)
    assert not Path("out.json.ray").exists()


# ------------------------------------------------------------------------------------------------ real Ray
@pytest.fixture
def quick_workers(monkeypatch):
    """Ray lets its workers wait for everybody else on the machine."""
    monkeypatch.setenv("RAY_worker_niceness", "0")


@pytest.mark.slow
def test_two_workers_find_what_one_process_finds(fixed, quick_workers):
    """With one epoch nothing is stopped early, so that every trial is the one RecBole's engine makes."""
    fixed["epochs"] = 1
    together = search(fixed, cluster=Cluster(workers=2))
    found = json.loads(Path("out.json").read_text())["trials"]
    search(fixed, cluster=None, output_file="alone.json")
    wanted = json.loads(Path("alone.json").read_text())["trials"]

    def by_settings(trials):
        return sorted((sorted(trial["settings"].items()), trial["valid"]) for trial in trials)

    assert by_settings(found) == by_settings(wanted) and together["trials"] == 4
    assert not list(Path("out.json.ray").rglob("*.pth"))


@pytest.mark.slow
def test_a_killed_search_goes_on(fixed, quick_workers):
    """kill -9 once a trial is done; what is done is not done again."""
    Path("base.yaml").write_text(yaml.safe_dump({**fixed, "epochs": 2}, sort_keys=False))
    Path("mine.hyper").write_text("learning_rate choice [0.001, 0.005, 0.01, 0.02, 0.03, 0.05]\n")
    command = [sys.executable, "-m", "recbole_marn", "tune", "--model=MARN", "--dataset=tiny", "--engine=ray",
               "--config_files=base.yaml", "--params_file=mine.hyper", "--workers=1",
               "--output_file=out.json"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "TUNE_GLOBAL_CHECKPOINT_S": "0"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    folder, deadline = Path("out.json.ray"), time.time() + 400
    while sum(len(file.read_text().splitlines()) for file in folder.glob("*/result.json")) < 5:
        assert process.poll() is None and time.time() < deadline, process.stderr.read()
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {file: file.read_text() for file in folder.glob("*/result.json")}
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["trials"] == 6
    done = [file for file, text in before.items() if len(text.splitlines()) == 2]
    assert done and sum(file.read_text() == before[file] for file in done) >= len(done) - 1
