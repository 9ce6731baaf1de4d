"""The compressed interaction network of xDeepFM (Lian et al., KDD 2018, section 3.1)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CompressedInteraction"]


class CompressedInteraction(nn.Module):
    """Products of fields, dimension by dimension, one degree more in each layer.

        X^k_h = sum_i sum_j W^k_hij (X^{k-1}_i * X^0_j)          * elementwise
        p^k_h = sum over the dimensions of X^k_h

    As in the paper there is no activation between the layers and no bias. The sum over the dimensions is taken first:

        p^k_h = sum_i sum_j W^k_hij <X^{k-1}_i, X^0_j>

    so that the last layer, the largest tensor by far, is never formed.

    Args:
        n_fields: F.
        layer_sizes: H_1, H_2, ...

    Shapes: fields (B, F, D) -> (B, H_1 + H_2 + ...)
    """

    def __init__(self, *, n_fields: int, layer_sizes: Sequence[int]):
        super().__init__()
        sizes = (n_fields, *layer_sizes)
        self.weights = nn.ParameterList(
            torch.empty(after, n_fields, before) for before, after in zip(sizes, layer_sizes, strict=False)
        )
        for weight in self.weights:
            bound = (weight.shape[1] * weight.shape[2]) ** -0.5
            nn.init.uniform_(weight, -bound, bound)
        self.output_size = sum(layer_sizes)

    def forward(self, fields: Tensor) -> Tensor:
        first = x = fields.transpose(1, 2).contiguous()  # (B, D, F): widths of layers last, as linear maps want them
        sums = []
        for level, weight in enumerate(self.weights, start=1):
            weight = weight.flatten(1)  # (H, F * H of the layer before)
            alike = torch.bmm(first.transpose(1, 2), x)  # (B, F, H before)
            sums.append(F.linear(alike.flatten(1), weight))
            if level < len(self.weights):
                products = first[:, :, :, None] * x[:, :, None, :]  # (B, D, F, H before)
                x = F.linear(products.flatten(2), weight)
        return torch.cat(sums, dim=1)
