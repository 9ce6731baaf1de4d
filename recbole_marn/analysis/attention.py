"""Which modality decides in which category: norms of the attention, and what is lost without the modality.

The paper reads its attention so (section 4.6): the norm of atten_em, averaged over the items of a category. A large
norm need not mean a large part in the score, so two measures stand beside it: the size of what enters the item vector,
and the share of pairs that are ordered wrongly once the modality is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from recbole_marn.errors import InputError
from recbole_marn.models.base import EXTRACTION_CHUNK, CTRModel
from recbole_marn.models.marn import MARNItems
from recbole_marn.settings.parsing import nearest

__all__ = ["attention_report", "compare_with_truth", "describe", "item_sizes", "pair_accuracy", "without_modality"]

Table = dict[str, dict[str, float]]  # category -> modality -> number


@torch.no_grad()
def item_sizes(model: CTRModel) -> dict[str, np.ndarray]:
    """Per item and modality, with the statistics at the end of training; row 0 is item 1. NaN where absent.

    Returns:
        attention: (I, M) L2 norm of MAF's attention vector, or the weight of a model that has one number a modality.
        fused: (I, M) L2 norm of atten_em * s_em, what MAF adds up; of MARN alone.

    Raises:
        InputError: the model has no attention over modalities.
    """
    model.eval()
    sizes: dict[str, list[torch.Tensor]] = {"attention": [], "fused": []}
    for items in torch.arange(1, model.encoder.n_items, device=model.encoder.frozen["present"].device).split(
        EXTRACTION_CHUNK
    ):
        cells = model.encoder.snapshot(items)
        represented, absent = model.represent(cells), ~cells.present
        attention = represented.attention
        if attention is None:
            raise InputError(
                "a model with attention over modalities, such as MARN with fusion maf, MMSS or NAML",
                type(model).__name__,
                "Analyse a checkpoint of one of them.",
            )
        sizes["attention"].append(_norm(attention).masked_fill(absent, torch.nan))
        if isinstance(represented, MARNItems):
            sizes["fused"].append(_norm(attention * represented.specific).masked_fill(absent, torch.nan))
    return {name: torch.cat(chunks).cpu().numpy() for name, chunks in sizes.items() if chunks}


def _norm(x: torch.Tensor) -> torch.Tensor:
    """(U, M, D) or (U, M) to (U, M)."""
    return x.abs() if x.dim() == 2 else x.norm(dim=2)


@contextmanager
def without_modality(model: CTRModel, name: str) -> Iterator[None]:
    """Score as if no item had the modality `name`, in the history and as the candidate."""
    table = model.encoder.frozen
    kept = {key: table[key].clone() for key in ("present", "statistic")}
    table["present"][:, model.encoder.names.index(name)] = False
    if name in model.encoder.statistic_columns:
        table["statistic"][:, model.encoder.statistic_columns[name]] = 0
    model.eval()
    model.forget_vectors()
    try:
        yield
    finally:
        for key, value in kept.items():
            table[key].copy_(value)
        model.forget_vectors()


def pair_accuracy(score: np.ndarray, label: np.ndarray, rows_per_group: int) -> np.ndarray:
    """Share of a positive's negatives that score less than it, ties half: its term of the AUC.

    Args:
        score, label: (P * rows_per_group,), each positive with its negatives.

    Returns:
        (P,)
    """
    score, label = score.reshape(-1, rows_per_group), label.reshape(-1, rows_per_group) > 0
    positive, negative = score[label][:, None], score[~label].reshape(len(score), -1)
    return (negative < positive).mean(axis=1) + (negative == positive).mean(axis=1) / 2


def attention_report(model: CTRModel, trainer: Any, data: Any, field: str = "category") -> dict[str, Any]:
    """Mean sizes per category and modality, and the accuracy lost without the modality.

    Args:
        model: trained, with attention over modalities.
        trainer: its trainer, which scores `data`.
        data: the loader of the validation or test part.
        field: token field of the items that says the category.

    Returns:
        field, items {category: number}, and the tables {category: {modality: number}} "attention norm", "fused norm"
        and "accuracy lost"; "truth" with a comparison where the data set has a `.truth.json`.

    Raises:
        InputError: no attention over modalities, or no such field.
    """
    dataset, names = data.part, model.encoder.names
    category, labels = _categories(dataset, field)
    sizes = item_sizes(model)
    report: dict[str, Any] = {
        "field": field,
        "items": {label: int((category[1:] == code).sum()) for code, label in labels.items()},
        "attention norm": _means(sizes["attention"], category[1:], labels, names),
    }
    if "fused" in sizes:
        report["fused norm"] = _means(sizes["fused"], category[1:], labels, names)
    report["accuracy lost"] = _means(*_losses(model, trainer, data, category), labels, names)
    truth = Path(dataset.dataset_path) / f"{dataset.dataset_name}.truth.json"
    importance = json.loads(truth.read_text(encoding="utf-8")).get("importance") if truth.is_file() else None
    if importance:
        measures = [name for name, table in report.items() if name not in ("field", "items")]
        report["truth"] = {name: compare_with_truth(report[name], importance) for name in measures}
    return report


def _categories(dataset: Any, field: str) -> tuple[np.ndarray, dict[int, str]]:
    """Code of each item (n_items,), and the label of each code that occurs; code 0 is a missing one."""
    tokens = [name for name in dataset.item_feat.columns if name in dataset.field2id_token]
    columns = [name for name in tokens if dataset.item_feat[name].dim() == 1]  # one value an item, not words
    if field not in columns:
        raise InputError(
            f"a token field of the items that the modalities read ({', '.join(columns)})",
            f"'{field}'",
            f"Choose it with --field.{nearest(field, columns)}",
        )
    codes = dataset.item_feat[field].numpy()
    tokens = dataset.field2id_token[field]
    return codes, {int(code): str(tokens[code]) for code in np.unique(codes[1:]) if code}


def _losses(model: CTRModel, trainer: Any, data: Any, category: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, M) accuracy lost by each positive without each modality, and the category of the positive (P,)."""
    if data.part.is_log:
        raise InputError(
            "clicks with drawn negatives, whose pairs are compared",
            f"a click log ({data.part.dataset_name})",
            "Analyze a model of clicks; --report adversary and curves take logs too.",
        )
    per_group = data.part.rows.rows_per_group
    full = trainer.scores(data)
    accuracy = pair_accuracy(full["score"], full["label"], per_group)
    lost = []
    for name in model.encoder.names:
        with without_modality(model, name):
            score = trainer.scores(data)["score"]
        lost.append(accuracy - pair_accuracy(score, full["label"], per_group))
    return np.stack(lost, axis=1), category[full["item"][full["label"] > 0]]


def _means(values: np.ndarray, category: np.ndarray, labels: Mapping[int, str], names: list[str]) -> Table:
    """Mean (rows, M) over the rows of each category; a category without a row, or a modality none has, is left out."""
    table: Table = {}
    for code, label in labels.items():
        own = values[category == code]
        known = ~np.isnan(own)
        row = {name: float(own[known[:, m], m].mean()) for m, name in enumerate(names) if known[:, m].any()}
        if row:
            table[label] = row
    return table


def compare_with_truth(
    table: Mapping[str, Mapping[str, float]], truth: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """How well a table {category: {modality: number}} ranks as another one does.

    Returns:
        first: share of the categories in which both have the same modality first.
        rank correlation: Spearman's, of the modalities within a category, mean over the categories.
        centred first, centred rank correlation: the same after each modality's mean over the categories is taken off
            in both tables: where does it matter more than elsewhere?
        MODALITY across categories: Spearman's, of the categories for that modality.
    """
    categories = [name for name in table if name in truth and set(table[name]) >= set(truth[name])]
    if not categories:
        return {}
    names = list(truth[categories[0]])
    found, true = (np.array([[rows[c][m] for m in names] for c in categories]) for rows in (table, truth))
    result = {}
    for prefix, x, y in (("", found, true), ("centred ", found - found.mean(axis=0), true - true.mean(axis=0))):
        result[f"{prefix}first"] = float((x.argmax(axis=1) == y.argmax(axis=1)).mean())
        result[f"{prefix}rank correlation"] = float(np.mean([_spearman(a, b) for a, b in zip(x, y, strict=True)]))
    return result | {f"{m} across categories": _spearman(found[:, i], true[:, i]) for i, m in enumerate(names)}


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """0 where one of them is constant."""
    x, y = rankdata(x), rankdata(y)
    return float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) and np.ptp(y) else 0.0


def describe(report: Mapping[str, Any]) -> str:
    """The report as text: one table a measure, one line a category."""
    names = list(dict.fromkeys(name for row in report["attention norm"].values() for name in row))
    lines = []
    for measure, table in report.items():
        if measure in ("field", "items", "truth"):
            continue
        lines += [f"{measure} by {report['field']}", f"{'':24}{'items':>7}" + "".join(f"{name:>12}" for name in names)]
        for label, row in table.items():
            cells = "".join(f"{row[name]:>12.4f}" if name in row else f"{'-':>12}" for name in names)
            lines.append(f"{label[:23]:<24}{report['items'][label]:>7}{cells}")
        lines.append("")
    for measure, agreement in report.get("truth", {}).items():
        lines.append(f"{measure} and truth: " + ", ".join(f"{name} {value:.2f}" for name, value in agreement.items()))
    return "\n".join(lines)
