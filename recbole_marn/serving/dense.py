"""The user side of each model on padded tensors, as ONNX takes it: from item vectors to probabilities.

It is made of a trained model's own layers. Shapes: B requests, T behaviours at most, C candidates of each, D width.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recbole_marn.errors import InputError
from recbole_marn.layers.apgru import APGRU
from recbole_marn.layers.context import ContextEncoder, SameWidthTables, side_by_side
from recbole_marn.layers.split_mlp import SplitMLP
from recbole_marn.models.base import CTRModel
from recbole_marn.models.marn import MARN
from recbole_marn.models.parts import BehaviourProperty, PredictionHead, UserPooling
from recbole_marn.models.rivals.dense_multimodal_fusion import DenseMultimodalFusion
from recbole_marn.models.rivals.dupn import DUPN
from recbole_marn.models.rivals.mmss import MMSS
from recbole_marn.models.rivals.multimodal_dien import MultimodalDIEN
from recbole_marn.models.rivals.multimodal_din import MultimodalDIN
from recbole_marn.models.rivals.multimodal_xdeepfm import MultimodalxDeepFM
from recbole_marn.models.rivals.naml import NAML
from recbole_marn.models.rivals.scoring import DotScoring
from recbole_marn.models.rivals.youtube_net import YoutubeNet
from recbole_marn.serving.recurrence import ScaledGRU, gru, lstm

__all__ = ["UserSide", "user_side"]


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

    Shapes: history (B, T, D) with T >= 1, length (B,) int64 from 0 to T, candidate (B, C, D), and where the model reads
        them behaviour (B, T), gap (B, T, G) and context (B, C, F) int64 -> (B, C)
    """

    def __init__(self, model: CTRModel):
        super().__init__()
        self.property: BehaviourProperty | None = model.property if isinstance(model, (MARN, DUPN)) else None
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


def user_side(model: CTRModel) -> UserSide:
    """The user side of a trained model.

    Raises:
        InputError: a model that has none here.
    """
    for kind, make in SIDES.items():
        if isinstance(model, kind):
            return make(model).eval()
    names = ", ".join(kind.__name__ for kind in SIDES)
    raise InputError(
        f"a model out of {names}, or a preset of one", type(model).__name__,
        "Add its user side to serving/dense.py; recbole-marn predict scores it as it is.",
    )  # fmt: skip


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
def _softmax(score: Tensor, there: Tensor) -> Tensor:
    """Over the last dimension where `there`; zeros for a request without behaviours."""
    score = score.masked_fill(~there, -1e30)
    weight = (score - score.amax(-1, keepdim=True)).exp() * there
    return weight / weight.sum(-1, keepdim=True).clamp_min(1e-30)


def _pair_scores(layer: SplitMLP, x: Tensor, item: Tensor, candidate: Tensor) -> Tensor:
    """x (B, T, .), item (B, T, D), candidate (B, C, D) -> (B, C, T)."""
    first = layer.from_token(x)[:, None] + layer.from_candidate(candidate)[:, :, None]
    if layer.from_product is not None:
        first = first + layer.from_product(item[:, None] * candidate[:, :, None])
    return layer.rest(first)[..., 0]


class _Pool(nn.Module):
    """`UserPooling`: (B, C, H or H + D)."""

    def __init__(self, pool: UserPooling):
        super().__init__()
        self.attention = pool.attention

    def forward(self, state: Tensor, seen: Seen) -> Tensor:
        if self.attention is None:
            last = (seen.length - 1).clamp_min(0)[:, None, None].expand(-1, 1, state.shape[2])
            user = state.gather(1, last) * (seen.length > 0)[:, None, None]  # (B, 1, H)
            return user.expand(-1, seen.candidate.shape[1], -1)
        read = state if self.attention.from_product is None else torch.cat([state, seen.history], dim=2)
        score = _pair_scores(self.attention, read, seen.history, seen.candidate)
        return _softmax(score, seen.there[:, None]) @ read  # (B, C, .)


def _head(head: PredictionHead, user: Tensor, seen: Seen) -> Tensor:
    """user (B, C, .) -> (B, C)."""
    logit = head(user.flatten(0, 1), seen.candidate.flatten(0, 1), seen.context_vector)
    return logit.reshape(seen.candidate.shape[0], seen.candidate.shape[1])


def _mean(seen: Seen) -> Tensor:
    """Of the history, for every candidate: (B, C, D)."""
    mean = seen.history.sum(1) / seen.length.clamp_min(1).to(seen.history.dtype)[:, None]
    return mean[:, None].expand_as(seen.candidate)


# ------------------------------------------------------------------------------------------------------- models
class _GRUSide(UserSide):
    """MARN, and the rivals that end in `GRUScoring`."""

    def __init__(self, model: CTRModel, rnn: APGRU, pool: UserPooling, head: PredictionHead):
        super().__init__(model)
        self.rnn, self.pool, self.head = gru(rnn), _Pool(pool), head

    def logits(self, seen: Seen) -> Tensor:
        return _head(self.head, self.pool(self.rnn(seen.history, seen.property), seen), seen)


class _DotSide(UserSide):
    def __init__(self, model: CTRModel, scoring: DotScoring):
        super().__init__(model)
        self.attention, self.from_context = scoring.attention, scoring.from_context

    def logits(self, seen: Seen) -> Tensor:
        score = self.attention.query(torch.tanh(self.attention.project(seen.history)))[..., 0]
        user = _softmax(score, seen.there)[:, None] @ seen.history  # (B, 1, D)
        logit = (user * seen.candidate).sum(2)
        return logit if seen.context is None else logit + self.from_context(seen.context_vector).reshape(logit.shape)


class _MeanSide(UserSide):
    def __init__(self, model: YoutubeNet):
        super().__init__(model)
        self.head = model.head

    def logits(self, seen: Seen) -> Tensor:
        return _head(self.head, _mean(seen), seen)


class _DINSide(UserSide):
    def __init__(self, model: MultimodalDIN):
        super().__init__(model)
        self.attention, self.head = model.attention, model.head
        self.normalise = model.settings.attention_normalise

    def logits(self, seen: Seen) -> Tensor:
        score, there = _pair_scores(self.attention, seen.history, seen.history, seen.candidate), seen.there[:, None]
        weight = _softmax(score, there) if self.normalise else score * there
        return _head(self.head, weight @ seen.history, seen)


class _DIENSide(UserSide):
    def __init__(self, model: MultimodalDIEN):
        super().__init__(model)
        self.interest, self.map, self.head = gru(model.interest), model.attention.map, model.head
        self.from_input = model.evolution.from_input
        self.evolution = ScaledGRU(model.evolution.from_state.weight, model.evolution.b_h)

    def logits(self, seen: Seen) -> Tensor:
        interest = self.interest(seen.history, None)  # (B, T, H)
        relevance = _softmax(seen.candidate @ self.map(interest).transpose(1, 2), seen.there[:, None])  # (B, C, T)
        # Behind the end the relevance is 0, and a state stays: the last one is the user.
        states = self.evolution(self.from_input(interest), relevance[..., None])
        return _head(self.head, states[:, :, -1], seen)


class _DUPNSide(UserSide):
    def __init__(self, model: DUPN):
        super().__init__(model)
        self.rnn, self.attention, self.head = lstm(model.rnn), model.attention, model.head

    def logits(self, seen: Seen) -> Tensor:
        state = self.rnn(seen.history, seen.property)
        read = state if seen.property is None else torch.cat([state, seen.property], dim=2)
        score = _pair_scores(self.attention, read, seen.history, seen.candidate)
        return _head(self.head, _softmax(score, seen.there[:, None]) @ state, seen)


class _XDeepFMSide(UserSide):
    def __init__(self, model: MultimodalxDeepFM):
        super().__init__(model)
        self.linear, self.interaction, self.head = model.linear, model.interaction, model.head
        self.from_interaction, self.width = model.from_interaction, model.settings.width
        self.context_alignment = model.context_alignment

    def logits(self, seen: Seen) -> Tensor:
        user = _mean(seen)
        both = torch.cat([user, seen.candidate], dim=2).flatten(0, 1)  # (B * C, 2 * M * D)
        fields = both.reshape(both.shape[0], -1, self.width)
        if seen.context is not None:
            both = torch.cat([both, seen.context_vector], dim=1)
            fields = torch.cat([fields, self.context_alignment(seen.context)], dim=1)
        explicit = self.linear(both) + self.from_interaction(self.interaction(fields))
        return explicit.reshape(user.shape[0], user.shape[1]) + _head(self.head, user, seen)


def _of_scoring(model: Any) -> UserSide:
    scoring = model.scoring
    if isinstance(scoring, DotScoring):
        return _DotSide(model, scoring)
    return _GRUSide(model, scoring.rnn, scoring.pool, scoring.head)


SIDES = {
    MARN: lambda model: _GRUSide(model, model.rnn, model.pool, model.head),
    DenseMultimodalFusion: _of_scoring,
    MMSS: _of_scoring,
    NAML: _of_scoring,
    YoutubeNet: _MeanSide,
    DUPN: _DUPNSide,
    MultimodalDIN: _DINSide,
    MultimodalDIEN: _DIENSide,
    MultimodalxDeepFM: _XDeepFMSide,
}
