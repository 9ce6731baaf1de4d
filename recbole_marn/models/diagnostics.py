"""What a model tells of its inside while it trains: means over some of the steps of an epoch."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

__all__ = ["Diagnostics"]

# Training steps from one that is looked into to the next: diagnostics of every step would cost 4 % of a small batch.
EVERY = 8


class Diagnostics:
    """Numbers by name, summed over the steps that are looked into; nothing waits for the device."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, int, Sequence[str]]] = {}
        self._steps = 0

    @property
    def due(self) -> bool:
        """Whether this step is to be looked into: the first of an epoch, and every `EVERY`th from there."""
        return self._steps % EVERY == 0

    def step_done(self) -> None:
        """Count a step of training."""
        self._steps += 1

    def record(self, name: str, value: Tensor, of: Sequence[str] = ()) -> None:
        """Add a number of this step, or one for each name in `of`."""
        total, steps, _ = self._sums.get(name, (0.0, 0, of))
        self._sums[name] = (total + value.detach().float(), steps + 1, of)

    def pop(self) -> dict[str, float]:
        """Means over the steps looked into since the last call, by name."""
        means: dict[str, float] = {}
        for name, (total, steps, of) in self._sums.items():
            names = [f"{name} {each}" for each in of] or [name]
            means |= zip(names, (total / steps).reshape(-1).tolist(), strict=True)
        self._sums, self._steps = {}, 0
        return means
