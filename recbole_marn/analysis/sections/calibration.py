"""Whether predicted click rates are what is observed: over all rows, by popularity level, and by category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recbole_marn.analysis.context import Context
from recbole_marn.analysis.section import Figure, Section, Table
from recbole_marn.errors import InputError
from recbole_marn.evaluation.metrics import expected_calibration_error, log_loss, predicted_over_observed
from recbole_marn.evaluation.popularity import popularity_levels
from recbole_marn.evaluation.reliability import ReliabilityCurve, reliability_curve, wilson_interval
from recbole_marn.plots.intervals import Series, intervals
from recbole_marn.plots.lines import Line, lines

__all__ = ["calibration"]

LEVELS = 10
# Categories a picture shows, those of most rows.
DRAWN = 20


def calibration(context: Context) -> Section:
    """Reliability curves of all models; predicted and observed rates by level of popularity and by category."""
    columns, label = context.subject.columns, context.subject.columns["label"] > 0
    curves = {subject.label: reliability_curve(label, subject.columns["score"]) for subject in context.subjects}
    level = popularity_levels(context.train_count, LEVELS, padding=True)[columns["item"]]
    by_level = _groups(context, label, level, [(index, f"level {index + 1}") for index in range(LEVELS)])
    notes = []
    groups = [("level", by_level)]
    try:
        categories = context.categories
        code = categories.code[columns["item"]]
        named = sorted(categories.label.items(), key=lambda pair: -(code == pair[0]).sum())
        groups.append((context.field, _groups(context, label, code, named)))
    except InputError as error:
        notes.append(f"Nothing by category: {error}")
    if not context.part.is_log:
        settings = context.part.settings
        notes.append(
            f"Non-clicks were drawn, {settings.train_negatives} per click in training and {settings.eval_negatives} in "
            "these rows: rates are not those of a catalogue that was shown, and where the two numbers differ so do "
            "predicted and observed rates."
        )
    return Section(
        "Calibration",
        "Rows on the diagonal were clicked as often as predicted; above it predictions are too low, below it too high. "
        "Where two levels or categories are off by different factors, their predictions cannot be compared.",
        "It cannot say whether the right rows have the high predictions: a model that predicts the mean for every row "
        "is perfectly calibrated.",
        tables=[_curves(curves), _totals(context, label)]
        + [_table(context, name, rows) for name, rows in groups],
        figures=[_picture(curves)] + [_group_picture(context, name, rows) for name, rows in groups if rows],
        notes=notes,
    )


def _groups(
    context: Context, label: np.ndarray, group: np.ndarray, named: Sequence[tuple[int, str]]
) -> list[tuple[str, int, int, list[float]]]:
    """Name, rows, clicks and each model's mean prediction of the groups that have rows."""
    size = max([int(group.max(initial=0)) + 1, *(code + 1 for code, _ in named)])
    known = group >= 0
    rows, clicks = (np.bincount(group[known & of], minlength=size) for of in (np.ones_like(label), label))
    sums = [
        np.bincount(group[known], weights=subject.columns["score"][known], minlength=size)
        for subject in context.subjects
    ]
    return [
        (name, int(rows[code]), int(clicks[code]), [float(total[code] / rows[code]) for total in sums])
        for code, name in named
        if rows[code]
    ]


def _table(context: Context, name: str, groups: list[tuple[str, int, int, list[float]]]) -> Table:
    rows = []
    for label, number, clicks, predicted in groups:
        low, high = wilson_interval([clicks], [number])
        ratios = [value * number / clicks if clicks else None for value in predicted]
        both = [cell for pair in zip(predicted, ratios, strict=True) for cell in pair]
        rows.append([label, number, clicks, clicks / number, float(low[0]), float(high[0]), *both])
    said = [
        column
        for subject in context.subjects
        for column in (f"predicted {subject.label}", f"predicted/observed {subject.label}")
    ]
    return Table(
        f"by_{name}",
        f"Observed and predicted click rates by {name}; intervals of the observed ones are Wilson's, 95 %.",
        [name, "rows", "clicks", "observed", "low", "high", *said],
        rows,
        folded=name != "level",
    )


def _curves(curves: Mapping[str, ReliabilityCurve]) -> Table:
    rows = []
    for name, curve in curves.items():
        columns = (curve.predicted, curve.observed, curve.low, curve.high, curve.rows, curve.clicks)
        rows += [[name, *values] for values in zip(*columns, strict=True)]
    caption = "Reliability curves over bins of about as many rows each."
    return Table("curve", caption, ["model", "predicted", "observed", "low", "high", "rows", "clicks"], rows, shown=0)


def _totals(context: Context, label: np.ndarray) -> Table:
    rows = []
    for subject in context.subjects:
        score = subject.columns["score"]
        error = expected_calibration_error(label, score, equal_frequency=True)
        rows.append([subject.label, log_loss(label, score), error, predicted_over_observed(label, score)])
    caption = "Over all rows: LogLoss, calibration error over ten bins of equal mass, predicted over observed clicks."
    return Table("totals", caption, ["model", "LogLoss", "ECE", "predicted/observed"], rows)


def _picture(curves: Mapping[str, ReliabilityCurve]) -> Figure:
    drawn = {}
    for name, curve in curves.items():
        some = curve.clicks > 0  # a bin without a click has no place on a logarithmic axis
        drawn[name] = Line(*(side[some] for side in (curve.predicted, curve.observed, curve.low, curve.high)))
    picture = lines(
        drawn, title="Reliability", x_axis="predicted click rate", y_axis="observed click rate",
        log_x=True, log_y=True, diagonal=True,
    )  # fmt: skip
    return Figure("curve", "Observed against predicted click rates, logarithmic; bands are 95 % intervals.", picture)


def _group_picture(context: Context, name: str, groups: list[tuple[str, int, int, list[float]]]) -> Figure:
    shown = groups if name == "level" else groups[:DRAWN]
    clicks, rows = (np.array([group[index] for group in shown], dtype=float) for index in (2, 1))
    low, high = wilson_interval(clicks, rows)
    nothing = np.full(len(shown), np.nan)
    series = {"observed": Series(clicks / rows, low, high)}
    for index, subject in enumerate(context.subjects):
        series[subject.label] = Series([group[3][index] for group in shown], nothing, nothing)
    picture = intervals([group[0] for group in shown], series, title=f"Click rate by {name}", x_axis="click rate")
    which = f", the {DRAWN} of most rows" if shown != groups else ""
    return Figure(f"by_{name}", f"Observed and predicted click rates by {name}{which}.", picture)
