"""What every multimodal CTR model shares: item encoder, named losses, item vectors kept during evaluation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.models.item_encoder import Cells, ItemEncoder
from recbole_marn.registry import settings_of

__all__ = ["CTRModel", "Represented"]

# Training steps from one that is looked into to the next: diagnostics of every step would cost 4 % of a small batch.
DIAGNOSED = 8
# Items encoded at a time when vectors are extracted: bounds the memory of a catalogue of any size.
EXTRACTION_CHUNK = 4096


@dataclass
class Represented:
    """Item vectors (E, D), and what the auxiliary losses of a model need besides."""

    vector: Tensor
    parts: dict[str, Tensor]


class CTRModel(SequentialRecommender):
    """Base of the multimodal models. A model says how modalities become an item vector, and how a row is scored.

    Sub-classes implement `represent` and `score`, and may add `auxiliary_losses`. During evaluation the vector of
    each item is computed once, with its statistics at the end of training.
    """

    input_type = InputType.POINTWISE
    batch_format = "ragged"
    loss_names: tuple[str, ...] = ("click",)

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        self.settings = settings_of(config["model"], config)
        self.label_field = config["LABEL_FIELD"]
        self.encoder = ItemEncoder(
            dataset.item_table,
            dataset.modality_settings,
            width=self.settings.width,
            reference_kernels=self.settings.reference_kernels,
            normalise=self.settings.modality_norm == "batch",
        )
        self.step, self.total_steps = 0, 1
        self._vectors: Tensor | None = None
        self._known: Tensor | None = None
        self._diagnostics: dict[str, tuple[Tensor, int, Sequence[str]]] = {}
        self._steps_not_told = 0

    # ------------------------------------------------------------------------------------ for sub-classes
    @abstractmethod
    def represent(self, cells: Cells) -> Represented:
        """Item vectors of the entities behind `cells`."""

    @abstractmethod
    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        """Logits (B,) of a batch whose entities have the item vectors (E, D)."""

    def auxiliary_losses(self, represented: Represented, cells: Cells, batch: RaggedBatch) -> dict[str, Tensor]:
        """Further losses by name; the names follow "click" in `loss_names`."""
        return {}

    # -------------------------------------------------------------------------------------------- RecBole
    def calculate_loss(self, interaction: Any) -> tuple[Tensor, ...]:
        """The losses in the order of `loss_names`; their sum is minimised."""
        losses = self.losses(interaction.batch, interaction[self.label_field])
        if self.training:
            self.step += 1
            self._steps_not_told += 1
        return tuple(losses[name] for name in self.loss_names)

    def losses(self, batch: RaggedBatch, label: Tensor) -> dict[str, Tensor]:
        """Named losses of one batch with labels (B,)."""
        cells = self.encoder(batch)
        represented = self.represent(cells)
        logit = self.score(represented.vector, batch)
        logit = logit.to(torch.promote_types(logit.dtype, torch.float32))  # autocast may have left it shorter
        click = binary_cross_entropy_with_logits(logit, label)
        return {"click": click} | self.auxiliary_losses(represented, cells, batch)

    def predict(self, interaction: Any) -> Tensor:
        """Click probabilities (B,)."""
        batch = interaction.batch
        if self.training:
            vector = self.represent(self.encoder(batch)).vector
        else:
            vector = self.item_vectors(batch.entity_id)
        return torch.sigmoid(self.score(vector, batch))

    def forward(self, interaction: Any) -> Tensor:
        return self.predict(interaction)

    # ------------------------------------------------------------------------------------------- training
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
        self._forget_vectors()

    def parameters_by_rate(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Parameters grouped by learning rate relative to the run's."""
        return [(1.0, [parameter for parameter in self.parameters() if parameter.requires_grad])]

    @property
    def diagnosing(self) -> bool:
        """Whether this step is to be recorded: the first of an epoch, and every `DIAGNOSED`th from there."""
        return self._steps_not_told % DIAGNOSED == 0

    def record(self, name: str, value: Tensor, of: Sequence[str] = ()) -> None:
        """Add to the epoch's diagnostics a number of this step, or one for each name in `of`.

        Nothing waits for the device.
        """
        total, steps, _ = self._diagnostics.get(name, (0.0, 0, of))
        self._diagnostics[name] = (total + value.detach().float(), steps + 1, of)

    def pop_diagnostics(self) -> dict[str, float]:
        """Means over the recorded steps since the last call, by name."""
        means = {}
        for name, (total, steps, of) in self._diagnostics.items():
            names = [f"{name} {each}" for each in of] or [name]
            means |= zip(names, (total / steps).reshape(-1).tolist(), strict=True)
        self._diagnostics, self._steps_not_told = {}, 0
        return means

    # ------------------------------------------------------------------------------------------ evaluation
    def train(self, mode: bool = True) -> CTRModel:
        if mode:
            self._forget_vectors()
        return super().train(mode)

    def _forget_vectors(self) -> None:
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

    @property
    def vector_size(self) -> int:
        """Width of the item vector."""
        return self.settings.width

    def _device(self) -> torch.device:
        return self.encoder.frozen["present"].device


OurModel = CTRModel
