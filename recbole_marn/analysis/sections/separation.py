"""What s and c carry (the paper's Figure 5): pictures, probes, and how alike the modalities are."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.manifold import TSNE

from recbole_marn.analysis.adversary import adversary_report, has_adversary, probe_accuracy
from recbole_marn.analysis.context import Context
from recbole_marn.analysis.probes import panels_of
from recbole_marn.analysis.section import Figure, Section, Table
from recbole_marn.data.loader import CTRDataLoader
from recbole_marn.errors import InputError
from recbole_marn.evaluation.alignment import linear_cka
from recbole_marn.models.marn import MARN, MARNItems
from recbole_marn.plots.heat_map import heat_map
from recbole_marn.plots.lines import Line, lines
from recbole_marn.plots.scatter import scatter

__all__ = ["embedded", "separation"]

# Items looked at: probes, CKA and pictures need no more to be stable.
ITEMS = 2_000
# Items of the pictures, and points of one picture: t-SNE takes seconds for these.
DRAWN = 200
POINTS = 1_000
# Categories a picture of item vectors tells apart.
CATEGORIES = 6
ROWS = 40_000
NAMES = {"s": "specific features s_m", "c": "invariant features c_m"}


def separation(context: Context) -> Section:
    """Pictures of s_m, c_m and the item vectors, probes of them, CKA between modalities, all this over training."""
    model = context.subject.model
    if not isinstance(model, MARN) or len(model.encoder.names) < 2:
        raise InputError(
            "a MARN with two modalities or more, whose s_m and c_m are looked at",
            type(model).__name__,
            "Analyze a checkpoint of MARN or of one of its ablations.",
        )
    # In the order they are drawn: the pictures show the first of them.
    item = 1 + context.rng(6).permutation(context.part.item_num - 1)[:ITEMS]
    represented, present = _represented(model, item)
    features = {"s": represented.specific}
    if represented.invariant is not None:
        features["c"] = represented.invariant.c
    names, notes = list(model.encoder.names), []
    if len(item) < context.part.item_num - 1:
        notes.append(f"{len(item):,} items, drawn at random, stand for the catalogue.")
    if "c" not in features:
        notes.append(f"{context.subject.label} has no invariant branch: there is no c to look at.")
    tables = [_probe_table(features, present, names, notes)]
    figures = _pictures(context, features, represented.vector, present, item, names)
    for name, x in features.items():
        alike = _alike(x, present)
        rows = [[a, *alike[row]] for row, a in enumerate(names)]
        tables.append(Table(f"cka_{name}", f"CKA between modalities, {NAMES[name]}.", ["", *names], rows, folded=True))
        picture = heat_map(alike, names, names, title=f"CKA of {NAMES[name]}")
        figures.append(Figure(f"cka_{name}", "1: one is the other but for rotation and scale; 0: unrelated.", picture))
    if has_adversary(model):
        tables.append(_adversary_table(context))
    figures += _over_training(context.subject.history, notes)
    return Section(
        "Separation",
        "If both branches do what they are for, modalities lie apart in s and are mixed in c: a probe names the "
        "modality of a held-out s_m always, and that of a c_m only by chance. CKA says how much two modalities have in "
        "common.",
        "A t-SNE picture cannot say how far apart groups are, nor how dense. Mixed dots are no proof of mixed "
        "distributions: the probes decide.",
        tables=tables,
        figures=figures,
        notes=notes,
    )


@torch.no_grad()
def _represented(model: MARN, item: np.ndarray) -> tuple[MARNItems, torch.Tensor]:
    """Features of items with their statistics at the end of training, and which modalities they have."""
    model.eval()
    cells = model.encoder.snapshot(torch.from_numpy(item).to(model.encoder.frozen["present"].device))
    return model.represent(cells), cells.present


def _probe_table(
    features: Mapping[str, torch.Tensor], present: torch.Tensor, names: list[str], notes: list[str]
) -> Table:
    fewest = int(present.sum(dim=0).min())
    rows = []
    if fewest < 8:
        notes.append(f"A modality with {fewest} items is too few for a probe.")
    else:
        for name, x in features.items():
            linear, mlp = probe_accuracy(x, present), probe_accuracy(x, present, hidden=64)
            rows.append([NAMES[name], linear, mlp, 1 / len(names)])
    caption = "Accuracy of a fresh classifier that names the modality of held-out features, classes balanced."
    return Table("probes", caption, ["features", "linear probe", "MLP probe", "chance"], rows)


def _alike(x: torch.Tensor, present: torch.Tensor) -> np.ndarray:
    """(M, M) CKA of the items that have both modalities."""
    number = x.shape[1]
    values = x.float().cpu().numpy()
    has = present.cpu().numpy()
    alike = np.full((number, number), np.nan)
    for a in range(number):
        for b in range(a, number):
            both = has[:, a] & has[:, b]
            alike[a, b] = alike[b, a] = linear_cka(values[both, a], values[both, b])
    return alike


# -------------------------------------------------------------------------------------------------- t-SNE
def embedded(points: np.ndarray, seed: int) -> np.ndarray:
    """Points (n, D) in the plane by t-SNE (van der Maaten and Hinton, 2008), the same for the same seed."""
    perplexity = min(30.0, max(2.0, (len(points) - 1) / 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # features that never vary have no principal axes
        flat = np.ptp(points, axis=0).max(initial=0) < 1e-9
        tsne = TSNE(init="random" if flat else "pca", perplexity=perplexity, random_state=seed)
        return tsne.fit_transform(np.asarray(points, dtype=np.float32))


def _pictures(
    context: Context,
    features: Mapping[str, torch.Tensor],
    vector: torch.Tensor,
    present: torch.Tensor,
    item: np.ndarray,
    names: list[str],
) -> list[Figure]:
    figures, shown = [], slice(0, DRAWN)
    has = present[shown].cpu().numpy()
    groups = {}
    for name, x in features.items():
        values = x[shown].float().cpu().numpy()
        groups[name] = {names[m]: values[has[:, m], m] for m in range(len(names)) if has[:, m].sum() > 0}
        figures += _picture(groups[name], f"tsne_{name}", f"t-SNE of {NAMES[name]}", context.seed)
    if "c" in groups:
        each = POINTS // (2 * len(names))
        both = {f"{name}_m": np.concatenate([found[:each] for found in of.values()]) for name, of in groups.items()}
        figures += _picture(both, "tsne_both", "t-SNE of s_m and c_m together", context.seed)
    values = vector[:POINTS].float().cpu().numpy()
    figures += _picture(
        _by_category(context, values, item[:POINTS]), "tsne_items", "t-SNE of the sums, the item vectors", context.seed
    )
    return figures


def _by_category(context: Context, values: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
    """Item vectors by the largest categories; all as one where nobody knows categories."""
    try:
        categories = context.categories
    except InputError:
        return {"items": values}
    code = categories.code[item]
    largest = sorted(categories.label, key=lambda found: -(code == found).sum())[:CATEGORIES]
    return {categories.label[found]: values[code == found] for found in largest if (code == found).any()}


def _picture(groups: Mapping[str, np.ndarray], name: str, title: str, seed: int) -> list[Figure]:
    points = np.concatenate(list(groups.values()))
    if len(points) < 4:
        return []
    plane = np.split(embedded(points, seed), np.cumsum([len(of) for of in groups.values()])[:-1])
    picture = scatter(dict(zip(groups, plane, strict=True)), title=title)
    return [Figure(name, f"{title}; {len(points):,} points, seed {seed}.", picture)]


# ------------------------------------------------------------------------------------- the adversary's game
def _adversary_table(context: Context) -> Table:
    """The numbers of docs/adversary.md, on at most `ROWS` rows."""
    prepared, part = context.subject.prepared, context.part
    groups = part.rows.n_groups
    some = max(1, int(groups * min(1.0, ROWS / part.rows.n_rows)))
    chosen = np.sort(context.rng(7).choice(groups, size=some, replace=False))
    data = CTRDataLoader(prepared.config, dataclasses.replace(part, rows=part.rows.take(chosen)))
    batch = next(iter(prepared.train)).to(prepared.config["device"]).batch
    report = adversary_report(context.subject.model, context.subject.trainer, data, batch)
    rows = []
    for name, value in report.items():
        pairs = value.items() if isinstance(value, dict) else [("", value)]
        rows += [[name, of, number] for of, number in pairs]
    caption = (
        "The adversary's game: probes on the catalogue and on a training batch, the discriminators, degrees, sizes, "
        f"and UAUC with and without c on {data.part.rows.n_rows:,} rows (docs/adversary.md)."
    )
    return Table("adversary", caption, ["number", "of", "value"], rows, folded=True)


def _over_training(history: Sequence[Mapping[str, Any]], notes: list[str]) -> list[Figure]:
    reports = [report for epoch in history for report in epoch.get("probes", [])]
    if not reports:
        notes.append("Nothing was kept over training: train with --probe_every=STEPS for curves.")
        return []
    steps = [report["step"] for report in reports]
    return [
        Figure(
            f"training_{number}",
            f"{heading}, over the steps of training.",
            lines(
                {label: Line(steps, values) for label, values in found.items()},
                title=heading, x_axis="training step", y_axis=axis,
            ),
        )
        for number, (heading, axis, found) in enumerate(panels_of(reports), start=1)
    ]  # fmt: skip
