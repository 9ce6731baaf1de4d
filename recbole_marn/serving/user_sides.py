"""The user side of each model, made of the trained model's own layers; shapes as in `dense`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recbole_marn.errors import InputError
from recbole_marn.layers.apgru import APGRU
from recbole_marn.models.base import CTRModel
from recbole_marn.models.marn import MARN
from recbole_marn.models.parts import PredictionHead, UserPooling
from recbole_marn.models.rivals.decoupled_mf import DecoupledMF
from recbole_marn.models.rivals.dense_multimodal_fusion import DenseMultimodalFusion
from recbole_marn.models.rivals.dupn import DUPN
from recbole_marn.models.rivals.hstu import HSTU
from recbole_marn.models.rivals.mmss import MMSS
from recbole_marn.models.rivals.multimodal_dien import MultimodalDIEN
from recbole_marn.models.rivals.multimodal_din import MultimodalDIN
from recbole_marn.models.rivals.multimodal_xdeepfm import MultimodalxDeepFM
from recbole_marn.models.rivals.naml import NAML
from recbole_marn.models.rivals.qin import QIN
from recbole_marn.models.rivals.scoring import DotScoring
from recbole_marn.models.rivals.sim_tier import SimTier
from recbole_marn.models.rivals.transformer_dcn import TransformerDCN
from recbole_marn.models.rivals.youtube_net import YoutubeNet
from recbole_marn.serving.dense import Seen, UserSide, head_of, mean_of, pair_scores, softmax
from recbole_marn.serving.recent_sides import DecoupledMFSide, HSTUSide, QINSide, SimTierSide, TransformerDCNSide
from recbole_marn.serving.recurrence import ScaledGRU, gru, lstm

__all__ = ["user_side"]


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
        "Add its user side to serving/user_sides.py; recbole-marn predict scores it as it is.",
    )  # fmt: skip


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
        score = pair_scores(self.attention, read, seen.history, seen.candidate)
        return softmax(score, seen.there[:, None]) @ read  # (B, C, .)


class _GRUSide(UserSide):
    """MARN, and the rivals that end in `GRUScoring`."""

    def __init__(self, model: CTRModel, rnn: APGRU, pool: UserPooling, head: PredictionHead):
        super().__init__(model, model.property if isinstance(model, MARN) else None)
        self.rnn, self.pool, self.head = gru(rnn), _Pool(pool), head

    def logits(self, seen: Seen) -> Tensor:
        return head_of(self.head, self.pool(self.rnn(seen.history, seen.property), seen), seen)


class _DotSide(UserSide):
    def __init__(self, model: CTRModel, scoring: DotScoring):
        super().__init__(model)
        self.attention, self.from_context = scoring.attention, scoring.from_context

    def logits(self, seen: Seen) -> Tensor:
        score = self.attention.query(torch.tanh(self.attention.project(seen.history)))[..., 0]
        user = softmax(score, seen.there)[:, None] @ seen.history  # (B, 1, D)
        logit = (user * seen.candidate).sum(2)
        return logit if seen.context is None else logit + self.from_context(seen.context_vector).reshape(logit.shape)


class _MeanSide(UserSide):
    def __init__(self, model: YoutubeNet):
        super().__init__(model)
        self.head = model.head

    def logits(self, seen: Seen) -> Tensor:
        return head_of(self.head, mean_of(seen), seen)


class _DINSide(UserSide):
    def __init__(self, model: MultimodalDIN):
        super().__init__(model)
        self.attention, self.head = model.attention, model.head
        self.normalise = model.settings.attention_normalise

    def logits(self, seen: Seen) -> Tensor:
        score, there = pair_scores(self.attention, seen.history, seen.history, seen.candidate), seen.there[:, None]
        weight = softmax(score, there) if self.normalise else score * there
        return head_of(self.head, weight @ seen.history, seen)


class _DIENSide(UserSide):
    def __init__(self, model: MultimodalDIEN):
        super().__init__(model)
        self.interest, self.map, self.head = gru(model.interest), model.attention.map, model.head
        self.from_input = model.evolution.from_input
        self.evolution = ScaledGRU(model.evolution.from_state.weight, model.evolution.b_h)

    def logits(self, seen: Seen) -> Tensor:
        interest = self.interest(seen.history, None)  # (B, T, H)
        relevance = softmax(seen.candidate @ self.map(interest).transpose(1, 2), seen.there[:, None])  # (B, C, T)
        # Behind the end the relevance is 0, and a state stays: the last one is the user.
        states = self.evolution(self.from_input(interest), relevance[..., None])
        return head_of(self.head, states[:, :, -1], seen)


class _DUPNSide(UserSide):
    def __init__(self, model: DUPN):
        super().__init__(model, model.property)
        self.rnn, self.attention, self.head = lstm(model.rnn), model.attention, model.head

    def logits(self, seen: Seen) -> Tensor:
        state = self.rnn(seen.history, seen.property)
        read = state if seen.property is None else torch.cat([state, seen.property], dim=2)
        score = pair_scores(self.attention, read, seen.history, seen.candidate)
        return head_of(self.head, softmax(score, seen.there[:, None]) @ state, seen)


class _XDeepFMSide(UserSide):
    def __init__(self, model: MultimodalxDeepFM):
        super().__init__(model)
        self.linear, self.interaction, self.head = model.linear, model.interaction, model.head
        self.from_interaction, self.width = model.from_interaction, model.settings.width
        self.context_alignment = model.context_alignment

    def logits(self, seen: Seen) -> Tensor:
        user = mean_of(seen)
        both = torch.cat([user, seen.candidate], dim=2).flatten(0, 1)  # (B * C, 2 * M * D)
        fields = both.reshape(both.shape[0], -1, self.width)
        if seen.context is not None:
            both = torch.cat([both, seen.context_vector], dim=1)
            fields = torch.cat([fields, self.context_alignment(seen.context)], dim=1)
        explicit = self.linear(both) + self.from_interaction(self.interaction(fields))
        return explicit.reshape(user.shape[0], user.shape[1]) + head_of(self.head, user, seen)


def _of_scoring(model: Any) -> UserSide:
    scoring = model.scoring
    if isinstance(scoring, DotScoring):
        return _DotSide(model, scoring)
    return _GRUSide(model, scoring.rnn, scoring.pool, scoring.head)


SIDES = {
    SimTier: SimTierSide,  # before MultimodalDIN, which it is one of
    MARN: lambda model: _GRUSide(model, model.rnn, model.pool, model.head),
    DenseMultimodalFusion: _of_scoring,
    MMSS: _of_scoring,
    NAML: _of_scoring,
    YoutubeNet: _MeanSide,
    DUPN: _DUPNSide,
    MultimodalDIN: _DINSide,
    MultimodalDIEN: _DIENSide,
    MultimodalxDeepFM: _XDeepFMSide,
    DecoupledMF: DecoupledMFSide,
    QIN: QINSide,
    TransformerDCN: TransformerDCNSide,
    HSTU: HSTUSide,
}
