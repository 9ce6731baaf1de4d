"""Batches of a part, in an order that is a function of the seed and the epoch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader
from recbole.utils import ModelType
from torch.utils.data import DataLoader

from recbole_marn.data.ctr_dataset import CTRDataset
from recbole_marn.data.order import Order, OrderOfProcess
from recbole_marn.data.part import Part
from recbole_marn.errors import InputError

__all__ = ["CTRDataLoader", "Loaders", "build_loaders"]


class CTRDataLoader(AbstractDataLoader):
    """Batches of whole groups: a positive and its negatives, or the rows of a request, share a history.

    Requests differ in size: a training batch has as many of them as make `train_batch_size` rows on average, so that
    its rows vary; one of evaluation has at most `eval_batch_size`, but for a request that alone has more. With
    `shuffle_by: row` training rows are batched one by one instead.
    Order and resampled negatives depend on the seed and the epoch alone, so that a resumed run repeats them.

    RecBole's `data_preparation` makes one with these arguments, and so does `build_loaders`.

    Args:
        config: RecBole's.
        part: the rows.
        sampler: RecBole's; not used, since negatives belong to the rows.
        shuffle: a new order in every epoch.
    """

    def __init__(self, config: Any, part: Part, sampler: Any = None, shuffle: bool = False):
        by_row = part.name == "train" and part.settings.shuffle_by == "row"
        self.by_row = by_row
        self.sample_size = part.rows.n_rows if by_row else part.rows.n_groups
        self._unmade = False
        self.config, self._dataset, self._sampler, self.shuffle = config, part, sampler, shuffle
        self.is_sequential = config["MODEL_TYPE"] == ModelType.SEQUENTIAL  # asked by RecBole's case studies
        self.generator = torch.Generator().manual_seed(config["seed"])
        self._init_batch_size_and_step()
        # Not by RecBole's constructor, which makes two lists of all numbers, 36 bytes each.
        numbers, order = range(self.sample_size), None
        if not config["single_spec"]:
            order, self.step = OrderOfProcess(numbers, shuffle=shuffle), max(1, self.step // config["world_size"])
        elif shuffle:
            order = Order(numbers, generator=self.generator)
        DataLoader.__init__(
            self, numbers, batch_size=self.step, sampler=order, num_workers=config["worker"],
            collate_fn=self.collate_fn, generator=self.generator,
        )  # fmt: skip

    @property
    def part(self) -> Part:
        """The rows of the present epoch."""
        return self._dataset

    def _init_batch_size_and_step(self) -> None:
        train, of_part = self.part.name == "train", self.part.rows
        rows = self.config["train_batch_size" if train else "eval_batch_size"]
        # RecBole divides `step` by the number of processes; this is that of all of them together.
        groups = of_part.groups_a_batch(rows) if train else of_part.groups_within(rows)
        self.samples_a_batch = self.step = rows if self.by_row else groups
        self.set_batch_size(self.step * max(1, self.part.rows.n_rows // self.sample_size))

    def set_epoch(self, epoch: int) -> None:
        """Prepare the order, and with `resample_negatives` the negatives, of an epoch."""
        self.generator.manual_seed(self.config["seed"] * 1_000_003 + epoch)
        if self.part.name == "train" and self.part.settings.resample_negatives:
            self._dataset = self.part.resampled(epoch)

    @contextmanager
    def unmade(self) -> Iterator[None]:
        """Meanwhile the loader gives functions without arguments that make its batches, for threads to call."""
        self._unmade = True
        try:
            yield
        finally:
            self._unmade = False

    def collate_fn(self, index: list[int]) -> Any:
        return partial(self._batch, index) if self._unmade else self._batch(index)

    def _batch(self, index: list[int]) -> Any:
        sample = np.asarray(index)
        row = sample if self.by_row else self.part.rows.rows_of_groups(sample)
        if self.part.name == "train":
            return self.part.batch(_learnable(self.part, row))
        return self.part.batch(row), None, None, None


def _learnable(part: Part, row: np.ndarray) -> np.ndarray:
    """Training rows as RecBole's models can take them; a log may fill a batch with a single row.

    Raises:
        InputError: no history that DIEN's auxiliary loss could be a mean over.
    """
    if part.features is not None:
        return row
    if part.config["model"] == "DIEN" and part.rows.history(row)[1].max() < 2:
        raise InputError(
            "a history of two behaviours or more in every training batch of DIEN, for its auxiliary loss",
            f"a batch of {len(row)} rows without",
            "Raise train_batch_size, or choose DIN.",
        )
    # Batch normalisation needs two rows; the mean over a row and itself is that row's.
    return np.repeat(row, 2) if len(row) == 1 else row


class Loaders(NamedTuple):
    """Loaders of the parts; a sealed data set has no test part."""

    train: CTRDataLoader
    valid: CTRDataLoader
    test: CTRDataLoader | None


def build_loaders(config: Any, dataset: CTRDataset, *, sealed: bool = False) -> Loaders:
    """Loaders of the parts of a data set, the same that RecBole's `data_preparation` makes of it.

    Args:
        config: RecBole's.
        dataset: as read from its files.
        sealed: build no test part, where nothing may look at it.

    Raises:
        InputError: as `CTRDataset.parts`.
    """
    parts = dataset.parts(sealed=sealed)
    return Loaders(
        CTRDataLoader(config, parts.train, shuffle=config["shuffle"]),
        CTRDataLoader(config, parts.valid),
        None if parts.test is None else CTRDataLoader(config, parts.test),
    )
