"""The double discriminator (MARN section 3.3, eqs. 7 to 10): who tells modalities apart, and how well.

Shapes: E items, M modalities; `logits` (E, M, M) holds the class scores (last axis) of each modality's vector.
`present` (E, M) bool, None meaning all; `count` (E,) how many positions of the batch an item stands for, None meaning
one each. Weighting by it makes a loss over unique items equal to the loss over all positions.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recbole_marn.layers.mlp import MLP
from recbole_marn.layers.occurrences import occurrences, total

__all__ = ["Discriminator", "adversarial_schedule", "modality_accuracy", "modality_degree", "modality_loss"]


class Discriminator(nn.Module):
    """D(x) = softmax(V x + v), the probability of each modality, as logits. The paper's is one matrix (section 3.3).

    Args:
        width: width of the input.
        n_modalities: M.
        hidden_sizes: hidden ReLU layers before the last one (our switch).

    Shapes: (..., width) -> (..., M)
    """

    def __init__(self, *, width: int, n_modalities: int, hidden_sizes: Sequence[int] = ()):
        super().__init__()
        self.mlp = MLP(input_size=width, hidden_sizes=hidden_sizes, output_size=n_modalities)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 3:
            return self.mlp(x)
        *hidden, last = self.mlp.layers
        x = x.transpose(0, 1)  # modality after modality, as items are laid out
        for layer in hidden:
            x = layer(x)
        # Classes far apart in memory, as `_by_class` wants them; a product with so few columns takes twice as long.
        by_class = torch.addmm(last.bias[:, None], last.weight, x.flatten(0, 1).t())
        return by_class.view(len(last.weight), *x.shape[:2]).permute(2, 1, 0)


def _by_class(logits: Tensor) -> Tensor:
    """(E, M, M) as (class, M, E), classes far apart in memory: softmax along a last axis of four is slow."""
    return logits.permute(2, 1, 0).contiguous()


def modality_degree(logits: Tensor, present: Tensor | None = None) -> Tensor:
    """How little the first discriminator D0 recognises a modality: its degree of being shared (section 3.3).

        w_em = 1 - D0_m(c_em)                          m the true modality

    Args:
        logits: (E, M, M) of D0.

    Returns:
        (E, M), without gradient ("w is a constant and independent of D1"), 0 where absent.
    """
    degree = 1.0 - _by_class(logits.detach()).softmax(0).diagonal(dim1=0, dim2=1)
    return degree if present is None else degree.masked_fill(~present, 0.0)


def modality_loss(
    logits: Tensor,
    present: Tensor | None = None,
    *,
    count: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Cross entropy with the true modality as class: L_S, L_D0 and, with `weight`, L_D1 of eq. (10).

        l_em = -w_em log D_m(x_em)

    Args:
        logits: (E, M, M).
        weight: (E, M) the degree w of eq. (7), taken as a constant; None is 1. The mean is not divided by it.
        reduction: "mean" over all (item, modality) pairs present, or "sum_modalities": for each modality the mean
            over the items that have it, then the sum.

    Returns:
        A scalar; zero, and still differentiable, when nothing is present.

    Raises:
        ValueError: unknown `reduction`.
    """
    if reduction not in ("mean", "sum_modalities"):
        raise ValueError(f"Expected a reduction out of mean, sum_modalities. Got {reduction!r}. Choose one of them.")
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # autocast may have left them shorter
    pair = occurrences(logits, present, count)
    share = pair if weight is None else pair * weight.detach()
    share = share / total(pair, None if reduction == "mean" else 0)
    return _ModalityLoss.apply(logits, share, present)


class _ModalityLoss(torch.autograd.Function):
    """- sum over e, m of share_em log softmax(logits_em)_m, with its gradient share_em (softmax - truth) at once."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, share: Tensor, present: Tensor | None) -> Tensor:
        by_class, share = _by_class(logits), share.t()  # (class, M, E), (M, E)
        if present is not None:
            by_class = by_class.masked_fill(~present.t(), 0.0)
        log_probability = F.log_softmax(by_class, dim=0)
        loss = -torch.sum(log_probability.diagonal(dim1=0, dim2=1) * share.t())
        if ctx.needs_input_grad[0]:
            grad = log_probability.exp_()
            grad.diagonal(dim1=0, dim2=1).sub_(1.0)
            ctx.save_for_backward(grad.mul_(share))
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (by_class,) = ctx.saved_tensors
        return (by_class * grad).permute(2, 1, 0), None, None


@torch.no_grad()
def modality_accuracy(logits: Tensor, present: Tensor | None = None, count: Tensor | None = None) -> Tensor:
    """Share of positions whose modality the discriminator names, for each true modality; NaN where there is none.

    Returns:
        (M,), without gradient.
    """
    pair = occurrences(logits, present, count)
    right = logits.argmax(-1) == torch.arange(logits.shape[1], device=logits.device)
    return (right * pair).sum(0) / pair.sum(0)


def adversarial_schedule(progress: float, lambda0: float, gamma: float = 10.0) -> float:
    """lambda(p) = lambda0 * (2 / (1 + exp(-gamma p)) - 1), from 0 up to about lambda0 (Ganin and Lempitsky 2015).

    Args:
        progress: share p of the training done; taken as 0 below 0 and as 1 above 1.
        lambda0: the final value.
        gamma: how fast it is reached; the paper's 10 was "not optimized".
    """
    progress = min(max(progress, 0.0), 1.0)
    return lambda0 * (2.0 / (1.0 + math.exp(-gamma * progress)) - 1.0)
