"""The cross network of DCN V2 beside a deep one (Wang et al., WWW 2021)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recbole_marn.layers.mlp import MLP

__all__ = ["CrossAndDeep"]


class CrossAndDeep(nn.Module):
    """out = W [x_L ; MLP(x_0)],   x_{l+1} = x_0 * (W_l x_l + b_l) + x_l: the parallel structure of DCN V2.

    Args:
        input_size: F.
        hidden_sizes: of the deep network.
        output_size: width of out.
        dropout: in the deep network.
        n_layers: L.

    Shapes: (B, F) -> (B, output_size)
    """

    def __init__(
        self, *, input_size: int, hidden_sizes: Sequence[int], output_size: int, dropout: float, n_layers: int
    ):
        super().__init__()
        self.crosses = nn.ModuleList(nn.Linear(input_size, input_size) for _ in range(n_layers))
        self.deep = MLP(input_size=input_size, hidden_sizes=hidden_sizes, dropout=dropout)
        self.output = nn.Linear(input_size + self.deep.output_size, output_size)

    def forward(self, x: Tensor) -> Tensor:
        crossed = x
        for cross in self.crosses:
            crossed = x * cross(crossed) + crossed
        return self.output(torch.cat([crossed, self.deep(x)], dim=1))
