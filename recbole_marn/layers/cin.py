"""The compressed interaction network of xDeepFM (Lian et al., KDD 2018, section 3.1)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["CompressedInteraction"]


class CompressedInteraction(nn.Module):
    """Products of fields, dimension by dimension, one degree more in each layer.

        X^k_h = sum_i sum_j W^k_hij (X^{k-1}_i * X^0_j)          eq. (6), * elementwise
        p^k_h = sum over the dimensions of X^k_h                 eq. (7)

    As in the paper there is no activation between the layers and no bias. The sum over j runs in a loop: the tensor
    of all products would be many times larger than anything else of the model.

    Args:
        n_fields: F.
        layer_sizes: H_1, H_2, ...

    Shapes: fields (B, F, D) -> (B, H_1 + H_2 + ...)
    """

    def __init__(self, *, n_fields: int, layer_sizes: Sequence[int]):
        super().__init__()
        sizes = (n_fields, *layer_sizes)
        self.weights = nn.ParameterList(
            torch.empty(n_fields, after, before) for before, after in zip(sizes, layer_sizes, strict=False)
        )
        for weight in self.weights:
            bound = (weight.shape[0] * weight.shape[2]) ** -0.5
            nn.init.uniform_(weight, -bound, bound)
        self.output_size = sum(layer_sizes)

    def forward(self, fields: Tensor) -> Tensor:
        x, sums = fields, []
        for weight in self.weights:
            x = sum(torch.matmul(w, x) * field for w, field in zip(weight, fields.split(1, dim=1), strict=True))
            sums.append(x.sum(2))
        return torch.cat(sums, dim=1)
