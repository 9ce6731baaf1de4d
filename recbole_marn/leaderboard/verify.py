"""Every cell recomputed: tables from records, records from scores."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError
from recbole_marn.leaderboard.board import Board, board_of, rows_of_records
from recbole_marn.leaderboard.grid import config_id
from recbole_marn.leaderboard.records import (
    FORMAT,
    Folders,
    ScoreStore,
    check_alike,
    check_scores_file,
    load_scores,
    read_record,
    rows_sha256,
)
from recbole_marn.leaderboard.render import FORMATS
from recbole_marn.leaderboard.statistics import TableRow, statistics_of
from recbole_marn.leaderboard.texts import reading
from recbole_marn.leaderboard.tuned import best_trial
from recbole_marn.leaderboard.work import part_metrics

__all__ = ["Report", "datasets_in", "verify"]

# Sums of the same numbers in another order; anything larger is another number.
TOLERANCE = 1e-9


@dataclass
class Report:
    """What was checked, and what did not hold."""

    dataset: str
    problems: list[str] = field(default_factory=list)
    cells: int = 0
    records: int = 0
    recomputed: int = 0
    absent: list[str] = field(default_factory=list)


def datasets_in(out: Path) -> list[str]:
    """Data sets with records in a folder.

    Raises:
        InputError: there are none.
    """
    found = sorted(path.name for path in (out / "records").glob("*") if path.is_dir())
    if not found:
        raise InputError(
            f"a results folder with records/<dataset>/ in {out}", "none", "Give the --out of the leaderboard."
        )
    return found


def verify(out: Path, dataset: str, progress: Callable[[], None] = lambda: None) -> Report:
    """Check the records, score files, statistics and tables of one data set against each other.

    Args:
        progress: called once a record, a row and a test.
    """
    folders, report = Folders(out, dataset), Report(dataset)
    records = _records(folders, report)
    for record in records:
        with _readable(f"record {record.get('run')}", report):
            _check_scores(folders, record, report)
        progress()
    with _readable(f"the trials in {folders.trials}", report):
        _check_trials(folders, records, report)
    statistics = _read(folders.statistics, "statistics", report)
    if statistics is None or not records:
        return report
    with _readable(f"{folders.statistics} or its records", report):
        _check_statistics(folders, records, statistics, report, progress)
        _check_tables(folders, board_of(records, statistics), report)
    return report


@contextmanager
def _readable(what: str, report: Report) -> Iterator[None]:
    """An altered file may lack or twist anything: that is a problem to name, and no reason to stop."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        report.problems.append(f"Cannot check {what}: {type(error).__name__}: {error}.")


# ------------------------------------------------------------------------------------------------- records
def _read(path: Path, kind: str, report: Report) -> dict[str, Any] | None:
    """A record. An altered one is a problem, and is still read so that what was altered can be named."""
    try:
        return read_record(path, kind)
    except InputError as error:
        report.problems.append(str(error))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same_kind = isinstance(content, dict) and content.get("leaderboard") == kind and content.get("format") == FORMAT
    return content if same_kind else None


def _records(folders: Folders, report: Report) -> list[dict[str, Any]]:
    read = [_read(path, "run", report) for path in sorted(folders.records.glob("*.json"))]
    records = [record for record in read if record is not None]
    report.records = len(records)
    for record in records:
        with _readable(f"record {record.get('run')}", report):
            if record["run"] != _name(record):
                report.problems.append(
                    f"Record {record['run']}: its settings are those of {_name(record)}; settings or seed were altered."
                )
    try:
        with _readable(f"the records in {folders.records}", report):
            check_alike(records)
    except InputError as error:
        report.problems.append(str(error))
    return records


def _name(record: Mapping[str, Any]) -> str:
    """`trainer.run_name` of the recorded settings, written here so that verifying needs no training libraries."""
    settings = record["settings"]
    found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    return f"{settings['model']}-{settings['dataset']}-{settings['seed']}-{found}"


def _check_scores(folders: Folders, record: Mapping[str, Any], report: Report) -> None:
    path = folders.scores / record["scores"]["file"]
    try:
        if not check_scores_file(path, record):
            report.absent.append(record["run"])
            return
    except InputError as error:
        report.problems.append(str(error))
        return
    report.recomputed += 1
    parts = load_scores(path)
    for part, metrics in record["metrics"].items():
        if part not in parts or rows_sha256(parts[part]) != record["data"]["rows_sha256"][part]:
            report.problems.append(f"Record {record['run']}: the {part} rows are not those of its score file.")
            continue
        for metric, value in part_metrics(parts[part]).items():
            if not _same(metrics.get(metric), value):
                report.problems.append(
                    f"Record {record['run']}: {metric} of {part} is {metrics.get(metric)}, its scores give {value}."
                )


def _same(stored: float | None, computed: float | None) -> bool:
    stored, computed = (math.nan if value is None else value for value in (stored, computed))
    if math.isnan(stored) or math.isnan(computed):
        return math.isnan(stored) and math.isnan(computed)
    return math.isclose(stored, computed, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _check_trials(folders: Folders, records: Sequence[Mapping[str, Any]], report: Report) -> None:
    trials = {path.stem: _read(path, "trial", report) for path in sorted(folders.trials.glob("*.json"))}
    for record in records:
        tuned = record.get("tuned")
        if not tuned:
            continue
        compared = [trials.get(name) for name in tuned["compared"]]
        if any(trial is None for trial in compared):
            report.problems.append(f"Record {record['run']}: a trial of its search is missing or unreadable.")
            continue
        best = best_trial([trial for trial in compared if trial])
        if best["run"] != tuned["chosen"]:
            report.problems.append(f"Record {record['run']}: trial {tuned['chosen']} is not the best of its search.")
        elif config_id(best["settings"]) != config_id(record["settings"]):
            report.problems.append(f"Record {record['run']}: its settings are not those of trial {tuned['chosen']}.")


# ---------------------------------------------------------------------------------------------- statistics
def _check_statistics(
    folders: Folders,
    records: Sequence[Mapping[str, Any]],
    statistics: Mapping[str, Any],
    report: Report,
    progress: Callable[[], None],
) -> None:
    digests = {record["run"]: record["sha256"] for record in records}
    for run in sorted(set(digests) | set(statistics["records"])):
        if digests.get(run) != statistics["records"].get(run):
            what = "is missing" if run not in digests else "is not the one the tables were made from"
            report.problems.append(f"Record {run}: {what}.")
    store = ScoreStore(folders.scores)

    def scores(row: TableRow, part: str) -> list[Any] | None:
        try:
            found = [store.columns(record, part) for record in row.records]
        except (InputError, KeyError):  # reported with its record
            return None
        return None if any(columns is None for columns in found) else found

    try:
        computed = statistics_of(
            folders.dataset, rows_of_records(records), scores, baseline=statistics["baseline"],
            resamples=statistics["resamples"], known=statistics, recompute=True, progress=progress,
        )  # fmt: skip
    except InputError as error:
        report.problems.append(f"{folders.statistics}: {error}")
        return
    there, here = dict(_numbers(statistics)), dict(_numbers(computed))
    for name in sorted(set(there) | set(here)):
        if not _same(there.get(name), here.get(name)):
            report.problems.append(f"{folders.statistics}: {name} is {there.get(name)}, recomputed {here.get(name)}.")


def _numbers(statistics: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    """Every number of the statistics with its name."""
    for row, entry in statistics["intervals"].items():
        for key, ends in entry.items():
            if key != "of":
                yield from (
                    (f"the {end} end of {key} of {row}", value)
                    for end, value in zip(("low", "high"), ends, strict=True)
                )
    for test in statistics["tests"]:
        name = f"{test['metric']} {test['part']} of {test['row']} against the {test['against']} ({test['reference']})"
        for key in ("difference", "z", "t", "p", "p_sign_flip", "p_holm", "relative_improvement"):
            if key in test:
                yield f"{key} of {name}", test[key]


# -------------------------------------------------------------------------------------------------- tables
def _check_tables(folders: Folders, board: Board, report: Report) -> None:
    for suffix, (write, read) in FORMATS.items():
        path = folders.table(suffix)
        if not path.is_file():
            report.problems.append(f"{path}: the table is missing.")
            continue
        expected, found = write(board), path.read_text(encoding="utf-8", errors="replace")
        wanted, stands = read(expected, board.tables), read(found, board.tables)
        report.cells += len(wanted)
        altered = [key for key in {**wanted, **stands} if wanted.get(key) != stands.get(key)]
        for table, row, column in altered:
            key = (table, row, column)
            report.problems.append(
                f"{path}: cell '{column}' of row '{row}' ({table}) says {reading(stands, key)}, "
                f"the records say {reading(wanted, key)}."
            )
        if not altered and found != expected:
            report.problems.append(f"{path}: {_first_difference(expected, found)}")


def _first_difference(expected: str, found: str) -> str:
    wanted, lines = expected.splitlines(), found.splitlines()
    wanted += [""] * (len(lines) - len(wanted))
    lines += [""] * (len(wanted) - len(lines))
    number = next((n for n, pair in enumerate(zip(wanted, lines, strict=True)) if pair[0] != pair[1]), len(lines) - 1)
    return f"line {number + 1} reads '{lines[number][:160]}', the records say '{wanted[number][:160]}'."
