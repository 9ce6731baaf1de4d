"""Several jobs at once, each in a process of its own; whatever is killed, a finished job stays finished.

A job is done when its file `done` exists: the worker writes that last, whole, by renaming. Everything unfinished lies
in the job's `folder`, whose lock its worker holds, so that two commands on one folder never work at the same job.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recbole_marn.errors import InputError
from recbole_marn.training.job_process import BUSY, clear

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
        folder: of the unfinished job: lock, log and checkpoints. Removed once the job is done.
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


def run_jobs(jobs: Sequence[Job], processes: int, *, show_progress: bool = True) -> list[Failure]:
    """Do the jobs that are not done yet, `processes` at once, under one progress bar.

    Returns:
        The jobs that failed; the others are done.

    Raises:
        InputError: no room left to write to (nothing is lost: the same command goes on).
    """
    seen: dict[str, set[int]] = {}
    failures: list[Failure] = []
    # None: silent where stderr is no terminal.
    hidden = None if show_progress else True
    total = sum(job.epochs for job in jobs)
    bar = tqdm(total=total, desc="training", unit="epoch", mininterval=1, disable=hidden)
    with bar, _Team(processes) as team:  # from its first process on, whatever ends this ends them
        waiting = set()
        for job in jobs:
            if job.done.exists():
                clear(job.folder)  # which a kill just after its end has left
            else:
                waiting.add(team.submit(job))
        while waiting:
            ended, waiting = wait(waiting, POLL_SECONDS, FIRST_COMPLETED)
            for job, failure in (future.result() for future in ended):
                if failure is BUSY:  # after the others, by when the other leaderboard may have finished it
                    waiting.add(team.submit(job, BUSY_SECONDS))
                elif failure is not None and failure.kind == "disk":
                    raise InputError(
                        "room and permission to write results",
                        failure.text,
                        "Free some space and give the same command again: finished runs are kept.",
                    )
                elif failure is not None:
                    failures.append(failure)
            bar.set_postfix_str(f"{sum(job.done.exists() for job in jobs)} of {len(jobs)} runs", refresh=False)
            bar.update(sum(_epochs(job, seen) for job in jobs) - bar.n)
    return failures


class _Team:
    """Threads that each start one process after another and wait for it; at its exit all processes end."""

    def __init__(self, processes: int):
        self._pool = ThreadPoolExecutor(processes)
        self._stopped = threading.Event()
        self._running: set[subprocess.Popen] = set()

    def __enter__(self) -> _Team:
        return self

    def submit(self, job: Job, pause: float = 0.0) -> Future:
        """Do a job that is not done, after a pause: (job, None, BUSY or its failure)."""
        return self._pool.submit(self._do, job, pause)

    def _do(self, job: Job, pause: float) -> tuple[Job, Failure | int | None]:
        if self._stopped.wait(pause) or job.done.exists():
            return job, None
        process = _start(job)
        self._running.add(process)
        if self._stopped.is_set():  # between the look and the start
            process.kill()
        with process:  # its pipes are closed at the end, and not before
            told = process.stdout.read()
        self._running.discard(process)
        if process.returncode == BUSY or job.done.exists():
            return job, None if job.done.exists() else BUSY
        return job, _failure(job, told, process.returncode)

    def __exit__(self, *_: object) -> None:
        """Nothing finished is lost."""
        self._stopped.set()
        while self._running:
            for process in list(self._running):
                process.kill()
            time.sleep(POLL_SECONDS / 10)
        self._pool.shutdown(cancel_futures=True)


def _start(job: Job) -> subprocess.Popen:
    # The pipe to its standard input closes when this process dies, however it dies: the worker then ends too. Ctrl-C
    # at the terminal is for this process, which ends the workers; a session of their own keeps it from them.
    process = subprocess.Popen(
        [sys.executable, "-m", "recbole_marn.training.job_process"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    message = {"work": job.work, "task": job.task, "folder": str(job.folder.resolve()),
               "done": str(job.done.resolve()), "parent": os.getpid()}  # fmt: skip
    with contextlib.suppress(BrokenPipeError):  # it has died at once; its exit code will tell
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
    return process


def _epochs(job: Job, seen: dict[str, set[int]]) -> int:
    """Epochs a job has finished: all when it is done, else as many changes as were seen of its state file."""
    if job.done.exists():
        return job.epochs
    changes = seen.setdefault(job.name, set())
    with contextlib.suppress(OSError):
        changes |= {job.state.stat().st_mtime_ns} if job.state else set()
    return min(len(changes), job.epochs - 1)


def _failure(job: Job, told: bytes, code: int) -> Failure:
    try:
        last = json.loads(told.decode(errors="replace").strip().splitlines()[-1])
        return Failure(job, last["kind"], last["text"])
    except (IndexError, ValueError, KeyError, TypeError):
        return Failure(job, "fault", f"its process ended with code {code}")
