"""Whether tables {category: {modality: number}} rank alike: measures with each other, and with a truth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from recbole_marn.data.part import Part

__all__ = ["TableOf", "compare_with_truth", "mean_rank_correlation", "true_importance"]

TableOf = Mapping[str, Mapping[str, float]]  # category -> modality -> number


def true_importance(part: Part) -> dict[str, dict[str, float]] | None:
    """The importance of each modality in each category, where a `.truth.json` beside the data has it."""
    path = Path(part.dataset_path) / f"{part.dataset_name}.truth.json"
    return json.loads(path.read_text(encoding="utf-8")).get("importance") if path.is_file() else None


def mean_rank_correlation(table: TableOf, other: TableOf) -> float:
    """Spearman's, of the modalities within a category, mean over the categories.

    Categories count that both have in full and both rank: where all modalities have one number there is no order.
    """
    categories = _common(table, other)
    if not categories:
        return float("nan")
    found, true, _ = _arrays(table, other, categories)
    ranked = [_spearman(a, b) for a, b in zip(found, true, strict=True) if np.ptp(a) and np.ptp(b)]
    return float(np.mean(ranked)) if ranked else float("nan")


def compare_with_truth(table: TableOf, truth: TableOf) -> dict[str, float]:
    """How well a table ranks as another one does.

    Returns:
        first: share of the categories in which both have the same modality first.
        rank correlation: Spearman's, of the modalities within a category, mean over the categories.
        centred first, centred rank correlation: the same after each modality's mean over the categories is taken off
            in both tables: where does it matter more than elsewhere?
        MODALITY across categories: Spearman's, of the categories for that modality.
    """
    categories = _common(table, truth)
    if not categories:
        return {}
    found, true, names = _arrays(table, truth, categories)
    result = {}
    for prefix, x, y in (("", found, true), ("centred ", found - found.mean(axis=0), true - true.mean(axis=0))):
        result[f"{prefix}first"] = float((x.argmax(axis=1) == y.argmax(axis=1)).mean())
        result[f"{prefix}rank correlation"] = float(np.mean([_spearman(a, b) for a, b in zip(x, y, strict=True)]))
    return result | {f"{m} across categories": _spearman(found[:, i], true[:, i]) for i, m in enumerate(names)}


def _common(table: TableOf, truth: TableOf) -> list[str]:
    """Categories of which both have every modality that the truth has of any: items of a small one may all lack one."""
    names = {name for row in truth.values() for name in row}
    return [name for name in table if name in truth and names <= set(table[name]) and names <= set(truth[name])]


def _arrays(table: TableOf, truth: TableOf, categories: list[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    names = list(truth[categories[0]])
    found, true = (np.array([[rows[c][m] for m in names] for c in categories]) for rows in (table, truth))
    return found, true, names


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """0 where one of them is constant."""
    x, y = rankdata(x), rankdata(y)
    return float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) and np.ptp(y) else 0.0
