"""Parts that several models put together from layers: behaviour property, context, user vector, prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recbole_marn.layers.candidate_attention import CandidateAttention
from recbole_marn.layers.context import ContextEncoder
from recbole_marn.layers.kernels.segment import last_state, to_device
from recbole_marn.layers.mlp import MLP
from recbole_marn.settings.models import CTRSettings, GRUSettings, MARNSettings

__all__ = ["BehaviourProperty", "PredictionHead", "UserPooling", "context_encoder_of"]


def context_encoder_of(dataset: Any) -> ContextEncoder | None:
    """The embeddings of a data set's profile and context fields, or None without any."""
    fields = dataset.context_fields
    if not fields:
        return None
    return ContextEncoder(
        cardinalities=[field.cardinality for field in fields],
        widths=[field.width for field in fields],
        bags=[field.bag for field in fields],
    )


class BehaviourProperty(nn.Module):
    """p_t of a behaviour: its type and the binned time until the row, each embedded (MARN section 3.1).

    Args:
        types: number of behaviour types including 0, or 0 without types.
        gap_cardinalities: codes of each binning of the time, or none.
        each: width of every embedding.
    """

    def __init__(self, *, types: int, gap_cardinalities: Sequence[int], each: int):
        super().__init__()
        self.kind = nn.Embedding(types, each, padding_idx=0) if types else None
        self.gap = nn.ModuleList(nn.Embedding(cardinality, each) for cardinality in gap_cardinalities)
        self.size = each * (bool(types) + len(self.gap))

    @classmethod
    def of(cls, dataset: Any) -> BehaviourProperty | None:
        """The property a data set provides, or None."""
        gap = dataset.features.gap
        types, gaps = dataset.behaviour_cardinality or 0, gap.bins.cardinalities if gap else ()
        return cls(types=types, gap_cardinalities=gaps, each=dataset.behaviour_settings.size) if types or gaps else None

    def forward(self, behaviour: Tensor | None, gap: Tensor | None) -> Tensor:
        """behaviour (N,) and gap (N, G) codes -> (N, size)."""
        parts = [self.kind(behaviour)] if self.kind is not None else []
        parts += [table(code) for table, code in zip(self.gap, gap.unbind(1), strict=True)] if len(self.gap) else []
        return torch.cat(parts, dim=1)


class UserPooling(nn.Module):
    """States of a history as one vector a row: attention by the candidate, or the last state.

    Args:
        how: "attention" (MARN section 3.4) or "last" (rows without APGRU).
        state_size: H.
        item_size: D.
        hidden_sizes: of the attention's MLP.
        with_items: attend to [state; item] rather than to the state alone (ours, see docs/models.md).
    """

    def __init__(
        self,
        *,
        how: str,
        state_size: int,
        item_size: int,
        hidden_sizes: Sequence[int] = (64,),
        with_items: bool = False,
    ):
        super().__init__()
        self.attention = None
        self.output_size = state_size
        if how == "attention":
            self.attention = CandidateAttention(
                state_size=state_size,
                candidate_size=item_size,
                hidden_sizes=hidden_sizes,
                item_size=item_size if with_items else 0,
            )
            self.output_size = self.attention.output_size

    @classmethod
    def of(cls, settings: GRUSettings | MARNSettings, *, state_size: int) -> UserPooling:
        """The user vector a model's settings ask for."""
        return cls(
            how=settings.pooling,
            state_size=state_size,
            item_size=settings.width,
            hidden_sizes=settings.attention_hidden,
            with_items=settings.attention_values == "state_and_item",
        )

    def forward(self, state: Tensor, item: Tensor, candidate: Tensor, length: Tensor, row_sequence: Tensor) -> Tensor:
        """state (N, H), item (N, D), candidate (B, D), length (S,), row_sequence (B,) -> (B, output_size)."""
        if self.attention is None:
            return last_state(state, length).index_select(0, to_device(row_sequence, state.device))
        return self.attention(state, candidate, length, row_sequence, item)[0]


class PredictionHead(nn.Module):
    """logit = MLP([u ; candidate ; context]).

    With `product` MLP([u ; candidate ; u * candidate ; context ; (W context + w) * candidate]).

    The context of a row is what is known of user, moment and place. Without any, the network is that of the papers.
    Where a profile decides which items are liked, and not how much is clicked, hidden layers on what lies side by side
    find it late or never; mapped to the candidate's width and multiplied with it, it is found (docs/models.md).

    A u of several times the candidate's width (states beside items) is multiplied part by part, so that averaged items
    meet the candidate in the items' own space; a u of another width is first mapped to the candidate's.

    Args:
        beside_size: of further numbers that stand beside the others and are multiplied with nothing.
        network: what takes the place of the MLP, made with the same arguments.
    """

    def __init__(
        self,
        *,
        user_size: int,
        item_size: int,
        hidden_sizes: Sequence[int] = (128, 64),
        context_size: int = 0,
        beside_size: int = 0,
        product: bool = False,
        dropout: float = 0.0,
        network: Callable[..., nn.Module] = MLP,
    ):
        super().__init__()
        self.product = product
        fits = user_size % item_size == 0
        self.user_to_item = nn.Identity() if fits or not product else nn.Linear(user_size, item_size)
        product_size = (user_size if fits else item_size) if product else 0
        crossed_size = item_size if product and context_size else 0
        self.mlp = network(
            input_size=user_size + item_size + product_size + beside_size + context_size + crossed_size,
            hidden_sizes=hidden_sizes,
            output_size=1,
            dropout=dropout,
        )
        self.context_to_item = nn.Linear(context_size, item_size) if crossed_size else None

    @classmethod
    def of(
        cls,
        settings: CTRSettings,
        *,
        user_size: int,
        item_size: int,
        context_size: int,
        beside_size: int = 0,
        network: Callable[..., nn.Module] = MLP,
    ) -> PredictionHead:
        """The prediction network a model's settings ask for."""
        return cls(
            user_size=user_size,
            item_size=item_size,
            hidden_sizes=settings.prediction_hidden,
            context_size=context_size,
            beside_size=beside_size,
            product=settings.prediction_product,
            dropout=settings.dropout,
            network=network,
        )

    def forward(
        self, user: Tensor, candidate: Tensor, context: Tensor | None = None, beside: Tensor | None = None
    ) -> Tensor:
        """user (B, .), candidate (B, D), context (B, C) and beside (B, .), None without any -> (B,)."""
        seen = [user, candidate]
        if self.product:
            parts = self.user_to_item(user).unflatten(1, (-1, candidate.shape[1]))  # (B, parts, D)
            seen.append((parts * candidate[:, None]).flatten(1))
        if beside is not None:
            seen.append(beside)
        if context is not None:
            seen.append(context)
            if self.context_to_item is not None:
                seen.append(self.context_to_item(context) * candidate)
        return self.mlp(torch.cat(seen, dim=1))[:, 0]
