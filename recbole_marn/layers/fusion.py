"""From the modalities of an item to one vector (MARN section 3.2: multimodal attention fusion, and max-pooling).

Everywhere `present` (E, M) bool says which modalities an item has; None means all of them. What stands in an absent
entry does not matter, be it NaN, and gets no gradient.
"""

import torch
from torch import Tensor, nn

from recbole_marn.layers.mlp import activation_by_name
from recbole_marn.layers.projection import PrivateLinear

__all__ = ["AttentionFusion", "pool_invariant", "sum_fusion"]


def _clear(x: Tensor, present: Tensor | None, value: float = 0.0) -> Tensor:
    """(E, M, D) with absent modalities set to `value`."""
    return x if present is None else x.masked_fill(~present[:, :, None], value)


def sum_fusion(s: Tensor, present: Tensor | None = None) -> Tensor:
    """s_e = sum_m s_em over the modalities present: what the paper's row CONC amounts to (marn B).

    Shapes: s (E, M, D) -> (E, D)
    """
    return _clear(s, present).sum(1)


class AttentionFusion(nn.Module):
    """Multimodal attention fusion, MAF.

        s_e     = sum_m atten_em * s_em               MARN eq. (2), * elementwise
        atten_em = tanh(W_m s_em + b_m)               MARN eq. (3)

    Attention is a vector: each modality has a weight for each dimension. The weights may be negative and do not add
    up to one.

    Args:
        n_modalities: M.
        width: D.
        activation: in place of tanh, a name that `activation_by_name` knows (our switch).
        normalise: softmax over the modalities present on top of eq. (3) (our switch, for studies).

    Shapes: s (E, M, D), present (E, M) -> fused (E, D), attention (E, M, D), 0 where absent
    """

    def __init__(self, *, n_modalities: int, width: int, activation: str = "tanh", normalise: bool = False):
        super().__init__()
        self.score = PrivateLinear(n=n_modalities, input_size=width, output_size=width)
        self.activation = activation_by_name(activation)
        self.normalise = normalise

    def forward(self, s: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        s = _clear(s, present)
        attention = self.activation(self.score(s))
        if self.normalise:
            # The smallest number in place of -inf keeps the row of an item without any modality finite.
            attention = _clear(attention, present, torch.finfo(s.dtype).min).softmax(dim=1)
        attention = _clear(attention, present)
        return (attention * s).sum(1), attention


def pool_invariant(c: Tensor, degree: Tensor, present: Tensor | None = None, how: str = "max") -> Tensor:
    """The item's modality-invariant vector (marn A.9).

        c_e = max_m (degree_em * c_em)      elementwise, over the modalities present; how="mean" is our switch

    An item without any modality gets 0.

    Args:
        c: (E, M, D) invariant features.
        degree: (E, M), see `adversarial.modality_degree`.
        present: (E, M) bool or None.
        how: "max" or "mean".

    Returns:
        (E, D)

    Raises:
        ValueError: unknown `how`.
    """
    weighted = degree[:, :, None] * c
    if how == "max":
        # amax shares the gradient among equal maxima, so that the order of the modalities does not matter
        pooled = _clear(weighted, present, -torch.inf).amax(1)
        return pooled if present is None else pooled.masked_fill(~present.any(1, keepdim=True), 0.0)
    if how == "mean":
        n_present = c.shape[1] if present is None else present.sum(1, keepdim=True).clamp_min(1)
        return _clear(weighted, present).sum(1) / n_present
    raise ValueError(f"Expected a pooling out of max, mean. Got {how!r}. Choose one of them.")
