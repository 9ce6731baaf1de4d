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
from recbole_marn.evaluation.record import read_record
from recbole_marn.evaluation.scores import ranked_by
from recbole_marn.models.base import CTRModel
from recbole_marn.registry import model_class
from recbole_marn.training import checkpoint
from recbole_marn.training.prepared import Prepared, run_of
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
        kept: the epoch that its weights are of, from 1.
    """

    label: str
    prepared: Prepared
    part: Part
    history: tuple[Mapping[str, Any], ...] = ()
    kept: int | None = None

    @property
    def model(self) -> Any:
        """The trained model."""
        return self.prepared.model

    @property
    def trainer(self) -> CTRTrainer:
        """The trainer that scores its rows."""
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
        """What rows (n,) of the part, and what stands in their place (n, K), are ranked by: (n, 1 + K)."""
        rows = 1 + candidate.shape[1]
        step = max(1, BLOCK_ROWS // rows)
        scores = [
            ranked_by(self.scores_of(self.part.rows.facing(row[at : at + step], candidate[at : at + step])))
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


def load_subject(path: str | Path, part: str) -> Subject:
    """The model of a checkpoint, with the data it was trained on.

    Raises:
        InputError: no checkpoint of this package, other data than it was trained on, or an altered record beside it.
    """
    content = checkpoint.load(path)
    prepared = run_of(content, path)
    rows = getattr(prepared, part).part
    return Subject(prepared.config["model"], prepared, rows, _history(Path(path), content), content["epoch"] + 1)


def _history(path: Path, content: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """All epochs of the run where its record lies beside the checkpoint, which knows those until the best one."""
    own, beside = content["history"], path.with_suffix(".json")
    if not own or not beside.is_file():
        return tuple(own)
    whole = read_record(beside, "training")["history"]
    same = [epoch["losses"] for epoch in whole[: len(own)]] == [epoch["losses"] for epoch in own]
    return tuple(whole if same else own)


def fitted(name: str, like: Subject) -> Subject | None:
    """A model that needs no training, on the data of another; None where that one's rows are RecBole's."""
    if not isinstance(like.model, CTRModel):
        return None
    config = like.prepared.config
    model = model_class(name)(config, like.prepared.train.part).to(config["device"])
    prepared = dataclasses.replace(like.prepared, model=model, trainer=CTRTrainer(config, model))
    return Subject(name, prepared, like.part)
