"""A user side on padded tensors, as ONNX takes it: from item vectors to probabilities.

It is made of a trained model's own layers. Shapes: B requests, T behaviours at most, C candidates of each, D width.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recbole_marn.layers.context import ContextEncoder, SameWidthTables, side_by_side
from recbole_marn.layers.split_mlp import SplitMLP
from recbole_marn.models.base import CTRModel
from recbole_marn.models.parts import BehaviourProperty, PredictionHead

__all__ = ["Seen", "UserSide", "head_of", "mean_of", "pair_scores", "softmax"]


class Seen(NamedTuple):
    """What a user side is given, in its own terms.

    Attributes:
        history: (B, T, D), zeros behind the end.
        there: (B, T) bool, False behind the end.
        length: (B,) int64.
        candidate: (B, C, D).
        property: (B, T, P), or None.
        context: embeddings of profile and context by width, each (B * C, number of fields, width); or None.
    """

    history: Tensor
    there: Tensor
    length: Tensor
    candidate: Tensor
    property: Tensor | None
    context: list[Tensor] | None

    @property
    def context_vector(self) -> Tensor | None:
        """(B * C, .)"""
        return None if self.context is None else side_by_side(self.context)


class UserSide(nn.Module):
    """Probabilities of candidates for users.

    Args:
        property: of behaviours, where the model reads one.

    Shapes: history (B, T, D) with T >= 1, length (B,) int64 from 0 to T, candidate (B, C, D), and where the model reads
        them behaviour (B, T), gap (B, T, G) and context (B, C, F) int64 -> (B, C)
    """

    def __init__(self, model: CTRModel, property: BehaviourProperty | None = None):
        super().__init__()
        self.property = property
        self.context_encoder = model.context_encoder

    def forward(
        self,
        history: Tensor,
        length: Tensor,
        candidate: Tensor,
        behaviour: Tensor | None = None,
        gap: Tensor | None = None,
        context: Tensor | None = None,
    ) -> Tensor:
        there = torch.arange(history.shape[1])[None] < length[:, None]  # (B, T)
        seen = Seen(
            history * there[:, :, None], there, length, candidate, self._property(behaviour, gap),
            None if context is None else _embedded(self.context_encoder, context.flatten(0, 1)),
        )  # fmt: skip
        return torch.sigmoid(self.logits(seen))

    @abstractmethod
    def logits(self, seen: Seen) -> Tensor:
        """(B, C)"""

    def _property(self, behaviour: Tensor | None, gap: Tensor | None) -> Tensor | None:
        if self.property is None:
            return None
        like = behaviour if behaviour is not None else gap
        flat = self.property(
            None if behaviour is None else behaviour.flatten(0, 1), None if gap is None else gap.flatten(0, 1)
        )
        return flat.reshape(like.shape[0], like.shape[1], -1)


# ------------------------------------------------------------------------------------------ profile and context
def _embedded(encoder: ContextEncoder, codes: Tensor) -> list[Tensor]:
    """What `encoder` gives for codes (N, F)."""
    return [_looked_up(tables, codes) for tables in encoder.tables]


def _looked_up(tables: SameWidthTables, codes: Tensor) -> Tensor:
    """As `tables` does; the means of bags are formed by operators that ONNX has."""
    parts = []
    if tables.table is not None:
        parts.append(tables.table(codes.index_select(1, tables.column) + tables.first_row))
    for table, columns in zip(tables.bag_tables, tables.bag_columns, strict=True):
        bag = codes[:, columns]
        known = (bag > 0)[:, :, None].to(table.weight.dtype)
        parts.append((table(bag) * known).sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp_min(1.0))
    return torch.cat(parts, dim=1)


# ---------------------------------------------------------------------------------------------------- attention
def softmax(score: Tensor, there: Tensor) -> Tensor:
    """Over the last dimension where `there`; zeros for a request without behaviours."""
    score = score.masked_fill(~there, -1e30)
    weight = (score - score.amax(-1, keepdim=True)).exp() * there
    return weight / weight.sum(-1, keepdim=True).clamp_min(1e-30)


def pair_scores(layer: SplitMLP, x: Tensor, item: Tensor, candidate: Tensor) -> Tensor:
    """x (B, T, .), item (B, T, D), candidate (B, C, D) -> (B, C, T)."""
    first = layer.from_token(x)[:, None] + layer.from_candidate(candidate)[:, :, None]
    if layer.from_product is not None:
        first = first + layer.from_product(item[:, None] * candidate[:, :, None])
    return layer.rest(first)[..., 0]


def head_of(
    head: PredictionHead, user: Tensor, seen: Seen, candidate: Tensor | None = None, beside: Tensor | None = None
) -> Tensor:
    """user (B, C, .), candidate (B, C, D) where it is a part of what is seen, beside (B, C, .) or None -> (B, C)."""
    candidate = seen.candidate if candidate is None else candidate
    beside = None if beside is None else beside.flatten(0, 1)
    logit = head(user.flatten(0, 1), candidate.flatten(0, 1), seen.context_vector, beside)
    return logit.reshape(candidate.shape[0], candidate.shape[1])


def mean_of(seen: Seen) -> Tensor:
    """Of the history, for every candidate: (B, C, D)."""
    mean = seen.history.sum(1) / seen.length.clamp_min(1).to(seen.history.dtype)[:, None]
    return mean[:, None].expand_as(seen.candidate)
