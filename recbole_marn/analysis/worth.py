"""What each modality is worth to a trained model: permuted, dropped, and its Shapley value over all subsets."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from recbole_marn.analysis.subject import Subject
from recbole_marn.data.grouped_rows import GroupedRows
from recbole_marn.data.item_table import IdTable, ItemTable, StatisticTable, TextTable, VectorTable
from recbole_marn.evaluation.pairs import pair_accuracy
from recbole_marn.evaluation.scores import ranked_by
from recbole_marn.evaluation.shapley import coalition, shapley_values
from recbole_marn.models.base import CTRModel

__all__ = ["MOST_MODALITIES", "Worth", "modality_worth", "permuted_table", "with_permuted", "without_modalities"]

# 2^M subsets are scored.
MOST_MODALITIES = 6


@dataclass(frozen=True)
class Worth:
    """Of P clicks and M modalities, in terms of each click's accuracy: the share of its rivals that it beats.

    Attributes:
        item: (P,) the clicked items.
        user: (P,)
        accuracy: (P,) with all modalities.
        nothing: (P,) with none.
        permuted: (P, M) lost when the modality is dealt out anew among the items; NaN where that cannot be done.
        dropped: (P, M) lost when no item has it.
        shapley: (P, M), None with more than `MOST_MODALITIES`; rows sum to accuracy - nothing.
    """

    item: np.ndarray
    user: np.ndarray
    accuracy: np.ndarray
    nothing: np.ndarray
    permuted: np.ndarray
    dropped: np.ndarray
    shapley: np.ndarray | None


def without_modalities(model: CTRModel, names: Collection[str]) -> AbstractContextManager[None]:
    """Score as if no item had these modalities, in the history and as the candidate."""
    return _encoding_anew(model, model.encoder.hiding(names))


def with_permuted(model: CTRModel, table: ItemTable) -> AbstractContextManager[None]:
    """Score with another table of the same items."""
    return _encoding_anew(model, model.encoder.reading(table))


@contextmanager
def _encoding_anew(model: CTRModel, changed: AbstractContextManager[None]) -> Iterator[None]:
    """No item vector from before is taken within, and none from within after."""
    model.eval()
    model.forget_vectors()
    try:
        with changed:
            yield
    finally:
        model.forget_vectors()


def permuted_table(table: ItemTable, name: str, rng: np.random.Generator) -> ItemTable:
    """The table with modality `name` dealt out anew among the items that have it; the others lack it as before."""
    having = np.flatnonzero(table.present[:, table.names.index(name)])
    taken = np.arange(table.n_items)
    taken[having] = rng.permutation(having)
    modality, statistic = table.modalities[name], table.statistic
    if isinstance(modality, IdTable):
        changed: Any = dataclasses.replace(modality, codes=modality.codes[taken])
    elif isinstance(modality, VectorTable):
        changed = dataclasses.replace(modality, row=modality.row[taken])
    elif isinstance(modality, TextTable):
        changed = dataclasses.replace(modality, words=modality.words[taken])
    else:
        own = slice(modality.start, modality.stop)
        changed, statistic = modality, statistic.copy()
        statistic[:, own] = statistic[taken, own]
    return dataclasses.replace(table, modalities={**table.modalities, name: changed}, statistic=statistic)


def modality_worth(
    subject: Subject, rows: GroupedRows, group: np.ndarray, rng: np.random.Generator
) -> Worth:
    """Score some rows with every subset of the modalities, and with each of them permuted.

    Args:
        subject: of a `CTRModel`.
        rows: of the subject's data.
        group: (B,) what their clicks are compared within.
        rng: deals out what is permuted.
    """
    model, table = subject.model, subject.part.item_table
    names = list(model.encoder.names)

    def accuracy(columns: dict[str, np.ndarray]) -> np.ndarray:
        return pair_accuracy(group, columns["label"], ranked_by(columns))

    def of(kept: Sequence[int]) -> np.ndarray:
        with without_modalities(model, {name for m, name in enumerate(names) if m not in kept}):
            return accuracy(subject.scores_of(rows))

    columns = subject.scores_of(rows)
    clicked, full = columns["label"] > 0, accuracy(columns)
    everything = (1 << len(names)) - 1
    every_subset = len(names) <= MOST_MODALITIES
    needed = range(everything) if every_subset else [0, *(everything ^ 1 << m for m in range(len(names)))]
    worth = {number: of(coalition(number, len(names))) for number in needed} | {everything: full}
    permuted = []
    for name in names:
        moving = isinstance(table.modalities[name], StatisticTable) and model.statistics_until == "row"
        if moving:  # its values come with the rows, not with the items
            permuted.append(np.full(len(full), np.nan))
            continue
        with with_permuted(model, permuted_table(table, name, rng)):
            permuted.append(full - accuracy(subject.scores_of(rows)))
    shapley = None
    if every_subset:
        shapley = shapley_values(np.stack([worth[number] for number in range(everything + 1)])).T
    return Worth(
        item=columns["item"][clicked],
        user=columns["user"][clicked],
        accuracy=full,
        nothing=worth[0],
        permuted=np.stack(permuted, axis=1),
        dropped=np.stack([full - worth[everything ^ 1 << m] for m in range(len(names))], axis=1),
        shapley=shapley,
    )
