"""What a worker does for a leaderboard: train and score one run, or try one setting on validation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_marn.errors import Diverged, InputError
from recbole_marn.evaluation.record import FORMAT, sealed_text
from recbole_marn.files import sha256, write_text
from recbole_marn.leaderboard.publish import publish
from recbole_marn.leaderboard.records import Folders
from recbole_marn.training import objective
from recbole_marn.training.run import run

__all__ = ["train", "try_settings"]


def train(task: Mapping[str, Any], folder: Path) -> None:
    """Train, choose the epoch on validation, score the test part once, and publish the record.

    Args:
        task: `config` and `config_files` (settings of `quick_start.run`), `record` (what is known before the run),
            `files` (the data's, by name), `out`, `dataset`.
        folder: of the unfinished run.

    Raises:
        InputError: as `quick_start.run`, or data that were prepared anew since the command began; so does the next.
    """
    _check_files(task)
    settings = {**task["config"], "resume": True, "show_progress": False}
    publish(task, folder, run(config_file_list=task["config_files"], config_dict=settings))


def try_settings(task: Mapping[str, Any], folder: Path) -> None:
    """One trial: train and look at validation. The test part is not scored.

    Settings that make training diverge are a result too, the worst there is: its score is null.
    """
    _check_files(task)
    started = time.perf_counter()
    found: dict[str, Any]
    try:
        settings = {**task["config"], "show_progress": False}
        result = objective.objective_function(settings, task["config_files"], saved=False)
        found = {
            "valid": {name: float(value) for name, value in result["best_valid_result"].items()},
            "best_valid_score": float(result["best_valid_score"]),
        }
    except Diverged as error:
        found = {"valid": {}, "best_valid_score": None, "failure": str(error)}
    record = {
        "leaderboard": "trial",
        "format": FORMAT,
        **task["record"],
        **found,
        "valid_score_bigger": bool(task["record"]["settings"]["valid_metric_bigger"]),
        "seconds": round(time.perf_counter() - started, 2),
    }
    folders = Folders(Path(task["out"]), task["dataset"])
    write_text(folders.trials / f"{record['run']}.json", sealed_text(record), folder)


def _check_files(task: Mapping[str, Any]) -> None:
    """A record names the data as they were when the command began, which may be hours ago."""
    for name, path in task["files"].items():
        known = task["record"]["data"]["files"][name]
        found = sha256(path) if Path(path).is_file() else "none"
        if found != known:
            raise InputError(
                f"{name} as it was when the command began (SHA-256 {known[:12]}...)",
                "no such file" if found == "none" else f"another content (SHA-256 {found[:12]}...)",
                "Put it back and give the command again, or compare runs on the new data under another --out.",
            )
