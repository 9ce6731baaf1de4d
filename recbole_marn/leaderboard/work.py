"""What a worker does for a leaderboard: train and score one run, or try one setting on validation."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.evaluation.metrics import (
    auc,
    expected_calibration_error,
    log_loss,
    predicted_over_observed,
    uauc,
)
from recbole_marn.leaderboard.records import (
    FORMAT,
    Folders,
    check_alike,
    file_sha256,
    load_scores,
    put,
    read_record,
    rows_sha256,
    sealed_text,
)

__all__ = ["part_metrics", "publish", "train", "try_settings"]


def train(task: Mapping[str, Any], folder: Path) -> None:
    """Train, choose the epoch on validation, score the test part once, and publish the record.

    Args:
        task: `config` and `config_files` (settings of `quick_start.run`), `record` (what is known before the run),
            `out`, `dataset`, `keep` (leave checkpoints where they are).
        folder: of the unfinished run; removed once the record stands.
    """
    from recbole_marn.training.run import run

    result = run(
        config_file_list=task["config_files"],
        config_dict={**task["config"], "resume": True, "show_progress": False},
    )
    publish(task, folder, result)


def publish(task: Mapping[str, Any], folder: Path, result: Mapping[str, Any]) -> None:
    """Move the scores to their place, write the record last, and clear the folder.

    Args:
        result: what `quick_start.run` returned; its `record` names the file of the run's own record.
    """
    folders = Folders(Path(task["out"]), task["dataset"])
    own = json.loads(Path(result["record"]).read_text(encoding="utf-8"))
    made = Path(result["record"]).with_name(own["scores"]["file"])
    scores = folders.scores / f"{task['record']['run']}.scores.npz"
    parts = load_scores(made)
    history = own["history"]
    record = {
        "leaderboard": "run",
        "format": FORMAT,
        **task["record"],
        "data": {
            **task["record"]["data"],
            "split_sha256": own["split_sha256"],
            "rows_sha256": {part: rows_sha256(columns) for part, columns in parts.items()},
            **own.get("data", {}),
            "users_scored": {part: len(np.unique(columns["user"])) for part, columns in parts.items()},
        },
        "metrics": {part: part_metrics(columns) for part, columns in parts.items()},
        "parameters": own["parameters"],
        "epochs": own["epochs"],
        "seconds_per_epoch": own["seconds_per_epoch"],
        "seconds": round(sum(epoch.get("seconds", 0.0) for epoch in history), 2),
        "memory_mb": _peak_memory_mb(),
        "history": history,
        "notes": own["notes"],
        "versions": own["versions"],
        "scores": {"file": scores.name, "sha256": file_sha256(made)},
    }
    text = sealed_text(record)
    neighbour = next(iter(sorted(folders.records.glob("*.json"))), None)
    if neighbour is not None:
        check_alike([read_record(neighbour), record])
    scores.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, folder / "scores.part")
    os.replace(folder / "scores.part", scores)
    put(folders.records / f"{record['run']}.json", text, folder)
    if not task["keep"]:
        os.chdir(folder.parent)
        shutil.rmtree(folder, ignore_errors=True)


def part_metrics(columns: Mapping[str, Any]) -> dict[str, float]:
    """Every metric of one part, from its columns user, label and score."""
    user, label, score = columns["user"], columns["label"], columns["score"]
    return {
        "AUC": auc(label, score),
        "UAUC": uauc(user, label, score),
        "LogLoss": log_loss(label, score),
        "ECE": expected_calibration_error(label, score),
        "predicted/observed": predicted_over_observed(label, score),
    }


def try_settings(task: Mapping[str, Any], folder: Path) -> None:
    """One trial: train and look at validation. The test part is not scored.

    Settings that make training diverge are a result too, the worst there is: its score is null.
    """
    from recbole_marn.training.objective import objective_function
    from recbole_marn.tuning.outcome import diverged

    started = time.perf_counter()
    found: dict[str, Any]
    try:
        result = objective_function({**task["config"], "show_progress": False}, task["config_files"], saved=False)
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
    put(folders.trials / f"{record['run']}.json", sealed_text(record), folder)
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
