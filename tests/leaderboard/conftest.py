"""Fake runs, and worker processes that start without importing RecBole."""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

# Importing recbole_marn registers its models with RecBole, which takes seconds that no fake run needs.
WITHOUT_RECBOLE = """
import sys, types

for name, call in (("compat", "apply"), ("registration", "register")):
    module = types.ModuleType(f"recbole_marn.{name}")
    setattr(module, call, lambda: None)
    sys.modules[module.__name__] = module
module.MODELS = {}
"""


@pytest.fixture(scope="session")
def light_environment(tmp_path_factory):
    """Environment of processes that run `fake_runs` in well under a second."""
    stubs = tmp_path_factory.mktemp("stubs")
    (stubs / "sitecustomize.py").write_text(WITHOUT_RECBOLE)
    path = os.pathsep.join([str(stubs), str(HERE), str(HERE.parents[1])])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture
def light_workers(light_environment, monkeypatch):
    """Workers started by this process run `fake_runs`."""
    monkeypatch.setenv("PYTHONPATH", light_environment["PYTHONPATH"])


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A results folder of four rows and two seeds, rendered; nobody writes to it."""
    import fake_runs

    from recbole_marn.leaderboard.build import Request, render

    out = tmp_path_factory.mktemp("finished")
    for seed in (2020, 2021):
        for model in ("MARN", "DIN", "LR", "Popularity"):
            fake_runs.write_run(out, model, seed)
    render(Request("tiny", out=out, resamples=50, show_progress=False))
    return out


@pytest.fixture
def results(finished, tmp_path):
    """A copy of `finished` to tamper with."""
    import shutil

    return Path(shutil.copytree(finished, tmp_path / "results"))
