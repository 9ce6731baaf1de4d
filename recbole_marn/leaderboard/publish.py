"""A finished run takes its place among the records of a leaderboard."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_marn.evaluation.record import RUN, check_scores_file, read_sealed, sealed_text
from recbole_marn.files import write_text
from recbole_marn.leaderboard.records import Folders, check_alike, read_record

__all__ = ["clear", "publish"]


def publish(task: Mapping[str, Any], folder: Path, result: Mapping[str, Any]) -> None:
    """Move the scores to their place, write the run's record with what the leaderboard adds last, clear the folder.

    Args:
        result: what `quick_start.run` returned; its `record` names the file of the run's own record.
    """
    folders = Folders(Path(task["out"]), task["dataset"])
    own = read_sealed(Path(result["record"]), RUN)
    made = Path(result["record"]).with_name(own["scores"]["file"])
    check_scores_file(made, own["scores"]["sha256"])
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
    clear(folder)


def clear(folder: Path) -> None:
    """Remove the folder of a job that is done; this process works in it."""
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
