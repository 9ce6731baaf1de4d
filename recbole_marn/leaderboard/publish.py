"""A finished run takes its place among the records of a leaderboard."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_marn.evaluation.evidence import evidence_of_parts, pack
from recbole_marn.evaluation.record import read_record, sealed_text
from recbole_marn.evaluation.scores import check_scores_file, load_scores
from recbole_marn.files import write_aside, write_text
from recbole_marn.leaderboard.measures import is_log
from recbole_marn.leaderboard.records import Folders, check_alike

__all__ = ["publish"]


def publish(task: Mapping[str, Any], folder: Path, result: Mapping[str, Any]) -> None:
    """Move the scores to their place, write their evidence and last the run's record.

    Args:
        result: what `quick_start.run` returned; its `record` names the file of the run's own record.
    """
    folders = Folders(Path(task["out"]), task["dataset"])
    own = read_record(Path(result["record"]), "training")
    made = Path(result["record"]).with_name(own["scores"]["file"])
    check_scores_file(made, own["scores"]["sha256"])
    run = task["record"]["run"]
    scores, evidence = folders.scores / f"{run}.scores.npz", folders.evidence / f"{run}.npz.xz"
    content = pack(evidence_of_parts(load_scores(made), is_log(task["record"]["settings"])))
    record = {
        "leaderboard": "run",
        **own,
        **task["record"],
        "data": {**task["record"]["data"], **own["data"]},
        "scores": {"file": scores.name, "sha256": own["scores"]["sha256"]},
        "evidence": {"file": evidence.name, "sha256": hashlib.sha256(content).hexdigest()},
    }
    neighbour = next(iter(sorted(folders.records.glob("*.json"))), None)
    if neighbour is not None:
        check_alike([read_record(neighbour), record])
    write_aside(scores, lambda temporary: shutil.copyfile(made, temporary), folder)
    write_aside(evidence, lambda temporary: temporary.write_bytes(content), folder)
    write_text(folders.records / f"{record['run']}.json", sealed_text(record), folder)
