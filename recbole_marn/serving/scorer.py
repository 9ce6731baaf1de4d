"""Scores, item vectors and rankings by a trained model, for users and items it may never have seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recbole_marn.data.batch import RaggedBatch, assemble, slices
from recbole_marn.data.catalogue import Catalogue
from recbole_marn.errors import InputError
from recbole_marn.models.base import EXTRACTION_CHUNK
from recbole_marn.models.parts import BehaviourProperty
from recbole_marn.serving.histories import Behaviours, History, Needs, Windows, columns_of, times_of, tokens_of
from recbole_marn.serving.new_items import describe_items, interaction_columns, vector_modalities
from recbole_marn.serving.restored import Restored, restore

__all__ = ["CTRScorer", "ItemsAdded", "Ranking", "load_scorer"]

# (row, behaviour) pairs scored at a time: bounds the memory of a batch of any size.
PAIRS = 200_000
UNKNOWN = 0  # the number of the item of which nothing is known; it takes the place of the padding


class Ranking(NamedTuple):
    """Items, the likeliest first, and their probabilities."""

    items: list[str]
    probability: np.ndarray


@dataclass(frozen=True)
class ItemsAdded:
    """What became of the items given to `add_items`.

    Attributes:
        added, replaced: how many were new, and how many took the place of known ones.
        unknown: field -> values or words that training never saw; they count as missing.
        unreadable: field -> values that are no numbers; they count as missing.
        without: modality -> items that have nothing of it.
        not_read: columns that the model has no use for.
    """

    added: int
    replaced: int
    unknown: dict[str, int]
    unreadable: dict[str, int]
    without: dict[str, int]
    not_read: list[str]


def load_scorer(path: str | Path, *, vectors: Mapping[str, str | Path] | None = None) -> CTRScorer:
    """The scorer of a checkpoint written by `run`; the data it was trained on need not be there.

    Args:
        path: `<run>.pth`, with the file of its items beside it.
        vectors: modality -> `.npy` file, of modalities whose vectors were too large to be copied (the key
            `copied_vectors_mb`) and that moved.

    Raises:
        InputError: no checkpoint of this package, of a model without item vectors, or without its items.
    """
    return CTRScorer(restore(path, vectors))


class CTRScorer:
    """Scores rows by a trained model. Nothing is learned, and rows of one call do not see each other.

    Columns are called as in the training data (`user_id`, `item_id`, `timestamp` unless its settings said otherwise).
    Users are nothing but their behaviours: an unknown one is scored by those that are given, or by none. Every item's
    vector is computed once, with its statistics at the end of training. An item of which nothing is known, whose id
    training never saw and that was not added, is scored as such.
    """

    def __init__(self, restored: Restored):
        self.model, self.catalogue, self._longest = restored.model, restored.catalogue, restored.longest
        self._modalities = restored.settings.modality_settings()
        reads = [module for module in self.model.modules() if isinstance(module, BehaviourProperty)]
        kinds, gaps = any(module.kind is not None for module in reads), any(len(module.gap) for module in reads)
        self.needs = Needs(time=gaps, kind=kinds)
        self._items = self.catalogue.vocabularies[self.fields.item].tolist()
        self._number = dict(self.catalogue.codes[self.fields.item])
        self._vectors = torch.zeros(len(self._items), self.model.vector_size)
        self._ready = np.zeros(len(self._items), dtype=bool)
        self._vectors[UNKNOWN] = self._encoded([""], {}, {})[0]
        self._ready[UNKNOWN] = True

    @classmethod
    def of(cls, run: Any) -> CTRScorer:
        """The scorer of a run that `load_run` loaded where its data are, e.g. from a checkpoint of version 0.1.0."""
        part = run.train.part
        if not run.model.makes_item_vectors:
            raise InputError("a model with item vectors", run.config["model"], "Score its parts with its trainer.")
        longest = run.config["MAX_ITEM_LIST_LENGTH"]
        return cls(Restored(run.model.cpu().eval(), Catalogue.of(part), part.settings, longest))

    # ------------------------------------------------------------------------------------------------ items
    @property
    def fields(self) -> Any:
        """Names of the columns of user, item, time and behaviour type."""
        return self.catalogue.fields

    @property
    def items(self) -> list[str]:
        """Ids of all items that can be ranked, in the order of `item_vectors()`."""
        return self._items[1:]

    def knows(self, items: Sequence[Any]) -> np.ndarray:
        """(n,) bool: items that training saw or that were added."""
        return self._numbers(items) > 0

    def item_vectors(self, items: Sequence[Any] | None = None) -> np.ndarray:
        """(n, D) float32 vectors of items, or of all, in the order of `items`.

        Raises:
            InputError: an item that nothing is known of.
        """
        numbers = np.arange(1, len(self._items)) if items is None else self._numbers(items)
        self._check_known(items, numbers)
        return self._vectors_of(numbers)[numbers].numpy()

    @staticmethod
    def _check_known(items: Any, numbers: np.ndarray) -> None:
        if (numbers <= 0).any():
            which = np.asarray(items, dtype=object)[numbers <= 0]
            raise InputError(
                "items that training saw or that were added",
                f"{which[0]!r}" + (f" and {len(which) - 1} more" if len(which) > 1 else ""),
                "Add them first, or leave them out.",
            )

    def add_items(self, items: Any, vectors: Mapping[str, Any] | np.ndarray | None = None) -> ItemsAdded:
        """Make items known by their content: those training never saw, or others in place of known ones.

        What is not given is missing, as it was for such items in training: a category or word that training never
        saw, a photo. Numbers fall into the bins of training; an item has no training interactions unless it is a
        known one, which keeps its id.

        Args:
            items: a data frame or mapping of columns: the item's id, and whatever the model reads of it.
            vectors: modality -> (n, width) photo or other vectors in the order of `items`, NaN where one is missing;
                the array alone where the model has one such modality.

        Raises:
            InputError: no ids, repeated ones, or vectors that do not fit.
        """
        names = [self.fields.item, *(name for name in items if name != self.fields.item)]
        columns = columns_of(items, names, "items")
        tokens = tokens_of(columns.pop(self.fields.item), self.fields.item, "items").tolist()
        if len(set(tokens)) < len(tokens):
            again = len(tokens) - len(set(tokens))
            raise InputError("each item once", f"{again} repeated ids", "Keep one line an item.")
        described = describe_items(tokens, columns, self._by_modality(vectors), self.catalogue, self._modalities)
        self._keep_interactions(tokens, described.table)
        new = [token for token in tokens if token not in self._number]
        encoded = self._encoded_table(described.table)
        grown = torch.cat([self._vectors, self._vectors.new_zeros(len(new), self._vectors.shape[1])])
        number = self._number | {token: len(self._items) + place for place, token in enumerate(new)}
        places = np.array([number[token] for token in tokens], dtype=np.int64)
        grown[torch.from_numpy(places)] = encoded
        ready = np.concatenate([self._ready, np.zeros(len(new), dtype=bool)])
        ready[places] = True
        # Whoever scores meanwhile in another thread finds vectors before numbers.
        self._vectors, self._ready, self._items, self._number = grown, ready, self._items + new, number
        present = described.table.present[1:]
        without = {name: int((~present[:, index]).sum()) for index, name in enumerate(described.table.names)}
        return ItemsAdded(
            len(new), len(tokens) - len(new), described.unknown, described.unreadable,
            {name: missing for name, missing in without.items() if missing}, described.not_read,
        )  # fmt: skip

    def _keep_interactions(self, tokens: Sequence[str], table: Any) -> None:
        """A known item is described anew, but what counts its events stays."""
        known = self.catalogue.codes[self.fields.item]
        columns = interaction_columns(self.catalogue, self._modalities)
        for row, token in enumerate(tokens, start=1):
            if token in known:
                table.statistic[row, columns] = self.catalogue.table.statistic[known[token], columns]

    def _by_modality(self, vectors: Any) -> dict[str, np.ndarray]:
        if vectors is None:
            return {}
        if not isinstance(vectors, Mapping):
            names = vector_modalities(self.catalogue)
            if len(names) != 1:
                raise InputError(
                    f"vectors by modality ({', '.join(names) or 'the model reads none'})", "an array alone",
                    "Give {name: array}.",
                )  # fmt: skip
            vectors = {names[0]: vectors}
        return {name: np.asarray(given, dtype=np.float32) for name, given in vectors.items()}

    def _encoded(self, items: Sequence[str], columns: Mapping[str, Any], vectors: Mapping[str, np.ndarray]) -> Tensor:
        return self._encoded_table(describe_items(items, columns, vectors, self.catalogue, self._modalities).table)

    @torch.no_grad()
    def _encoded_table(self, table: Any) -> Tensor:
        """(n, D) vectors of the items of a table, without its padding."""
        with self.model.encoder.reading(table):
            chunks = [chunk for chunk in torch.arange(1, table.n_items).split(EXTRACTION_CHUNK) if len(chunk)]
            vectors = [self.model.represent(self.model.encoder.snapshot(chunk)).vector for chunk in chunks]
        return torch.cat(vectors) if vectors else torch.zeros(0, self.model.vector_size)

    def _numbers(self, items: Any) -> np.ndarray:
        """(n,) numbers of items, -1 for unknown ones."""
        tokens = tokens_of(np.asarray(items, dtype=object), self.fields.item, "items")
        return np.array([self._number.get(token, -1) for token in tokens], dtype=np.int64)

    @torch.no_grad()
    def _vectors_of(self, numbers: np.ndarray) -> Tensor:
        """Vectors of all items by number, of which those of `numbers` are computed."""
        new = np.unique(numbers[~self._ready[numbers]])
        for chunk in torch.from_numpy(new).split(EXTRACTION_CHUNK) if len(new) else ():
            self._vectors[chunk] = self.model.represent(self.model.encoder.snapshot(chunk)).vector
            self._ready[chunk.numpy()] = True
        return self._vectors

    # ----------------------------------------------------------------------------------------------- scores
    def score(self, rows: Any, behaviours: Any = None, *, inclusive: bool = False) -> np.ndarray:
        """Click probabilities of rows.

        Args:
            rows: a data frame or mapping of columns: user, item and time (the latter only where behaviours are a
                table, or the model reads the time since a behaviour).
            behaviours: what the users did: a data frame or mapping of columns (user, item, time, and the type where
                the model reads it), of which a row sees its user's before its time; or one `History` a row; or None.
            inclusive: behaviours at the very time of a row were before it, in the order given.

        Returns:
            (B,) float32.

        Raises:
            InputError: columns or values are missing.
        """
        return self._scored(rows, self.behaviours(behaviours), inclusive)

    def behaviours(self, given: Any) -> Behaviours | None:
        """Behaviours made ready for several calls of `score`."""
        if given is None or isinstance(given, Behaviours):
            return given
        if isinstance(given, Sequence) and all(isinstance(history, History) for history in given):
            return Behaviours.of_rows(given, self.needs, self._numbers, self._kinds)
        return Behaviours.of_table(given, self.fields, self.needs, self._numbers, self._kinds)

    def _kinds(self, tokens: np.ndarray) -> np.ndarray:
        known = self.catalogue.codes[self.fields.behaviour]
        return np.array([known.get(token, 0) for token in tokens], dtype=np.int64)

    def _scored(self, rows: Any, behaviours: Behaviours | None, inclusive: bool) -> np.ndarray:
        by_row = behaviours is not None and behaviours.by_row
        timed = behaviours is not None and (self.needs.time or not by_row)
        fields = self.fields
        columns = columns_of(rows, [*([] if by_row else [fields.user]), fields.item, *([fields.time] if timed else [])],
                             "rows")  # fmt: skip
        item = self._numbers(columns[fields.item]).clip(min=UNKNOWN)
        time = self._times(columns[fields.time]) if timed else np.zeros(len(item))
        if behaviours is None:
            behaviours, windows = NOTHING, Windows(*np.zeros((2, len(item)), dtype=np.int64))
        elif by_row:
            behaviours.check_rows(len(item))
            windows = behaviours.all_of(np.arange(len(item)), self._longest)
        else:
            user = tokens_of(columns[fields.user], fields.user, "rows")
            windows = behaviours.before(user, time, self._longest, inclusive=inclusive)
        return self._probabilities(item, time, windows, behaviours)

    def _probabilities(
        self, item: np.ndarray, time: np.ndarray, windows: Windows, behaviours: Behaviours
    ) -> np.ndarray:
        """(B,) of items by number, scored in pieces."""
        found, (start, length) = np.empty(len(item), dtype=np.float32), (windows.start, windows.length)
        for some in _batches(length):
            found[some] = self._probability(item[some], time[some], start[some], length[some], behaviours)
        return found

    def _times(self, column: np.ndarray) -> np.ndarray:
        time = times_of(column, self.fields.time, "rows")
        latest = self.catalogue.latest
        if len(time) and latest > 0 and time.max() > 100 * latest:
            raise InputError(
                f"times in the unit of the training data, which end at {latest:g}",
                f"{time.max():g}",
                "Convert them: milliseconds are a thousand times as many as seconds.",
            )
        return time

    @torch.no_grad()
    def _probability(
        self, item: np.ndarray, time: np.ndarray, start: np.ndarray, length: np.ndarray, behaviours: Behaviours
    ) -> np.ndarray:
        batch, numbers = self._batch(item, time, start, length, behaviours)
        vector = self._vectors_of(numbers)[batch.item]
        return torch.sigmoid(self.model.score(vector, batch)).float().numpy()

    def _batch(
        self, item: np.ndarray, time: np.ndarray, start: np.ndarray, length: np.ndarray, behaviours: Behaviours
    ) -> tuple[RaggedBatch, np.ndarray]:
        """Rows as the model takes them, those with one history and moment sharing it, and the items in them."""
        keys = np.column_stack([start.astype(np.float64), length, time])
        kept, row_sequence = np.unique(keys, axis=0, return_inverse=True)
        start, length = kept[:, 0].astype(np.int64), kept[:, 1].astype(np.int64)
        event = slices(start, length)
        none = np.zeros((0, 0), dtype=np.int64)
        gap = self.catalogue.gap if self.needs.time else None
        # Codes of profile and context belong here, too, once models read them.
        batch = assemble(
            token_item=behaviours.item[event],
            length=length,
            row_sequence=row_sequence.ravel(),
            candidate_item=item,
            static=np.zeros((len(self._items), 0), dtype=np.int64),  # vectors hold the statistics already
            token_dynamic=none,
            candidate_dynamic=none,
            dynamic_columns=(),
            behaviour=behaviours.kind[event] if self.needs.kind else None,
            gap=None if gap is None else gap.codes(np.repeat(kept[:, 2], length) - behaviours.time[event]),
        )
        return batch, batch.item.numpy()

    # --------------------------------------------------------------------------------------------- rankings
    def top(
        self,
        history: History | Sequence[Any],
        k: int = 10,
        candidates: Sequence[Any] | None = None,
        *,
        time: float | None = None,
        unseen: bool = False,
    ) -> Ranking:
        """The k likeliest items for a user.

        Args:
            history: what the user did, oldest first; ids alone where the model reads nothing else.
            candidates: ids to choose from; None: all items known.
            time: of the row; needed where the model reads the time since a behaviour.
            unseen: leave out the items of the history.

        Raises:
            InputError: k below 1, no time where it is needed, or a candidate that nothing is known of.
        """
        history = history if isinstance(history, History) else History(list(history))
        if k < 1:
            raise InputError("k of at least 1", str(k), "Ask for one item or more.")
        if self.needs.time and time is None:
            raise InputError(
                f"a time, for {type(self.model).__name__} reads the time since each behaviour", "none", "Give time=..."
            )
        behaviours = Behaviours.of_rows([history], self.needs, self._numbers, self._kinds)
        every = Windows(np.zeros(1, dtype=np.int64), np.array([len(behaviours.item)]))
        return self._ranked(self.candidates(candidates), k, behaviours, every, 0.0 if time is None else time, unseen)

    def candidates(self, items: Sequence[Any] | None) -> np.ndarray:
        """Numbers of items to choose from, made ready for several rankings; None: of all.

        Raises:
            InputError: one that nothing is known of.
        """
        if items is None:
            return np.arange(1, len(self._items))
        numbers = self._numbers(items)
        self._check_known(items, numbers)
        return np.unique(numbers)

    def top_of(
        self,
        user: np.ndarray,
        time: np.ndarray,
        behaviours: Behaviours,
        k: int,
        candidates: np.ndarray,
        *,
        inclusive: bool = False,
        unseen: bool = False,
    ) -> Iterator[Ranking]:
        """The k likeliest items for each of users (B,) at moments (B,), by behaviours of a table; see `top`."""
        every = behaviours.before(user, time, len(behaviours.item), inclusive=inclusive)
        for row, at in enumerate(time):
            one = Windows(every.start[row : row + 1], every.length[row : row + 1])
            yield self._ranked(candidates, k, behaviours, one, at, unseen)

    def _ranked(
        self, numbers: np.ndarray, k: int, behaviours: Behaviours, every: Windows, time: float, unseen: bool
    ) -> Ranking:
        """`every`: all behaviours of the user so far, of which the latest are read."""
        end = int(every.start[0] + every.length[0])
        if unseen:
            numbers = np.setdiff1d(numbers, behaviours.item[every.start[0] : end])
        length = min(int(every.length[0]), self._longest)
        windows = Windows(np.full(len(numbers), end - length), np.full(len(numbers), length))
        probability = self._probabilities(numbers, np.full(len(numbers), float(time)), windows, behaviours)
        best = np.argsort(-probability, kind="stable")[:k]
        return Ranking([self._items[numbers[place]] for place in best], probability[best])


def _batches(length: np.ndarray) -> list[slice]:
    """Slices of rows with at most PAIRS behaviours, or of one row."""
    ends = np.cumsum(np.maximum(length, 16))
    cuts = [0]
    while cuts[-1] < len(length):
        before = ends[cuts[-1] - 1] if cuts[-1] else 0
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(ends, before + PAIRS, side="right"))))
    return [slice(first, last) for first, last in zip(cuts, cuts[1:], strict=False)]


NOTHING = Behaviours({}, *np.zeros((2, 0), dtype=np.int64), np.zeros(0), np.zeros(0, dtype=np.int64))
