"""What a worker does for a leaderboard: train and score one run, or try one setting on validation."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_marn.evaluation.record import FORMAT, RUN, read_sealed, sealed_text
from recbole_marn.files import write_text
from recbole_marn.leaderboard.records import Folders, check_alike, check_scores_file, read_record
from recbole_marn.training import objective
from recbole_marn.training.run import run
from recbole_marn.tuning.outcome import diverged

__all__ = ["publish", "train", "try_settings"]


def train(task: Mapping[str, Any], folder: Path) -> None:
    """Train, choose the epoch on validation, score the test part once, and publish the record.

    Args:
        task: `config` and `config_files` (settings of `quick_start.run`), `record` (what is known before the run),
            `out`, `dataset`.
        folder: of the unfinished run; removed once the record stands.
    """
    settings = {**task["config"], "resume": True, "show_progress": False}
    publish(task, folder, run(config_file_list=task["config_files"], config_dict=settings))


def publish(task: Mapping[str, Any], folder: Path, result: Mapping[str, Any]) -> None:
    """Move the scores to their place, write the run's record with what the leaderboard adds last, clear the folder.

    Args:
        result: what `quick_start.run` returned; its `record` names the file of the run's own record.
    """
    folders = Folders(Path(task["out"]), task["dataset"])
    own = read_sealed(Path(result["record"]), RUN)
    made = Path(result["record"]).with_name(own["scores"]["file"])
    check_scores_file(made, own)
    scores = folders.scores / f"{task['record']['run']}.scores.npz"
    record = {
        "leaderboard": "run",
        **own,
        **task["record"],
        "data": {**task["record"]["data"], **own["data"]},
        "seconds": round(sum(epoch.get("seconds", 0.0) for epoch in own["history"]), 2),
        "memory_mb": _peak_memory_mb(),
        "scores": {"file": scores.name, "sha256": own["scores"]["sha256"]},
    }
    neighbour = next(iter(sorted(folders.records.glob("*.json"))), None)
    if neighbour is not None:
        check_alike([read_record(neighbour), record])
    scores.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, folder / "scores.part")
    os.replace(folder / "scores.part", scores)
    write_text(folders.records / f"{record['run']}.json", sealed_text(record), folder)
    _clear(folder)


def try_settings(task: Mapping[str, Any], folder: Path) -> None:
    """One trial: train and look at validation. The test part is not scored.

    Settings that make training diverge are a result too, the worst there is: its score is null.
    """
    started = time.perf_counter()
    found: dict[str, Any]
    try:
        settings = {**task["config"], "show_progress": False}
        result = objective.objective_function(settings, task["config_files"], saved=False)
        found = {
            "valid": {name: float(value) for name, value in result["best_valid_result"].items()},
            "best_valid_score": float(result["best_valid_score"]),
        }
    except ValueError as error:
        if not diverged(error):
            raise
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
    _clear(folder)


def _clear(folder: Path) -> None:
    os.chdir(folder.parent)
    shutil.rmtree(folder, ignore_errors=True)


def _peak_memory_mb() -> int | None:
    """Most memory this process held, in MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))
