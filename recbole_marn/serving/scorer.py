"""Scores, item vectors and rankings by a trained model, for users and items it may never have seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_marn.data.arrays import slices
from recbole_marn.data.batch import StatisticCodes, assemble
from recbole_marn.data.catalogue import Catalogue
from recbole_marn.errors import InputError
from recbole_marn.models.base import EXTRACTION_CHUNK
from recbole_marn.models.parts import BehaviourProperty
from recbole_marn.serving.answers import Answers
from recbole_marn.serving.histories import Behaviours, Needs, columns_of, tokens_of
from recbole_marn.serving.new_items import ItemCodes, ItemsAdded, describe_items
from recbole_marn.serving.restored import Restored, restore
from recbole_marn.serving.scores import UNKNOWN, Asked, Facts

__all__ = ["CTRScorer", "load_scorer"]


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


class CTRScorer(Answers):
    """Scores rows by a trained model. Nothing is learned, and rows of one call do not see each other.

    Columns are called as in the training data (`user_id`, `item_id`, `timestamp` unless its settings said otherwise).
    Users are nothing but their behaviours: an unknown one is scored by those that are given, or by none. Every item's
    vector is computed once, with its statistics at the end of training. An item of which nothing is known, whose id
    training never saw and that was not added, is scored as such.
    """

    def __init__(self, restored: Restored):
        self.model, self.catalogue, self.click_rates = restored.model, restored.catalogue, restored.click_rates
        fields = self.catalogue.fields
        self.item_codes = ItemCodes(
            fields.item, self.catalogue.table, self.catalogue.codes, self.catalogue.moving,
            restored.settings.modality_settings(),
        )  # fmt: skip
        self.described: set[int] = set()  # numbers of items that are what `add_items` said of them
        reads = [module for module in self.model.modules() if isinstance(module, BehaviourProperty)]
        own = (fields.user, fields.item, fields.time)  # which part of the data was taken says nothing of new ones
        needs = Needs.of(
            restored.settings,
            {name: kept for name, kept in restored.filters.items() if name not in own},
            time=any(len(module.gap) for module in reads),
            kind=any(module.kind is not None for module in reads),
        )
        facts = Facts(
            model=type(self.model).__name__,
            fields=fields,
            needs=needs,
            longest=restored.longest,
            kinds=self.catalogue.codes[str(fields.behaviour)] if needs.typed else {},  # typed: the column has a name
            gap=self.catalogue.gap if needs.time else None,
            latest=self.catalogue.latest,
            context=self.catalogue.context,
        )
        super().__init__(facts, self.catalogue.vocabularies[fields.item])
        # NumPy's zeros take no memory until they are written.
        self._vectors = torch.from_numpy(np.zeros((len(self._tokens), self.model.vector_size), dtype=np.float32))
        self._ready = np.zeros(len(self._tokens), dtype=bool)
        self._vectors[UNKNOWN] = self._encoded([""], {}, {})[0]
        self._ready[UNKNOWN] = True

    @classmethod
    def of(cls, run: Any) -> CTRScorer:
        """The scorer of a run that `load_run` loaded where its data are, e.g. from a checkpoint of version 0.1.0.

        Raises:
            InputError: a model without item vectors.
        """
        part = run.train.part
        if not run.model.makes_item_vectors:
            raise InputError("a model with item vectors", run.config["model"], "Score its parts with its trainer.")
        longest = run.config["MAX_ITEM_LIST_LENGTH"]
        rates, filters = run.trainer.click_rates, run.config["val_interval"] or {}
        return cls(Restored(run.model.cpu().eval(), Catalogue.of(part), part.settings, longest, rates, filters))

    # ------------------------------------------------------------------------------------------------ items
    def item_vectors(self, items: Sequence[Any] | None = None) -> np.ndarray:
        """(n, D) float32 vectors of items, or of all, in the order of `items`.

        Raises:
            InputError: an item that nothing is known of.
        """
        numbers = np.arange(1, len(self._tokens)) if items is None else self.numbers(items)
        self._check_known(items, numbers)
        return self._vectors_of(numbers)[numbers].numpy()

    def add_items(self, items: Any, vectors: Mapping[str, Any] | np.ndarray | None = None) -> ItemsAdded:
        """Make items known by their content: those training never saw, or others in place of known ones.

        What is not given is missing, as it was for such items in training: a category or word that training never
        saw, a photo. Numbers fall into the bins of training. What training counted (interactions, exposures, clicks,
        click rate) a known item keeps, as it keeps its id, and a new one has none of, unless a column of that name
        says what it is by now.

        Args:
            items: a data frame or mapping of columns: the item's id, and whatever the model reads of it.
            vectors: modality -> (n, width) photo or other vectors in the order of `items`, NaN where one is missing;
                the array alone where the model has one such modality.

        Raises:
            InputError: no ids, repeated ones, or vectors that do not fit.
        """
        names = [self.facts.fields.item, *(name for name in items if name != self.facts.fields.item)]
        columns = columns_of(items, names, "items")
        tokens = tokens_of(columns.pop(self.facts.fields.item), self.facts.fields.item, "items").tolist()
        if len(set(tokens)) < len(tokens):
            again = len(tokens) - len(set(tokens))
            raise InputError("each item once", f"{again} repeated ids", "Keep one line per item.")
        described = describe_items(tokens, columns, self._by_modality(vectors), self.item_codes)
        new = [token for token in tokens if token not in self._number]
        encoded = self._encoded_table(described.table)
        grown = torch.cat([self._vectors, self._vectors.new_zeros(len(new), self._vectors.shape[1])])
        number = self._number | {token: len(self._tokens) + place for place, token in enumerate(new)}
        places = np.array([number[token] for token in tokens], dtype=np.int64)
        grown[torch.from_numpy(places)] = encoded
        ready = np.concatenate([self._ready, np.zeros(len(new), dtype=bool)])
        ready[places] = True
        # Whoever scores meanwhile in another thread finds vectors before numbers.
        self._vectors, self._ready, self._tokens, self._number = grown, ready, self._tokens + new, number
        self.described |= set(places.tolist())
        return described.told(len(new))

    def _by_modality(self, vectors: Any) -> dict[str, np.ndarray]:
        if vectors is None:
            return {}
        if not isinstance(vectors, Mapping):
            names = self.item_codes.vector_modalities
            if len(names) != 1:
                raise InputError(
                    f"vectors by modality ({', '.join(names) or 'the model reads none'})", "an array alone",
                    "Give {name: array}.",
                )  # fmt: skip
            vectors = {names[0]: vectors}
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
            return {name: np.asarray(given, dtype=np.float32) for name, given in vectors.items()}

    def _encoded(self, items: Sequence[str], columns: Mapping[str, Any], vectors: Mapping[str, np.ndarray]) -> Tensor:
        return self._encoded_table(describe_items(items, columns, vectors, self.item_codes).table)

    @torch.no_grad()
    def _encoded_table(self, table: Any) -> Tensor:
        """(n, D) vectors of the items of a table, without its padding."""
        with self.model.encoder.reading(table):
            chunks = [chunk for chunk in torch.arange(1, table.n_items).split(EXTRACTION_CHUNK) if len(chunk)]
            vectors = [self.model.represent(self.model.encoder.snapshot(chunk)).vector for chunk in chunks]
        return torch.cat(vectors) if vectors else torch.zeros(0, self.model.vector_size)

    @torch.no_grad()
    def _vectors_of(self, numbers: np.ndarray) -> Tensor:
        """Vectors of all items by number, of which those of `numbers` are computed."""
        new = np.unique(numbers[~self._ready[numbers]])
        for chunk in torch.from_numpy(new).split(EXTRACTION_CHUNK) if len(new) else ():
            self._vectors[chunk] = self.model.represent(self.model.encoder.snapshot(chunk)).vector
            self._ready[chunk.numpy()] = True
        return self._vectors

    def vectors_in_pieces(self, size: int = EXTRACTION_CHUNK) -> Iterator[np.ndarray]:
        """(at most `size`, D) vectors of all items by number, those training saw computed anew and not kept."""
        for start in range(0, len(self._tokens), size):
            numbers = torch.arange(start, min(start + size, len(self._tokens)))
            missing = numbers[~torch.from_numpy(self._ready[numbers.numpy()])]
            vectors = self._vectors[numbers].clone()
            if len(missing):
                with torch.no_grad():
                    cells = self.model.encoder.snapshot(missing)
                    vectors[missing - start] = self.model.represent(cells).vector
            yield vectors.numpy()

    @torch.no_grad()
    def user_vector(self, history: np.ndarray) -> np.ndarray | None:
        vectors = self._vectors_of(history)[torch.from_numpy(history)]
        user = self.model.user_vectors(vectors, torch.tensor([len(history)]))
        return None if user is None else user[0].numpy()

    # ----------------------------------------------------------------------------------------------- scores
    @torch.no_grad()
    def _answers(self, asked: Asked, behaviours: Behaviours) -> np.ndarray:
        event = slices(asked.start, asked.length)
        none = StatisticCodes(np.zeros((len(self._tokens), 0), dtype=np.int64))  # vectors hold the statistics already
        since = np.repeat(asked.time, asked.length) - behaviours.time[event]
        batch = assemble(
            token_item=behaviours.item[event],
            length=asked.length,
            row_sequence=asked.request,
            candidate_item=asked.item,
            statistics=none,
            behaviour=behaviours.kind[event] if self.facts.needs.kind and behaviours.kind is not None else None,
            gap=None if self.facts.gap is None else self.facts.gap.codes(since),
            context=asked.context,
        )
        vector = self._vectors_of(batch.item.numpy())[batch.item]
        return torch.sigmoid(self.model.score(vector, batch)).float().numpy()

    def rates(self, output: np.ndarray) -> np.ndarray:
        return self.click_rates(torch.from_numpy(output)).numpy()
