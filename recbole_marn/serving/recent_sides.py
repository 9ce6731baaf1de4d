"""The user sides of the models of 2024 and 2025, made of the trained model's own layers; shapes as in `dense`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from recbole_marn.layers.hstu import HSTULayer
from recbole_marn.layers.similarity import tier_of
from recbole_marn.models.rivals.decoupled_mf import DecoupledMF
from recbole_marn.models.rivals.hstu import HSTU
from recbole_marn.models.rivals.qin import QIN
from recbole_marn.models.rivals.sim_tier import SimTier
from recbole_marn.models.rivals.transformer_dcn import TransformerDCN
from recbole_marn.serving.dense import Seen, UserSide, head_of, pair_scores, softmax

__all__ = ["DecoupledMFSide", "HSTUSide", "QINSide", "SimTierSide", "TransformerDCNSide"]


class _ComparingSide(UserSide):
    """Of models whose item vectors end in frozen ones: what they say of each behaviour and candidate."""

    def __init__(self, model: SimTier | DecoupledMF):
        super().__init__(model)
        self.head, self.n_tiers = model.head, model.settings.tiers
        self.sizes = [model.settings.width, *model.frozen_sizes.values()]

    def compared(self, seen: Seen) -> tuple[Tensor, Tensor, list[Tensor]]:
        """History (B, T, D), candidates (B, C, D), and tiers (B, C, T) by frozen vector, N where one is missing."""
        history, *units = seen.history.split(self.sizes, dim=2)
        candidate, *candidate_units = seen.candidate.split(self.sizes, dim=2)
        return history, candidate, [self._tier(*pair) for pair in zip(units, candidate_units, strict=True)]

    def _tier(self, unit: Tensor, candidate: Tensor) -> Tensor:
        """unit (B, T, V), candidate (B, C, V) -> (B, C, T)"""
        cosine = candidate @ unit.transpose(1, 2)
        has = (unit.abs().amax(2) > 0)[:, None] & (candidate.abs().amax(2) > 0)[:, :, None]
        return torch.where(has, tier_of(cosine, self.n_tiers), self.n_tiers)

    def in_tier(self, tier: Tensor, weight: Tensor) -> Tensor:
        """weight (B, C, T) added up by tier: (B, C, N + 1)."""
        return ((tier[..., None] == torch.arange(self.n_tiers + 1)) * weight[..., None]).sum(2)

    def counts(self, tiers: list[Tensor], seen: Seen) -> Tensor:
        """(B, C, number of vectors * N)"""
        there = seen.there[:, None].to(seen.history.dtype).expand(-1, seen.candidate.shape[1], -1)
        return torch.cat([self.in_tier(tier, there)[..., : self.n_tiers].log1p() for tier in tiers], dim=2)


class SimTierSide(_ComparingSide):
    """DIN on the first part of an item's vector, tiers of similarity on the others."""

    def __init__(self, model: SimTier):
        super().__init__(model)
        self.attention, self.normalise = model.attention, model.settings.attention_normalise

    def logits(self, seen: Seen) -> Tensor:
        history, candidate, tiers = self.compared(seen)
        there = seen.there[:, None]
        score = pair_scores(self.attention, history, history, candidate)
        user = (softmax(score, there) if self.normalise else score * there) @ history
        return head_of(self.head, user, seen, candidate, self.counts(tiers, seen))


class DecoupledMFSide(_ComparingSide):
    """Attention by keys and values that know the tier of similarity, beside counts of tiers."""

    def __init__(self, model: DecoupledMF):
        super().__init__(model)
        self.attention, self.from_counts, self.mixed = model.attention, model.from_counts, model.mixed

    def logits(self, seen: Seen) -> Tensor:
        history, candidate, tiers = self.compared(seen)
        query, key = self.attention.query(candidate), self.attention.key(history)
        score = query @ key.transpose(1, 2)  # (B, C, T)
        for tier, table in zip(tiers, self.attention.tier_key, strict=True):
            score = score + (query @ table.t()).gather(2, tier)
        weight = softmax(score * query.shape[2] ** -0.5, seen.there[:, None])
        read = weight @ self.attention.value(history)
        for tier, table in zip(tiers, self.attention.tier_value, strict=True):
            read = read + self.in_tier(tier, weight) @ table
        user = self.mixed(self.attention.output(read), self.from_counts(self.counts(tiers, seen)))
        return head_of(self.head, user, seen, candidate)


class QINSide(UserSide):
    """Attention through ReLU, and the quadratic network."""

    def __init__(self, model: QIN):
        super().__init__(model)
        self.attention, self.head = model.attention, model.head

    def logits(self, seen: Seen) -> Tensor:
        query, key = self.attention.query(seen.candidate), self.attention.key(seen.history)
        score = query @ key.transpose(1, 2) * query.shape[2] ** -0.5
        read = score.relu() @ self.attention.value(seen.history)  # behind the end a value is zeros
        return head_of(self.head, seen.candidate + self.attention.output(read), seen)


class TransformerDCNSide(UserSide):
    """A Transformer over behaviours, each joined with the candidate; its last state and its maximum."""

    def __init__(self, model: TransformerDCN):
        super().__init__(model)
        self.layers, self.from_maximum, self.head = model.transformer.layers, model.from_maximum, model.head

    def logits(self, seen: Seen) -> Tensor:
        candidates, behaviours = seen.candidate.shape[1], seen.history.shape[1]
        history = seen.history[:, None].expand(-1, candidates, -1, -1)
        both = torch.cat([history, seen.candidate[:, :, None].expand(-1, -1, behaviours, -1)], dim=3)
        there = seen.there[:, None].expand(-1, candidates, -1).flatten(0, 1)  # (B * C, T)
        length = seen.length[:, None].expand(-1, candidates).flatten(0, 1)
        # An empty history reads its first place: attention to nothing is no number.
        read = there | ((torch.arange(behaviours) == 0) & (length == 0)[:, None])
        state = both.flatten(0, 1)
        for layer in self.layers:
            state = _encoded(layer, state, read)
        state = state * there[:, :, None]
        last = state.gather(1, (length - 1).clamp_min(0)[:, None, None].expand(-1, 1, state.shape[2]))[:, 0]
        highest = self.from_maximum(state.masked_fill(~read[:, :, None], -1e30).amax(1)) * (length > 0)[:, None]
        user = torch.cat([last, highest], dim=1)
        return head_of(self.head, user.unflatten(0, (seen.candidate.shape[0], candidates)), seen)


def _encoded(layer: nn.TransformerEncoderLayer, x: Tensor, read: Tensor) -> Tensor:
    """`layer` in evaluation, whose normalisation comes last: x (R, T, E), read (R, T) bool -> (R, T, E)."""
    attention = layer.self_attn

    def heads(values: Tensor) -> Tensor:
        return values.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)  # (R, heads, T, .)

    query, key, value = map(heads, linear(x, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=2))
    score = query @ key.transpose(2, 3) * query.shape[3] ** -0.5
    attended = softmax(score, read[:, None, None]) @ value
    x = layer.norm1(x + attention.out_proj(attended.transpose(1, 2).flatten(2)))
    return layer.norm2(x + layer.linear2(layer.activation(layer.linear1(x))))


class HSTUSide(UserSide):
    """HSTU's layers, with the candidate behind the last behaviour."""

    def __init__(self, model: HSTU):
        super().__init__(model, model.property)
        self.from_property, self.layers, self.head = model.from_property, model.layers, model.head

    def logits(self, seen: Seen) -> Tensor:
        history, user = seen.history, seen.candidate
        if seen.property is not None:
            history = history + self.from_property(seen.property)
        for layer in self.layers:
            history, user = _pointwise(layer, history, user, seen)
        return head_of(self.head, user, seen)


def _pointwise(layer: HSTULayer, history: Tensor, candidate: Tensor, seen: Seen) -> tuple[Tensor, Tensor]:
    """`layer` on history (B, T, D) and candidates (B, C, D)."""
    gate, value, query, key = silu(layer.project(layer.norm(history))).chunk(4, dim=2)
    value = value * seen.there[:, :, None]
    own_gate, own_value, own_query, own_key = silu(layer.project(layer.norm(candidate))).chunk(4, dim=2)
    value, query, key, own_value, own_query, own_key = map(
        layer.heads, (value, query, key, own_value, own_query, own_key)
    )
    distance = (seen.length[:, None] - torch.arange(history.shape[1])).clamp_min(0)  # (B, T)
    score = torch.einsum("bchd,bjhd->bcjh", own_query, key) + layer.distance[distance][:, None]
    read = torch.einsum("bcjh,bjhd->bchd", silu(score) / layer.max_length, value)
    itself = silu((own_query * own_key).sum(3) + layer.distance[0]) / layer.max_length
    own = (read + itself[..., None] * own_value).flatten(2)
    return layer.transform(history, layer.within(query, key, value), gate), layer.transform(candidate, own, own_gate)
