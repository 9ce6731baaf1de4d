"""One private linear map per modality, computed together; and linear maps that are trained without their input."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recbole_marn.layers.kernels.large_linear import autocast_type

__all__ = ["PrivateLinear", "linear_twice"]

threshold_backward = torch.ops.aten.threshold_backward  # what ReLU is differentiated by


class PrivateLinear(nn.Module):
    """y_em = W_m x_em + b_m for all modalities in one batched product (MARN section 3.2, the maps S_m).

    Args:
        n: number of maps M.
        input_size: width of what goes in, the same for each map.
        output_size: width of what comes out, the same for each map.

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

    def twice(self, x: Tensor, activation: nn.Module) -> tuple[Tensor, Tensor]:
        """`activation(self(x))` of x and of x.detach(), computed once: the second passes no gradient to x."""
        y, y_stopped = _twice(x.transpose(0, 1), self.weight, self.bias, activation)
        return y.transpose(0, 1), y_stopped.transpose(0, 1)


def linear_twice(linear: nn.Linear, x: Tensor, activation: nn.Module) -> tuple[Tensor, Tensor]:
    """`activation(linear(x))` of x and of x.detach(), computed once: the second passes no gradient to x.

    Shapes: (E, M, input_size) -> (E, M, output_size), twice
    """
    rows = x.transpose(0, 1)  # modality after modality, as items are laid out
    y, y_stopped = _twice(rows.reshape(1, -1, x.shape[2]), linear.weight.t()[None], linear.bias[None], activation)
    shape = (*rows.shape[:2], -1)
    return y.view(shape).transpose(0, 1), y_stopped.view(shape).transpose(0, 1)


def _twice(x: Tensor, weight: Tensor, bias: Tensor, activation: nn.Module) -> tuple[Tensor, Tensor]:
    narrow, with_relu = autocast_type(x), isinstance(activation, nn.ReLU)
    if narrow is not None:
        x, weight, bias = (t.to(narrow) for t in (x, weight, bias))
    y, y_stopped = _Twice.apply(x, weight, bias, with_relu)
    return (y, y_stopped) if with_relu else (activation(y), activation(y_stopped))


class _Twice(torch.autograd.Function):
    """y_m = x_m W_m + b_m of (M, E, .), as two outputs with the same values; gradients of the second skip x.

    With ReLU in its place rather than after it, which would pass over each of the outputs once more, both ways.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, with_relu: bool) -> tuple[Tensor, Tensor]:
        y = torch.baddbmm(bias[:, None, :], x, weight)
        if with_relu:
            y.relu_()
        ctx.save_for_backward(x, weight, y if with_relu else None)
        ctx.set_materialize_grads(False)
        return y, y.view_as(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, grad_stopped: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, y = ctx.saved_tensors
        if y is not None:
            grad, grad_stopped = (g if g is None else threshold_backward(g, y, 0) for g in (grad, grad_stopped))
        grad_x = None
        if grad is not None and ctx.needs_input_grad[0]:
            grad_x = grad @ weight.transpose(1, 2)
        if grad is None or grad_stopped is None:
            both = grad_stopped if grad is None else grad
        else:
            both = grad + grad_stopped
        if both is None:
            return grad_x, None, None, None
        return grad_x, x.transpose(1, 2) @ both, both.sum(1), None
