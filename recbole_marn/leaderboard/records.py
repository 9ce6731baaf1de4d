"""One JSON file per run: written whole, sealed by its digest, checked whenever it is read.

Layout under the output folder: `records/<dataset>/<run>.json`, `records/<dataset>/trials/<trial>.json`,
`records/<dataset>.statistics.json`, `scores/<dataset>/<run>.scores.npz` (kept out of version control).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.errors import InputError
from recbole_marn.leaderboard.grid import config_id
from recbole_marn.settings.data import DataSettings

__all__ = [
    "FORMAT",
    "Folders",
    "ScoreStore",
    "check_alike",
    "check_row_settings",
    "check_same_data",
    "check_scores_file",
    "digest",
    "file_sha256",
    "load_scores",
    "put",
    "read_record",
    "read_records",
    "rows_sha256",
    "seal",
    "sealed_text",
]

FORMAT = 1
# Every run of a data set reads these where they exist.
ATOMIC = (".inter", ".item", ".user")
# Settings that decide which rows exist outside training.
ROW_SETTINGS = (
    "split", "split_times", "repeats", "eval_sampling", "negatives_from", "release_field", "eval_negatives",
    "matched_pool", "sample_seed", "val_interval", "user_inter_num_interval", "item_inter_num_interval",
)  # fmt: skip
# What holds in a record that is older than the setting.
ROW_DEFAULTS = {entry.name: entry.default for entry in fields(DataSettings)}


@dataclass(frozen=True)
class Folders:
    """Where the files of one data set lie."""

    out: Path
    dataset: str

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


# ------------------------------------------------------------------------------------------------ digests
def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a record without its own `sha256`."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, allow_nan=False).encode()).hexdigest()


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its digest; NaN becomes null, as JSON has no NaN."""
    clean = _without_nan(dict(content))
    return clean | {"sha256": digest(clean)}


def sealed_text(content: Mapping[str, Any]) -> str:
    """What is written to the file of a record."""
    return json.dumps(seal(content), indent=1, allow_nan=False) + "\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(entry) for entry in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def rows_sha256(columns: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of whose rows were scored: user, item and label, in order."""
    total = hashlib.sha256()
    for name in ("user", "item", "label"):
        total.update(np.ascontiguousarray(columns[name], dtype="<i8").tobytes())
    return total.hexdigest()


# ------------------------------------------------------------------------------------------------ reading
def read_record(path: Path, kind: str = "run") -> dict[str, Any]:
    """A record, its format and its digest checked.

    Raises:
        InputError: unreadable, not a record of this kind, of another format version, or altered.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(
            f"a readable {kind} record in {path}", str(error).splitlines()[0], "Restore it, or remove it to run again."
        ) from None
    if not isinstance(content, dict) or content.get("leaderboard") != kind:
        raise InputError(
            f"a {kind} record of this leaderboard in {path}", "something else", "Move the file out of the folder."
        )
    if content.get("format") != FORMAT:
        raise InputError(
            f"{kind} records of format {FORMAT}",
            f"{path} of format {content.get('format')}",
            "Use the version of recbole_marn that wrote them, or another --out; nothing was overwritten.",
        )
    if content.get("sha256") != digest(content):
        raise InputError(
            f"{path} as it was written (SHA-256 {str(content.get('sha256'))[:12]}...)",
            f"other content (SHA-256 {digest(content)[:12]}...): the record was altered",
            "Restore it from version control, or remove it and run the leaderboard again.",
        )
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
    found = file_sha256(path)
    if found != record["scores"]["sha256"]:
        raise InputError(
            f"score file {path} as recorded (SHA-256 {record['scores']['sha256'][:12]}...)",
            f"another content (SHA-256 {found[:12]}...): the score file was altered",
            "Restore it, or remove it together with its record and run the leaderboard again.",
        )
    return True


def load_scores(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """The columns of a score file by part."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            part, _, column = key.rpartition("_")
            parts.setdefault(part, {})[column] = file[key]
    return parts


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
    if not records:
        return
    files = {name: value for record in reversed(records) for name, value in record["data"]["files"].items()}
    check_same_data(records, files)
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
                raise InputError(
                    f"one table to compare runs on the same {part} rows",
                    f"{run} and {record['run']}, whose {part} rows differ",
                    "Give runs with another split or other negatives another --out; nothing was overwritten.",
                )


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
                raise InputError(
                    "one table to compare runs on the same validation and test rows",
                    f"{key}={there!r} in {first[0]} and {key}={here!r} in {run}",
                    "Give runs with another split or other negatives another --out; nothing was overwritten.",
                )


def put(path: Path, text: str, folder: Path) -> None:
    """Write `text` in `folder`, then rename it to `path` on the same disk: `path` is whole or absent."""
    folder.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = folder / f"{path.name}.{os.getpid()}.part"
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


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

    def columns(self, record: Mapping[str, Any], part: str) -> dict[str, np.ndarray] | None:
        """user, label and score (B,) of a part; None where the file is not on this machine.

        Raises:
            InputError: the file is not the one the record was made from.
        """
        name = record["scores"]["file"]
        if name not in self._known:
            self._known[name] = check_scores_file(self._folder / name, record)
        if not self._known[name]:
            return None
        if (name, part) not in self._scores:
            with np.load(self._folder / name, allow_pickle=False) as file:
                if part not in self._rows:
                    self._rows[part] = {column: file[f"{part}_{column}"] for column in ("user", "label")}
                if sum(score.nbytes for score in self._scores.values()) > self.LIMIT:
                    self._scores.clear()
                self._scores[name, part] = file[f"{part}_score"]
        return {**self._rows[part], "score": self._scores[name, part]}
