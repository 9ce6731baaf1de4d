"""What every section of a report is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from recbole_marn.analysis.subject import Subject
from recbole_marn.data.part import Part
from recbole_marn.errors import InputError
from recbole_marn.settings.parsing import nearest

__all__ = ["Categories", "Context"]


@dataclass(frozen=True)
class Categories:
    """Of items: a code each (n_items,), 0 where there is none, and the label of each code that occurs."""

    code: np.ndarray
    label: dict[int, str]


@dataclass(frozen=True, eq=False)
class Context:
    """The model, those it is held against, and what to look at.

    Attributes:
        subject: the model the report is about.
        rivals: models on the same rows.
        field: token field of the items that says their category.
        photos: folder of pictures named after items, or None.
        records: folders with records of runs.
        pairs: pairs of a row and an item that a model ranks at most; more are slower and surer.
        seed: of everything that is drawn.
    """

    subject: Subject
    rivals: Sequence[Subject] = ()
    field: str = "category"
    photos: Path | None = None
    records: Sequence[Path] = ()
    pairs: int = 2_000_000
    seed: int = 0

    @property
    def subjects(self) -> list[Subject]:
        """The subject and its rivals."""
        return [self.subject, *self.rivals]

    @property
    def part(self) -> Part:
        """The subject's part: the rows that every subject scores."""
        return self.subject.part

    def rng(self, purpose: int) -> np.random.Generator:
        """Random numbers of one purpose, the same whichever other sections were asked for."""
        return np.random.default_rng([self.seed, purpose])

    @cached_property
    def group(self) -> np.ndarray:
        """(B,) what the rows are compared within: a click and its drawn negatives, or the rows of a user of a log."""
        if self.part.is_log:
            return self.subject.columns["user"]
        return self.part.rows.group_of(np.arange(self.part.rows.n_rows))

    @cached_property
    def train_count(self) -> np.ndarray:
        """(n_items,) training events of every item: clicks, or exposures of a log; row 0 is the padding."""
        protocol = self.part.protocol
        return (protocol.log_counts.exposures if self.part.is_log else protocol.counts).snapshot()

    @cached_property
    def categories(self) -> Categories:
        """The category of every item.

        Raises:
            InputError: no such field.
        """
        part = self.part
        features = part.item_feat
        known = [] if features is None else [name for name in features.columns if name in part.field2id_token]
        columns = [name for name in known if features[name].dim() == 1]  # one value an item, not words
        if self.field not in columns:
            raise InputError(
                f"a token field of the items that the run loads ({', '.join(columns) or 'there is none'})",
                f"'{self.field}'",
                f"Choose it with --field.{nearest(self.field, columns)}",
            )
        codes, tokens = features[self.field].numpy(), part.field2id_token[self.field]
        return Categories(codes, {int(code): str(tokens[code]) for code in np.unique(codes[1:]) if code})
