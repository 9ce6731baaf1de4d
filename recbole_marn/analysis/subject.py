"""A trained model under analysis: its rows, its scores, and its scores of other rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.data.grouped_rows import GroupedRows
from recbole_marn.data.loader import CTRDataLoader
from recbole_marn.data.part import Part
from recbole_marn.models.base import CTRModel
from recbole_marn.registry import model_class
from recbole_marn.training import checkpoint
from recbole_marn.training.prepared import Prepared, load_run
from recbole_marn.training.trainer import CTRTrainer

__all__ = ["Subject", "fitted", "load_subject"]

# Rows scored in one go where candidates are many.
BLOCK_ROWS = 200_000


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and one part of its data.

    Attributes:
        label: what it is called in tables.
        prepared: data, model and trainer.
        part: the rows that are scored.
        history: what its training kept, epoch by epoch; empty for a model that is not trained.
    """

    label: str
    prepared: Prepared
    part: Part
    history: tuple[Mapping[str, Any], ...] = ()

    @property
    def model(self) -> Any:
        return self.prepared.model

    @property
    def trainer(self) -> CTRTrainer:
        return self.prepared.trainer

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """user, item, label and score (B,) of every row of the part."""
        return self.scores_of(self.part.rows)

    def scores_of(self, rows: GroupedRows) -> dict[str, np.ndarray]:
        """The same of other rows of the same data."""
        part = dataclasses.replace(self.part, rows=rows)
        return self.trainer.scores(CTRDataLoader(self.prepared.config, part))

    def facing(self, row: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """Scores (n, 1 + K) of rows (n,) of the part, and of what stands in their place (n, K)."""
        rows = 1 + candidate.shape[1]
        step = max(1, BLOCK_ROWS // rows)
        scores = [
            self.scores_of(self.part.rows.facing(row[at : at + step], candidate[at : at + step]))["score"]
            for at in range(0, len(row), step)
        ]
        return np.concatenate(scores).reshape(-1, rows)

    def catalogue(self, row: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Scores of rows (n,), and of every item in their place, piece by piece.

        Args:
            size: most items a piece.

        Yields:
            (n,) scores of the rows themselves, (n, k) scores of the items of a piece, and (k,) which items they are.
        """
        for start in range(1, self.part.item_num, size):
            item = np.arange(start, min(start + size, self.part.item_num))
            scores = self.facing(row, np.broadcast_to(item, (len(row), len(item))))
            yield scores[:, 0], scores[:, 1:], item


def load_subject(path: str | Path, part: str, label: str | None = None) -> Subject:
    """The model of a checkpoint, with the data it was trained on.

    Raises:
        InputError: no checkpoint of this package, or other data than it was trained on.
    """
    prepared = load_run(path)
    history = tuple(checkpoint.load(path)["history"])
    return Subject(label or prepared.config["model"], prepared, getattr(prepared, part).part, history)


def fitted(name: str, like: Subject) -> Subject | None:
    """A model that needs no training, on the data of another; None where that one's rows are RecBole's."""
    if not isinstance(like.model, CTRModel):
        return None
    config = like.prepared.config
    model = model_class(name)(config, like.prepared.train.part).to(config["device"])
    prepared = dataclasses.replace(like.prepared, model=model, trainer=CTRTrainer(config, model))
    return Subject(name, prepared, like.part)
