"""One private linear map per modality, computed together."""

import torch
from torch import Tensor, nn

__all__ = ["PrivateLinear"]


class PrivateLinear(nn.Module):
    """y_em = W_m x_em + b_m for all modalities in one batched product (MARN section 3.2, the maps S_m).

    Args:
        n: number of maps M.
        input_size, output_size: widths, the same for each map.

    Shapes: (E, M, input_size) -> (E, M, output_size)
    """

    def __init__(self, *, n: int, input_size: int, output_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n, input_size, output_size))
        self.bias = nn.Parameter(torch.empty(n, output_size))
        # as nn.Linear starts each of them
        bound = input_size**-0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        by_modality = torch.baddbmm(self.bias[:, None, :], x.transpose(0, 1), self.weight)  # (M, E, output_size)
        return by_modality.transpose(0, 1)
