"""No child outlives its parent, however the parent ends."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import tiny
import yaml

from recbole_marn.training.children import end_with_parent


def linger(started):
    end_with_parent()
    Path(started).write_text(str(os.getpid()))
    time.sleep(600)


def parent_of_one(started):
    child = multiprocessing.get_context("spawn").Process(target=linger, args=(started,))
    child.start()
    child.join()


def gone(pid, seconds):
    """Whether a process ends within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_child_ends_with_its_parent(tmp_path):
    started = tmp_path / "started"
    parent = multiprocessing.get_context("spawn").Process(target=parent_of_one, args=(str(started),))
    parent.start()
    while not started.exists() or not started.read_text():
        time.sleep(0.05)
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    assert gone(int(started.read_text()), 20)


@pytest.mark.slow
def test_the_processes_of_a_run_end_with_it(data_path, tmp_path):
    settings = tiny.settings(data_path, "LR", epochs=100_000, stopping_step=100_000, use_gpu=False)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "recbole_marn", "run", "--model=LR", "--dataset=tiny", "--nproc=2"]
    run = subprocess.Popen([*command, "--config_files=run.yaml"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        state = tmp_path / "saved"
        while not list(state.glob("*.last.pth")):
            assert run.poll() is None, "the run ended by itself"
            time.sleep(0.2)
        children = psutil.Process(run.pid).children(recursive=True)
        assert len(children) >= 2
        run.kill()
        run.wait()
        assert all(gone(child.pid, 30) for child in children)
    finally:
        run.kill()
