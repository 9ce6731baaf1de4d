"""What is compared with what: MARN as it ships, its ordinary versions and DIN, on one set of synthetic rows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.training.optimizers import build_adagrad, read_by_row

from .naive import NaiveMARN, PaddedBatch, TowerRows, UniqueMARN, pad_rows
from .plain_din import PlainDIN
from .synthetic import Shape, SyntheticData, build_model

__all__ = ["Bench", "Sizes", "forward_backward"]

RATE = 0.01
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Sizes:
    """How much each measurement does. Rows are positives and negatives together.

    Attributes:
        small, large, largest: rows of a training step.
        histories: sequences of the recurrent layer's comparison.
        evaluation: rows scored at a time.
        extracted: items whose vectors are extracted.
        rounds: paired rounds.
    """

    small: int = 64
    large: int = 1_024
    largest: int = 2_048
    histories: int = 512
    evaluation: int = 2_048
    extracted: int = 23_033
    rounds: int = 5


class Bench:
    """Models with the same parameters on the same rows, each in its own arrangement.

    Attributes:
        marn: the package's model with the paper's width for our tests, D = 64.
        naive, unique: the same arithmetic in ordinary arrangements, on copies of its parameters.
        din: a plain padded DIN of the same width.
    """

    def __init__(self, shape: Shape, *, width: int = 64, seed: int = 0):
        torch.manual_seed(seed)
        self.data = SyntheticData(shape, seed=seed)
        self.marn = build_model("MARN", self.data, width=width)
        self.marn.prepare_training(steps_per_epoch=2, epochs=1)
        self.marn.step = 1  # half of the schedule, so that every loss has a weight
        self.naive = NaiveMARN(copy.deepcopy(self.marn))
        self.unique = UniqueMARN(copy.deepcopy(self.marn))
        ids = self.data.item_table.modalities["ids"]
        self.din = PlainDIN(
            codes=torch.from_numpy(ids.codes), cardinalities=ids.cardinalities, sizes=(width - width // 4, width // 4)
        )

    # ---------------------------------------------------------------------------------------------- rows
    def rows(self, size: int, number: int = 4) -> list[np.ndarray]:
        """`number` batches of rows."""
        return [self.data.random_rows(size) for _ in range(number)]

    def padded(self, row: np.ndarray, part: Any = None) -> tuple[PaddedBatch, Tensor]:
        """Rows (B,) as the ordinary models take them, and their labels (B,)."""
        part = part or self.data.training
        batch = pad_rows(part, row, static=self.data.item_table.statistic, history=self.data.shape.history)
        return batch, torch.from_numpy(part.columns(row)["label"])

    # --------------------------------------------------------------------------------------------- steps
    def marn_step(self, rows: Sequence[np.ndarray]) -> Callable[[], None]:
        """A training step as the package's trainer takes it, on the next of the batches at each call."""

        def losses(batch: RaggedBatch, label: Tensor) -> dict[str, Tensor]:
            found = self.marn.losses(batch, label)
            self.marn.diagnostics.step_done()  # as in training, where not every step is looked into
            return found

        return training_step(self.marn, losses, [self.data.batch(row) for row in rows], shipped_adagrad)

    def ordinary_step(self, model: NaiveMARN, rows: Sequence[np.ndarray]) -> Callable[[], None]:
        """A training step of the naive or the unique model, with torch's AdaGrad as it comes."""
        return training_step(model, model.losses, [self.padded(row) for row in rows], torch_adagrad)

    def din_step(self, rows: Sequence[np.ndarray]) -> Callable[[], None]:
        def losses(batch: PaddedBatch, label: Tensor) -> dict[str, Tensor]:
            return {"click": self.din.loss(batch.item, batch.length, label)}

        return training_step(self.din, losses, [self.padded(row) for row in rows], torch_adagrad)

    # ------------------------------------------------------------------------------------------ equality
    def share_parameters(self) -> None:
        """Give the ordinary versions MARN's parameters of the moment."""
        for model in (self.naive, self.unique):
            model.model.load_state_dict(self.marn.state_dict())

    def largest_difference(self, row: np.ndarray) -> float:
        """Between the logits and the losses of the three MARN, relative to 1 where they are small.

        Raises:
            AssertionError: it is above 1e-5, so that timing them against each other would mean nothing.
        """
        batch, label = self.data.batch(row)
        padded, _ = self.padded(row)
        self.share_parameters()
        with torch.no_grad():
            expected = self.marn.score(self.marn.represent(self.marn.encoder(batch)).vector, batch)
            losses = self.marn.losses(batch, label)
            largest = 0.0
            for model in (self.naive, self.unique):
                largest = max(largest, float((model(padded) - expected).abs().max()))
                for name, loss in model.losses(padded, label).items():
                    largest = max(largest, float((loss - losses[name]).abs()))
        assert largest <= TOLERANCE, f"the variants differ by {largest}"
        return largest

    # ---------------------------------------------------------------------------------------- evaluation
    @torch.no_grad()
    def naive_vectors(self, item: Tensor, chunk: int = 512) -> Tensor:
        """Item vectors (n, D) with the statistics at the end of training, by conv1d and plain layers."""
        static = torch.from_numpy(self.data.item_table.statistic)
        vectors = []
        for part in item.split(chunk):
            rows = TowerRows(part, static[part], torch.ones(len(part)))
            vectors.append(self.naive.fuse(self.naive.align(rows))[0])
        return torch.cat(vectors)

    @torch.no_grad()
    def fresh_vectors(self, item: Tensor) -> Tensor:
        """The same vectors from the package's model, none of them kept from before."""
        self.marn.train()
        self.marn.eval()
        return self.marn.item_vectors(item)


def training_step(
    model: Any, losses: Callable[..., dict[str, Tensor]], batches: list[tuple], optimizer: Callable[[Any], Any]
) -> Callable[[], None]:
    """A function that takes one training step on the next batch."""
    model.train()
    update = optimizer(model)
    taken = 0

    def step() -> None:
        nonlocal taken
        batch, label = batches[taken % len(batches)]
        taken += 1
        update.zero_grad()
        sum(losses(batch, label).values()).backward()
        update.step()

    return step


def shipped_adagrad(model: Any) -> torch.optim.Optimizer:
    """As the package's trainer builds it."""
    return build_adagrad(model.parameters_by_rate(), rate=RATE, initial=0.1, by_row=read_by_row(model))


def torch_adagrad(model: Any) -> torch.optim.Optimizer:
    """As one writes it."""
    return torch.optim.Adagrad(model.parameters(), lr=RATE, initial_accumulator_value=0.1)


def forward_backward(function: Callable[..., Any], *inputs: Tensor) -> Callable[[], None]:
    """`function(*inputs)` and the gradients of all it returns, apart from the rest of a model."""

    def run() -> None:
        out = function(*(value.detach().requires_grad_() for value in inputs))
        out = [out] if isinstance(out, Tensor) else [value for value in out if value.requires_grad]
        torch.autograd.backward(out, [torch.ones_like(value) for value in out])

    return run
