"""Which modality decides in which category (the paper's Figure 4), and what each is worth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recbole_marn.analysis.agreement import compare_with_truth, mean_rank_correlation, true_importance
from recbole_marn.analysis.context import Categories, Context
from recbole_marn.analysis.item_sizes import item_sizes
from recbole_marn.analysis.section import Figure, Section, Table
from recbole_marn.analysis.worth import MOST_MODALITIES, Worth, modality_worth
from recbole_marn.errors import InputError
from recbole_marn.evaluation.pairs import clustered_means
from recbole_marn.models.base import CTRModel
from recbole_marn.plots.heat_map import heat_map
from recbole_marn.plots.intervals import Series, intervals

__all__ = ["attention"]

# Rows scored with every subset of the modalities.
ROWS = 40_000
# Categories a picture shows, the largest ones.
DRAWN = 20


def attention(context: Context) -> Section:
    """Norms of the attention by category, three measures of a modality's worth, and whether they agree."""
    model = context.subject.model
    if not isinstance(model, CTRModel) or len(model.encoder.names) < 2:
        raise InputError(
            "a model of this package with two modalities or more", type(model).__name__, "Analyze MARN or a rival."
        )
    notes, names, categories = [], list(model.encoder.names), context.categories
    try:
        sizes = item_sizes(model)
    except InputError as error:
        sizes = {}
        notes.append(f"No norms of attention: {error}")
    worth = _worth(context, notes)
    measures = {"permuted": worth.permuted, "dropped": worth.dropped}
    if worth.shapley is not None:
        measures["Shapley"] = worth.shapley
    by_category = {name: _means(values, categories.code[1:], categories, names) for name, values in sizes.items()}
    clicked = categories.code[worth.item]
    by_category |= {name: _means(values, clicked, categories, names) for name, values in measures.items()}
    items = {label: int((categories.code[1:] == code).sum()) for code, label in categories.label.items()}
    clicks = {label: int((clicked == code).sum()) for code, label in categories.label.items()}
    notes += _notes(worth, items, clicks, names)
    overall, truth = _overall(worth, measures, names), true_importance(context.part)
    return Section(
        "Attention",
        "The heat map shows how large each modality's attention is in a category, as the paper's Figure 4. Beside it "
        "is the accuracy of clicks that is lost when a modality is dealt out anew among the items (permuted) or taken "
        "from all of them (dropped), and its Shapley value: what it adds to a subset of the others, on average.",
        "A norm cannot say what the model would lose, and norms of two modalities cannot be compared: each has a scale "
        "of its own. The losses are those of this model; one trained without the modality would make up for part of "
        "them.",
        tables=[
            overall,
            *_tables(by_category, items, clicks, names, context.field),
            _agreement(by_category, truth),
            *_truth(by_category, truth),
        ],
        figures=_figures(by_category, overall, clicks, items, names, list(measures)),
        notes=notes,
    )


def _worth(context: Context, notes: list[str]) -> Worth:
    """Of at most `ROWS` rows, whole groups; of a log, whole users, whose rows are compared."""
    rows = context.part.rows
    of_group = rows.columns(rows.first_row(np.arange(rows.n_groups)))["user"]
    unit = of_group if context.part.is_log else np.arange(rows.n_groups)
    ids, group_unit = np.unique(unit, return_inverse=True)
    wanted = max(1, int(len(ids) * min(1.0, ROWS / rows.n_rows)))
    if wanted < len(ids):
        chosen = np.zeros(len(ids), dtype=bool)
        chosen[context.rng(4).choice(len(ids), size=wanted, replace=False)] = True
        rows = rows.take(np.flatnonzero(chosen[group_unit]))
        notes.append(f"Worth is measured on {rows.n_rows:,} of {context.part.rows.n_rows:,} rows, drawn at random.")
    every = np.arange(rows.n_rows)
    group = rows.columns(every)["user"] if context.part.is_log else rows.group_of(every)
    return modality_worth(context.subject, rows, group, context.rng(5))


def _means(
    values: np.ndarray, category: np.ndarray, categories: Categories, names: list[str]
) -> dict[str, dict[str, float]]:
    """Mean (rows, M) over the rows of each category; a category without a row, or a modality none has, is left out."""
    table = {}
    for code, label in categories.label.items():
        own = values[category == code]
        known = ~np.isnan(own)
        row = {name: float(own[known[:, m], m].mean()) for m, name in enumerate(names) if known[:, m].any()}
        if row:
            table[label] = row
    return table


def _overall(worth: Worth, measures: Mapping[str, np.ndarray], names: list[str]) -> Table:
    rows = []
    for measure, values in measures.items():
        for m, name in enumerate(names):
            means = clustered_means(values[:, m : m + 1], worth.user)
            rows.append([measure, name, means.mean[0], means.low[0], means.high[0], means.values])
    both = clustered_means(np.stack([worth.accuracy, worth.nothing], axis=1), worth.user)
    rows += [
        [what, "", both.mean[k], both.low[k], both.high[k], both.values]
        for k, what in enumerate(("accuracy with all", "accuracy with none"))
    ]
    return Table(
        "worth",
        "Accuracy of clicks (the share of their rivals that they beat) that each modality is worth, 95 % intervals "
        "over users; the Shapley values sum to what all modalities add to none.",
        ["measure", "modality", "accuracy", "low", "high", "clicks"],
        rows,
    )


def _tables(
    by_category: Mapping[str, Mapping[str, Mapping[str, float]]],
    items: Mapping[str, int],
    clicks: Mapping[str, int],
    names: list[str],
    field: str,
) -> list[Table]:
    return [
        Table(
            measure.replace(" ", "_").lower(),
            f"{measure.capitalize()} by {field}.",
            [field, "items", "clicks", *names],
            [[label, items[label], clicks[label], *(row.get(name) for name in names)] for label, row in table.items()],
            folded=True,
        )
        for measure, table in by_category.items()
    ]


def _agreement(by_category: Mapping[str, Mapping[str, Mapping[str, float]]], truth: Mapping | None) -> Table:
    tables = dict(by_category) | ({"truth": truth} if truth else {})
    rows = [[a, *(mean_rank_correlation(tables[a], tables[b]) for b in tables)] for a in tables]
    return Table(
        "agreement",
        "Spearman's rank correlation of the modalities within a category, mean over the categories that both rank: 1 "
        "is the same order, 0 none.",
        ["", *tables],
        rows,
    )


def _truth(by_category: Mapping[str, Mapping[str, Mapping[str, float]]], truth: Mapping | None) -> list[Table]:
    if not truth:
        return []
    compared = {measure: compare_with_truth(table, truth) for measure, table in by_category.items()}
    columns = list(dict.fromkeys(name for found in compared.values() for name in found))
    rows = [[measure, *(found.get(name) for name in columns)] for measure, found in compared.items() if found]
    if not rows:
        return []
    caption = "Each measure beside the truth that was planted (docs/attention.md says what the columns are)."
    return [Table("truth", caption, ["measure", *columns], rows)]


def _figures(
    by_category: Mapping[str, Mapping[str, Mapping[str, float]]],
    overall: Table,
    clicks: Mapping[str, int],
    items: Mapping[str, int],
    names: list[str],
    measures: list[str],
) -> list[Figure]:
    figures = []
    for measure, digits in (("attention norm", 2), ("fused norm", 2), ("Shapley", 3)):
        table = by_category.get(measure)
        if not table:
            continue
        shown = sorted(sorted(table, key=lambda label: -items[label])[:DRAWN])
        values = np.array([[table[label].get(name, np.nan) for name in names] for label in shown])
        what = "Accuracy by Shapley" if measure == "Shapley" else measure.capitalize()
        counted = clicks if measure == "Shapley" else items
        labels = [f"{label if len(label) < 17 else label[:15] + '…'} ({counted[label]:,})" for label in shown]
        picture = heat_map(values, labels, names, title=f"{what} by category", digits=digits)
        caption = f"{what} by category" + (f", the {DRAWN} largest" if len(table) > DRAWN else "")
        caption += "; in brackets the number of clicks." if counted is clicks else "; in brackets the number of items."
        figures.append(Figure(measure.replace(" ", "_").lower(), caption, picture))
    series = {
        measure: Series(*zip(*(row[2:5] for row in overall.rows if row[0] == measure), strict=True))
        for measure in measures
    }
    picture = intervals(names, series, title="What a modality is worth", x_axis="accuracy of clicks", zero=0.0)
    return [*figures, Figure("worth", "Three measures of a modality's worth, with 95 % intervals.", picture)]


def _notes(worth: Worth, items: Mapping[str, int], clicks: Mapping[str, int], names: list[str]) -> list[str]:
    notes = []
    if single := [label for label, number in items.items() if number == 1]:
        told = ", ".join(single[:8]) + (", ..." if len(single) > 8 else "")
        notes.append(f"Categories of one item, whose row is that item's alone: {told}.")
    if unclicked := [label for label, number in clicks.items() if number == 0]:
        notes.append(f"{len(unclicked)} categories have no click in these rows, and no worth by category.")
    if lost := int(np.isnan(worth.accuracy).sum()):
        notes.append(f"{lost} clicks have no non-click to be compared with and were left out.")
    if fixed := [name for m, name in enumerate(names) if np.isnan(worth.permuted[:, m]).all()]:
        notes.append(f"Statistics known at the row's time come with the rows: {', '.join(fixed)} was not permuted.")
    if worth.shapley is None:
        notes.append(f"Shapley values need 2^M scorings and are left out with more than {MOST_MODALITIES} modalities.")
    return notes
