"""A finished run takes its place among the records of a leaderboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_marn.evaluation.record import read_record, sealed_text
from recbole_marn.evaluation.scores import check_scores_file
from recbole_marn.files import write_text
from recbole_marn.leaderboard.records import Folders, check_alike

__all__ = ["clear", "publish"]


def publish(task: Mapping[str, Any], folder: Path, result: Mapping[str, Any]) -> None:
    """Move the scores to their place, write the run's record with what the leaderboard adds last, clear the folder.

    Args:
        result: what `quick_start.run` returned; its `record` names the file of the run's own record.
    """
    folders = Folders(Path(task["out"]), task["dataset"])
    own = read_record(Path(result["record"]), "training")
    made = Path(result["record"]).with_name(own["scores"]["file"])
    check_scores_file(made, own["scores"]["sha256"])
    scores = folders.scores / f"{task['record']['run']}.scores.npz"
    record = {
        "leaderboard": "run",
        **own,
        **task["record"],
        "data": {**task["record"]["data"], **own["data"]},
        "scores": {"file": scores.name, "sha256": own["scores"]["sha256"]},
    }
    neighbour = next(iter(sorted(folders.records.glob("*.json"))), None)
    if neighbour is not None:
        check_alike([read_record(neighbour), record])
    scores.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, folder / "scores.part")
    os.replace(folder / "scores.part", scores)
    write_text(folders.records / f"{record['run']}.json", sealed_text(record), folder)
    clear(folder)


def clear(folder: Path) -> None:
    """Remove the folder of a job that is done; this process works in it."""
    os.chdir(folder.parent)
    shutil.rmtree(folder, ignore_errors=True)
