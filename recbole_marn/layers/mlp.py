"""Multilayer perceptron and the activations that can be asked for by name."""

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["MLP", "activation_by_name"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "none": nn.Identity,
}


def activation_by_name(name: str) -> nn.Module:
    """The activation called `name`.

    Raises:
        ValueError: `name` is none of relu, leakyrelu, tanh, sigmoid, none.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"Expected an activation out of {', '.join(ACTIVATIONS)}. Got {name!r}. Choose one of them.")
    return ACTIVATIONS[name]()


class MLP(nn.Module):
    """Fully connected layers: x -> dropout(act(W x + b)) per hidden layer, then W x + b when there is an output.

    Without hidden layers and output it is the identity.

    Args:
        input_size: width of the input.
        hidden_sizes: widths of the hidden layers, in order; may be empty.
        output_size: width of a last layer without activation or dropout; None ends after the last hidden layer.
        activation: a name that `activation_by_name` knows.
        dropout: probability that a hidden unit is dropped in training.

    Shapes: (..., input_size) -> (..., self.output_size)
    """

    def __init__(
        self,
        *,
        input_size: int,
        hidden_sizes: Sequence[int],
        output_size: int | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        size = input_size
        for hidden_size in hidden_sizes:
            layers += [nn.Linear(size, hidden_size), activation_by_name(activation)]
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            size = hidden_size
        if output_size is not None:
            layers.append(nn.Linear(size, output_size))
            size = output_size
        self.layers = nn.Sequential(*layers)
        self.output_size = size

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
