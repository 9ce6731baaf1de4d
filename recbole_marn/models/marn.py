"""MARN: Adversarial Multimodal Representation Learning for Click-Through Rate Prediction (WWW 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.layers.apgru import APGRU
from recbole_marn.layers.fusion import AttentionFusion, SumFusion
from recbole_marn.layers.mlp import activation_by_name
from recbole_marn.layers.projection import PrivateLinear
from recbole_marn.models.base import CTRModel, Represented
from recbole_marn.models.invariant_branch import Invariant, InvariantBranch
from recbole_marn.models.item_encoder import Cells
from recbole_marn.models.parts import BehaviourProperty, PredictionHead, UserPooling

__all__ = ["MARN", "MARNItems"]

# Names of parameters in checkpoints written before the invariant branch was a module of its own.
OLD_NAMES = {
    "invariant.weight": "invariant.projection.weight",
    "invariant.bias": "invariant.projection.bias",
    "invariant_norm.": "invariant.norm.",
    "codes.": "invariant.codes.",
    "discriminator": "invariant.discriminator",
    "degree_norm.": "invariant.degree_norm.",
}


@dataclass(kw_only=True)
class MARNItems(Represented):
    """Item vectors, and what the losses need besides.

    Attributes:
        specific: (R, M, D) s_m.
        specific_stopped: (R, M, D) the same, but the gradient ends at S_m.
        invariant: of the invariant branch, or None without it.
    """

    specific: Tensor
    specific_stopped: Tensor
    invariant: Invariant | None


class MARN(CTRModel):
    """Modality-specific and modality-invariant item features, a property-gated GRU, candidate attention.

    Settings: `MARNSettings`, whose defaults are the paper's reading (docs/models.md).
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x, names, width = self.settings, self.encoder.names, self.settings.width
        hidden, number = x.hidden_size or width, len(names)
        self.activation = activation_by_name(x.projection_activation)
        self.specific = PrivateLinear(n=number, input_size=width, output_size=width)
        self.fusion: nn.Module = SumFusion()
        if x.fusion == "maf":
            self.fusion = AttentionFusion(
                n_modalities=number, width=width, activation=x.attention_activation, normalise=x.attention_normalise
            )
        self.invariant = InvariantBranch(x, names) if x.adversary != "none" else None
        self.property = BehaviourProperty.of(dataset) if x.rnn == "apgru" else None
        self.rnn = APGRU(
            input_size=width,
            property_size=self.property.size if self.property else 0,
            hidden_size=hidden,
            gate=x.gate if self.property else "none",
        )
        self.pool = UserPooling.of(x, state_size=hidden)
        self.head = PredictionHead.of(
            x, user_size=self.pool.output_size, item_size=width, context_size=self.context_size
        )
        if self.invariant:
            self.loss_names = ("click", *self.invariant.loss_names)
        self.register_load_state_dict_pre_hook(_rename_old_parameters)

    # ------------------------------------------------------------------------------------------------ item
    def represent(self, cells: Cells, *, without_invariant: bool = False) -> MARNItems:
        """rep = s + c (section 3.2, 3.3): fused specific features, and the pooled invariant ones unless left out."""
        # L_S trains S_m alone: it needs the output a second time, cut off from the input.
        s, specific_stopped = self.specific.twice(cells.aligned, self.activation)  # (R, M, D) each
        vector, attention = self._fused(s, cells)
        invariant = None
        if self.invariant and not without_invariant:
            invariant = self.invariant(cells)
            vector = vector + invariant.vector
        return MARNItems(vector, attention, specific=s, specific_stopped=specific_stopped, invariant=invariant)

    def _fused(self, s: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
        """Eqs. (2) and (3): s of entities (E, D), and the attention."""
        if self.settings.attention_normalise:  # a softmax over the modalities needs them side by side
            return self.fusion(cells.entities(s), cells.entities(cells.present))
        fused, attention = self.fusion(s, cells.mask)
        return cells.add(fused), attention

    # ------------------------------------------------------------------------------------------------- row
    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        """Roll the history, attend by the candidate, predict (sections 3.4, 3.5)."""
        item, candidate = batch.places(vector)  # (N, D), (B, D)
        property_ = self.property(batch.behaviour, batch.gap) if self.property else None  # (N, P)
        state = self.rnn(item, property_, batch.length)  # (N, H)
        user = self.pool(state, item, candidate, batch.length, batch.row_sequence)  # (B, H or H + D)
        return self.head(user, candidate, self.context_of(batch))

    # -------------------------------------------------------------------------------------------- training
    def auxiliary_losses(self, represented: MARNItems, cells: Cells, batch: RaggedBatch) -> dict[str, Tensor]:
        """L_S, L_D0 and L_D1 (eq. 10)."""
        if represented.invariant is None:
            return {}
        specific = represented.specific_stopped
        if self.settings.specific_stop == "raw" and "specific" in self.invariant.loss_names:
            specific = self.activation(self.specific(self.encoder(batch, stop_at_raw=True).aligned))
        return self.invariant.losses(represented.invariant, specific, cells, batch, self.progress, self.diagnostics)

    def parameters_by_rate(self) -> list[tuple[float, list[nn.Parameter]]]:
        if self.invariant is None or not self.invariant.has_game or self.settings.discriminator_rate == 1.0:
            return super().parameters_by_rate()
        fast = list(self.invariant.discriminator1.parameters())
        kept = {id(parameter) for parameter in fast}
        slow = [parameter for parameter in self.parameters() if parameter.requires_grad and id(parameter) not in kept]
        return [(1.0, slow), (self.settings.discriminator_rate, fast)]

    def prepare_training(self, *, steps_per_epoch: int, epochs: int) -> None:
        epochs = min(epochs, self.settings.adversary_epochs or epochs)
        super().prepare_training(steps_per_epoch=steps_per_epoch, epochs=epochs)


def _rename_old_parameters(model: MARN, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give parameters of an old checkpoint their names of today, in place."""
    for key in list(state):
        name = key.removeprefix(prefix)
        old = next((old for old in OLD_NAMES if name.startswith(old)), None)
        if old is not None:
            state[prefix + OLD_NAMES[old] + name.removeprefix(old)] = state.pop(key)
