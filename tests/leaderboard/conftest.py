"""Fake runs, workers that start without importing RecBole, and jobs of real runs in this process."""

import importlib
import json
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

@pytest.fixture(scope="session")
def light_environment():
    """Environment of processes that can import `fake_runs`, and with it neither torch nor RecBole."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}


@pytest.fixture
def light_workers(light_environment, monkeypatch):
    """Workers started by this process run `fake_runs`."""
    monkeypatch.setenv("PYTHONPATH", light_environment["PYTHONPATH"])


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A results folder of four rows and two seeds, rendered; nobody writes to it."""
    import fake_runs

    from recbole_marn.leaderboard.render import LeaderboardRequest, render

    out = tmp_path_factory.mktemp("finished")
    for seed in (2020, 2021):
        for model in ("MARN", "DIN", "LR", "Popularity"):
            fake_runs.write_run(out, model, seed)
    render(LeaderboardRequest("tiny", out=out, resamples=50, show_progress=False))
    return out


@pytest.fixture
def results(finished, tmp_path):
    """A copy of `finished` to tamper with."""
    import shutil

    return Path(shutil.copytree(finished, tmp_path / "results"))


@pytest.fixture
def here(monkeypatch):
    """Jobs run in this process, one after another; returns what was run."""
    done = []

    def run_jobs(jobs, processes, show_progress=True):
        for job in jobs:
            if not job.done.exists():
                module, _, name = job.work.partition(":")
                job.folder.mkdir(parents=True, exist_ok=True)
                there = os.getcwd()
                os.chdir(job.folder)
                try:
                    getattr(importlib.import_module(module), name)(json.loads(json.dumps(job.task)), job.folder)
                finally:
                    os.chdir(there)
                done.append(job.name)
        return []

    from recbole_marn.leaderboard import build

    monkeypatch.setattr(build, "run_jobs", run_jobs)
    return done


@pytest.fixture
def common(data_path):
    """Settings of all runs on the tiny data."""
    import tiny

    from recbole_marn.leaderboard.plan import RESERVED

    settings = {key: value for key, value in tiny.settings(data_path, "none").items() if key not in RESERVED}
    return {**settings, "epochs": 1}
