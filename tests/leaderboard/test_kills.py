"""kill -9 at random moments loses no finished run, and the table is that of an undisturbed run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_runs
import pytest
from filelock import FileLock

from recbole_marn.leaderboard.records import Folders

pytestmark = pytest.mark.thorough

DRIVER = """
import sys
from pathlib import Path

import fake_runs
from recbole_marn.leaderboard.records import Folders
from recbole_marn.training.jobs import Job, run_jobs

out, number, seconds, count = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
folders = Folders(out, "tiny")
folders.prepare()
jobs = []
for index in range(number):
    record = fake_runs.record_of(("MARN", "DIN", "LR")[index % 3], 2020 + index // 3)
    folder = (folders.unfinished / record["run"]).resolve()
    task = {"record": record, "out": str(out), "dataset": "tiny", "seconds": seconds, "count": count}
    jobs.append(Job(record["run"], "fake_runs:train", task, folder, folders.records / (record["run"] + ".json"), 3,
                    folder / "state"))
failures = run_jobs(jobs, 2, show_progress=False)
assert not failures, failures
# Imported last: kills should hit runs, not imports.
from recbole_marn.leaderboard.render import LeaderboardRequest, render
render(LeaderboardRequest("tiny", out=out, resamples=20, show_progress=False))
"""
TABLES = ("tiny.md", "tiny.csv", "tiny.tex", "tiny.html")


def start(out, number, seconds, environment, count):
    command = [sys.executable, "-c", DRIVER, str(out), str(number), str(seconds), str(count)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def finish(process):
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told.decode()


def harass(out, number, seconds, environment, count, kills, rng, longest):
    """Start and kill until `kills` kills have hit, then let it end; returns what was finished before each kill."""
    kept = {}
    hits = 0
    while hits < kills:
        process = start(out, number, seconds, environment, count)
        time.sleep(rng.uniform(0.2, longest))
        still = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        hits += still
        # Looked at once: a worker that the kernel is just ending may finish a renaming.
        found = list(Folders(out, "tiny").records.glob("*.json"))
        for file in found:
            text = file.read_text()
            json.loads(text)  # whole, or not there
            assert kept.setdefault(file.name, text) == text, "a finished run was written again"
        assert set(kept) == {file.name for file in found}, "a finished run was lost"
        if not still:
            # All is finished: the kills that are left must hit a fresh start.
            for folder in ("records", "scores"):
                subprocess.run(["rm", "-r", str(out / folder)], check=True)
            kept.clear()
            count.unlink(missing_ok=True)
    finish(start(out, number, seconds, environment, count))
    return hits


def same_tables(a, b):
    for name in TABLES:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


def without_memory(path):
    record = json.loads(path.read_text())
    return {key: value for key, value in record.items() if key not in ("memory_mb", "sha256")}


def check(tmp_path, environment, number, seconds, kills, seed, longest):
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    finish(start(quiet, number, 0, environment, tmp_path / "quiet.count"))
    hits = harass(killed, number, seconds, environment, tmp_path / "killed.count", kills, random.Random(seed), longest)
    assert hits >= kills
    same_tables(quiet, killed)
    for file in Folders(quiet, "tiny").records.glob("*.json"):
        assert without_memory(file) == without_memory(Folders(killed, "tiny").records / file.name)
    litter = [path for path in killed.rglob("*.part")] + list(Folders(killed, "tiny").unfinished.glob("*"))
    assert not litter
    return tmp_path / "killed.count"


def test_a_few_kills(tmp_path, light_environment):
    check(tmp_path, light_environment, number=3, seconds=0.3, kills=2, seed=1, longest=2.0)


@pytest.mark.slow
def test_many_kills(tmp_path, light_environment):
    count = check(tmp_path, light_environment, number=24, seconds=1.5, kills=25, seed=2, longest=4.0)
    scored = count.read_text().split()
    assert len(set(scored)) == 24


def test_workers_end_with_their_leaderboard(tmp_path, light_environment):
    """An orphan would hold its run's lock, and train on unseen."""
    out = tmp_path / "out"
    process = start(out, 2, 30, light_environment, tmp_path / "count")
    unfinished = Folders(out, "tiny").unfinished
    wait_for(lambda: len(list(unfinished.glob("*/lock"))) == 2)
    process.kill()
    process.communicate()
    for lock in unfinished.glob("*/lock"):
        with FileLock(lock, timeout=20):
            pass


def test_two_leaderboards_on_one_folder_share_the_work(tmp_path, light_environment):
    out, count = tmp_path / "out", tmp_path / "count"
    both = [start(out, 3, 0.6, light_environment, count) for _ in range(2)]
    for process in both:
        finish(process)
    assert sorted(count.read_text().split()) == sorted(
        fake_runs.record_of(("MARN", "DIN", "LR")[index % 3], 2020 + index // 3)["run"] for index in range(3)
    )


# ------------------------------------------------------------------------------------- one job, asked to stop
IMPORTS = {
    "sleeps": "import time; time.sleep(60)",
    # A match without end, which never lets another thread of the process run.
    "holds the interpreter": "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
}
ONE_JOB = """
import sys
from pathlib import Path

from recbole_marn.training.jobs import Job, run_jobs

folder = Path(sys.argv[1])
run_jobs([Job("one", "takes_long:train", {}, folder / "one", folder / "done")], 1, show_progress=False)
"""
INTERRUPTED = """
import signal
import sys

from recbole_marn.cli import main
from recbole_marn.leaderboard import cli

# A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


def build(request):
    exec(sys.argv[2])


cli._build = build
sys.exit(main(["leaderboard", "--dataset=tiny"]))
"""


def takes_long(tmp_path, environment, code):
    """A module `takes_long` that tells its process and then takes long; returns the environment that finds it."""
    told = tmp_path / "pid"
    lines = ["import os", f"open({str(told)!r} + '.part', 'w').write(str(os.getpid()))",
             f"os.replace({str(told)!r} + '.part', {str(told)!r})", code]  # fmt: skip
    (tmp_path / "takes_long.py").write_text("\n".join(lines))
    return told, {**environment, "PYTHONPATH": os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])}


def wait_for(condition, seconds=120):
    """Long enough for processes that start on a machine which is busy with other things."""
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline
        time.sleep(0.05)


def ended(pid):
    """Also where nobody has asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("code", "kernel"), [*((code, True) for code in IMPORTS), ("sleeps", False)])
def test_a_worker_that_still_imports_ends_with_its_leaderboard(tmp_path, light_environment, code, kernel):
    """Also on a system whose kernel does not see to it."""
    told, environment = takes_long(tmp_path, light_environment, IMPORTS[code])
    if not kernel:
        (tmp_path / "sitecustomize.py").write_text("import sys; sys.platform = 'another'")
    process = subprocess.Popen([sys.executable, "-c", ONE_JOB, str(tmp_path)], env=environment)
    wait_for(told.exists)
    process.kill()
    process.wait()
    wait_for(lambda: ended(told.read_text()), seconds=30)  # by itself it would take a minute and more


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_c_ends_in_one_line_that_says_how_to_go_on(tmp_path, light_environment):
    """The whole group of processes gets the signal, as from a terminal."""
    told, environment = takes_long(tmp_path, light_environment, IMPORTS["sleeps"])
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path), ONE_JOB]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(told.exists)
    worker = int(told.read_text())
    assert os.getsid(worker) == worker, "the terminal's signal would reach it, and it would print a traceback"
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert errors == "Stopped. The same command goes on: finished runs are kept.\n"
    assert ended(worker) and "Traceback" not in (tmp_path / "one" / "output.log").read_text()
