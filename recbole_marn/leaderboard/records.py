"""Where the records (`evaluation/record.py`) and scores of a leaderboard lie, and what they must have in common.

Layout under the output folder: `records/<dataset>/<run>.json`, `records/<dataset>/trials/<trial>.json`,
`records/<dataset>.statistics.json`, `scores/<dataset>/<run>.scores.npz` (kept out of version control).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.errors import InputError
from recbole_marn.evaluation.scores import check_scores_file, load_scores
from recbole_marn.files import check_plain_name
from recbole_marn.leaderboard.grid import config_id
from recbole_marn.settings.data import DataSettings

__all__ = ["Folders", "ScoreStore", "check_alike"]

# Every run of a data set reads these where they exist.
ATOMIC = (".inter", ".item", ".user")
# Settings that decide which rows exist outside training.
ROW_SETTINGS = (
    "split", "split_times", "repeats", "eval_sampling", "negatives_from", "release_field", "eval_negatives",
    "matched_pool", "sample_seed", "label", "request", "split_ratios", "split_order", "split_group", "split_unit",
    "split_field", "split_files", "val_interval", "user_inter_num_interval", "item_inter_num_interval",
)  # fmt: skip
# What holds in a record that is older than the setting.
ROW_DEFAULTS = {entry.name: entry.default for entry in fields(DataSettings)}
READ = ("user", "label", "score")
KEPT = 64  # parts of score files held in memory


class Folders:
    """Where the files of one data set lie.

    Raises:
        InputError: the name of the data set is none of a folder.
    """

    def __init__(self, out: Path, dataset: str):
        check_plain_name("the name of a data set", dataset, "its folder is --data_path")
        self.out, self.dataset = out, dataset
        self.records, self.scores = out / "records" / dataset, out / "scores" / dataset
        self.trials, self.unfinished = self.records / "trials", self.scores / "unfinished"
        self.statistics = out / "records" / f"{dataset}.statistics.json"

    def table(self, suffix: str) -> Path:
        """The file of the tables in one format."""
        return self.out / f"{self.dataset}.{suffix}"

    def prepare(self) -> None:
        """Make the folders, and keep the scores out of version control."""
        for folder in (self.records, self.trials, self.scores):
            folder.mkdir(parents=True, exist_ok=True)
        ignore = self.out / "scores" / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# Their SHA-256 stands in the records.\n*\n!.gitignore\n", encoding="utf-8")


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


class ScoreStore:
    """Score columns of runs as they are asked for, the file's digest checked on first sight."""

    def __init__(self, folder: Path):
        self._checked = functools.cache(lambda name, digest: check_scores_file(folder / name, digest))
        self._read = functools.lru_cache(KEPT)(lambda name, part: load_scores(folder / name, part, READ)[part])

    def of_seeds(self, records: Sequence[Mapping[str, Any]], part: str) -> list[dict[str, np.ndarray]] | None:
        """user, label and score (B,) of a part, of each record; None where the file of any is not on this machine.

        Raises:
            InputError: a file is not the one its record was made from, or cannot be read.
        """
        files = [record["scores"]["file"] for record in records]
        if not all(self._checked(record["scores"]["file"], record["scores"]["sha256"]) for record in records):
            return None
        return [self._read(file, part) for file in files]
