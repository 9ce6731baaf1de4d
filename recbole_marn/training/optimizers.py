"""AdaGrad and Adam in torch's fused kernels; tables of many rows are updated row by row where that changes nothing."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn, optim

from recbole_marn.layers.context import SameWidthTables
from recbole_marn.layers.encoders import CategoricalEncoder

__all__ = ["LazyAdam", "ROW_SPARSE_FROM", "build_adagrad", "build_adam", "build_lazy_adam", "rate_left", "read_by_row"]

# Below, the fused dense update costs less than finding the rows that changed (docs/performance.md).
ROW_SPARSE_FROM = 100_000


def read_by_row(model: nn.Module, *, least: int = ROW_SPARSE_FROM) -> list[nn.Parameter]:
    """Let the embeddings of items, profile and context with at least so many rows give row-sparse gradients.

    Returns:
        Their weights.
    """
    tables = [
        table
        for encoder in model.modules()
        if isinstance(encoder, (CategoricalEncoder, SameWidthTables))
        for table in encoder.tables
        if table.num_embeddings >= least
    ]
    for table in tables:
        table.sparse = True
    invariants = torch.sparse.check_sparse_tensor_invariants
    if tables and not invariants.is_enabled():
        invariants.disable()  # as they are; torch warns until it is told
    return [table.weight for table in tables]


def build_adagrad(
    groups: list[tuple[float, list[Tensor]]],
    *,
    rate: float,
    initial: float = 0.0,
    weight_decay: float = 0.0,
    by_row: list[nn.Parameter] | tuple[()] = (),
) -> optim.Adagrad:
    """AdaGrad: a row without a gradient does not move, so that a row-sparse update equals the dense one.

    Args:
        groups: learning rate relative to `rate`, and the parameters that have it.
        rate: learning rate.
        initial: first value of the accumulator.
        weight_decay: moves every row, hence not together with `by_row`.
        by_row: parameters with row-sparse gradients.
    """
    sparse = {id(parameter) for parameter in by_row}
    options: list[dict[str, Any]] = []
    for factor, parameters in groups:
        for is_sparse in (False, True):
            chosen = [parameter for parameter in parameters if (id(parameter) in sparse) == is_sparse]
            if chosen:
                # torch fuses AdaGrad on the CPU alone, and never for sparse gradients
                fused = not is_sparse and not any(parameter.is_cuda for parameter in chosen)
                options.append({"params": chosen, "lr": rate * factor, "fused": fused})
    return optim.Adagrad(options, lr=rate, weight_decay=weight_decay, initial_accumulator_value=initial)


class LazyAdam(optim.Optimizer):
    """Adam, and for parameters with row-sparse gradients torch's SparseAdam: a row that no batch has stays.

    Their moments are those of the steps that had the row, so that the result is not dense Adam's.
    """

    def __init__(self, dense: optim.Adam, sparse: optim.SparseAdam):
        super().__init__([*dense.param_groups, *sparse.param_groups], {})
        self._parts = {"dense": dense, "sparse": sparse}
        # Groups of both, so that a rate set here is theirs.
        self.param_groups = [*dense.param_groups, *sparse.param_groups]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for part in self._parts.values():
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if set(state_dict) != set(self._parts):
            raise ValueError(f"a state of {', '.join(self._parts)}, got {', '.join(state_dict)}")
        for name, part in self._parts.items():
            part.load_state_dict(state_dict[name])
        self.param_groups = [group for part in self._parts.values() for group in part.param_groups]


def build_lazy_adam(
    groups: list[tuple[float, list[Tensor]]], *, rate: float, by_row: list[nn.Parameter]
) -> optim.Optimizer:
    """Adam, lazy for the parameters `by_row`. Arguments as in `build_adagrad`."""
    sparse = {id(parameter) for parameter in by_row}
    options: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for factor, parameters in groups:
        for is_sparse, chosen in options.items():
            of_kind = [parameter for parameter in parameters if (id(parameter) in sparse) == is_sparse]
            if of_kind:
                chosen.append({"params": of_kind, "lr": rate * factor})
    if not options[True]:
        return build_adam(groups, rate=rate)
    return LazyAdam(optim.Adam(options[False], lr=rate, fused=True), optim.SparseAdam(options[True], lr=rate))


def build_adam(groups: list[tuple[float, list[Tensor]]], *, rate: float, weight_decay: float = 0.0) -> optim.Adam:
    """Adam, dense throughout: its moments go on moving rows without a gradient, unlike those of `build_lazy_adam`.

    Arguments as in `build_adagrad`.
    """
    options = [{"params": list(parameters), "lr": rate * factor} for factor, parameters in groups]
    return optim.Adam(options, lr=rate, weight_decay=weight_decay, fused=True)


def rate_left(decay: str, progress: float) -> float:
    """Share of the learning rate that is left of it.

    Args:
        decay: none, linear (1 - p) or cosine ((1 + cos(pi p)) / 2; Loshchilov and Hutter, ICLR 2017).
        progress: p, share of all steps that are done, 0 to 1.
    """
    if decay == "none":
        return 1.0
    return 1.0 - progress if decay == "linear" else (1.0 + math.cos(math.pi * progress)) / 2.0
