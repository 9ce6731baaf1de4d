"""What the page shows beside the tables: who leads, and the plots."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recbole_marn.errors import printable
from recbole_marn.leaderboard.board import Board, number, p_value, seconds_per_epoch
from recbole_marn.leaderboard.statistics import LEVEL, TableRow, difference_over_seeds, mean_of_seeds
from recbole_marn.plots.svg import (
    Curve,
    Interval,
    Plot,
    Point,
    Reliability,
    curves_plot,
    interval_plot,
    reliability_plot,
    scatter_plot,
)

__all__ = ["drawn_rows", "leader", "plots"]

STRONG_CURVES = 5


def leader(board: Board) -> str:
    """Who leads by the main metric, and whether other users or other seeds might change that."""
    main = board.measures.main
    ranked = [(row, mean_of_seeds(row, main)[0], *board.interval(row, main, "test")) for row in board.rows[:2]]
    level = f"{100 * board.statistics['confidence']:g} %"

    def told(row: TableRow, value: float, low: float, high: float) -> str:
        interval = "" if math.isnan(low) else f", {level} interval {low:.4f} to {high:.4f}"
        return f"{row.label} ({number(value)}{interval})"

    first, *second = [told(*one) for one in ranked]
    if not second:
        return f"{first} is the only row."
    metric = "AUC over all test rows" if main == "AUC" else "UAUC, the AUC of each user's own rows"
    return f"{first} leads by {metric}, before {second[0]}. {_how_sure(board, main)}"


def _how_sure(board: Board, metric: str) -> str:
    """What the table's tests say of the first row before the second: over users, and over seeds."""
    first, second, *_ = board.rows
    against = {
        test["row"]: test for test in board.statistics["tests"]
        if (test["reference"], test["metric"], test["part"], test["against"]) == (first.label, metric, "test", "best")
    }  # fmt: skip
    found = against.get(second.label)
    if found is None:
        return "Nothing tests that lead."
    low, high = difference_over_seeds(found)
    lead = "unknown, for want of seeds" if math.isnan(low) else f"{-high:+.4f} to {-low:+.4f} (95 % interval)"
    told = f"Over {board.unit_of(metric)}s p {p_value(found['p_holm'])}; over seeds the lead is {lead}."
    if _is_decided(found):
        return f"{told} So it is decided."
    behind = [row.label for row in board.rows[1:] if _is_decided(against.get(row.label))]
    most = f", the best of them {behind[0]}" if behind else ""
    return f"{told} So it is not decided; its lead over {len(behind)} of {len(board.rows) - 1} rows is{most}."


def _is_decided(test: Mapping[str, Any] | None) -> bool:
    """Whether a row is behind another over users, after Holm, and over seeds."""
    if test is None or test["p_holm"] is None:
        return False
    return test["p_holm"] < LEVEL and difference_over_seeds(test)[1] < 0


def drawn_rows(board: Board) -> list[tuple[int, TableRow]]:
    """Rows of the plots with their numbers: one at chance would take most of every scale and hide the others."""
    found = [(at, row, _auc(board, row)) for at, row in enumerate(board.rows, start=1)]
    return [(at, row) for at, row, auc in found if (auc.value if math.isnan(auc.low) else auc.low) > 0.5]


def _auc(board: Board, row: TableRow) -> Interval:
    return Interval(printable(row.label), mean_of_seeds(row, "AUC")[0], *board.interval(row, "AUC", "test"))


def plots(board: Board) -> list[tuple[str, Plot | None]]:
    """Title and picture, None where there is nothing to draw."""
    drawn = [(at, row, _auc(board, row)) for at, row in drawn_rows(board)]
    rows = [row for _, row, _ in drawn]
    metric = printable(board.shared.get("valid_metric", "validation metric"))
    in_steps = not any(math.isnan(_step_milliseconds(row)) for row in rows)
    unit, time = ("step", _step_milliseconds) if in_steps else ("epoch", seconds_per_epoch)

    def scatter(of: Callable[[TableRow], float], x_axis: str) -> Plot | None:
        points = [Point(at, printable(row.label), float(of(row)), auc.value) for at, row, auc in drawn]
        return scatter_plot(points, f"AUC against {x_axis}", x_axis, "AUC")

    reliable = [("Reliability: observed against predicted click rate", reliability_plot(_reliability(board, rows)))]
    return [
        *(reliable if board.measures.log else ()),
        ("AUC, 95 % interval", interval_plot([auc for *_, auc in drawn], "AUC with intervals", "AUC")),
        ("Learning curves", curves_plot(_curves(board, rows), "Learning curves", f"{metric}, validation")),
        (f"AUC against the time of a training {unit}", scatter(time, "ms a step" if in_steps else "s an epoch")),
        ("AUC against trained parameters", scatter(lambda row: row.records[0]["parameters"], "parameters")),
    ]


def _strong(board: Board) -> set[str]:
    """Labels of the best rows and the baseline."""
    return {row.label for row in board.rows[:STRONG_CURVES]} | {board.statistics["baseline"]}


def _reliability(board: Board, rows: Sequence[TableRow]) -> list[Reliability]:
    """The first seed's curves of the best rows and the baseline."""
    strong = _strong(board)
    known = board.statistics.get("reliability", {})
    return [
        Reliability(printable(row.label), tuple(curve["predicted"]), tuple(curve["observed"]))
        for row in rows
        if row.label in strong and (curve := known.get(row.label)) is not None
    ]


def _step_milliseconds(row: TableRow) -> float:
    """Milliseconds of a training step; NaN where the records do not tell."""
    steps = row.records[0]["data"].get("steps_per_epoch")
    return 1000 * seconds_per_epoch(row) / steps if steps else math.nan


def _curves(board: Board, rows: Sequence[TableRow]) -> list[Curve]:
    """The first seed's validation values by epoch; the best rows and the baseline in colour."""
    strong = _strong(board)
    curves = []
    for row in rows:
        values = (epoch.get("valid_score") for epoch in row.records[0]["history"])
        known = tuple(float(value) for value in values if value is not None)
        curves.append(Curve(printable(row.label), known, row.label in strong))
    return curves
