"""How training went, and what lambda0 changes (the paper's Figure 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from recbole_marn.analysis.context import Context
from recbole_marn.analysis.section import Figure, Section, Table
from recbole_marn.analysis.sensitivity import Setting, sensitivity
from recbole_marn.errors import InputError
from recbole_marn.plots.intervals import Series, intervals
from recbole_marn.plots.lines import Line, lines

__all__ = ["convergence"]


def convergence(context: Context) -> Section:
    """Losses, accuracies of the discriminators and the validation metric by step; AUC against lambda0 from records."""
    history = context.subject.history
    if not history:
        raise InputError("a trained model", "a checkpoint without a finished epoch", "Train it for at least one epoch.")
    steps_per_epoch = len(context.subject.prepared.train)
    at = [steps_per_epoch * (epoch["epoch"] + 1) for epoch in history]
    notes = ["Losses and accuracies are means over the steps of an epoch, drawn at the epoch's end."]
    found = sensitivity(context.records, context.subject, notes)
    return Section(
        "Convergence and sensitivity",
        "Losses should fall and level out, and the epoch kept is the best one on validation. AUC against lambda0 has "
        "one point per value with an interval over seeds; the gaps, seed by seed, say more than the curve.",
        "It cannot say how other seeds of this very run would have gone, nor what lambda0 does with another budget or "
        "learning rate.",
        tables=[_epochs(history, at), *_sensitivity_tables(found)],
        figures=[*_curves(history, at, context), *_sensitivity_figures(found)],
        notes=notes,
    )


def _named(history: Sequence[Mapping[str, Any]], what: str) -> dict[str, list[float]]:
    """Series of a mapping that every epoch has, by its keys."""
    names = dict.fromkeys(name for epoch in history for name in epoch.get(what, {}))
    return {name: [epoch.get(what, {}).get(name, np.nan) for epoch in history] for name in names}


def _epochs(history: Sequence[Mapping[str, Any]], at: Sequence[int]) -> Table:
    parts = {what: _named(history, what) for what in ("losses", "valid", "diagnostics")}
    columns = [name if what != "losses" else f"loss {name}" for what, found in parts.items() for name in found]
    series = [values for found in parts.values() for values in found.values()]
    number = [epoch["epoch"] + 1 for epoch in history]
    rows = [[*start, *row] for *start, row in zip(number, at, zip(*series, strict=True), strict=True)]
    return Table("epochs", "Every epoch as the run told it.", ["epoch", "steps", *columns], rows)


def _curves(history: Sequence[Mapping[str, Any]], at: Sequence[int], context: Context) -> list[Figure]:
    losses, valid = _named(history, "losses"), _named(history, "valid")
    diagnostics = _named(history, "diagnostics")
    accuracy = {
        start: {name.removeprefix(start): of for name, of in diagnostics.items() if name.startswith(start)}
        for start in ("D0 accuracy ", "D1 accuracy ")
    }
    panels = [
        ("losses", "Training losses", "loss", losses),
        ("validation", "Validation", "metric", {name: valid[name] for name in valid if "AUC" in name}),
        *(
            (start[:2], f"Accuracy of {start[:2]}", "accuracy", of | {"chance": [1 / len(of)] * len(history)})
            for start, of in accuracy.items()
            if of
        ),
    ]
    return [
        Figure(
            name,
            f"{title} over the steps of training.",
            lines({k: Line(at, v) for k, v in of.items()}, title=title, x_axis="training step", y_axis=axis),
        )
        for name, title, axis, of in panels
        if of
    ]


# -------------------------------------------------------------------------------------------- sensitivity
def _interval(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of a mean over seeds; NaN of one seed."""
    if len(values) < 2:
        return float("nan"), float("nan")
    reach = stats.t.isf(0.025, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - reach), float(values.mean() + reach)


def _sensitivity_tables(found: Sequence[Setting]) -> list[Table]:
    rows = []
    for setting in found:
        valid, test = np.array(setting.valid), np.array(setting.test)
        spread = float(test.std(ddof=1)) if len(test) > 1 else None
        row = [setting.lambda0, len(test), valid.mean(), test.mean(), spread, *_interval(test)]
        gap = setting.gap(found[0])
        rows.append([*row, gap.mean() if len(gap) else None, *_interval(gap)])
    columns = ["lambda0", "seeds", "valid AUC", "test AUC", "deviation over seeds", "low", "high"]
    columns += ["gap", "gap low", "gap high"]
    caption = (
        "AUC by lambda0, mean over seeds, with Student's 95 % interval; gap is the test AUC minus that of the first "
        "line, seed by seed."
    )
    return [Table("lambda0", caption, columns, rows)] if rows else []


def _sensitivity_figures(found: Sequence[Setting]) -> list[Figure]:
    if len(found) < 2:
        return []
    at = range(len(found))
    mean = [float(np.mean(setting.test)) for setting in found]
    low, high = zip(*(_interval(np.array(setting.test)) for setting in found), strict=True)
    picture = lines(
        {"test AUC": Line(at, mean, low, high)},
        title="AUC against lambda0", x_axis="lambda0", y_axis="test AUC",
        x_labels=[f"{setting.lambda0:g}" for setting in found],
    )  # fmt: skip
    gaps = [setting.gap(found[0]) for setting in found]
    series = Series([gap.mean() if len(gap) else np.nan for gap in gaps], *zip(*map(_interval, gaps), strict=True))
    labels = [f"{setting.lambda0:g}" for setting in found]
    beside = intervals(
        labels, {"gap": series}, title=f"AUC minus that of lambda0 = {labels[0]}", x_axis="gap in test AUC", zero=0.0
    )
    return [
        Figure("lambda0", "Test AUC by lambda0; the band is the 95 % interval over seeds.", picture),
        Figure("lambda0_gaps", f"The same minus lambda0 = {labels[0]}, seed by seed, with 95 % intervals.", beside),
    ]
