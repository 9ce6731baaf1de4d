"""Normalisation of each modality by itself: of invariant features (ours) and of degrees (IWAN's)."""

import torch
from torch import Tensor, nn

from recbole_marn.layers.occurrences import occurrences

__all__ = ["DegreeNorm", "ModalityBatchNorm", "ModalityWhitening"]


def _shares(x: Tensor, present: Tensor | None, count: Tensor | None) -> tuple[Tensor, Tensor]:
    """(E, M) share of each item in the occurrences of a modality, and their total (M,)."""
    weight = occurrences(x, present, count)
    total = weight.sum(0)
    return weight / total.clamp_min(1.0), total


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
        share, total = _shares(x, present, count)
        share, total = share[:, :, None], total[:, None]
        mean = (share * x).sum(0)
        var = (share * (x - mean).square()).sum(0)
        with torch.no_grad():
            step = self.momentum * (total > 0)
            # the running variance is the unbiased one, as in nn.BatchNorm1d
            unbiased = var * (total / (total - 1).clamp_min(1.0))
            self.running_mean += step * (mean - self.running_mean)
            self.running_var += step * (unbiased - self.running_var)
        return mean, var


class ModalityWhitening(nn.Module):
    """y_em = L_m^-1 (x_em - mean_m), with L_m L_m^T = cov_m + shrinkage_m: zero mean, covariance near the identity.

    Where each modality has the same mean, the log loss of a linear softmax probe for the modality is least at the
    constant answer; hence no scale or shift of a modality's own here, unlike in `ModalityBatchNorm`. Items count as
    often as they occur; evaluation uses running averages of mean and covariance, which lag behind the parameters. A
    modality that does not occur leaves them alone.

    Args:
        n_modalities: M.
        width: D.
        shrinkage: share of the mean variance of a modality that is added to its covariance, which may be singular.
        momentum: weight of the new batch in the running averages.

    Shapes: x (E, M, D), present (E, M) bool or None, count (E,) or None -> (E, M, D), 0 where absent
    """

    def __init__(self, *, n_modalities: int, width: int, shrinkage: float = 0.01, momentum: float = 0.1):
        super().__init__()
        self.shrinkage = shrinkage
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(n_modalities, width))
        self.register_buffer("running_cov", torch.eye(width).repeat(n_modalities, 1, 1))

    def forward(self, x: Tensor, present: Tensor | None = None, count: Tensor | None = None) -> Tensor:
        absent = None if present is None else ~present[:, :, None]
        if absent is not None:
            x = x.masked_fill(absent, 0.0)
        mean, cov = self._moments(x, present, count) if self.training else (self.running_mean, self.running_cov)
        variance = cov.diagonal(dim1=1, dim2=2).mean(1)  # (M,)
        ridge = self.shrinkage * variance + torch.finfo(x.dtype).eps  # a modality may be constant
        lower = torch.linalg.cholesky(cov + ridge[:, None, None] * torch.eye(x.shape[2]).to(x))
        centred = (x - mean).permute(1, 2, 0)  # (M, D, E)
        y = torch.linalg.solve_triangular(lower, centred, upper=False).permute(2, 0, 1)
        return y if absent is None else y.masked_fill(absent, 0.0)

    def _moments(self, x: Tensor, present: Tensor | None, count: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean (M, D) and covariance (M, D, D) of the batch; the running averages move towards them."""
        share, total = _shares(x, present, count)
        mean = (share[:, :, None] * x).sum(0)
        centred = (x - mean).transpose(0, 1)  # (M, E, D)
        cov = centred.transpose(1, 2) @ (share.t()[:, :, None] * centred)
        with torch.no_grad():
            step = self.momentum * (total > 0)
            self.running_mean += step[:, None] * (mean - self.running_mean)
            self.running_cov += step[:, None, None] * (cov - self.running_cov)
        return mean, cov


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
            weight = occurrences(degree, present, count)
            total = weight.sum(0)
            mean = torch.where(total > 0, (weight * degree).sum(0) / total.clamp_min(1.0), self.running_mean)
            with torch.no_grad():
                self.running_mean.lerp_(mean.detach(), self.momentum)
        return degree * present / mean.clamp_min(torch.finfo(degree.dtype).tiny)
