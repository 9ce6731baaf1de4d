"""Several jobs at once, each in a process of its own; whatever is killed, a finished job stays finished.

A job is done when its file `done` exists: the worker writes that last, whole, by renaming. Everything unfinished lies
in the job's `folder`, whose lock its worker holds, so that two leaderboards on one folder never work at the same job.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recbole_marn.errors import InputError
from recbole_marn.leaderboard.worker import BUSY

__all__ = ["Failure", "Job", "run_jobs"]

POLL_SECONDS = 0.2
BUSY_SECONDS = 2.0


@dataclass(frozen=True)
class Job:
    """One process: `work` ("module:function") is called with `task`.

    Args:
        name: for messages.
        work: imported and called in a new process, with `task` and the folder.
        task: plain data.
        folder: of the unfinished job: lock, log and checkpoints.
        done: the file that says it is finished.
        epochs: what it counts in the progress bar.
        state: file that changes with every epoch, to watch the progress by.
    """

    name: str
    work: str
    task: dict[str, Any]
    folder: Path
    done: Path
    epochs: int = 1
    state: Path | None = None


@dataclass(frozen=True)
class Failure:
    """A job that ended in an error: `kind` is input, disk, library or fault."""

    job: Job
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.job.name}: {self.text} (log: {self.job.folder / 'output.log'})"


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen
    epochs: int = 0
    changed: int | None = field(default=None)


def run_jobs(jobs: Sequence[Job], processes: int, *, show_progress: bool = True) -> list[Failure]:
    """Do the jobs that are not done yet, `processes` at once, under one progress bar.

    Returns:
        The jobs that failed; the others are done.

    Raises:
        InputError: fewer than one process, or no room left to write to (nothing is lost: the same command goes on).
    """
    if processes < 1:
        raise InputError("at least one process", f"--jobs={processes}", "One per core is usual.")
    waiting = [(job, 0.0) for job in jobs if not job.done.exists()]
    running: list[_Running] = []
    failures: list[Failure] = []
    total = sum(job.epochs for job in jobs)
    finished = total - sum(job.epochs for job, _ in waiting)
    with tqdm(total=total, initial=finished, unit="epoch", mininterval=1, disable=not show_progress) as bar:
        try:
            while waiting or running:
                bar.set_postfix_str(f"{sum(job.done.exists() for job in jobs)} of {len(jobs)} runs", refresh=False)
                now = time.monotonic()
                while len(running) < processes and any(ready <= now for _, ready in waiting):
                    index = next(index for index, (_, ready) in enumerate(waiting) if ready <= now)
                    job = waiting.pop(index)[0]
                    if job.done.exists():  # another leaderboard has been faster
                        bar.update(job.epochs)
                    else:
                        running.append(_start(job))
                for one in list(running):
                    if one.process.poll() is None:
                        bar.update(_epochs_since(one))
                        continue
                    running.remove(one)
                    failure = _ended(one)
                    if one.process.returncode == BUSY:
                        waiting.append((one.job, time.monotonic() + BUSY_SECONDS))
                        bar.update(-one.epochs)
                        continue
                    bar.update(one.job.epochs - one.epochs)
                    if failure is not None and failure.kind == "disk":
                        raise InputError(
                            "room and permission to write results",
                            failure.text,
                            "Free some space and give the same command again: finished runs are kept.",
                        )
                    failures += [failure] if failure else []
                if running or waiting:
                    time.sleep(POLL_SECONDS)
        finally:
            for one in running:
                one.process.kill()
                _ended(one)
    return failures


def _start(job: Job) -> _Running:
    # The pipe to its standard input closes when this process dies, however it dies: the worker then ends too. Ctrl-C
    # at the terminal is for this process, which ends the workers; a session of their own keeps it from them.
    process = subprocess.Popen(
        [sys.executable, "-m", "recbole_marn.leaderboard.worker"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    message = {"work": job.work, "task": job.task, "folder": str(job.folder.resolve()),
               "done": str(job.done.resolve()), "parent": os.getpid()}  # fmt: skip
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has died at once; its exit code will tell
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
    return _Running(job, process)


def _epochs_since(one: _Running) -> int:
    """Epochs finished since the last look: changes of the job's state file."""
    if one.job.state is None or one.epochs + 1 >= one.job.epochs:
        return 0
    try:
        changed = os.stat(one.job.state).st_mtime_ns
    except OSError:
        return 0
    new, one.changed = int(changed != one.changed), changed
    one.epochs += new
    return new


def _ended(one: _Running) -> Failure | None:
    """How a process ended; its pipes are closed."""
    told, _ = one.process.communicate()
    if one.job.done.exists():
        return None
    try:
        last = json.loads(told.decode(errors="replace").strip().splitlines()[-1])
        return Failure(one.job, last["kind"], last["text"])
    except (IndexError, ValueError, KeyError, TypeError):
        return Failure(one.job, "fault", f"its process ended with code {one.process.returncode}")
