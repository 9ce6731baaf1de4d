"""Layers that multiply their input by linear maps of itself (QNN, the prediction of QIN)."""

from collections.abc import Sequence

from torch import Tensor, nn

from recbole_marn.layers.mlp import MLP

__all__ = ["QuadraticNetwork"]


class QuadraticNetwork(nn.Module):
    """x <- x + dropout(PReLU(LN(sum_r x * W_r x))) in each quadratic layer, then an MLP.

    With L layers the highest products are of degree 2^L. Li et al. 2025 normalise over the batch; here each row is
    normalised by itself, so that rows of a batch do not see each other, however few or on however many processes.
    The maps W_1 .. W_R of a layer add up before the product, which leaves one: sum_r x * W_r x = x * (sum_r W_r) x. The
    authors keep R of them with dropout on each; without that dropout one map is the same function.

    Args:
        input_size: F.
        hidden_sizes: hidden layers after the quadratic ones; none in the paper.
        output_size: of the MLP.
        dropout: after each quadratic layer, and in the MLP.
        n_layers: L.

    Shapes: (B, F) -> (B, output_size)
    """

    def __init__(
        self, *, input_size: int, hidden_sizes: Sequence[int], output_size: int, dropout: float, n_layers: int
    ):
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(input_size, input_size) for _ in range(n_layers))
        self.activations = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(input_size), nn.PReLU(), nn.Dropout(dropout)) for _ in range(n_layers)
        )
        self.mlp = MLP(
            input_size=input_size, hidden_sizes=hidden_sizes, output_size=output_size, dropout=dropout
        )

    def forward(self, x: Tensor) -> Tensor:
        for linear, activation in zip(self.maps, self.activations, strict=True):
            x = x + activation(x * linear(x))
        return self.mlp(x)
