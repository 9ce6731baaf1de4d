"""The user side of each model on padded tensors, as ONNX takes it: from item vectors to probabilities.

It is made of a trained model's own layers. Shapes: B requests, T behaviours at most, C candidates of each, D width.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from recbole_marn.errors import InputError
from recbole_marn.layers.apgru import APGRU
from recbole_marn.layers.pooling import AdditiveAttention
from recbole_marn.layers.property_lstm import PropertyLSTM
from recbole_marn.layers.split_mlp import SplitMLP
from recbole_marn.models.base import CTRModel
from recbole_marn.models.marn import MARN
from recbole_marn.models.parts import BehaviourProperty, PredictionHead, UserPooling
from recbole_marn.models.rivals.dense_multimodal_fusion import DenseMultimodalFusion
from recbole_marn.models.rivals.dupn import DUPN
from recbole_marn.models.rivals.mmss import MMSS
from recbole_marn.models.rivals.multimodal_din import MultimodalDIN
from recbole_marn.models.rivals.multimodal_xdeepfm import MultimodalxDeepFM
from recbole_marn.models.rivals.naml import NAML
from recbole_marn.models.rivals.scoring import DotScoring
from recbole_marn.models.rivals.youtube_net import YoutubeNet

__all__ = ["UserSide", "user_side"]


class UserSide(nn.Module):
    """Probabilities of candidates for users.

    Shapes: history (B, T, D) with T >= 1, length (B,) int64 from 0 to T, candidate (B, C, D), and where the model reads
        them behaviour (B, T) and gap (B, T, G) int64 -> (B, C)

    Args:
        property: of behaviours, or None.
    """

    def __init__(self, property: BehaviourProperty | None = None):
        super().__init__()
        self.property = property

    def forward(
        self,
        history: Tensor,
        length: Tensor,
        candidate: Tensor,
        behaviour: Tensor | None = None,
        gap: Tensor | None = None,
    ) -> Tensor:
        there = torch.arange(history.shape[1])[None] < length[:, None]  # (B, T)
        history = history * there[:, :, None]
        return torch.sigmoid(self.logits(history, there, length, candidate, self._property(behaviour, gap)))

    @abstractmethod
    def logits(
        self, history: Tensor, there: Tensor, length: Tensor, candidate: Tensor, property_: Tensor | None
    ) -> Tensor:
        """history (B, T, D), there (B, T) bool, length (B,), candidate (B, C, D), property (B, T, P) -> (B, C)."""

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
        InputError: a model that has none here, or reads profile and context.
    """
    if model.context_encoder is not None:
        raise InputError(
            "a model that reads histories and items alone", "one with profile and context", "Use recbole-marn predict."
        )
    for kind, make in SIDES.items():
        if isinstance(model, kind):
            return make(model).eval()
    names = ", ".join(kind.__name__ for kind in SIDES)
    raise InputError(
        f"a model out of {names}, or a preset of one", type(model).__name__,
        "Its user side has no form for ONNX here: recbole-marn predict scores with it.",
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------- recurrence
class _States(nn.Module):
    """(B, T, I) -> (B, T, H): ONNX's own operator in the exported graph, torch's everywhere else."""

    def __init__(self, operator: str, weights: tuple[Tensor, ...], order: list[int], **attributes: Any):
        super().__init__()
        self.operator, self.size, self.attributes = operator, weights[1].shape[1], attributes
        for name, value in zip(("w_x", "w_h", "b_x", "b_h"), weights, strict=True):
            self.register_buffer(name, value.detach().clone())

        def reordered(value: Tensor) -> Tensor:
            blocks = value.detach().chunk(len(order))
            return torch.cat([blocks[block] for block in order])

        self.register_buffer("onnx_w", reordered(weights[0])[None])
        self.register_buffer("onnx_r", reordered(weights[1])[None])
        self.register_buffer("onnx_b", torch.cat([reordered(weights[2]), reordered(weights[3])])[None])

    def forward(self, x: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            x = x.transpose(0, 1)  # (T, B, I), the only layout that ONNX Runtime has
            last = (1, x.shape[1], self.size)
            shapes = ((x.shape[0], 1, x.shape[1], self.size), *[last] * (2 if self.operator == "LSTM" else 1))
            states = torch.onnx.ops.symbolic_multi_out(
                self.operator, (x, self.onnx_w, self.onnx_r, self.onnx_b),
                attrs={"hidden_size": self.size, **self.attributes}, dtypes=(x.dtype,) * len(shapes), shapes=shapes,
                version=18,
            )[0]  # fmt: skip
            return states[:, 0].transpose(0, 1)
        start = x.new_zeros(1, x.shape[0], self.size)
        weights = (self.w_x, self.w_h, self.b_x, self.b_h)
        if self.operator == "LSTM":
            return torch.lstm(x, (start, start), weights, True, 1, 0.0, False, False, True)[0]
        return torch.gru(x, start, weights, True, 1, 0.0, False, False, True)[0]


def _gru(rnn: APGRU) -> _States:
    if rnn.gate == "scale":
        raise InputError("a gate that a standard GRU can compute", "gate: scale", "Use recbole-marn predict.")
    # torch: r, z, n; ONNX: z, r, h.
    return _States("GRU", rnn.gru_weights(), [1, 0, 2], linear_before_reset=1)


def _lstm(rnn: PropertyLSTM) -> _States:
    # torch: i, f, g, o; ONNX: i, o, f, c.
    return _States("LSTM", rnn.lstm_weights(), [0, 3, 1, 2])


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

    def forward(self, state: Tensor, item: Tensor, candidate: Tensor, there: Tensor, length: Tensor) -> Tensor:
        if self.attention is None:
            last = (length - 1).clamp_min(0)[:, None, None].expand(-1, 1, state.shape[2])
            user = state.gather(1, last) * (length > 0)[:, None, None]  # (B, 1, H)
            return user.expand(-1, candidate.shape[1], -1)
        read = state if self.attention.from_product is None else torch.cat([state, item], dim=2)
        alpha = _softmax(_pair_scores(self.attention, read, item, candidate), there[:, None])  # (B, C, T)
        return alpha @ read


def _head(head: PredictionHead, user: Tensor, candidate: Tensor) -> Tensor:
    """user (B, C, .), candidate (B, C, D) -> (B, C)."""
    return head(user.flatten(0, 1), candidate.flatten(0, 1)).reshape(candidate.shape[0], candidate.shape[1])


def _mean(history: Tensor, length: Tensor) -> Tensor:
    """(B, T, D), zeros behind the end -> (B, 1, D)."""
    return (history.sum(1) / length.clamp_min(1).to(history.dtype)[:, None])[:, None]


# ------------------------------------------------------------------------------------------------------- models
class _GRUSide(UserSide):
    """MARN, and the rivals that end in `GRUScoring`."""

    def __init__(self, model: Any, rnn: APGRU, pool: UserPooling, head: PredictionHead):
        super().__init__(model.property if isinstance(model, MARN) else None)
        self.rnn, self.pool, self.head = _gru(rnn), _Pool(pool), head

    def logits(
        self, history: Tensor, there: Tensor, length: Tensor, candidate: Tensor, property_: Tensor | None
    ) -> Tensor:
        state = self.rnn(history if property_ is None else torch.cat([history, property_], dim=2))
        return _head(self.head, self.pool(state, history, candidate, there, length), candidate)


class _DotSide(UserSide):
    def __init__(self, attention: AdditiveAttention):
        super().__init__()
        self.attention = attention

    def logits(
        self, history: Tensor, there: Tensor, length: Tensor, candidate: Tensor, property_: Tensor | None
    ) -> Tensor:
        score = self.attention.query(torch.tanh(self.attention.project(history)))[..., 0]
        user = _softmax(score, there)[:, None] @ history  # (B, 1, D)
        return (user * candidate).sum(2)


class _MeanSide(UserSide):
    def __init__(self, model: YoutubeNet):
        super().__init__()
        self.head = model.head

    def logits(
        self, history: Tensor, there: Tensor, length: Tensor, candidate: Tensor, property_: Tensor | None
    ) -> Tensor:
        return _head(self.head, _mean(history, length).expand_as(candidate), candidate)


class _DINSide(UserSide):
    def __init__(self, model: MultimodalDIN):
        super().__init__()
        self.attention, self.head = model.attention, model.head
        self.normalise = model.settings.attention_normalise

    def logits(
        self, history: Tensor, there: Tensor, length: Tensor, candidate: Tensor, property_: Tensor | None
    ) -> Tensor:
        score = _pair_scores(self.attention, history, history, candidate)
        weight = _softmax(score, there[:, None]) if self.normalise else score * there[:, None]
        return _head(self.head, weight @ history, candidate)


class _DUPNSide(UserSide):
    def __init__(self, model: DUPN):
        super().__init__(model.property)
        self.rnn, self.attention, self.head = _lstm(model.rnn), model.attention, model.head

    def logits(
        self, history: Tensor, there: Tensor, length: Tensor, candidate: Tensor, property_: Tensor | None
    ) -> Tensor:
        state = self.rnn(history if property_ is None else torch.cat([history, property_], dim=2))
        seen = state if property_ is None else torch.cat([state, property_], dim=2)
        alpha = _softmax(_pair_scores(self.attention, seen, history, candidate), there[:, None])
        return _head(self.head, alpha @ state, candidate)


class _XDeepFMSide(UserSide):
    def __init__(self, model: MultimodalxDeepFM):
        super().__init__()
        self.linear, self.interaction, self.head = model.linear, model.interaction, model.head
        self.from_interaction, self.width = model.from_interaction, model.settings.width

    def logits(
        self, history: Tensor, there: Tensor, length: Tensor, candidate: Tensor, property_: Tensor | None
    ) -> Tensor:
        user = _mean(history, length).expand_as(candidate)
        both = torch.cat([user, candidate], dim=2).flatten(0, 1)  # (B * C, 2 * M * D)
        fields = both.reshape(both.shape[0], -1, self.width)
        explicit = self.linear(both) + self.from_interaction(self.interaction(fields))
        return explicit.reshape(candidate.shape[0], candidate.shape[1]) + _head(self.head, user, candidate)


def _of_scoring(model: Any) -> UserSide:
    scoring = model.scoring
    if isinstance(scoring, DotScoring):
        return _DotSide(scoring.attention)
    return _GRUSide(model, scoring.rnn, scoring.pool, scoring.head)


SIDES = {
    MARN: lambda model: _GRUSide(model, model.rnn, model.pool, model.head),
    DenseMultimodalFusion: _of_scoring,
    MMSS: _of_scoring,
    NAML: _of_scoring,
    YoutubeNet: _MeanSide,
    DUPN: _DUPNSide,
    MultimodalDIN: _DINSide,
    MultimodalxDeepFM: _XDeepFMSide,
}
