"""MARN: Adversarial Multimodal Representation Learning for Click-Through Rate Prediction (WWW 2020)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.layers.adversarial import (
    Discriminator,
    adversarial_schedule,
    modality_accuracy,
    modality_degree,
    modality_loss,
)
from recbole_marn.layers.apgru import APGRU
from recbole_marn.layers.fusion import AttentionFusion, pool_invariant, sum_fusion
from recbole_marn.layers.gradient_reversal import reverse_gradient
from recbole_marn.layers.invariant_codes import BalancedCodes, alignment_loss
from recbole_marn.layers.mlp import activation_by_name
from recbole_marn.layers.normalisation import DegreeNorm, ModalityBatchNorm, ModalityWhitening
from recbole_marn.layers.projection import PrivateLinear, linear_twice
from recbole_marn.models.base import CTRModel, Represented
from recbole_marn.models.item_encoder import Cells
from recbole_marn.models.parts import BehaviourProperty, PredictionHead, UserPooling

__all__ = ["MARN"]


class MARN(CTRModel):
    """Modality-specific and modality-invariant item features, a property-gated GRU, candidate attention.

    Settings: `MARNSettings`, whose defaults are the paper's reading. The gradients of the four losses go where the
    paper's section 3.3 sends them (marn.md A.11): L_S to S_m and the shared matrix, L_D0 to D0 alone, L_D1 to D1
    and, reversed, to I.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        x, names, width = self.settings, self.encoder.names, self.settings.width
        self.activation = activation_by_name(x.projection_activation)
        self.specific = PrivateLinear(n=len(names), input_size=width, output_size=width)
        if x.fusion == "maf":
            self.fusion = AttentionFusion(
                n_modalities=len(names),
                width=width,
                activation=x.attention_activation,
                normalise=x.attention_normalise,
            )
        self._build_adversary(len(names), width)
        property_ = BehaviourProperty.of(dataset) if x.rnn == "apgru" else None
        self.property = property_
        hidden = x.hidden_size or width
        self.rnn = APGRU(
            input_size=width,
            property_size=property_.size if property_ else 0,
            hidden_size=hidden,
            gate=x.gate if property_ else "none",
        )
        self.pool = UserPooling(
            how=x.pooling,
            state_size=hidden,
            item_size=width,
            hidden_sizes=x.attention_hidden,
            with_items=x.attention_values == "state_and_item",
        )
        self.head = PredictionHead(
            user_size=self.pool.output_size,
            item_size=width,
            hidden_sizes=x.prediction_hidden,
            product=x.prediction_product,
            dropout=x.dropout,
        )

    def _build_adversary(self, n_modalities: int, width: int) -> None:
        x = self.settings
        if x.adversary == "none":
            return
        self.invariant = nn.Linear(width, width)
        if x.invariant_norm != "none":
            norm = ModalityBatchNorm if x.invariant_norm == "batch" else ModalityWhitening
            self.invariant_norm = norm(n_modalities=n_modalities, width=width)
        if x.invariant_codes:
            self.codes = BalancedCodes(n_modalities=n_modalities, n_codes=x.invariant_codes, width=width)
        linear = {"width": width, "n_modalities": n_modalities}
        self.discriminator1 = Discriminator(**linear, hidden_sizes=x.discriminator_hidden)
        names = ["click"]
        if x.specific_discriminator:
            names.append("specific")
            if not x.share_discriminator:
                self.discriminator_specific = Discriminator(**linear)
        if x.adversary == "double":
            names.append("D0")
            self.discriminator0 = Discriminator(**linear, hidden_sizes=x.discriminator_hidden)
            if x.degree_normalise == "batch_mean":
                self.degree_norm = DegreeNorm(n_modalities=n_modalities)
        names.append("D1")
        if x.alignment_weight:
            names.append("alignment")
        self.loss_names = tuple(names)

    # ------------------------------------------------------------------------------------------------ item
    def represent(self, cells: Cells) -> Represented:
        """rep = s + c: eqs. (2)(3) over the specific features plus the pooled invariant ones."""
        x, mask = self.settings, cells.mask
        # The losses that train S_m and I alone need their outputs a second time, cut off from the input.
        specific, specific_stopped = self.specific.twice(cells.aligned)
        s = self.activation(specific)  # (R, M, D)
        if x.fusion == "conc":
            vector, attention = cells.add(sum_fusion(s, mask)), torch.ones_like(s)
        elif x.attention_normalise:  # a softmax over the modalities needs them side by side
            vector, attention = self.fusion(cells.entities(s), cells.entities(cells.present))
        else:
            fused, attention = self.fusion(s, mask)
            vector = cells.add(fused)
        parts = {"specific": s, "attention": attention, "specific_stopped": specific_stopped}
        if x.adversary == "none":
            return Represented(vector, parts)
        invariant, invariant_stopped = linear_twice(self.invariant, cells.aligned)
        uncoded = self._invariant(invariant, cells)  # (R, M, D)
        c = self._coded(uncoded, cells)
        parts |= {"invariant": c, "invariant_uncoded": uncoded, "invariant_stopped": invariant_stopped}
        parts["degree"] = degree = self._degree(parts, cells)  # (R, M)
        pooled = pool_invariant(c, degree, mask, how=x.invariant_pooling)
        return Represented(vector + cells.join(pooled, x.invariant_pooling), parts)

    def _invariant(self, linear: Tensor, cells: Cells) -> Tensor:
        c = self.activation(linear)
        return self.invariant_norm(c, cells.mask, cells.count) if self.settings.invariant_norm != "none" else c

    def _coded(self, c: Tensor, cells: Cells) -> Tensor:
        return self.codes(c, cells.mask, cells.count) if self.settings.invariant_codes else c

    def _degree(self, parts: dict[str, Tensor], cells: Cells) -> Tensor:
        c = parts["invariant"].detach()
        if self.settings.adversary == "single":
            return cells.present.to(c.dtype)
        parts["logits0"] = self.discriminator0(c)  # (R, M, M)
        with torch.no_grad():
            degree = modality_degree(parts["logits0"], cells.mask)
            return self.degree_norm(degree, cells.present, cells.count) if hasattr(self, "degree_norm") else degree

    # ------------------------------------------------------------------------------------------------- row
    def score(self, vector: Tensor, batch: RaggedBatch) -> Tensor:
        """Roll the history, attend by the candidate, predict (sections 3.4, 3.5)."""
        item, candidate = vector.index_select(0, batch.token), vector.index_select(0, batch.candidate)  # (N, D), (B, D)
        property_ = self.property(batch.behaviour, batch.gap) if self.property else None  # (N, P)
        state = self.rnn(item, property_, batch.length)  # (N, H)
        user = self.pool(state, item, candidate, batch.length, batch.row_sequence)  # (B, H or H + D)
        return self.head(user, candidate)

    # ---------------------------------------------------------------------------------------------- losses
    def auxiliary_losses(self, represented: Represented, cells: Cells, batch: RaggedBatch) -> dict[str, Tensor]:
        """L_S, L_D0 and L_D1 (eq. 10); lambda weighs L_S and L_D1."""
        x, parts = self.settings, represented.parts
        if x.adversary == "none":
            return {}
        count = cells.count if x.adversary_items == "all" else cells.candidate_count
        weight = adversarial_schedule(self.progress, x.lambda0, x.gamma)
        losses = {}
        if x.specific_discriminator:
            losses["specific"] = weight * self._loss(self._specific_logits(parts, batch), cells, count)
        if x.adversary == "double":
            losses["D0"] = self._loss(parts["logits0"], cells, count)
        if x.adversary_into_embedding:  # the very c of the click loss
            uncoded, c = parts["invariant_uncoded"], parts["invariant"]
        else:  # anew, from the copy whose gradient ends at I; running averages and prices move a second time
            uncoded = self._invariant(parts["invariant_stopped"], cells)
            c = self._coded(uncoded, cells)
        logits1 = self.second_discriminator(c, parts["degree"], weight)
        degree = parts["degree"] if x.adversary == "double" and x.degree_target != "feature" else None
        outside = weight if x.lambda_placement == "loss" else 1.0
        losses["D1"] = outside * self._loss(logits1, cells, count, degree)
        if x.alignment_weight:
            losses["alignment"] = x.alignment_weight * self._alignment(uncoded, cells, batch)
        if self.diagnosing:
            if x.adversary == "double":
                self._record_accuracy("D0", parts["logits0"], cells, count)
            self._record_accuracy("D1", logits1, cells, count)
            self._record_collapse(parts, cells)
        return losses

    def _loss(self, logits: Tensor, cells: Cells, count: Tensor, weight: Tensor | None = None) -> Tensor:
        reduction = self.settings.adversary_reduction
        return modality_loss(logits, cells.mask, count=count, weight=weight, reduction=reduction)

    def _specific_logits(self, parts: dict[str, Tensor], batch: RaggedBatch) -> Tensor:
        """D_s on S_m of inputs that pass no gradient on: L_S must not move the embeddings."""
        specific = parts["specific_stopped"]
        if self.settings.specific_stop == "raw":
            specific = self.specific(self.encoder(batch, stop_at_raw=True).aligned)
        shared = self.discriminator1 if self.settings.share_discriminator else self.discriminator_specific
        return shared(self.activation(specific))

    def second_discriminator(self, c: Tensor, degree: Tensor, weight: float) -> Tensor:
        """Logits (R, M, M) of D1 behind the gradient reversal: I learns to fool it."""
        x = self.settings
        if x.degree_target != "loss":
            c = degree[..., None] * c
        return self.discriminator1(reverse_gradient(c, weight if x.lambda_placement == "reversal" else 1.0))

    def _alignment(self, c: Tensor, cells: Cells, batch: RaggedBatch) -> Tensor:
        """L_A, on c before it is coded: needs the modalities of an item side by side."""
        count = batch.entity_count if self.settings.adversary_items == "all" else batch.candidate_count
        return alignment_loss(cells.entities(c), cells.entities(cells.present), count)

    def parameters_by_rate(self) -> list[tuple[float, list[nn.Parameter]]]:
        if self.settings.adversary == "none" or self.settings.discriminator_rate == 1.0:
            return super().parameters_by_rate()
        fast = set(self.discriminator1.parameters())
        slow = [parameter for parameter in self.parameters() if parameter.requires_grad and parameter not in fast]
        return [(1.0, slow), (self.settings.discriminator_rate, list(fast))]

    def prepare_training(self, *, steps_per_epoch: int, epochs: int) -> None:
        super().prepare_training(
            steps_per_epoch=steps_per_epoch, epochs=min(epochs, self.settings.adversary_epochs or epochs)
        )

    # ----------------------------------------------------------------------------------------- diagnostics
    @torch.no_grad()
    def _record_accuracy(self, name: str, logits: Tensor, cells: Cells, count: Tensor) -> None:
        accuracy = modality_accuracy(logits, cells.mask, count)
        self.record(f"{name} accuracy", accuracy, of=self.encoder.names)

    @torch.no_grad()
    def _record_collapse(self, parts: dict[str, Tensor], cells: Cells) -> None:
        """Mean degree and mean |c| per modality: at 0 the invariant branch has switched itself off."""
        share = cells.present * cells.count[:, None]
        share = share / share.sum(dim=0).clamp(min=1)
        self.record("degree", (parts["degree"] * share).sum(dim=0), of=self.encoder.names)
        size = torch.linalg.vector_norm(parts["invariant"], 1, dim=2) / self.settings.width
        self.record("|c|", (size * share).sum(dim=0), of=self.encoder.names)
