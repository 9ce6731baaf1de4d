"""The report: which sections there are, how they are made one after another, and how all is written."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from recbole_marn.analysis.context import Context
from recbole_marn.analysis.section import Section, Table
from recbole_marn.analysis.sections.attention import attention
from recbole_marn.analysis.sections.calibration import calibration
from recbole_marn.analysis.sections.cases import cases
from recbole_marn.analysis.sections.cold_start import cold_start
from recbole_marn.analysis.sections.convergence import convergence
from recbole_marn.analysis.sections.popularity import popularity
from recbole_marn.analysis.sections.separation import separation
from recbole_marn.errors import InputError, printable
from recbole_marn.evaluation.bootstrap import bootstrap_over_clusters
from recbole_marn.evaluation.metrics import auc
from recbole_marn.evaluation.scores import ranked_by
from recbole_marn.files.folders import staged_folder
from recbole_marn.files.spreadsheet import no_formula

__all__ = ["Outcome", "PAGE", "Report", "SECTIONS", "make_report", "write_report"]

PAGE = "report.html"
SECTIONS: dict[str, Callable[[Context], Section]] = {
    "popularity": popularity,
    "cold": cold_start,
    "attention": attention,
    "separation": separation,
    "convergence": convergence,
    "calibration": calibration,
    "cases": cases,
}


@dataclass(frozen=True)
class Outcome:
    """A section that was asked for: itself, or why it cannot be made."""

    name: str
    section: Section | None
    missing: str = ""


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Attributes:
        made: of what and by what.
        models: who is compared.
        notes: what a reader must know before all else.
    """

    title: str
    made: str
    models: Table
    notes: Sequence[str]
    outcomes: Sequence[Outcome]


def make_report(
    context: Context, names: Sequence[str], command: str, notes: Sequence[str], tell: Callable[[str], None]
) -> Report:
    """Make the sections of these names.

    Args:
        command: that asked for it.
        notes: what is said at the top, besides what the scores show.
        tell: gets a line for every section that is done.

    Raises:
        InputError: not one of them can be made; the reasons are given.
    """
    models, doubts = _models(context)
    outcomes = []
    for name in names:
        start = time.perf_counter()
        try:
            outcomes.append(Outcome(name, SECTIONS[name](context)))
            tell(f"{name:<12} {time.perf_counter() - start:6.1f} s")
        except InputError as error:
            outcomes.append(Outcome(name, None, str(error)))
            tell(f"{name:<12} cannot be made: {error}")
    if not any(outcome.section for outcome in outcomes):
        reasons = "; ".join(f"{outcome.name}: {outcome.missing}" for outcome in outcomes)
        raise InputError(
            "a section that can be made",
            reasons.removesuffix("."),
            "Ask for other --sections, or analyze another model; nothing was written.",
        )
    config, part = context.subject.prepared.config, context.part
    return Report(
        f"{context.subject.label} on {config['dataset']}",
        f"{part.name} rows of the split {part.split_sha256[:12]} by: {command}",
        models,
        [*notes, *doubts],
        outcomes,
    )


def _models(context: Context) -> tuple[Table, list[str]]:
    """Who is compared, and doubts that a model has learned anything."""
    columns = context.subject.columns
    scores = np.stack([ranked_by(subject.columns) for subject in context.subjects])
    found = bootstrap_over_clusters(columns["user"], columns["label"], scores, "UAUC", 200)
    rows, doubts = [], []
    for number, subject in enumerate(context.subjects):
        low, high = float(found.low[number]), float(found.high[number])
        value = auc(columns["label"], scores[number])
        trained = [subject.label, len(subject.history), subject.kept]
        rows.append([*trained, value, float(found.estimate[number]), low, high])
        if not subject.history:
            doubts.append(f"{subject.label} has no finished epoch behind it: what follows shows how it started.")
        elif not low > 0.5:
            doubts.append(
                f"{subject.label} orders these rows no better than chance does (UAUC {low:.3f} to {high:.3f}): read "
                "nothing of what follows as learned."
            )
    caption = "AUC over all rows and UAUC, the mean over users, with its 95 % interval; best is the epoch kept."
    return Table("models", caption, ["model", "epochs", "best", "AUC", "UAUC", "low", "high"], rows), doubts


def write_report(report: Report, folder: Path, overwrite: bool) -> list[str]:
    """Write page, pictures and numbers into a folder that is whole or absent.

    Returns:
        The names of the files.

    Raises:
        InputError: the folder has files in it and `overwrite` is false, or nothing can be written there.
    """
    files = _files(report)
    with staged_folder(folder, overwrite, PAGE) as staging:
        for name, content in files.items():
            (staging / name).write_bytes(content)
    return list(files)


def _files(report: Report) -> dict[str, bytes]:
    """Name -> content; numbers and pictures stand beside the page, named after their section."""
    files = {PAGE: _page(report).encode(), "models.csv": _csv(report.models)}
    for outcome in report.outcomes:
        if outcome.section is None:
            continue
        for table in outcome.section.tables:
            files[f"{outcome.name}.{table.name}.csv"] = _csv(table)
        for figure in outcome.section.figures:
            files[f"{outcome.name}.{figure.name}.svg"] = figure.picture.svg.encode()
            files[f"{outcome.name}.{figure.name}.pdf"] = figure.picture.pdf
    return files


def _page(report: Report) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("recbole_marn.analysis"), undefined=jinja2.StrictUndefined,
        autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"text": printable, "cell": _cell}
    return environment.get_template(PAGE).render(report=report)


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN
        return "–"
    if isinstance(value, float):
        return f"{round(value, 4) + 0.0:.4f}"  # + 0.0: no negative zero
    return f"{value:,}" if isinstance(value, int) else printable(value)


def _csv(table: Table) -> bytes:
    """Words that are no formula; NaN is an empty field."""

    def field(value: Any) -> Any:
        if isinstance(value, str):
            return no_formula(printable(value))
        return "" if value is None or value != value else value

    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([field(name) for name in table.columns])
    writer.writerows([field(value) for value in row] for row in table.rows)
    return written.getvalue().encode()
