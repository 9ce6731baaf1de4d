"""A moving average of a model's weights over the steps of training (Polyak and Juditsky, 1992)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]

# Of n steps the last tenth counts, until that is longer than the decay reaches: the first weights are soon forgotten.
WARM_UP = 10


class WeightAverage:
    """average <- d * average + (1 - d) * weights after each step, d = min(decay, n / (n + WARM_UP)) at the n-th.

    A model trains on its own weights and is validated, kept and scored with their average: `put_in` and `take_out`
    change one for the other. Averaged is all of a checkpoint that is floating, running statistics among it.

    Args:
        model: whose weights it follows.
        decay: from 0 (the last weights) to below 1; 1 / (1 - decay) steps is about what it reaches back.
    """

    def __init__(self, model: nn.Module, decay: float):
        self._model = model
        self._decay = decay
        self._steps = 0
        self._average = {name: value.clone() for name, value in self._floating()}
        self._own: dict[str, Tensor] | None = None

    def _floating(self) -> list[tuple[str, Tensor]]:
        state = self._model.state_dict().items()
        return [(name, value) for name, value in state if torch.is_tensor(value) and value.is_floating_point()]

    @torch.no_grad()
    def step(self) -> None:
        """Take in the weights that a step has left."""
        self._steps += 1
        weight = 1 - min(self._decay, self._steps / (self._steps + WARM_UP))
        values = [value for _, value in self._floating()]
        torch._foreach_lerp_(list(self._average.values()), values, weight)

    @torch.no_grad()
    def put_in(self) -> None:
        """Give the model the average in place of its own weights."""
        if self._own is None:
            self._own = {name: value.clone() for name, value in self._floating()}
            self._fill(self._average)

    @torch.no_grad()
    def take_out(self) -> None:
        """Give the model its own weights back."""
        if self._own is not None:
            self._fill(self._own)
            self._own = None

    def _fill(self, values: Mapping[str, Tensor]) -> None:
        for name, value in self._floating():
            value.copy_(values[name])

    def state(self) -> dict[str, Any]:
        """What a state holds beside the weights of a model that has the average in."""
        return {"steps": self._steps, "own": self._own}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, for a model that has that average in."""
        self._steps, self._own = state["steps"], state["own"]
        self._average = {name: value.clone() for name, value in self._floating()}
