"""Clicks of users whose taste, and items whose modalities, have a known share in common; made in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace

import numpy as np
import torch

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.data.item_table import IdTable, ItemTable, VectorTable
from recbole_marn.data.labelled_rows import LabelledRows
from recbole_marn.data.protocol import Protocol
from recbole_marn.data.rows import Events, sort_events
from recbole_marn.errors import InputError
from recbole_marn.settings.data import BehaviourSettings, DataSettings, IdModality, VectorModality

__all__ = ["Point", "RedundantData", "Sizes"]

# Moments of the log: training, validation and test clicks are drawn within these.
TRAINING, VALIDATION, TEST, END = 0.0, 10.0, 11.0, 12.0


@dataclass(frozen=True)
class Point:
    """What is planted.

    Each modality m of an item shows `sqrt(share) z_common` beside `sqrt(1 - share) z_m`, mixed by a matrix of its own,
    and noise. A user likes an item by `sqrt(share) <t, z_common> + sqrt((1 - share) / M) sum_m <t_m, z_m>`, so that
    `share` is both what modalities repeat of each other and what of the taste they all show.

    Attributes:
        share: of the common part in the variance of modalities and tastes, 0 to 1.
        noise: deviation of the noise of each modality; the signal has 1.
        cold: share of the catalogue that comes out with the test part: no training click, not even as a negative.

    Raises:
        InputError: a share outside 0 to 1, no modality, or negative noise.
    """

    share: float = 0.5
    noise: tuple[float, ...] = (1.0, 1.0)
    cold: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and 0 <= self.cold <= 0.9 and self.noise and min(self.noise) >= 0):
            raise InputError(
                "a share from 0 to 1, a cold share from 0 to .9 and noise of at least one modality, 0 or more",
                f"share {self.share}, cold {self.cold}, noise {list(self.noise)}",
                "`python -m benchmarks.redundancy run --help` has the defaults.",
            )


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything.

    Attributes:
        factors: numbers of each latent part.
        width: of a modality's vectors.
        choice: items that are shown, of which one is clicked.
        sharpness: of the choice; 0 is chance.
    """

    users: int = 1_500
    items: int = 2_000
    training_clicks: int = 12
    validation_clicks: int = 2
    test_clicks: int = 4
    eval_negatives: int = 10
    factors: int = 6
    width: int = 32
    choice: int = 20
    sharpness: float = 3.0

    @property
    def history(self) -> int:
        return self.training_clicks + self.validation_clicks + self.test_clicks


class RedundantData:
    """Events, rows and item table of a `Point`; stands in for `CTRDataset` where a model is built.

    Every number is drawn with one seed; latent parts and matrices of a seed are the same at all points.
    """

    def __init__(self, point: Point, *, seed: int = 0, sizes: Sizes | None = None):
        self.point, self.shape = point, sizes or Sizes()
        self._seed = seed
        self.settings = DataSettings(
            split="time", split_times=(VALIDATION, TEST), negatives_from="released",
            eval_negatives=self.shape.eval_negatives, sample_seed=seed,
        )  # fmt: skip
        self.context_fields = ()
        self.behaviour_settings = BehaviourSettings()
        self.behaviour_cardinality = None
        self.features = SimpleNamespace(gap=None)
        names = [f"vector {m + 1}" for m in range(len(point.noise))]
        self.modality_settings = {
            "ids": IdModality({"item_id": 16}),
            **{name: VectorModality(file=f"{name}.npy") for name in names},
        }
        n_items = self.shape.items + 1
        self.cold = np.arange(n_items) > round(self.shape.items * (1 - point.cold))
        release = np.where(self.cold, TEST, TRAINING)
        self.protocol = Protocol(self._events(), self.settings, n_items, self.shape.history, release)
        self.item_table = self._item_table(names)
        self.training = self.rows = self.protocol.labelled("train")

    def part(self, name: str) -> LabelledRows:
        """Labelled rows of "valid" or "test"."""
        return self.protocol.labelled(name)

    def batch(self, row: np.ndarray, part: LabelledRows) -> tuple[RaggedBatch, torch.Tensor]:
        """Rows (B,) of a part as the models take them, and their labels (B,)."""
        label = part.columns(row)["label"]
        return part.ragged(row, static=self.item_table.statistic), torch.from_numpy(label)

    def num(self, field: str) -> int:
        return self.shape.items + 1

    def _rng(self, what: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, what])

    @cached_property
    def _latent(self) -> tuple[np.ndarray, np.ndarray]:
        """(1 + M, items, k) and (1 + M, users, k) standard normal parts of items and tastes, the common one first."""
        rng, size = self._rng(0), self.shape
        parts = 1 + len(self.point.noise)
        return tuple(rng.standard_normal((parts, number, size.factors)) for number in (size.items, size.users))

    def taste(self) -> np.ndarray:
        """(users, items) how much a user likes an item, of variance about 1."""
        share, number = self.point.share, len(self.point.noise)
        weights = np.sqrt([share, *[(1 - share) / number] * number])
        items, users = self._latent
        return np.einsum("p,puk,pik->ui", weights, users, items, optimize=True) / np.sqrt(self.shape.factors)

    def _events(self) -> Events:
        """Each click is the best of `choice` items that are out then, by taste and a Gumbel number; none twice."""
        size, rng, liking = self.shape, self._rng(1), self.taste()
        user = np.arange(size.users)
        unclicked = np.ones(liking.shape, dtype=bool)
        columns = []
        periods = ((TRAINING, VALIDATION, size.training_clicks), (VALIDATION, TEST, size.validation_clicks),
                   (TEST, END, size.test_clicks))  # fmt: skip
        for start, end, clicks in periods:
            out = size.items if start == TEST else int((~self.cold[1:]).sum())
            for _ in range(clicks):
                shown = rng.integers(0, out, size=(size.users, size.choice))
                value = size.sharpness * liking[user[:, None], shown] + rng.gumbel(size=shown.shape)
                value[~unclicked[user[:, None], shown]] = -np.inf
                item = shown[user, value.argmax(1)]
                unclicked[user, item] = False
                columns.append((user + 1, item + 1, rng.uniform(start, end, size=size.users)))
        users, items, time = (np.concatenate(column) for column in zip(*columns, strict=True))
        keys = (rng.integers(0, 2**62, size=n + 1).astype(np.uint64) for n in (size.users, size.items))
        return sort_events(users, items, time, user_key=next(keys), item_key=next(keys))

    def _item_table(self, names: list[str]) -> ItemTable:
        size, rng, share = self.shape, self._rng(2), self.point.share
        n_items = size.items + 1
        codes = np.arange(n_items)[:, None]
        tables: dict[str, IdTable | VectorTable] = {"ids": IdTable(codes, (n_items,), (16,), (1,))}
        common, *specific = self._latent[0]
        for name, own, noise in zip(names, specific, self.point.noise, strict=True):
            signal = np.concatenate([np.sqrt(share) * common, np.sqrt(1 - share) * own], axis=1)
            mixing = rng.standard_normal((signal.shape[1], size.width)) / np.sqrt(size.factors)
            seen = signal @ mixing + noise * rng.standard_normal((size.items, size.width))
            tables[name] = VectorTable(seen.astype(np.float32), np.arange(-1, size.items))
        present = np.ones((n_items, len(tables)), dtype=bool)
        present[0] = False
        return ItemTable(n_items, tables, np.zeros((n_items, 0), dtype=np.int64), (), present)
