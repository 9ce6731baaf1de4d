"""How well items of each popularity are told apart (the paper's Table 4)."""

from __future__ import annotations

import numpy as np

from recbole_marn.analysis.context import Context
from recbole_marn.analysis.section import Figure, Section, Table
from recbole_marn.evaluation.bootstrap import Bootstrap, bootstrap_over_clusters
from recbole_marn.evaluation.popularity import LevelMetrics, metrics_by_level, popularity_levels
from recbole_marn.evaluation.scores import ranked_by
from recbole_marn.plots.intervals import Series, intervals
from recbole_marn.plots.lines import Line, lines

__all__ = ["popularity"]

LEVELS = 10
RESAMPLES = 200


def popularity(context: Context) -> Section:
    """AUC by level of training popularity, of the model and those it is held against, and the gaps."""
    columns, count = context.subject.columns, context.train_count
    level = popularity_levels(count, LEVELS, padding=True)
    of_row = level[columns["item"]]
    found = {index: _level(context, of_row == index, index) for index in range(LEVELS)}
    drawn = {index: bootstrap for index, bootstrap in found.items() if bootstrap is not None}
    tables = [_auc_table(context, level, of_row, drawn), _gap_table(context, drawn)]
    if not context.part.is_log:
        tables.append(_own_negatives(context, level))
    return Section(
        "Popularity",
        "Items are cut into ten levels by how often they occur in training, as many items each as ties allow, and a "
        "row belongs to the level of its candidate. A model that leads at every level does not lead by popularity "
        "alone.",
        "It cannot say what other negatives would have shown. A level of few clicks has a wide interval, and a gap "
        "whose interval holds 0 may be chance.",
        tables=[table for table in tables if table.rows],
        figures=_figures(context, drawn),
        notes=_notes(level, of_row, columns["label"], drawn),
    )


def _level(context: Context, rows: np.ndarray, index: int) -> Bootstrap | None:
    """AUC of all models among the rows of a level, users drawn anew; None without both classes."""
    columns = context.subject.columns
    label = columns["label"][rows] > 0
    if label.all() or not label.any():
        return None
    scores = np.stack([ranked_by(subject.columns)[rows] for subject in context.subjects])
    return bootstrap_over_clusters(columns["user"][rows], label, scores, "AUC", RESAMPLES, seed=index)


def _auc_table(
    context: Context, level: np.ndarray, of_row: np.ndarray, drawn: dict[int, Bootstrap]
) -> Table:
    count, label = context.train_count, context.subject.columns["label"] > 0
    rows = []
    for index in range(LEVELS):
        items = count[level == index]
        if not len(items):
            continue
        inside = of_row == index
        row = [index + 1, len(items), int(items.min()), int(items.max())]
        row += [int((label & inside).sum()), int((~label & inside).sum())]
        found = drawn.get(index)
        ends = (found.estimate, found.low, found.high) if found else ()
        for number in range(len(context.subjects)):
            row += [float(values[number]) for values in ends] or [None] * 3
        rows.append(row)
    names = [name for s in context.subjects for name in (f"AUC {s.label}", f"{s.label} low", f"{s.label} high")]
    return Table(
        "levels",
        "AUC among the rows whose candidate is of the level, with 95 % intervals over users; level 1 is the rarest.",
        ["level", "items", "least events", "most events", "clicks", "non-clicks", *names],
        rows,
    )


def _gap_table(context: Context, drawn: dict[int, Bootstrap]) -> Table:
    rows = [
        [index + 1, rival.label, *found.difference(0, number)]
        for number, rival in enumerate(context.rivals, start=1)
        for index, found in drawn.items()
    ]
    return Table(
        "gaps",
        f"AUC of {context.subject.label} minus that of the other, paired by users, with 95 % intervals.",
        ["level", "minus", "gap", "low", "high"],
        rows,
    )


def _own_negatives(context: Context, level: np.ndarray) -> Table:
    """Of clicks with drawn negatives: each click of a level against its own, whatever their level."""
    columns = context.subject.columns
    of_row, group = level[columns["item"]], context.group
    found: list[list[LevelMetrics]] = [
        metrics_by_level(columns["user"], group, columns["label"], ranked_by(subject.columns), of_row, LEVELS)
        for subject in context.subjects
    ]
    rows = [
        [index + 1, found[0][index].positives, *(value for one in found for value in (one[index].uauc, one[index].auc))]
        for index in range(LEVELS)
        if found[0][index].positives
    ]
    names = [name for subject in context.subjects for name in (f"UAUC {subject.label}", f"AUC {subject.label}")]
    return Table(
        "own_negatives",
        "The clicks of a level against the negatives drawn for them, which are of any level: here popularity itself "
        "tells rare clicks from popular negatives, or popular clicks from rare ones.",
        ["level", "clicks", *names],
        rows,
    )


def _figures(context: Context, drawn: dict[int, Bootstrap]) -> list[Figure]:
    if not drawn:
        return []
    at = [index + 1 for index in drawn]
    curves = {
        subject.label: Line(
            at,
            [found.estimate[number] for found in drawn.values()],
            [found.low[number] for found in drawn.values()],
            [found.high[number] for found in drawn.values()],
        )
        for number, subject in enumerate(context.subjects)
    }
    figures = [
        Figure(
            "levels",
            "AUC by level of popularity; bands are 95 % intervals.",
            lines(curves, title="AUC by popularity", x_axis="level (1 rarest, 10 most popular)", y_axis="AUC"),
        )
    ]
    if context.rivals:
        gaps = {
            f"minus {rival.label}": Series(
                *zip(*(found.difference(0, number) for found in drawn.values()), strict=True)
            )
            for number, rival in enumerate(context.rivals, start=1)
        }
        picture = intervals(
            [f"level {number}" for number in at],
            gaps,
            title=f"{context.subject.label}: AUC gained",
            x_axis="gap in AUC",
            zero=0.0,
        )
        figures.append(Figure("gaps", "What the model gains at each level, with 95 % intervals.", picture))
    return figures


def _notes(level: np.ndarray, of_row: np.ndarray, label: np.ndarray, drawn: dict[int, Bootstrap]) -> list[str]:
    notes = []
    empty = [index + 1 for index in range(LEVELS) if not (level == index).any()]
    if empty:
        told = ", ".join(map(str, empty))
        notes.append(f"Items of equal counts are never parted, which leaves no item for level {told}.")
    for index in range(LEVELS):
        inside = of_row == index
        if index not in drawn and (level == index).any():
            what = "no row" if not inside.any() else "no click" if not (label[inside] > 0).any() else "no non-click"
            notes.append(f"Level {index + 1} has {what}, and with it no AUC.")
    return notes
