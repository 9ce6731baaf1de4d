"""Invariant features equal in distribution by construction, and what pulls those of one item together (ours)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from recbole_marn.layers.occurrences import mean_over, occurrences

__all__ = ["BalancedCodes", "alignment_loss"]


class BalancedCodes(nn.Module):
    """c_em = v_k,  k = argmax_j (v_j x_em / sqrt(D) + b_mj): one of K code vectors, each as frequent in every modality.

    The prices b_m move against the load of a code (auction, semi-discrete optimal transport) until each code has a
    share of 1 / K in each modality. Then c has the same law in all modalities, and no probe whatever can tell them
    apart. Backward, the choice is taken for its softmax (straight through).

    Args:
        n_modalities: M.
        n_codes: K.
        width: D.
        rate: how far a price moves for a code that nobody chose.

    Shapes: x (E, M, D), present (E, M) bool or None, count (E,) or None -> (E, M, D), 0 where absent
    """

    def __init__(self, *, n_modalities: int, n_codes: int, width: int, rate: float = 0.05):
        super().__init__()
        self.rate = rate
        self.code = nn.Parameter(torch.randn(n_codes, width))
        self.register_buffer("price", torch.zeros(n_modalities, n_codes))

    def forward(self, x: Tensor, present: Tensor | None = None, count: Tensor | None = None) -> Tensor:
        score = x @ self.code.t() * x.shape[2] ** -0.5 + self.price  # (E, M, K)
        soft = score.softmax(-1)
        hard = one_hot(score.argmax(-1), score.shape[-1]).to(soft)
        if self.training:
            self._adjust(hard, present, count)
            hard = hard + soft - soft.detach()
        y = hard @ self.code
        return y if present is None else y.masked_fill(~present[:, :, None], 0.0)

    @torch.no_grad()
    def _adjust(self, hard: Tensor, present: Tensor | None, count: Tensor | None) -> None:
        """Raise the price of codes that are chosen too rarely, lower that of others."""
        weight = occurrences(hard, present, count)
        total = weight.sum(0)[:, None]  # (M, 1)
        load = (weight[:, :, None] * hard).sum(0) / total.clamp_min(1.0)  # (M, K)
        self.price += self.rate * (total > 0) * (1.0 - len(self.code) * load)


def alignment_loss(c: Tensor, present: Tensor | None = None, count: Tensor | None = None) -> Tensor:
    """How far the modalities of one item lie apart: mean over their occurrences of |c_em - mean_m c_em|^2 / D.

    On whitened features its minimum is a canonical correlation analysis of all modalities: what they share about an
    item is kept, and the trivial answer, a constant c, is not open.

    Shapes: c (E, M, D), present (E, M) bool or None, count (E,) or None -> a scalar
    """
    weight = occurrences(c, present, count)
    has = c.new_ones(c.shape[:2]) if present is None else present.to(c)
    c = c if present is None else c.masked_fill(~present[:, :, None], 0.0)
    mean = c.sum(1) / has.sum(1, keepdim=True).clamp_min(1.0)  # (E, D)
    apart = (c - mean[:, None]).square().mean(2)  # (E, M)
    return mean_over(weight * apart, weight)
