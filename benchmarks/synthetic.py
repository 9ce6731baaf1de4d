"""Data shaped like Amazon Clothing or H&M, made in memory: what a model asks of a data set, without any file."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.data.item_table import IdTable, ItemTable, StatisticTable, TextTable, VectorTable
from recbole_marn.data.labelled_rows import LabelledRows
from recbole_marn.data.protocol import Protocol
from recbole_marn.data.rows import Events, sort_events
from recbole_marn.data.statistics import EqualFrequencyBins, GapBins, StatisticsAtTime
from recbole_marn.registry import model_class
from recbole_marn.settings.data import (
    BehaviourSettings,
    DataSettings,
    IdModality,
    StatisticModality,
    TextModality,
    VectorModality,
)

__all__ = ["CLOTHING", "HM", "Shape", "SyntheticData", "build_model", "reduced"]

DAY = 86_400.0


@dataclass(frozen=True)
class Shape:
    """Sizes of a data set. The defaults are those of the 5-core Amazon Clothing data with CaffeNet images.

    Attributes:
        image_rows: distinct image vectors; items beyond that number share them, so that a catalogue of a million
            items fits into memory.
        word_size: numbers of a word's vector.
        learned_words: word vectors are learned; else given and frozen.
        title_words: longest title; the mean is about half of it.
        history: L, longest history.
    """

    users: int = 39_387
    items: int = 23_033
    fewest_events: int = 5
    most_events: int = 137
    categories: int = 500
    image_width: int = 4_096
    image_rows: int = 23_033
    words: int = 20_000
    word_size: int = 300
    learned_words: bool = False
    title_words: int = 20
    static_statistics: int = 3
    history: int = 50


CLOTHING = Shape()
# A sample of H&M's purchases as `prepare hm` leaves it: 20 events a user, photos of 1,280 numbers, short titles.
HM = Shape(
    users=1_364,
    items=17_033,
    fewest_events=17,
    categories=98,
    image_width=1_280,
    image_rows=17_033,
    words=5_530,
    word_size=64,
    learned_words=True,
    title_words=6,
    static_statistics=0,
    history=20,
)


class SyntheticData:
    """Events, rows and item table of a `Shape`.

    It stands in for `CTRDataset` where a model is built, and for a loader through `rows` and `batch`. The events have
    the skew of the original: mean history of a training row about 5, 99th percentile about 35; an item's popularity
    and a word's frequency fall with a power of the rank. All numbers are drawn with one seed.
    """

    def __init__(self, shape: Shape = CLOTHING, *, seed: int = 0):
        self.shape = shape
        self.rng = np.random.default_rng(seed)
        self.settings = DataSettings(eval_negatives=1)
        self.context_fields = ()
        self.behaviour_settings = BehaviourSettings(time="timestamp")
        self.behaviour_cardinality = None
        numbers = [f"number {n}" for n in range(shape.static_statistics)]
        self.modality_settings = {
            "ids": IdModality({"item_id": 32, "category": 16}),
            "image": VectorModality(file="image.npy"),
            "title": TextModality(
                field="title", word_vectors=None if shape.learned_words else "given", word_size=shape.word_size
            ),
            "statistic": StatisticModality(fields=("train_interactions", *numbers)),
        }
        self.protocol = Protocol(self._events(), self.settings, shape.items + 1, shape.history)
        training = self.protocol.labelled("train")
        self.item_table, at_time = self._item_table(training)
        self.features = SimpleNamespace(gap=self._gap_bins(training))
        self.training = self.rows = replace(training, at_time=at_time, gap=self.features.gap)

    @cached_property
    def test(self) -> LabelledRows:
        """The test rows, with the statistics at the end of training."""
        return replace(self.protocol.labelled("test"), gap=self.features.gap)

    def num(self, field: str) -> int:
        return self.shape.items + 1

    def random_rows(self, size: int, part: LabelledRows | None = None) -> np.ndarray:
        """(size,) rows of randomly chosen positives with their negatives, as the training loader serves them."""
        part = part or self.training
        group = self.rng.choice(part.n_groups, size=size // part.rows_per_group, replace=False)
        return part.rows_of_groups(group)

    def batch(self, row: np.ndarray, part: LabelledRows | None = None) -> tuple[RaggedBatch, torch.Tensor]:
        """Rows (B,) as the models take them, and their labels (B,)."""
        part = part or self.training
        label = part.columns(row)["label"]
        return part.ragged(row, static=self.item_table.statistic), torch.from_numpy(label)

    # -------------------------------------------------------------------------------------------- events
    def _events(self) -> Events:
        shape, rng = self.shape, self.rng
        more = np.floor(rng.lognormal(0.314, 1.15, size=shape.users)).astype(np.int64)
        number = np.minimum(shape.fewest_events + more, min(shape.most_events, shape.items // 4))
        user = np.repeat(np.arange(1, shape.users + 1), number)
        weight = (np.arange(shape.items) + 50.0) ** -0.7
        item = rng.choice(shape.items, size=len(user), p=weight / weight.sum()) + 1
        time = np.floor(rng.beta(6, 1.5, size=len(user)) * 4_000) * DAY
        keys = (rng.integers(0, 2**62, size=n + 1).astype(np.uint64) for n in (shape.users, shape.items))
        return sort_events(user, item, time, user_key=next(keys), item_key=next(keys))

    def _gap_bins(self, training: LabelledRows) -> GapBins:
        event, length = training.history(training.rows_of_groups(np.arange(training.n_groups))[::2])
        time = np.repeat(training.events.time[training.rows.position], length)
        return GapBins(EqualFrequencyBins.fit(time - training.events.time[event]))

    # --------------------------------------------------------------------------------------------- items
    def _item_table(self, training: LabelledRows) -> tuple[ItemTable, StatisticsAtTime]:
        shape, rng = self.shape, self.rng
        n_items = shape.items + 1
        category = rng.integers(1, shape.categories + 1, size=n_items)
        codes = np.stack([np.arange(n_items), category], axis=1)
        codes[0] = 0
        statistic, fitted, at_time = self._statistics(training)
        cardinalities = tuple(number for bins in fitted for number in bins.cardinalities)
        image_row = np.arange(-1, shape.items) % shape.image_rows
        image_row[0] = -1
        tables = {
            "ids": IdTable(codes, (n_items, shape.categories + 1), (32, 16), (1, 1)),
            "image": VectorTable(self._images(), image_row),
            "title": TextTable(
                self._titles(n_items), shape.words + 1, None if shape.learned_words else self._word_vectors()
            ),
            "statistic": StatisticTable(0, statistic.shape[1], cardinalities, fitted),
        }
        present = np.ones((n_items, len(tables)), dtype=bool)
        present[0] = False
        return ItemTable(n_items, tables, statistic, at_time.columns, present), at_time

    def _statistics(
        self, training: LabelledRows
    ) -> tuple[np.ndarray, tuple[EqualFrequencyBins, ...], StatisticsAtTime]:
        """Training interactions, which change over time, and numbers that do not, such as a price."""
        counts = self.protocol.counts
        seen = training.columns(np.arange(training.n_rows))
        interactions = EqualFrequencyBins.fit(counts.as_of(seen["item"], seen["time"]))
        codes, fitted = [interactions.assign(counts.snapshot())], [interactions]
        for _ in range(self.shape.static_statistics):
            values = np.round(self.rng.lognormal(3, 1, size=self.shape.items + 1), 2)
            bins = EqualFrequencyBins.fit(values)
            codes.append(bins.assign(values))
            fitted.append(bins)
        statistic = np.concatenate(codes, axis=1)
        statistic[0] = 0
        return statistic, tuple(fitted), StatisticsAtTime({0: (counts, interactions)})

    def _images(self) -> np.ndarray:
        images = np.empty((min(self.shape.image_rows, self.shape.items), self.shape.image_width), dtype=np.float16)
        for start in range(0, len(images), 1_024):
            part = images[start : start + 1_024]
            part[:] = self.rng.standard_normal(part.shape, dtype=np.float32)
        return images

    def _titles(self, n_items: int) -> np.ndarray:
        """(n_items, T) words: 2 to T a title, the r-th most frequent word with frequency 1 / r."""
        shape, rng = self.shape, self.rng
        frequency = 1 / np.arange(1, shape.words + 1)
        cumulated = np.cumsum(frequency / frequency.sum())
        words = np.searchsorted(cumulated, rng.random((n_items, shape.title_words), dtype=np.float32)) + 1
        words = np.minimum(words, shape.words)
        length = np.clip(rng.poisson(shape.title_words / 2, size=n_items), 2, shape.title_words)
        words[np.arange(shape.title_words) >= length[:, None]] = 0
        words[0] = 0
        return words

    def _word_vectors(self) -> np.ndarray:
        vectors = self.rng.standard_normal((self.shape.words + 1, self.shape.word_size), dtype=np.float32)
        vectors[0] = 0
        return vectors


def build_model(name: str, data: SyntheticData, **settings: Any) -> Any:
    """A model of the table on synthetic data, with the defaults of its settings but for those given."""
    config = {
        "model": name,
        "device": "cpu",
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "LABEL_FIELD": "label",
        "LIST_SUFFIX": "_list",
        "ITEM_LIST_LENGTH_FIELD": "item_length",
        "NEG_PREFIX": "neg_",
        "MAX_ITEM_LIST_LENGTH": data.shape.history,
        "epochs": 1,
        "train_batch_size": 1_024,
    }
    return model_class(name)(config | settings, data)


def reduced(data: SyntheticData, names: list[str]) -> SyntheticData:
    """The same rows with some of the modalities, none of them a statistic."""
    table, part = data.item_table, copy.copy(data)
    part.item_table = replace(
        table,
        modalities={name: table.modalities[name] for name in names},
        statistic=table.statistic[:, :0],
        dynamic_columns=(),
        present=table.present[:, [table.names.index(name) for name in names]],
    )
    part.training = replace(data.training, at_time=None)
    return part
