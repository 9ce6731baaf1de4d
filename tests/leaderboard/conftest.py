"""Fake runs, and worker processes that start without importing RecBole."""

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
