"""What every model of this package is, and what those share that make a vector of every item."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.data.part import CTRInteraction
from recbole_marn.errors import InputError
from recbole_marn.layers.context import side_by_side
from recbole_marn.models.diagnostics import Diagnostics
from recbole_marn.models.item_encoder import Cells, ItemEncoder
from recbole_marn.models.parts import context_encoder_of
from recbole_marn.registry import settings_of

__all__ = ["EXTRACTION_CHUNK", "CTRModel", "OurModel", "Represented", "batch_of", "click_loss"]

# Items encoded at a time when vectors are extracted: bounds the memory of a catalogue of any size.
EXTRACTION_CHUNK = 4096
# What does the job of RecBole's rankings.
INSTEAD = "For users and items of yours: recbole_marn.load_scorer(CHECKPOINT), its score and top (docs/serving.md)."


def click_loss(logit: Tensor, label: Tensor) -> Tensor:
    """Log loss of (B,) logits, in nats, in float32 or longer: autocast may have left them shorter."""
    return binary_cross_entropy_with_logits(logit.to(torch.promote_types(logit.dtype, torch.float32)), label)


def batch_of(interaction: Any) -> RaggedBatch:
    """The ragged batch that comes with the rows of a loader of this package.

    Raises:
        InputError: rows that RecBole made, or changed.
    """
    if not isinstance(interaction, CTRInteraction):
        raise InputError("rows of a loader of this package", f"a {type(interaction).__name__} of RecBole", INSTEAD)
    return interaction.batch


class OurModel(SequentialRecommender):
    """Base of all models here: named losses, and where in its training the model stands.

    A step of training is a backward pass through the losses of `calculate_loss` in training mode, whoever calls it:
    losses that are only looked at move nothing. How many steps there will be the model takes from the configuration
    and its training rows; a trainer that knows better says so by `prepare_training`.

    Attributes:
        loss_names: what `calculate_loss` returns, in this order.
        makes_item_vectors: whether the model is a `CTRModel`, with `item_vectors`.
        step: steps of training done; kept in checkpoints.
        total_steps: steps until the end of the schedule.
        diagnostics: of the model's inside, see `pop_diagnostics`.
    """

    input_type = InputType.POINTWISE
    batch_format = "ragged"
    loss_names: tuple[str, ...] = ("click",)
    makes_item_vectors = False

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        self.settings = settings_of(config["model"], config)
        self.label_field = config["LABEL_FIELD"]
        self.diagnostics = Diagnostics()
        self.step = 0
        steps_per_epoch = dataset.rows.n_batches(config["train_batch_size"])
        self.prepare_training(steps_per_epoch=steps_per_epoch, epochs=config["epochs"])

    # ------------------------------------------------------------------------------------ for sub-classes
    @abstractmethod
    def named_losses(self, interaction: Any) -> dict[str, Tensor]:
        """Named losses of the rows of `interaction`, "click" among them."""

    # -------------------------------------------------------------------------------------------- RecBole
    def calculate_loss(self, interaction: Any) -> tuple[Tensor, ...]:
        """The losses in the order of `loss_names`; their sum is minimised."""
        losses = self.named_losses(interaction)
        if self.training and losses["click"].requires_grad:
            losses["click"].register_hook(self._count_step)
        return tuple(losses[name] for name in self.loss_names)

    def forward(self, interaction: Any) -> Tensor:
        return self.predict(interaction)

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """RecBole's rankings take rows by the number of an event, which is no number of a labelled row.

        Raises:
            InputError: always.
        """
        raise InputError(
            "rows of this package, which are labelled and not ranked by RecBole", "a ranking of all items", INSTEAD
        )

    # ------------------------------------------------------------------------------------------- training
    def _count_step(self, gradient: Tensor) -> None:
        self.step += 1
        self.diagnostics.step_done()

    @property
    def progress(self) -> float:
        """p of the paper's schedule: the share of training done, 0 to 1."""
        return min(1.0, self.step / self.total_steps)

    def prepare_training(self, *, steps_per_epoch: int, epochs: int) -> None:
        """Tell the schedule how long training may last."""
        self.total_steps = max(1, steps_per_epoch * epochs)

    def get_extra_state(self) -> dict[str, int]:
        return {"step": self.step}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.step = int(state["step"])

    def parameters_by_rate(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Parameters grouped by learning rate relative to the run's."""
        return [(1.0, [parameter for parameter in self.parameters() if parameter.requires_grad])]

    def pop_diagnostics(self) -> dict[str, float]:
        """Means over the steps looked into since the last call, by name."""
        return self.diagnostics.pop()


@dataclass
class Represented:
    """What the modalities of a batch's items became.

    Attributes:
        vector: (E, D) of entities.
        attention: weights of the modalities, without gradient: (R, M, D) of cells, (E, M, D) or (E, M) of entities;
            None where a model has none.
    """

    vector: Tensor
    attention: Tensor | None = None


class CTRModel(OurModel):
    """Base of the multimodal models. A model says how modalities become an item vector, and how a row is scored.

    Sub-classes implement `represent` and `score`, and may add `auxiliary_losses`. During evaluation the vector of
    each item is computed once, with its statistics at the end of training.
    """

    makes_item_vectors = True

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        self.encoder = ItemEncoder(
            dataset.item_table,
            dataset.modality_settings,
            width=self.settings.width,
            reference_kernels=self.settings.reference_kernels,
            normalise=self.settings.modality_norm == "batch",
            id_field=config["ITEM_ID_FIELD"],
            id_dropout=self.settings.id_dropout,
        )
        self.statistics_until = dataset.settings.statistics_until
        self.context_encoder = context_encoder_of(dataset)
        self._vectors: Tensor | None = None
        self._known: Tensor | None = None

    # ------------------------------------------------------------------------------------ for sub-classes
    @abstractmethod
    def represent(self, cells: Cells) -> Represented:
        """Item vectors of the entities behind `cells`."""

    @abstractmethod
    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        """Logits (B,) of a batch whose entities have the item vectors (E, D)."""

    def auxiliary_losses(self, represented: Any, cells: Cells, batch: RaggedBatch) -> dict[str, Tensor]:
        """Further losses by name, given what `represent` returned; the names follow "click" in `loss_names`."""
        return {}

    def user_vectors(self, history: Tensor, length: Tensor) -> Tensor | None:
        """(S, D) whose inner products with item vectors rank a user's items as the score does; None: there are none.

        Args:
            history: (N, D) item vectors of all behaviours, sequence after sequence.
            length: (S,) behaviours of each.
        """
        return None

    @property
    def vector_size(self) -> int:
        """Width of the item vector."""
        return self.settings.width

    @property
    def context_size(self) -> int:
        """C, width of a row's profile and context; 0 where the data set has none."""
        return 0 if self.context_encoder is None else self.context_encoder.output_size

    def context_of(self, batch: RaggedBatch) -> Tensor | None:
        """(B, C) profile and context of the rows, or None where the data set has none."""
        return None if self.context_encoder is None else side_by_side(self.context_encoder(batch.context))

    # -------------------------------------------------------------------------------------------- RecBole
    def named_losses(self, interaction: Any) -> dict[str, Tensor]:
        return self.losses(batch_of(interaction), interaction[self.label_field])

    def losses(self, batch: RaggedBatch, label: Tensor) -> dict[str, Tensor]:
        """Named losses of one batch with labels (B,)."""
        cells = self.encoder(batch)
        represented = self.represent(cells)
        click = click_loss(self.score(represented.vector, batch), label)
        return {"click": click} | self.auxiliary_losses(represented, cells, batch)

    def predict(self, interaction: Any) -> Tensor:
        """Click probabilities (B,)."""
        batch = batch_of(interaction)
        if self.training or self.statistics_until == "row":
            vector = self.represent(self.encoder(batch)).vector
        else:
            vector = self.item_vectors(batch.entity_id)
        return torch.sigmoid(self.score(vector, batch))

    # ------------------------------------------------------------------------------------------ evaluation
    def set_extra_state(self, state: dict[str, int]) -> None:
        super().set_extra_state(state)
        self.forget_vectors()

    def train(self, mode: bool = True) -> CTRModel:
        if mode:
            self.forget_vectors()
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> CTRModel:
        self.forget_vectors()  # those of another device, or of another type
        return super()._apply(fn, recurse)

    def forget_vectors(self) -> None:
        """Compute item vectors anew: needed after a change to the weights or tables of a model in evaluation."""
        self._vectors = self._known = None

    @torch.no_grad()
    def item_vectors(self, item: Tensor | None = None) -> Tensor:
        """Vectors (n, D) of items (n,), or of the whole catalogue; each is computed once until training goes on."""
        if self._vectors is None:
            self._vectors = torch.zeros(self.encoder.n_items, self.vector_size, device=self._device())
            self._known = torch.zeros(self.encoder.n_items, dtype=torch.bool, device=self._device())
        wanted = torch.arange(self.encoder.n_items, device=self._device()) if item is None else item
        new = wanted[~self._known[wanted]].unique()
        for chunk in new.split(EXTRACTION_CHUNK) if len(new) else ():
            self._vectors[chunk] = self.represent(self.encoder.snapshot(chunk)).vector
            self._known[chunk] = True
        return self._vectors[wanted]

    @contextmanager
    def given_vectors(self, vectors: Tensor) -> Iterator[None]:
        """In evaluation, score with these vectors (n_items, D) in place of the model's own."""
        self.eval()
        self._vectors, self._known = vectors, vectors.new_ones(len(vectors), dtype=torch.bool)
        try:
            yield
        finally:
            self.forget_vectors()

    def _device(self) -> torch.device:
        return self.encoder.frozen["present"].device
