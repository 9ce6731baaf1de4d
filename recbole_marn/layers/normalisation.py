"""Normalisation of each modality by itself: of invariant features (ours) and of degrees (IWAN's)."""

import torch
from torch import Tensor, nn

__all__ = ["DegreeNorm", "ModalityBatchNorm"]


class ModalityBatchNorm(nn.Module):
    """y_em = g_m * (x_em - mean_m) / sqrt(var_m + eps) + b_m, per dimension.

    Applied to the output of the shared map I it gives each modality the same first two moments, so that no
    discriminator can tell them apart by these and the degrees do not decay. Mean and variance are those of the items
    that have the modality, each counted as often as it occurs; in evaluation, their running averages. This equals
    `nn.BatchNorm1d` on the repeated rows of one modality. A modality that occurs only once in a batch is its own
    mean: its output is b_m. One that does not occur leaves the running averages alone.

    Args:
        n_modalities: M.
        width: D.
        eps: added to the variance.
        momentum: weight of the new batch in the running averages.

    Shapes: x (E, M, D), present (E, M) bool or None, count (E,) or None -> (E, M, D), 0 where absent
    """

    def __init__(self, *, n_modalities: int, width: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(n_modalities, width))
        self.bias = nn.Parameter(torch.zeros(n_modalities, width))
        self.register_buffer("running_mean", torch.zeros(n_modalities, width))
        self.register_buffer("running_var", torch.ones(n_modalities, width))

    def forward(self, x: Tensor, present: Tensor | None = None, count: Tensor | None = None) -> Tensor:
        absent = None if present is None else ~present[:, :, None]
        if absent is not None:
            x = x.masked_fill(absent, 0.0)
        mean, var = self._moments(x, present, count) if self.training else (self.running_mean, self.running_var)
        y = (x - mean) * ((var + self.eps).rsqrt() * self.weight) + self.bias
        return y if absent is None else y.masked_fill(absent, 0.0)

    def _moments(self, x: Tensor, present: Tensor | None, count: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and variance (M, D) of the batch; the running averages move towards them."""
        weight = x.new_ones(x.shape[:2]) if count is None else count[:, None].to(x).expand(x.shape[:2])
        if present is not None:
            weight = weight * present
        weight = weight[:, :, None]
        total = weight.sum(0)  # (M, 1)
        share = weight / total.masked_fill(total == 0, 1.0)
        mean = (share * x).sum(0)
        var = (share * (x - mean).square()).sum(0)
        with torch.no_grad():
            step = self.momentum * (total > 0)
            # the running variance is the unbiased one, as in nn.BatchNorm1d
            unbiased = var * (total / (total - 1).clamp_min(1.0))
            self.running_mean += step * (mean - self.running_mean)
            self.running_var += step * (unbiased - self.running_var)
        return mean, var


class DegreeNorm(nn.Module):
    """w_em / mean of w_.m, so that E[w] = 1 for each modality, as eq. (9) needs and IWAN (CVPR 2018) does.

    The mean is the batch's in training, each item counted as often as it occurs, and a running average in
    evaluation, where an item's vector must not hang on the items beside it.

    Args:
        n_modalities: M.
        momentum: weight of the new batch in the running average.

    Shapes: degree (E, M), present (E, M) bool, count (E,) or None -> (E, M), 0 where absent
    """

    def __init__(self, *, n_modalities: int, momentum: float = 0.1):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("running_mean", torch.full((n_modalities,), 1.0 - 1.0 / max(2, n_modalities)))

    def forward(self, degree: Tensor, present: Tensor, count: Tensor | None = None) -> Tensor:
        mean = self.running_mean
        if self.training:
            weight = present.to(degree) if count is None else present * count[:, None].to(degree)
            total = weight.sum(0)
            mean = torch.where(total > 0, (weight * degree).sum(0) / total.clamp_min(1.0), self.running_mean)
            with torch.no_grad():
                self.running_mean.lerp_(mean.detach(), self.momentum)
        return degree * present / mean.clamp_min(torch.finfo(degree.dtype).tiny)
