"""AUC by lambda0, from the records of runs that differ in it and in the seed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.analysis.subject import Subject
from recbole_marn.errors import InputError
from recbole_marn.evaluation.record import read_record
from recbole_marn.files import plain
from recbole_marn.training.identity import settings_that_matter

__all__ = ["Setting", "sensitivity"]


@dataclass
class Setting:
    """One value of lambda0, and the AUC of its runs, a seed each."""

    lambda0: float
    seed: list[int] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)

    def gap(self, other: Setting) -> np.ndarray:
        """(S,) test AUC minus that of the other with the same seed, of the seeds that both have."""
        mine, others = dict(zip(self.seed, self.test, strict=True)), dict(zip(other.seed, other.test, strict=True))
        return np.array([mine[seed] - others[seed] for seed in sorted(mine.keys() & others.keys())])


def sensitivity(folders: Sequence[Path], subject: Subject, notes: list[str]) -> list[Setting]:
    """Runs of the subject's model on the subject's rows, by lambda0; of runs that differ otherwise the largest group.

    Args:
        folders: of records, of a leaderboard or of single runs.
        notes: gets what was left out.
    """
    if not folders:
        notes.append("No --records were given: a leaderboard over lambda0 shows what it changes (docs/analyses.md).")
        return []
    groups: dict[str, dict[float, Setting]] = {}
    other = 0
    for record in _records(folders, notes):
        settings = record["settings"]
        mine = record["model"] == subject.prepared.config["model"]
        if not mine or record["data"]["split_sha256"] != subject.part.split_sha256 or "lambda0" not in settings:
            other += 1
            continue
        value = float(settings["lambda0"])
        setting = groups.setdefault(_rest(settings), {}).setdefault(value, Setting(value))
        setting.seed.append(record["seed"])
        setting.valid.append(record["metrics"]["valid"]["AUC"])
        setting.test.append(record["metrics"]["test"]["AUC"])
    if not groups:
        notes.append(f"None of {other} records is of this model on these rows: nothing to say of lambda0.")
        return []
    largest = max(groups.values(), key=lambda of: (len(of), sum(len(setting.test) for setting in of.values())))
    left = sum(len(s.test) for of in groups.values() if of is not largest for s in of.values())
    if left:
        notes.append(f"{left} records that differ in more than lambda0 and seed from most were left out.")
    if len(largest) < 2:
        notes.append("All records have one lambda0.")
    return [largest[value] for value in sorted(largest)]


def _rest(settings: Mapping[str, Any]) -> str:
    kept = settings_that_matter(settings)
    return repr(sorted((key, repr(plain(value))) for key, value in kept.items() if key not in ("lambda0", "seed")))


def _records(folders: Sequence[Path], notes: list[str]) -> list[dict[str, Any]]:
    """Every run once: a leaderboard may have its record beside the checkpoint, too. Altered ones are told."""
    found: dict[str, dict[str, Any]] = {}
    altered = []
    for folder in folders:
        paths = sorted(Path(folder).rglob("*.json"))
        if not paths:
            raise InputError(f"records of runs in {folder}", "no .json file", "Give the folder of a leaderboard.")
        for path in paths:
            if record := _record(path):
                found.setdefault(record["run"], record)
            elif _record(path, sealed=False):
                altered.append(path.name)
    if altered:
        notes.append(f"Left out, because they were altered after they were written: {', '.join(altered)}.")
    return list(found.values())


def _record(path: Path, sealed: bool = True) -> dict[str, Any] | None:
    """The record of a run; None of another kind of file."""
    for kind in ("run", "training"):
        try:
            return read_record(path, kind, sealed)
        except InputError:
            continue
    return None
