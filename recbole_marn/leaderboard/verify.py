"""Every cell recomputed: tables from records, records from scores or the evidence that travels with them.

Neither torch nor RecBole is imported.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recbole_marn.errors import InputError, printable
from recbole_marn.evaluation.evidence import Evidence, alike, evidence_of_parts
from recbole_marn.evaluation.record import read_record, run_name_of
from recbole_marn.evaluation.scores import check_scores_file, load_scores, part_metrics, rows_sha256
from recbole_marn.leaderboard.across_page import PAGES, list_of_datasets, pages
from recbole_marn.leaderboard.board import Board, rows_of_records
from recbole_marn.leaderboard.formats import FORMATS, parts_of_line, unmarked
from recbole_marn.leaderboard.grid import config_id
from recbole_marn.leaderboard.measures import is_log
from recbole_marn.leaderboard.records import EvidenceStore, Folders, check_alike, datasets_in
from recbole_marn.leaderboard.search import search_told, unfair_rounds
from recbole_marn.leaderboard.statistics import Comparison, TableRow, statistics_of

__all__ = ["Findings", "add_arguments", "main", "verify", "verify_across"]

# Sums of the same numbers in another order; anything larger is another number.
TOLERANCE = 1e-9
# The same of sums that were rounded to travel.
ROUNDED = 1e-6
# Four standard errors of a share of 10,000 draws: another version of numpy may draw others.
DRAWN = 0.02
# Metrics of the order of scores, which no calibration changes.
RANKINGS = ("AUC", "UAUC", "GAUC")
SHOWN = 160  # letters of a line in a message
SHOWN_PROBLEMS = 40


@dataclass
class Findings:
    """What was checked, and what did not hold."""

    problems: list[str] = field(default_factory=list)
    cells: int = 0
    records: int = 0
    from_scores: int = 0
    from_evidence: int = 0
    absent: list[str] = field(default_factory=list)


def verify(out: Path, dataset: str, progress: Callable[[], None] = lambda: None) -> Findings:
    """Check the records, score files, statistics and tables of one data set against each other.

    Args:
        progress: called once a record, a row and a test.
    """
    folders, findings = Folders(out, dataset), Findings()
    records, store = _records(folders, findings), EvidenceStore(folders)
    for record in records:
        with _readable(f"record {record['run']}", findings):
            _check_metrics(folders, store, record, findings)
        progress()
    with _readable(f"the trials in {folders.trials}", findings):
        _check_trials(folders, records, findings)
    statistics = _read(folders.statistics, "statistics", findings)
    if statistics is None or not records:
        findings.problems += [] if records else [f"{folders.records}: there are no records, of which tables were made."]
        return findings
    with _readable(f"{folders.statistics} or its records", findings):
        board = Board(rows_of_records(records), statistics)
        _check_statistics(folders, store, board, findings, progress)
        _check_tables(folders, board, findings)
    return findings


@contextmanager
def _readable(what: str, findings: Findings) -> Iterator[None]:
    """An altered file may lack or twist anything: that is a problem to name, and no reason to stop."""
    try:
        yield
    except InputError as error:
        findings.problems.append(str(error))
    except Exception as error:
        findings.problems.append(f"Cannot check {what}: {type(error).__name__}: {error}.")


# ------------------------------------------------------------------------------------------------- records
def _read(path: Path, kind: str, findings: Findings) -> dict[str, Any] | None:
    """A record. One that was altered is a problem, and is still read so that what was altered can be named."""
    for sealed in (True, False):
        try:
            return read_record(path, kind, sealed)
        except InputError as error:
            if str(error) not in findings.problems:
                findings.problems.append(str(error))
    return None


def _records(folders: Folders, findings: Findings) -> list[dict[str, Any]]:
    read = [_read(path, "run", findings) for path in sorted(folders.records.glob("*.json"))]
    records = [record for record in read if record is not None]
    findings.records = len(records)
    _check_names("Record", records, findings)
    with _readable(f"the records in {folders.records}", findings):
        check_alike(records)
    return records


def _check_names(what: str, records: Iterable[Mapping[str, Any]], findings: Findings) -> None:
    """A run's name is that of its settings, and what a record says twice it says alike."""
    for record in records:
        name = run_name_of(record["settings"])
        if record["run"] != name:
            findings.problems.append(
                f"{what} {record['run']}: its settings are those of {name}; settings or seed were altered."
            )
        for key in ("model", "dataset", "seed"):
            if key in record and record[key] != record["settings"].get(key):
                told = f"{record[key]!r:.60}, {record['settings'].get(key)!r:.60} in its settings"
                findings.problems.append(f"{what} {record['run']}: its {key} is {told}.")


def _check_metrics(
    folders: Folders, store: EvidenceStore, record: Mapping[str, Any], findings: Findings
) -> None:
    """Against the scores where they are on this machine, else against the evidence where the record has some."""
    path, log = folders.scores / record["scores"]["file"], is_log(record["settings"])
    _check_history(record, findings)
    there = check_scores_file(path, record["scores"]["sha256"])
    evidence = store.of(record) if "evidence" in record else None
    if there:
        findings.from_scores += 1
        parts = load_scores(path)
        _check_scores(parts, record, log, findings)
        if evidence and not alike(evidence_of_parts(parts, log), evidence):
            findings.problems.append(f"Record {record['run']}: its evidence is not that of its scores.")
    elif evidence:
        findings.from_evidence += 1
        _check_evidence(record, evidence, log, findings)
    else:
        findings.absent.append(record["run"])
    if evidence:
        _check_sizes(record, evidence, findings)


def _check_history(record: Mapping[str, Any], findings: Findings) -> None:
    """The best epoch of the learning curve is the one that was kept, and scored on validation."""
    settings, metric = record["settings"], record["settings"].get("valid_metric")
    curve = [epoch["valid_score"] for epoch in record["history"] if epoch.get("valid_score") is not None]
    kept = record["metrics"].get("valid", {}).get(metric)
    if metric not in RANKINGS or not curve or kept is None:  # others are of what a calibration made of the scores
        return
    if not math.isclose(max(curve), kept, abs_tol=10.0 ** -settings.get("metric_decimal_place", 6)):
        findings.problems.append(
            f"Record {record['run']}: the best {metric} of its learning curve is {max(curve)}, that of valid {kept}."
        )


def _check_sizes(record: Mapping[str, Any], evidence: Mapping[str, Evidence], findings: Findings) -> None:
    """How many rows and users were scored."""
    data = record["data"]
    for part, one in evidence.items():
        users = one.clusters["user"]
        for name, told, found in (
            ("rows", data.get(f"{part}_rows"), int(users.rows.sum())),
            ("users", data.get("users_scored", {}).get(part), len(users.cluster)),
        ):
            if told not in (None, found):
                findings.problems.append(
                    f"Record {record['run']}: {told} {name} of {part}, its evidence is of {found}."
                )
        if part not in record["metrics"]:
            findings.problems.append(f"Record {record['run']}: no metrics of {part}, of which it has evidence.")


def _check_evidence(
    record: Mapping[str, Any], evidence: Mapping[str, Evidence], log: bool, findings: Findings
) -> None:
    for part, metrics in record["metrics"].items():
        if part not in evidence:
            findings.problems.append(f"Record {record['run']}: its evidence has no part {part}.")
            continue
        for metric, value in evidence[part].metrics(log).items():
            if not _same(metrics.get(metric), value, ROUNDED):
                findings.problems.append(
                    f"Record {record['run']}: {metric} of {part} is {metrics.get(metric)}, its evidence gives {value}."
                )


def _check_scores(
    parts: Mapping[str, Mapping[str, Any]], record: Mapping[str, Any], log: bool, findings: Findings
) -> None:
    for part, metrics in record["metrics"].items():
        if part not in parts or rows_sha256(parts[part]) != record["data"]["rows_sha256"].get(part):
            findings.problems.append(f"Record {record['run']}: the {part} rows are not those of its score file.")
            continue
        for metric, value in part_metrics(parts[part], log, record["settings"].get("topk", ())).items():
            if not _same(metrics.get(metric), value):
                findings.problems.append(
                    f"Record {record['run']}: {metric} of {part} is {metrics.get(metric)}, its scores give {value}."
                )


def _same(stored: float | None, computed: float | None, tolerance: float = TOLERANCE) -> bool:
    stored, computed = (math.nan if value is None else value for value in (stored, computed))
    if math.isnan(stored) or math.isnan(computed):
        return math.isnan(stored) and math.isnan(computed)
    return math.isclose(stored, computed, rel_tol=tolerance, abs_tol=tolerance)


def _check_trials(folders: Folders, records: Sequence[Mapping[str, Any]], findings: Findings) -> None:
    trials = {path.stem: _read(path, "trial", findings) for path in sorted(folders.trials.glob("*.json"))}
    _check_names("Trial", filter(None, trials.values()), findings)
    for record in records:
        tuned = record.get("tuned")
        if not tuned:
            continue
        compared = [trials.get(name) for name in tuned["compared"]]
        if not all(compared):
            findings.problems.append(f"Record {record['run']}: a trial of its search is missing or unreadable.")
            continue
        halving = "rounds" in tuned
        found = search_told(compared, tuned.get("space", {}), halving=halving)
        best = dict(trials[found["chosen"]]["settings"]) | ({"epochs": record["settings"]["epochs"]} if halving else {})
        if found["chosen"] != tuned["chosen"]:
            findings.problems.append(f"Record {record['run']}: trial {tuned['chosen']} is not the best of its search.")
        elif config_id(best) != config_id(record["settings"]):
            findings.problems.append(f"Record {record['run']}: its settings are not those of trial {tuned['chosen']}.")
        for passes in unfair_rounds(compared, record["settings"]["epochs"]) if halving else ():
            findings.problems.append(
                f"Record {record['run']}: {passes} epochs of its search were not those of the best of the round before."
            )
        for key, value in found.items():
            if key != "chosen" and tuned.get(key, value) != value:
                findings.problems.append(f"Record {record['run']}: {key} of its search is {tuned[key]}, not {value}.")


# ---------------------------------------------------------------------------------------------- statistics
def _check_statistics(
    folders: Folders,
    store: EvidenceStore,
    board: Board,
    findings: Findings,
    progress: Callable[[], None],
) -> None:
    statistics, digests = board.statistics, {record["run"]: record["sha256"] for record in board.records}
    for run in sorted(set(digests) | set(statistics["records"])):
        if digests.get(run) != statistics["records"].get(run):
            what = "is missing" if run not in digests else "is not the one the tables were made from"
            findings.problems.append(f"Record {run}: {what}.")

    def found(row: TableRow, part: str) -> list[Any] | None:
        try:
            return store.of_seeds(row.records, part)
        except InputError:  # reported with its record
            return None

    comparison = Comparison(statistics["baseline"], statistics["resamples"], statistics.get("unit", "user"))
    computed = statistics_of(
        folders.dataset, board.rows, found, comparison, known=statistics, recompute=True, progress=progress
    )
    for key in ("dataset", "confidence"):
        if statistics[key] != computed[key]:
            findings.problems.append(f"{folders.statistics}: {key} is {statistics[key]!r}, not {computed[key]!r}.")
    there, here = dict(_numbers(statistics)), dict(_numbers(computed))
    for name in sorted(set(there) | set(here)):
        tolerance = DRAWN if name.startswith("p_sign_flip ") else TOLERANCE
        if not _same(there.get(name), here.get(name), tolerance):
            findings.problems.append(f"{folders.statistics}: {name} is {there.get(name)}, recomputed {here.get(name)}.")


def _numbers(statistics: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    """Every number of the statistics with its name."""
    for row, entry in statistics["intervals"].items():
        for key, ends in entry.items():
            if key != "of":
                named = zip(("low", "high"), ends, strict=True)
                yield from ((f"the {end} end of {key} of {row}", value) for end, value in named)
    for row, curve in statistics.get("reliability", {}).items():
        for key, values in curve.items():
            if key != "of":
                yield from ((f"reliability of {row}, {key} of bin {at}", value) for at, value in enumerate(values, 1))
    for test in statistics["tests"]:
        name = f"{test['metric']} {test['part']} of {test['row']} against the {test['against']} ({test['reference']})"
        for key in ("difference", "z", "t", "p", "p_sign_flip", "p_holm", "relative_improvement"):
            if key in test:
                yield f"{key} of {name}", test[key]
        for end, value in zip(("low", "high"), test.get("over_seeds", (None, None)), strict=True):
            yield f"the {end} end over seeds of {name}", value


# -------------------------------------------------------------------------------------------------- tables
def _check_tables(folders: Folders, board: Board, findings: Findings) -> None:
    for suffix, write in FORMATS.items():
        _check_text(folders.table(suffix), write(board), findings)


def _check_text(path: Path, marked: str, findings: Findings) -> None:
    findings.cells += marked.count("\x03")
    if not path.is_file():
        findings.problems.append(f"{path}: the table is missing.")
        return
    found = path.read_text(encoding="utf-8", errors="replace")
    findings.problems += [f"{path}: {problem}" for problem in _differences(marked.split("\n"), found.split("\n"))]


def verify_across(out: Path) -> Findings | None:
    """Check the pages over several data sets against the records; None where a folder has none."""
    if not list_of_datasets(out).exists() and not any(out.joinpath(name).exists() for name in PAGES):
        return None
    findings = Findings()
    told = _read(list_of_datasets(out), "across", findings)
    if told is not None:
        with _readable(f"the pages over {', '.join(told['datasets'])}", findings):
            for name, marked in pages(out, told["datasets"]).items():
                _check_text(out / name, marked, findings)
    return findings


def _differences(marked: Sequence[str], found: Sequence[str]) -> Iterator[str]:
    """What a table says in another way than it should: by cell where the line around the cell is as it should be."""
    expected = [unmarked(line) for line in marked]
    # Comparing lines takes time that grows with the square of those that differ: a file cannot make it long.
    found = found[: 2 * len(expected)]
    for tag, start, end, at, to in SequenceMatcher(None, expected, found, autojunk=False).get_opcodes():
        if tag != "equal":
            for index, pair in enumerate(zip_longest(marked[start:end], found[at:to]), start=at + 1):
                yield from _line(*pair, index)


def _line(marked: str | None, found: str | None, number: int) -> Iterator[str]:
    around, cells, wanted = parts_of_line(marked or "")
    stands = [None] * len(cells) if found is None else _between(around, found)
    if cells and stands is not None and stands != wanted:
        for (table, row, column), says, said in zip(cells, stands, wanted, strict=True):
            if says != said:
                here = "nothing" if says is None else f"'{says}'"
                yield f"cell '{column}' of row '{row}' ({table}) says {here}, the records say '{said}'."
    else:
        lines = (found, marked and unmarked(marked))
        here, there = ("nothing" if line is None else f"'{line[:SHOWN]}'" for line in lines)
        yield f"line {number} reads {here}, the records say {there}."


def _between(around: Sequence[str], line: str) -> list[str] | None:
    """What stands in a line between the given texts, in their order; None where it does not have them."""
    if not (line.startswith(around[0]) and line.endswith(around[-1])):
        return None
    found, at, end = [], len(around[0]), len(line) - len(around[-1])
    for text in around[1:-1]:
        start = line.find(text, at, end)
        if start < 0:
            return None
        found.append(line[at:start])
        at = start + len(text)
    return [*found, line[at:end]]


# -------------------------------------------------------------------------------------------- command line
def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `verify`."""
    told = "the --out of a leaderboard; folders of results in it are checked, too"
    parser.add_argument("out", type=Path, metavar="DIR", help=told)
    parser.add_argument("-d", "--dataset", help="only this data set (default: all there are)")


def main(args: argparse.Namespace) -> int:
    """Run `verify`: 0 all holds, 2 something was altered; every problem is named on stderr."""
    problems = 0
    there = {out: _tables_in(out) for out in result_folders(args.out)}
    known = sorted({dataset for datasets in there.values() for dataset in datasets})
    if args.dataset and args.dataset not in known:
        raise InputError(f"a data set with records in {args.out}", repr(args.dataset), f"There are {', '.join(known)}.")
    for out, datasets in there.items():
        inside = "" if out == args.out else f"{out.relative_to(args.out).as_posix()}/"
        for dataset in datasets if args.dataset is None else set(datasets) & {args.dataset}:
            with tqdm(desc=f"verify {inside}{dataset}", unit="check", disable=None) as bar:
                findings = verify(out, dataset, bar.update)
            problems += _tell_problems(findings)
            print(
                f"{printable(inside + dataset)}: {findings.cells} cells against {findings.records} records; "
                f"{findings.from_scores} recomputed from their scores, {findings.from_evidence} from their evidence, "
                f"{len(findings.absent)} taken from the record, whose scores are not on this machine; "
                f"{len(findings.problems)} problems"
            )
        if not args.dataset and (findings := verify_across(out)):
            problems += _tell_problems(findings)
            print(f"{inside}across data sets: {findings.cells} cells; {len(findings.problems)} problems")
    return 2 if problems else 0


def _tables_in(out: Path) -> list[str]:
    """Data sets with records, and those whose statistics alone are there."""
    statistics = (out / "records").glob("*.statistics.json")
    return sorted({*datasets_in(out), *(path.name.removesuffix(".statistics.json") for path in statistics)})


def result_folders(out: Path) -> list[Path]:
    """The folder of results, where it has records, and the folders in it, however deep, that have some."""
    nested = sorted(path.parent for path in out.rglob("records") if path.is_dir() and path.parent != out)
    return nested if nested and not (out / "records").is_dir() else [out, *nested]


def _tell_problems(findings: Findings) -> int:
    for problem in findings.problems[:SHOWN_PROBLEMS]:
        print(printable(problem), file=sys.stderr)
    if len(findings.problems) > SHOWN_PROBLEMS:
        print(f"... and {len(findings.problems) - SHOWN_PROBLEMS} more", file=sys.stderr)
    return len(findings.problems)
