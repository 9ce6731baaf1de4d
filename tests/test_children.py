"""No child outlives its parent, however the parent ends."""

import subprocess
import sys
import time

import psutil
import pytest
import tiny
import yaml

# A parent of one child, in a process of its own: what other tests left in this one must not matter.
PARENT = """
import multiprocessing, os, sys, time
from recbole_marn.training.children import end_with_parent

def linger(started):
    end_with_parent()
    with open(started + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.replace(started + ".part", started)
    time.sleep(600)

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=linger, args=(sys.argv[1],))
    child.start()
    child.join()
"""


def gone(pid, seconds):
    """Whether a process ends within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_child_ends_with_its_parent(tmp_path):
    started, script = tmp_path / "started", tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script), str(started)], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not started.exists() and parent.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    assert started.exists(), parent.communicate()[1] if parent.poll() is not None else parent.kill()
    parent.kill()
    parent.wait()
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
