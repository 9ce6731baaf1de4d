"""Where the records (`evaluation/record.py`) and scores of a leaderboard lie, and what they must have in common.

Layout under the output folder: `records/<dataset>/<run>.json`, `records/<dataset>/trials/<trial>.json`,
`records/<dataset>/evidence/<run>.npz.xz`, `records/<dataset>.statistics.json`, `scores/<dataset>/<run>.scores.npz`
(kept out of version control).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from filelock import FileLock

from recbole_marn.errors import InputError
from recbole_marn.evaluation.evidence import Evidence, evidence_of_parts, unpack
from recbole_marn.evaluation.scores import check_scores_file, load_scores
from recbole_marn.files import check_plain_name, sha256
from recbole_marn.leaderboard.grid import config_id
from recbole_marn.leaderboard.measures import is_log
from recbole_marn.settings.data import ROW_SETTINGS, DataSettings

__all__ = ["EvidenceStore", "Folders", "check_alike", "datasets_in"]

# Every run of a data set reads these where they exist.
ATOMIC = (".inter", ".item", ".user")
# What holds in a record that is older than the setting, as a file says it: a tuple is a list there.
ROW_DEFAULTS = {
    entry.name: list(entry.default) if isinstance(entry.default, tuple) else entry.default
    for entry in fields(DataSettings)
}


class Folders:
    """Where the files of one data set lie.

    Raises:
        InputError: the name of the data set is none of a folder.
    """

    def __init__(self, out: Path, dataset: str):
        check_plain_name("the name of a data set", dataset, "its folder is --data_path")
        self.out, self.dataset = out, dataset
        self.records, self.scores = out / "records" / dataset, out / "scores" / dataset
        self.evidence = self.records / "evidence"
        self.trials, self.unfinished = self.records / "trials", self.scores / "unfinished"
        self.statistics = out / "records" / f"{dataset}.statistics.json"

    @property
    def lock(self) -> FileLock:
        """Held from the reading of the records to the last table: of two commands the later one has all of both."""
        return FileLock(self.scores / "tables.lock")

    def table(self, suffix: str) -> Path:
        """The file of the tables in one format."""
        return self.out / f"{self.dataset}.{suffix}"

    def prepare(self) -> None:
        """Make the folders, and keep the scores out of version control."""
        for folder in (self.records, self.trials, self.evidence, self.scores):
            folder.mkdir(parents=True, exist_ok=True)
        ignore = self.out / "scores" / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# Their SHA-256 stands in the records.\n*\n!.gitignore\n", encoding="utf-8")


def datasets_in(out: Path) -> list[str]:
    """Data sets with records in a folder.

    Raises:
        InputError: there are none.
    """
    found = sorted(path.name for path in (out / "records").glob("*") if path.is_dir())
    if not found:
        raise InputError(
            f"a results folder with records/<dataset>/ in '{out}'", "none", "Give the --out of the leaderboard."
        )
    return found


# -------------------------------------------------------------------------------------------- consistency
def check_alike(records: Iterable[Mapping[str, Any]]) -> None:
    """What stands in one table must be of the same data and rows, and no two of the same settings and seed.

    Args:
        records: of runs and trials, finished or planned; of a planned one what is known before it runs.

    Raises:
        InputError: names two that differ, and in what.
    """
    known: dict[str, tuple[str, Any]] = {}
    for record in records:
        for fact, value in _facts(record):
            run, other = known.setdefault(fact, (record["run"], value))
            if other != value:
                raise InputError(
                    f"one table to compare runs on the same data, with the same {fact}",
                    f"{_short(other)} in {run} and {_short(value)} in {record['run']}",
                    "Give runs on other data, with another split or other negatives another --out; nothing was "
                    "overwritten.",
                )


def _facts(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a record must have in common with every other that has it."""
    data, settings = record["data"], record["settings"]
    for name in {f"{record['settings']['dataset']}{suffix}" for suffix in ATOMIC} | set(data["files"]):
        yield f"file {name}", data["files"].get(name)
    for part, rows in data.get("rows_sha256", {}).items():
        yield f"{part} rows", rows
    for key in ROW_SETTINGS:
        yield key, settings.get(key, ROW_DEFAULTS.get(key))
    if "scores" in record:
        known = f"settings {config_id(settings)} and seed {record['seed']}"
        yield f"record of {known}, which would count as two seeds", record["run"]


def _short(value: Any) -> str:
    return "no file" if value is None else repr(value)[:60]


class EvidenceStore:
    """The evidence of runs as it is asked for, digests checked on first sight.

    It is read from the file that travels with the record. Records from before there were such files have evidence where
    their scores are on this machine.
    """

    def __init__(self, folders: Folders):
        self._folders = folders
        self._known: dict[str, dict[str, Evidence] | None] = {}

    def of_seeds(self, records: Sequence[Mapping[str, Any]], part: str) -> list[Evidence] | None:
        """The evidence of a part, of each record; None where there is none of any.

        Raises:
            InputError: a file is not the one its record names, or cannot be read.
        """
        found = [self.of(record) for record in records]
        return None if any(parts is None for parts in found) else [parts[part] for parts in found]

    def of(self, record: Mapping[str, Any]) -> dict[str, Evidence] | None:
        """The evidence of a record by part, None where there is none; errors as `of_seeds`."""
        run = record["run"]
        if run not in self._known:
            self._known[run] = self._read(record)
        return self._known[run]

    def _read(self, record: Mapping[str, Any]) -> dict[str, Evidence] | None:
        if "evidence" in record:
            return _read_evidence(self._folders, record)
        path = self._folders.scores / record["scores"]["file"]
        if not check_scores_file(path, record["scores"]["sha256"]):
            return None
        return evidence_of_parts(load_scores(path), is_log(record["settings"]))


def _read_evidence(folders: Folders, record: Mapping[str, Any]) -> dict[str, Evidence]:
    """The evidence by part of a record that names its file.

    Raises:
        InputError: the file is missing, another than the record names, or unreadable.
    """
    path, digest = folders.evidence / record["evidence"]["file"], record["evidence"]["sha256"]
    found = sha256(path) if path.is_file() else "none"
    if found != digest:
        raise InputError(
            f"evidence {path} as recorded (SHA-256 {digest[:12]}...)",
            "no such file" if found == "none" else f"another content (SHA-256 {found[:12]}...): it was altered",
            "Restore it from version control, or remove the record and run again.",
        )
    return unpack(path.read_bytes())
