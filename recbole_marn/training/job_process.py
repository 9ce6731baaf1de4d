"""The process of one job: `python -m recbole_marn.training.job_process`, started by `jobs.run_jobs` alone."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from recbole_marn.errors import InputError
from recbole_marn.training.children import end_with_parent, pipe_closed

__all__ = ["BUSY", "clear", "main"]

BUSY = 75  # exit code of a worker that found its job locked


def main() -> int:
    """Read a job from standard input, do it in its folder, and tell about an error in one line of JSON.

    The folder of a job that is done is removed.
    """
    message = json.loads(sys.stdin.buffer.readline())
    # Before the job's module is imported, which takes seconds. The pipe closes when the leaderboard ends.
    end_with_parent(message["parent"], lambda: pipe_closed(0))
    folder, done = Path(message["folder"]), Path(message["done"])
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock", timeout=0):
            if not done.exists():
                _log_to(folder / "output.log")
                # RecBole writes ./log and ./log_tensorboard, and two processes may trip over each other's there.
                os.chdir(folder)
                module, _, name = message["work"].partition(":")
                getattr(importlib.import_module(module), name)(message["task"], folder)
            if done.exists():
                os.chdir(folder.parent)
                clear(folder)
        return 0
    except Timeout:
        return BUSY
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"kind": _kind(error), "text": _text(error)}), file=answer, flush=True)
        return 1


def clear(folder: Path) -> None:
    """Remove the folder of a job that is done; nobody may work in it."""
    shutil.rmtree(folder, ignore_errors=True)


def _log_to(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _kind(error: BaseException) -> str:
    if isinstance(error, InputError):
        return "input"
    if isinstance(error, ModuleNotFoundError):
        return "library"
    return "disk" if isinstance(error, OSError) else "fault"


def _text(error: Any) -> str:
    if isinstance(error, ModuleNotFoundError):
        missing = InputError(
            f"the library '{error.name}', which this run needs",
            "no such library in this environment",
            f"Install it (pip install {error.name}), or leave the run out of the grid.",
        )
        return str(missing)
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
