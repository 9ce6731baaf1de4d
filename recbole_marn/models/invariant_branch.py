"""MARN's modality-invariant features and the game that makes them so (the paper's section 3.3).

What follows the paper is the default of every setting; the other choices are study switches (docs/models.md). Those
that measured no gain (norms, codes, alignment, other pooling, another rate for D1) live here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from recbole_marn.layers.fusion import pool_invariant
from recbole_marn.layers.gradient_reversal import reverse_gradient
from recbole_marn.layers.invariant_codes import BalancedCodes, alignment_loss
from recbole_marn.layers.mlp import activation_by_name
from recbole_marn.layers.normalisation import DegreeNorm, ModalityBatchNorm, ModalityWhitening
from recbole_marn.layers.occurrences import mean_over, occurrences
from recbole_marn.layers.projection import linear_twice
from recbole_marn.models.diagnostics import Diagnostics
from recbole_marn.models.item_encoder import Cells
from recbole_marn.settings.models import MARNSettings

__all__ = ["Invariant", "InvariantBranch"]

NORMS = {"batch": ModalityBatchNorm, "whiten": ModalityWhitening}


@dataclass
class Invariant:
    """Modality-invariant features of R cells of M modalities.

    Attributes:
        vector: (E, D) of each entity, the pooled degree * c.
        c: (R, M, D).
        degree: (R, M) w of eq. (7), how little D0 recognises the modality, 1 without D0; without gradient, 0 where
            absent.
        logits0: (R, M, M) of D0, or None without D0.
        uncoded: (R, M, D) c before codes take its place; c itself without codes.
        stopped: (R, M, D) phi(I e_m) whose gradient ends at I.
    """

    vector: Tensor
    c: Tensor
    degree: Tensor
    logits0: Tensor | None
    uncoded: Tensor
    stopped: Tensor


class InvariantBranch(nn.Module):
    """The shared map I, the discriminators that judge it, and their losses.

    Gradients go where the paper's section 3.3 sends them: L_S to S_m and the matrix it shares with D1, L_D0 to D0
    alone, L_D1 to D1 and, reversed, to I. With `adversary: branch` nobody judges I, which then learns from clicks
    alone (ours).

    Args:
        settings: MARN's, with `adversary` other than "none".
        names: of the modalities.
    """

    def __init__(self, settings: MARNSettings, names: Sequence[str]):
        super().__init__()
        x, width, number = settings, settings.width, len(names)
        self.settings, self.names = x, tuple(names)
        self.is_double, self.has_game = x.adversary == "double", x.adversary != "branch"
        self.activation = activation_by_name(x.projection_activation)
        self.projection = nn.Linear(width, width)  # I
        self.norm = self.codes = self.degree_norm = None
        self.discriminator0 = self.discriminator1 = self.discriminator_specific = None
        if x.invariant_norm in NORMS:
            self.norm = NORMS[x.invariant_norm](n_modalities=number, width=width)
        if x.invariant_codes:
            self.codes = BalancedCodes(n_modalities=number, n_codes=x.invariant_codes, width=width)
        if self.has_game:
            self.discriminator1 = Discriminator(width=width, n_modalities=number, hidden_sizes=x.discriminator_hidden)
        if self.has_game and x.specific_discriminator and not x.share_discriminator:
            self.discriminator_specific = Discriminator(width=width, n_modalities=number)
        if self.is_double:
            self.discriminator0 = Discriminator(width=width, n_modalities=number, hidden_sizes=x.discriminator_hidden)
        if self.is_double and x.degree_normalise == "batch_mean":
            self.degree_norm = DegreeNorm(n_modalities=number)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses that these settings train with."""
        played = {
            "specific": self.has_game and self.settings.specific_discriminator,
            "D0": self.is_double,
            "D1": self.has_game,
            "alignment": self.settings.alignment_weight > 0,
        }
        return tuple(name for name, is_played in played.items() if is_played)

    # --------------------------------------------------------------------------------------------- features
    def forward(self, cells: Cells) -> Invariant:
        """c_m = phi(I e_m), their degrees, and the largest of degree * c."""
        invariant, stopped = linear_twice(self.projection, cells.aligned, self.activation)
        uncoded = self._normalised(invariant, cells)
        c = self._coded(uncoded, cells)
        logits0 = self.discriminator0(c.detach()) if self.is_double else None
        degree = cells.present.to(c.dtype) if logits0 is None else self._degree(logits0, cells)
        how = self.settings.invariant_pooling
        vector = cells.join(pool_invariant(c, degree, cells.mask, how=how), how)
        return Invariant(vector, c, degree, logits0, uncoded, stopped)

    def _normalised(self, c: Tensor, cells: Cells) -> Tensor:
        return c if self.norm is None else self.norm(c, cells.mask, cells.count)

    def _coded(self, c: Tensor, cells: Cells) -> Tensor:
        return c if self.codes is None else self.codes(c, cells.mask, cells.count)

    @torch.no_grad()
    def _degree(self, logits0: Tensor, cells: Cells) -> Tensor:
        degree = modality_degree(logits0, cells.mask)
        return degree if self.degree_norm is None else self.degree_norm(degree, cells.present, cells.count)

    # ----------------------------------------------------------------------------------------------- losses
    def losses(
        self, found: Invariant, specific: Tensor, cells: Cells, batch: RaggedBatch, progress: float, tell: Diagnostics
    ) -> dict[str, Tensor]:
        """L_S, L_D0 and L_D1 of eq. (10), and our L_A, as they enter the sum; lambda weighs L_S and L_D1.

        Args:
            found: what `forward` gave for `cells`.
            specific: (R, M, D) s_m of inputs that pass no gradient on: L_S must not move the embeddings.
            progress: share of the training done.
            tell: gets the accuracies of the discriminators and the sizes of degree and c.
        """
        losses, logits1 = {}, None
        if self.loss_names:  # else nobody asks for c once more
            uncoded, c = self._played(found, cells)
            if self.has_game:
                losses, logits1 = self._game(found, c, specific, cells, progress)
            if "alignment" in self.loss_names:
                losses["alignment"] = self.settings.alignment_weight * self._alignment(uncoded, cells, batch)
        if tell.due:
            self._tell(tell, found, logits1, cells)
        return losses

    def _game(
        self, found: Invariant, c: Tensor, specific: Tensor, cells: Cells, progress: float
    ) -> tuple[dict[str, Tensor], Tensor]:
        """L_S, L_D0 and L_D1 on the c that D1 sees, and D1's logits."""
        x, names, count = self.settings, self.loss_names, self._count(cells)
        weight = adversarial_schedule(progress, x.lambda0, x.gamma)
        logits1 = self.second_discriminator(c, found.degree, weight if x.lambda_placement == "reversal" else 1.0)
        losses = {}
        if "specific" in names:
            judge = self.discriminator_specific or self.discriminator1
            losses["specific"] = weight * self._loss(judge(specific), cells, count)
        if "D0" in names:
            losses["D0"] = self._loss(found.logits0, cells, count)
        degree = found.degree if self.is_double and x.degree_target != "feature" else None
        outside = weight if x.lambda_placement == "loss" else 1.0
        losses["D1"] = outside * self._loss(logits1, cells, count, degree)
        return losses, logits1

    def _count(self, cells: Cells) -> Tensor:
        """(R,) how often each cell's item counts for the discriminators."""
        return cells.count if self.settings.adversary_items == "all" else cells.candidate_count

    def _played(self, found: Invariant, cells: Cells) -> tuple[Tensor, Tensor]:
        """c that D1 sees, before codes and after: the very c of the click loss where L_D1 may reach the embeddings.

        Otherwise computed anew from the copy whose gradient ends at I; running averages and prices move once more.
        """
        if self.settings.adversary_into_embedding:
            return found.uncoded, found.c
        uncoded = self._normalised(found.stopped, cells)
        return uncoded, self._coded(uncoded, cells)

    def second_discriminator(self, c: Tensor, degree: Tensor, strength: float) -> Tensor:
        """Logits (R, M, M) of D1 behind a gradient reversal of that strength: I learns to fool it."""
        seen = c if self.settings.degree_target == "loss" else degree[..., None] * c
        return self.discriminator1(reverse_gradient(seen, strength))

    def _loss(self, logits: Tensor, cells: Cells, count: Tensor, weight: Tensor | None = None) -> Tensor:
        reduction = self.settings.adversary_reduction
        return modality_loss(logits, cells.mask, count=count, weight=weight, reduction=reduction)

    def _alignment(self, uncoded: Tensor, cells: Cells, batch: RaggedBatch) -> Tensor:
        """L_A, on c before it is coded: needs the modalities of an item side by side."""
        count = batch.entity_count if self.settings.adversary_items == "all" else batch.candidate_count
        return alignment_loss(cells.entities(uncoded), cells.entities(cells.present), count)

    # ------------------------------------------------------------------------------------------ diagnostics
    @torch.no_grad()
    def _tell(self, tell: Diagnostics, found: Invariant, logits1: Tensor | None, cells: Cells) -> None:
        """Accuracies; and mean degree and mean |c| per modality: at 0 the branch has switched itself off."""
        for name, logits in (("D0", found.logits0), ("D1", logits1)):
            if logits is not None:
                accuracy = modality_accuracy(logits, cells.mask, self._count(cells))
                tell.record(f"{name} accuracy", accuracy, of=self.names)
        weight = occurrences(found.degree, cells.present, cells.count)
        size = torch.linalg.vector_norm(found.c, 1, dim=2) / self.settings.width
        told = {"degree": found.degree, "|c|": size} if self.is_double else {"|c|": size}  # else all degrees are 1
        for name, value in told.items():
            tell.record(name, mean_over(weight * value, weight, 0), of=self.names)
