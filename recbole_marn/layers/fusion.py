"""From the modalities of an item to one vector (MARN section 3.2: multimodal attention fusion, and max-pooling).

Everywhere `present` (E, M) bool says which modalities an item has; None means all of them. What stands in an absent
entry does not matter, be it NaN, and gets no gradient.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recbole_marn.layers.kernels.large_linear import autocast_type
from recbole_marn.layers.mlp import activation_by_name
from recbole_marn.layers.projection import PrivateLinear

__all__ = ["AttentionFusion", "SumFusion", "larger_of", "pool_invariant", "sum_fusion"]


def _clear(x: Tensor, present: Tensor | None, value: float = 0.0) -> Tensor:
    """(E, M, D) with absent modalities set to `value`."""
    return x if present is None else x.masked_fill(~present[:, :, None], value)


def sum_fusion(s: Tensor, present: Tensor | None = None) -> Tensor:
    """s_e = sum_m s_em over the modalities present: what the paper's row CONC amounts to (Table 3).

    Shapes: s (E, M, D) -> (E, D)
    """
    return _clear(s, present).sum(1)


class SumFusion(nn.Module):
    """`sum_fusion` in the place of `AttentionFusion`: every attention is 1.

    Shapes: s (E, M, D), present (E, M) bool or None -> fused (E, D), attention (E, M, D)
    """

    def forward(self, s: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return sum_fusion(s, present), torch.ones_like(s)


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

    Shapes: s (E, M, D), present (E, M)
        -> fused (E, D), attention (E, M, D) to look at: without gradient, 0 where absent
    """

    def __init__(self, *, n_modalities: int, width: int, activation: str = "tanh", normalise: bool = False):
        super().__init__()
        self.score = PrivateLinear(n=n_modalities, input_size=width, output_size=width)
        self.activation = activation_by_name(activation)
        self.normalise = normalise
        self.at_once = activation == "tanh" and not normalise

    def forward(self, s: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        s = _clear(s, present)
        if self.at_once and autocast_type(s) is None:
            fused, attention = _TanhAttention.apply(s.transpose(0, 1), self.score.weight, self.score.bias)
            return fused, _clear(attention.transpose(0, 1), present)
        attention = self.activation(self.score(s))
        if self.normalise:
            # The smallest number in place of -inf keeps the row of an item without any modality finite.
            attention = _clear(attention, present, torch.finfo(s.dtype).min).softmax(dim=1)
        fused = (attention * s).sum(1)  # s is 0 where absent
        return fused, _clear(attention.detach(), present)


class _TanhAttention(torch.autograd.Function):
    """Eqs. (2) and (3) of s (M, E, D), and the attention (M, E, D) to look at.

    tanh(x) is 2 sigmoid(2 x) - 1: a fourth of the time of torch's tanh.
    """

    @staticmethod
    def forward(ctx: Any, s: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        twice = torch.baddbmm(bias[:, None], s, weight, beta=2.0, alpha=2.0)
        attention = twice.sigmoid_().mul_(2.0).sub_(1.0)
        ctx.save_for_backward(s, weight, attention)
        ctx.mark_non_differentiable(attention)
        ctx.set_materialize_grads(False)
        return (attention * s).sum(0), attention

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return None, None, None
        s, weight, attention = ctx.saved_tensors
        direct = attention * grad
        grad_score = torch.addcmul(grad, attention, direct, value=-1.0).mul_(s)  # grad (1 - attention^2) s
        grad_s = direct.baddbmm_(grad_score, weight.transpose(1, 2))
        return grad_s, torch.bmm(s.transpose(1, 2), grad_score), grad_score.sum(1)


def pool_invariant(c: Tensor, degree: Tensor, present: Tensor | None = None, how: str = "max") -> Tensor:
    """The item's modality-invariant vector (section 3.3).

        c_e = max_m (degree_em * c_em)      elementwise, over the modalities present; how="mean" is our switch

    An item without any modality gets 0.

    Equal maxima share the gradient, so that the order of the modalities does not matter.

    Args:
        c: (E, M, D) invariant features.
        degree: (E, M), see `adversarial.modality_degree`; a constant, which gets no gradient.
        present: (E, M) bool or None.
        how: "max" or "mean".

    Returns:
        (E, D)

    Raises:
        ValueError: unknown `how`.
    """
    if how == "max":
        return _WeightedMaximum.apply(c, degree.detach(), present)
    if how == "mean":
        n_present = c.shape[1] if present is None else present.sum(1, keepdim=True).clamp_min(1)
        return _clear(degree.detach()[:, :, None] * c, present).sum(1) / n_present
    raise ValueError(f"Expected a pooling out of max, mean. Got {how!r}. Choose one of them.")


class _WeightedMaximum(torch.autograd.Function):
    """max over m of degree * c, as `amax` differentiates it, in a third of its passes over memory."""

    @staticmethod
    def forward(ctx: Any, c: Tensor, degree: Tensor, present: Tensor | None) -> Tensor:
        weighted = degree[:, :, None] * c
        if present is not None:
            weighted.masked_fill_(~present[:, :, None], -torch.inf)
        largest = weighted.amax(1)
        is_largest = torch.eq(weighted, largest[:, None], out=weighted)
        if present is not None:
            is_largest.masked_fill_(~present[:, :, None], 0.0)
            largest.masked_fill_(~present.any(1, keepdim=True), 0.0)
        ctx.save_for_backward(degree, is_largest)
        return largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        degree, is_largest = ctx.saved_tensors
        share = grad / is_largest.sum(1).clamp_min(1.0)
        return (share[:, None] * is_largest).mul_(degree[:, :, None]), None, None


def larger_of(value: Tensor, present: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """out_e = max(value[first_e], value[second_e]), elementwise, of the rows that are present; 0 where neither is.

    Equal values share the gradient, as `torch.maximum` has it.

    Shapes: value (R, D), present (R,) bool, first (E,), second (E,) -> (E, D)
    """
    return _LargerOf.apply(value.masked_fill(~present[:, None], torch.finfo(value.dtype).min), present, first, second)


class _LargerOf(torch.autograd.Function):
    """`torch.maximum` differentiates by masks over (E, D), which takes four times as long."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, present: Tensor, first: Tensor, second: Tensor) -> Tensor:
        x, y = value.index_select(0, first), value.index_select(0, second)
        of_first = (x - y).sign_().add_(1.0).mul_(0.5)  # 1 where the first is larger, 1/2 where both are equal
        ctx.save_for_backward(first, second, of_first)
        ctx.n_rows = len(value)
        neither = ~(present[first] | present[second])
        return torch.maximum(x, y, out=x).masked_fill_(neither[:, None], 0.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        first, second, of_first = ctx.saved_tensors
        to_first = grad * of_first
        grad_value = grad.new_zeros(ctx.n_rows, grad.shape[1]).index_add_(0, first, to_first)
        return grad_value.index_add_(0, second, torch.sub(grad, to_first, out=to_first)), None, None, None
