"""The tables of a leaderboard as cells: every format shows the same ones, and `verify` compares them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

from recbole_marn.leaderboard.grid import config_id, without_defaults
from recbole_marn.leaderboard.measures import Measures, measures_of
from recbole_marn.leaderboard.statistics import TableRow, best_row, difference_over_seeds, known_ends, mean_of_seeds

__all__ = [
    "ABSENT", "Board", "Cell", "Table", "number", "p_value", "rows_of_records", "sampling_of", "seconds_per_epoch",
]  # fmt: skip

ABSENT = "–"
NEGATIVES = {"train": "training", "eval": "validation and test"}


@dataclass(frozen=True)
class Cell:
    """What a cell says, the number it is sorted by, and whether it is the best of its column."""

    text: str
    value: float | str | None = None
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a name for `verify` and a title for readers; the first column names the row."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Board:
    """All that is rendered: rows in order of their main metric, their statistics, and the tables made of both.

    Neither scores nor RecBole are needed.
    """

    rows: Sequence[TableRow]
    statistics: Mapping[str, Any]

    # The tables; `numbers` has all of them in full, one line a row: the CSV.
    results = cached_property(lambda self: _results(self))
    evidence = cached_property(lambda self: tuple(_evidence(self, *pair) for pair in self.measures.tests))
    sizes = cached_property(lambda self: _sizes(self))
    hyper_parameters = cached_property(lambda self: _hyper_parameters(self))
    numbers = cached_property(lambda self: _numbers(self))

    @cached_property
    def records(self) -> list[Mapping[str, Any]]:
        """Records of all rows."""
        return [record for row in self.rows for record in row.records]

    @cached_property
    def measures(self) -> Measures:
        """Which metrics the tables have."""
        return measures_of(self.records)

    @cached_property
    def shared(self) -> dict[str, Any]:
        """Settings that every run has in common."""
        settings = [record["settings"] for record in self.records]
        return {key: value for key, value in settings[0].items() if all(entry.get(key) == value for entry in settings)}

    def unit_of(self, metric: str) -> str:
        """What the tests of a metric take as independent: for AUC the chosen unit, else users, as UAUC is of theirs."""
        return str(self.statistics.get("unit", "user")) if metric == "AUC" else "user"

    def interval(self, row: TableRow, metric: str, part: str) -> tuple[float, float]:
        """Ends of an interval; NaN where it is not known."""
        return known_ends(self.statistics["intervals"].get(row.label, {}).get(f"{metric} {part}"))


# --------------------------------------------------------------------------------------------------- rows
def rows_of_records(records: Iterable[Mapping[str, Any]]) -> list[TableRow]:
    """Records as rows: one for each set of settings, its seeds in order, the best main metric first.

    Rows of one name and different settings get what sets them apart added to their names.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for record in sorted(records, key=lambda record: (record["row"], record["run"])):
        groups.setdefault(config_id(record["settings"]), []).append(record)
    for members in groups.values():
        members.sort(key=lambda record: record["seed"])
    rows = _labelled([TableRow(members[0]["row"], tuple(members)) for members in groups.values()])
    main = measures_of(record for row in rows for record in row.records).main if rows else ""

    def order(row: TableRow) -> tuple[float, str]:
        mean = mean_of_seeds(row, main)[0]
        return (math.inf if math.isnan(mean) else -mean, row.label)

    return sorted(rows, key=order)


def _labelled(rows: Sequence[TableRow]) -> list[TableRow]:
    """The rows under labels of their own: statistics go by them. What is added may be the name of another row."""
    named: dict[str, list[TableRow]] = {}
    for row in rows:
        named.setdefault(row.label, []).append(row)
    if len(named) == len(rows):
        return list(rows)
    return _labelled([
        replace(row, label=label + more)
        for label, alike in named.items()
        for row, more in zip(alike, _told_apart([row.records[0]["settings"] for row in alike]), strict=True)
    ])  # fmt: skip


def _told_apart(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    if len(settings) == 1:
        return [""]
    keys = sorted({key for entry in settings for key in entry if key != "seed"})
    bare = [without_defaults(entry) for entry in settings]
    differing = [key for key in keys if len({json.dumps(entry.get(key, ABSENT), sort_keys=True) for entry in bare}) > 1]
    labels: list[str] = []
    for shown in range(min(3, len(differing)), len(differing) + 1):
        labels = [
            " (" + ", ".join(f"{key}={_told(entry, key)}" for key in differing[:shown]) + ")"
            for entry in settings
        ]
        if len(set(labels)) == len(labels):
            break
    return labels


def _told(settings: Mapping[str, Any], key: str) -> str:
    """The value of a key; a record that is older than the key has its default."""
    return json.dumps(settings[key]) if key in settings else "default"


# -------------------------------------------------------------------------------------------------- cells
def sampling_of(part: str, settings: Mapping[str, Any]) -> str:
    """How a test part's negatives were drawn; of a log, which has its own, the name of the part."""
    if settings.get("label") is not None:
        return part
    return str(settings.get("eval_sampling", "uniform")) if part == "test" else part.removeprefix("test_")


def number(value: float, digits: int = 4) -> str:
    """A number, or a dash for what is not known."""
    return ABSENT if math.isnan(value) else f"{value:.{digits}f}"


def spread(mean: float, std: float) -> str:
    """`mean ± std`, the deviation left out where one seed gives none."""
    return number(mean) if math.isnan(std) else f"{number(mean)} ± {number(std)}"


def p_value(value: float | None) -> str:
    """A p-value with the usual floor; "undefined" where a test could not be made."""
    if value is None or math.isnan(value):
        return "undefined"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _mark(column: list[tuple[str, float]], lower: bool = False) -> list[Cell]:
    """Cells of a column, the best ones marked: those that read the same as the best."""
    known = [value for _, value in column if not math.isnan(value)]
    best = (min if lower else max)(known) if known else math.nan
    shown = {text for text, value in column if value == best}
    return [Cell(text, None if math.isnan(value) else value, text in shown) for text, value in column]


# ------------------------------------------------------------------------------------------------- tables
def _results(board: Board) -> Table:
    rows, shared = board.rows, board.shared
    columns: list[tuple[str, list[Cell]]] = [
        ("Model", [Cell(row.label, row.label) for row in rows]),
    ]
    log = board.measures.log
    for metric, part in board.measures.shown:
        title = f"UAUC {sampling_of(part, shared)}" if metric == "UAUC" and not log else metric
        found = [mean_of_seeds(row, metric, part) for row in rows]
        cells = _mark([(spread(*pair), round(pair[0], 4)) for pair in found], metric in ("LogLoss", "NE"))
        columns.append((title, cells))
    calibration = [mean_of_seeds(row, "ECE")[0] for row in rows]
    columns.append(("ECE", _mark([(number(value), round(value, 4)) for value in calibration], lower=True)))
    ratio = [mean_of_seeds(row, "predicted/observed")[0] for row in rows]
    columns.append(("Pred./obs.", [_cell(value, number(value, 2)) for value in ratio]))
    sizes = [row.records[0]["parameters"] for row in rows]
    columns.append(("Parameters", [_cell(float(size), f"{size:,}") for size in sizes]))
    times = [seconds_per_epoch(row) for row in rows]
    columns.append(("s/epoch", [_cell(value, number(value, 1 if value >= 10 else 2)) for value in times]))
    columns.append(("Seeds", [Cell(str(len(row.records)), len(row.records)) for row in rows]))
    families = [row.records[0].get("family") for row in rows]
    columns.append(("Family", [Cell(family or ABSENT, family) for family in families]))
    note = _note_of_log(board) if log else (
        "Mean over the seeds ± standard deviation; the best of each column in bold. UAUC: AUC of each user's own rows, "
        "averaged over users, against negatives drawn in three ways; AUC, LogLoss, ECE and predicted over observed "
        f"clicks against the first. Training draws {shared.get('train_negatives', '?')} and evaluation "
        f"{shared.get('eval_negatives', '?')} negatives per positive, which alone moves the last away from 1."
    )
    return _table("results", "Evaluation Results", columns, note)


def _note_of_log(board: Board) -> str:
    told = (
        "Mean over the seeds ± standard deviation; the best of each column in bold. Test rows are the log's own. UAUC: "
        "AUC of each user's own rows, averaged over users; GAUC: weighted by their rows. NE: LogLoss over that of the "
        "constant click rate. ECE: over ten bins of as many rows each."
    )
    found = board.records[0]["metrics"]["test"]
    if "requests" not in found:
        return told
    left_out = found["requests without a click"] + found["requests without a non-click"]
    return told + (
        f" Request AUC, MRR and nDCG are means over the {found['requests']:,} requests with a click and a non-click; "
        f"{left_out:,} are left out."
    )


def seconds_per_epoch(row: TableRow) -> float:
    """Mean over the seeds of the training seconds of one epoch."""
    known = [record["seconds_per_epoch"] for record in row.records if record["seconds_per_epoch"] is not None]
    # Not `sum`, whose last digit hangs on the version of Python: it compensates from 3.12 on.
    return fmean(known) if known else math.nan


def _table(name: str, title: str, columns: Sequence[tuple[str, list[Cell]]], note: str = "") -> Table:
    rows = tuple(zip(*(cells for _, cells in columns), strict=True))
    return Table(name, title, tuple(head for head, _ in columns), rows, note)


def _evidence(board: Board, metric: str, part: str) -> Table:
    rows, statistics = board.rows, board.statistics
    found = {(test["row"], test["against"]): test for test in statistics["tests"]
             if (test["metric"], test["part"]) == (metric, part)}  # fmt: skip
    best, baseline = best_row(rows, metric, part), statistics["baseline"]
    means = [mean_of_seeds(row, metric, part) for row in rows]
    intervals = [board.interval(row, metric, part) for row in rows]
    columns: list[tuple[str, list[Cell]]] = [
        ("Model", [Cell(row.label, row.label) for row in rows]),
        (metric, _mark([(spread(*pair), round(pair[0], 4)) for pair in means])),
        ("95 % interval", [_cell(low, f"[{low:.4f}, {high:.4f}]") for low, high in intervals]),
    ]
    for against, name in (("best", best.label if best else None), ("baseline", baseline)):
        tests = [None if row.label == name else found.get((row.label, against), {}) for row in rows]
        columns.append((f"Δ {against}", [_test_cell(test, "difference") for test in tests]))
        columns.append((f"Δ {against} over seeds", [_test_cell(test, "over_seeds") for test in tests]))
        columns.append((f"p {against}", [_test_cell(test, "p_holm") for test in tests]))
        if against == "baseline":
            columns.append(("RelaImpr", [_test_cell(test, "relative_improvement") for test in tests]))
    unit = board.unit_of(metric)
    test = f"DeLong's test, rows clustered by {unit}" if metric == "AUC" else "Student's test, paired over users"
    note = (
        f"Best: {best.label if best else ABSENT}. Baseline: {baseline}. p, over {unit}s: {test}; Holm's correction by "
        "column, for the best among all pairs of rows. Over seeds: Welch's 95 % interval of Δ, not corrected."
    )
    title = f"{metric}, test part" if board.measures.log else f"{metric}, {sampling_of(part, board.shared)} negatives"
    return _table(f"{metric} {part}", title, columns, note)


def _test_cell(test: Mapping[str, Any] | None, key: str) -> Cell:
    """A number of a test: None for the row that others are tested against, empty where there is no test."""
    if not test:
        return Cell("itself" if test is None else ABSENT)
    if key == "over_seeds":  # signs are shown: whether the interval leaves zero out is the question
        low, high = difference_over_seeds(test)
        return _cell(low, f"[{low:+.4f}, {high:+.4f}]")
    value = math.nan if test[key] is None else test[key]
    if key == "p_holm":
        return Cell(p_value(value), None if math.isnan(value) else value)
    return _cell(value, number(100 * value, 2) + " %" if key == "relative_improvement" else f"{value:+.4f}")


def _cell(value: float, text: str) -> Cell:
    return Cell(ABSENT) if math.isnan(value) else Cell(text, value)


def _sizes(board: Board) -> Table:
    """Data set statistics; the same in every record, but for runs with other training negatives."""
    names = {
        "users": "Users", "items": "Items with an event", "catalogue": "Items in the catalogue",
        "events": "Behaviours" if board.measures.log else "Clicks", "exposures": "Exposures",
        "train_rows": "Training rows", "valid_rows": "Validation rows", "test_rows": "Test rows",
    }  # fmt: skip
    data, shared = board.records[0]["data"], board.shared
    cells = [(title, f"{data[key]:,}") for key, title in names.items() if key in data]
    if all(data.get(key) for key in ("users", "items", "events")) and not board.measures.log:
        density = data["events"] / (data["users"] * data["items"])
        cells.insert(4, ("Sparsity", f"{1 - density:.2%}"))
    scored = data.get("users_scored", {})
    cells += [("Test users", f"{scored['test']:,}")] if "test" in scored else []
    for kind in () if board.measures.log else ("train", "eval"):
        told = [f"{shared[key]}" for key in (f"{kind}_negatives", f"{kind}_sampling") if key in shared]
        cells += [(f"Negatives per click, {NEGATIVES[kind]}", ", ".join(told))] if told else []
    columns = [("Statistic", [Cell(name) for name, _ in cells]), ("Value", [Cell(value) for _, value in cells])]
    return _table("statistics", "Dataset Statistics", columns)


def _hyper_parameters(board: Board) -> Table:
    told = ("learner", "learning_rate", "train_batch_size", "epochs")
    lines = []
    for row in board.rows:
        record = row.records[0]
        keys = [*record["given"], *(key for key in told if key not in record["given"])]
        own = [f"{key}={json.dumps(record['settings'].get(key))}" for key in keys if key not in board.shared]
        tuned = record.get("tuned") or {}
        space = ", ".join(f"{key} in {json.dumps(values)}" for key, values in tuned.get("space", {}).items())
        rounds = "".join(f", {number} of them for {passes} epochs" for passes, number in tuned.get("rounds", [])[1:])
        searched = f"{tuned.get('trials', '?')} trials{rounds}: {space}" if tuned else "not tuned"
        lines.append((Cell(row.label), Cell(", ".join(own) or "as shared"), Cell(searched)))
    return Table(
        "hyper-parameters", "Hyper-parameters", ("Model", "Best hyper-parameters", "Tuning range"), tuple(lines)
    )


def _all_measures(board: Board) -> tuple[tuple[str, str], ...]:
    """What the CSV has: what is tested, then the rest."""
    measures = board.measures
    of_clicks = (("LogLoss", "test"), ("ECE", "test"), ("predicted/observed", "test"))
    rest = measures.intervals if measures.log else of_clicks
    return (*measures.tests, *(pair for pair in rest if pair not in measures.tests))


def _numbers(board: Board) -> Table:
    tests = {(test["row"], test["metric"], test["part"], test["against"]): test for test in board.statistics["tests"]}
    lines = []
    for row in board.rows:
        first = row.records[0]
        line: dict[str, Any] = {"row": row.label, "model": first["model"], "seeds": len(row.records)}
        for metric, part in _all_measures(board):
            title = f"{metric} {sampling_of(part, board.shared)}"
            (mean, std), (low, high) = mean_of_seeds(row, metric, part), board.interval(row, metric, part)
            line |= {title: mean, f"{title} std": std, f"{title} low": low, f"{title} high": high}
            for against in ("best", "baseline") if (metric, part) in board.measures.tests else ():
                test = tests.get((row.label, metric, part, against), {})
                line |= {f"{title} - {against}": test.get("difference"), f"{title} p {against}": test.get("p_holm")}
                low, high = difference_over_seeds(test)
                line |= {f"{title} - {against} low over seeds": low, f"{title} - {against} high over seeds": high}
                line[f"{title} RelaImpr {against}"] = test.get("relative_improvement")
        lines.append(line | {"parameters": first["parameters"], "seconds per epoch": seconds_per_epoch(row)})
    return _table("csv", "Numbers", [(name, [_full(line[name]) for line in lines]) for name in lines[0]])


def _full(value: Any) -> Cell:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Cell("")
    return Cell(f"{value:.8g}" if isinstance(value, float) else str(value), value)
