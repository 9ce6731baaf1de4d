"""The records of a leaderboard: those of runs (`evaluation/record.py`) and what a table needs beside.

Layout under the output folder: `records/<dataset>/<run>.json`, `records/<dataset>/trials/<trial>.json`,
`records/<dataset>.statistics.json`, `scores/<dataset>/<run>.scores.npz` (kept out of version control).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.errors import InputError
from recbole_marn.evaluation.record import (
    RUN,
    check_shape,
    load_scores,
    measure,
    plain_name,
    read_content,
    read_sealed,
    share,
    whole,
)
from recbole_marn.files import sha256
from recbole_marn.leaderboard.grid import config_id
from recbole_marn.settings.data import DataSettings

__all__ = [
    "Folders",
    "ScoreStore",
    "check_alike",
    "check_row_settings",
    "check_same_data",
    "check_scores_file",
    "read_altered",
    "read_record",
    "read_records",
]

# Every run of a data set reads these where they exist.
ATOMIC = (".inter", ".item", ".user")
# Settings that decide which rows exist outside training.
ROW_SETTINGS = (
    "split", "split_times", "repeats", "eval_sampling", "negatives_from", "release_field", "eval_negatives",
    "matched_pool", "sample_seed", "val_interval", "user_inter_num_interval", "item_inter_num_interval",
)  # fmt: skip
# What holds in a record that is older than the setting.
ROW_DEFAULTS = {entry.name: entry.default for entry in fields(DataSettings)}


def _search(value: Any) -> bool:
    """What a record says of the search that chose its settings; null where there was none."""
    return value is None or (
        isinstance(value, dict)
        and whole(value.get("trials", 0)) and isinstance(value.get("space", {}), dict)
        and plain_name(value.get("chosen")) and isinstance(value.get("compared"), list) and value["compared"]
        and all(map(plain_name, value["compared"]))
    )  # fmt: skip


def _ends(value: Any) -> bool:
    """Score files an interval is of, or its two ends."""
    return isinstance(value, list) and (
        all(isinstance(entry, str) for entry in value) or (len(value) == 2 and all(map(measure, value)))
    )


def _resamples(value: Any) -> bool:
    return whole(value) and 2 <= value <= 1_000_000


TEST = {name: str for name in ("metric", "part", "row", "against", "reference")}
TEST |= {"of": [str], "reference_of": [str], "difference": measure, "p": share, "p_holm": share}
# Kind of record -> its shape.
SHAPES: dict[str, dict[Any, Any]] = {
    "run": RUN | {
        "row": str, "family?": str, "given": dict, "tuned?": _search, "data": {**RUN["data"], "files": {...: str}},
    },
    "trial": {
        "run": plain_name, "valid_score_bigger": bool, "best_valid_score": measure,
        "settings": {"model": str, "dataset": str}, "data": {"files": {...: str}},
    },
    "statistics": {
        "dataset": plain_name, "baseline": str, "resamples": _resamples, "confidence": share, "records": {...: str},
        "intervals": {...: {"of": [str], ...: _ends}}, "command": str,
        "tests": [TEST | {"relative_improvement": measure}],
    },
}  # fmt: skip


@dataclass(frozen=True)
class Folders:
    """Where the files of one data set lie."""

    out: Path
    dataset: str

    def __post_init__(self) -> None:
        if not plain_name(self.dataset):
            raise InputError("the name of a data set", repr(self.dataset), "Give a name without slashes.")

    @property
    def records(self) -> Path:
        return self.out / "records" / self.dataset

    @property
    def trials(self) -> Path:
        return self.records / "trials"

    @property
    def scores(self) -> Path:
        return self.out / "scores" / self.dataset

    @property
    def unfinished(self) -> Path:
        return self.scores / "unfinished"

    @property
    def statistics(self) -> Path:
        return self.out / "records" / f"{self.dataset}.statistics.json"

    def table(self, suffix: str) -> Path:
        return self.out / f"{self.dataset}.{suffix}"

    def prepare(self) -> None:
        """Make the folders, and keep the scores out of version control."""
        for folder in (self.records, self.trials, self.scores):
            folder.mkdir(parents=True, exist_ok=True)
        ignore = self.out / "scores" / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# Their SHA-256 stands in the records.\n*\n!.gitignore\n", encoding="utf-8")


# ------------------------------------------------------------------------------------------------ reading
def read_record(path: Path, kind: str = "run") -> dict[str, Any]:
    """A record of this leaderboard: its format, digest, shape and name checked.

    Raises:
        InputError: names the file and what is wrong with it.
    """
    return _ours(read_sealed(path, SHAPES[kind] | {"leaderboard": kind.__eq__}, kind), path, kind)


def read_altered(path: Path, kind: str = "run") -> dict[str, Any]:
    """As `read_record`, whatever its digest: so that what was altered can be named."""
    content = read_content(path, kind)
    check_shape(content, SHAPES[kind] | {"leaderboard": kind.__eq__}, path)
    return _ours(content, path, kind)


def _ours(content: dict[str, Any], path: Path, kind: str) -> dict[str, Any]:
    if kind != "statistics" and content["run"] != path.stem:
        raise InputError(f"the record of {path.stem} in {path}", repr(content["run"]), "Give the file its own name.")
    return content


def read_records(folder: Path, kind: str = "run") -> list[dict[str, Any]]:
    """All records of a folder, by name.

    Raises:
        InputError: as `read_record`.
    """
    return [read_record(path, kind) for path in sorted(folder.glob("*.json"))]


def check_scores_file(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether the score file of a record is on this machine.

    Raises:
        InputError: it is there, and is not the one the record was made from.
    """
    if not path.is_file():
        return False
    found = sha256(path)
    if found != record["scores"]["sha256"]:
        raise InputError(
            f"score file {path} as recorded (SHA-256 {record['scores']['sha256'][:12]}...)",
            f"another content (SHA-256 {found[:12]}...): the score file was altered",
            "Restore it, or remove it together with its record and run the leaderboard again.",
        )
    return True


# -------------------------------------------------------------------------------------------- consistency
def check_same_data(records: Iterable[Mapping[str, Any]], files: Mapping[str, str]) -> None:
    """Records on disk must be of the files a new run would read. Either may read vectors that the other does not.

    Raises:
        InputError: names the run and the file that differs.
    """
    for record in records:
        known = record["data"]["files"]
        for name in sorted(set(known) | set(files)):
            shared = name.endswith(ATOMIC) or (name in known and name in files)
            if shared and known.get(name) != files.get(name):
                raise InputError(
                    f"the data that run {record['run']} was made from ({name}: {_short(known.get(name))})",
                    f"other data under the same name ({name}: {_short(files.get(name))})",
                    "Use the old files, or another --out for the new ones; nothing was overwritten.",
                )


def _short(value: str | None) -> str:
    return f"SHA-256 {value[:12]}..." if value else "no such file"


def check_alike(records: Sequence[Mapping[str, Any]]) -> None:
    """Records of one table must be of the same data files and rows, and no two of the same settings and seed.

    Raises:
        InputError: names two runs that differ.
    """
    check_same_data(records, {name: value for record in reversed(records) for name, value in
                              record["data"]["files"].items()})  # fmt: skip
    seen: dict[str, tuple[str, str]] = {}
    runs: dict[tuple[str, int], str] = {}
    for record in records:
        same = runs.setdefault((config_id(record["settings"]), record["seed"]), record["run"])
        if same != record["run"]:
            raise InputError(
                "one record of each settings and seed",
                f"{same} and {record['run']}, which would count as two seeds",
                "Move one of them away; nothing was overwritten.",
            )
        for part, value in record["data"]["rows_sha256"].items():
            run, known = seen.setdefault(part, (record["run"], value))
            if known != value:
                raise _different_rows(part, f"{run} and {record['run']}, whose {part} rows differ")


def check_row_settings(runs: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Before anything runs: settings that decide which rows are validated and tested must be one for all.

    Args:
        runs: name and settings of every run, recorded or planned.

    Raises:
        InputError: names the setting and two runs that differ in it.
    """
    first: tuple[str, Mapping[str, Any]] | None = None
    for run, settings in runs:
        first = first or (run, settings)
        for key in ROW_SETTINGS:
            here, there = (entry.get(key, ROW_DEFAULTS.get(key)) for entry in (settings, first[1]))
            if here != there:
                raise _different_rows("validation and test", f"{key}={there!r} in {first[0]} and {key}={here!r} in {run}")


def _different_rows(which: str, got: str) -> InputError:
    return InputError(
        f"one table to compare runs on the same {which} rows",
        got,
        "Give runs with another split or other negatives another --out; nothing was overwritten.",
    )


class ScoreStore:
    """Score columns of runs as they are asked for, the file's digest checked on first sight.

    Users and labels are the same for every run of a table and are held once.
    """

    LIMIT = 1 << 30  # bytes of scores held

    def __init__(self, folder: Path):
        self._folder = folder
        self._known: dict[str, bool] = {}
        self._rows: dict[str, dict[str, np.ndarray]] = {}
        self._scores: dict[tuple[str, str], np.ndarray] = {}

    def of_seeds(self, records: Sequence[Mapping[str, Any]], part: str) -> list[dict[str, np.ndarray]] | None:
        """`columns` of each record; None where the file of any is not on this machine."""
        found = [self.columns(record, part) for record in records]
        return None if any(columns is None for columns in found) else found

    def columns(self, record: Mapping[str, Any], part: str) -> dict[str, np.ndarray] | None:
        """user, label and score (B,) of a part; None where the file is not on this machine.

        Raises:
            InputError: the file is not the one the record was made from, or cannot be read.
        """
        name = record["scores"]["file"]
        if name not in self._known:
            self._known[name] = check_scores_file(self._folder / name, record)
        if not self._known[name]:
            return None
        if (name, part) not in self._scores:
            found = load_scores(self._folder / name, part, ("user", "label", "score"))[part]
            if sum(score.nbytes for score in self._scores.values()) > self.LIMIT:
                self._scores.clear()
            self._scores[name, part] = found.pop("score")
            self._rows.setdefault(part, found)
        return {**self._rows[part], "score": self._scores[name, part]}
