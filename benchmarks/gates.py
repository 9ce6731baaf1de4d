"""A gate: something measured, the goal it must reach, and how both are printed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .timing import Ratio

__all__ = ["Gate", "gates_table", "ratio_gate"]


@dataclass(frozen=True)
class Gate:
    """A measured value and its goal.

    Attributes:
        name: what is measured, with its unit.
        value, goal: the numbers.
        at_most: the goal is an upper bound; else a lower one.
        spread: how far the rounds lie apart, for people.
    """

    name: str
    value: float
    goal: float
    at_most: bool = False
    spread: str = ""

    @property
    def ok(self) -> bool:
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "value": float(f"{self.value:.4g}"), "goal": self.goal, "ok": self.ok}


def ratio_gate(name: str, ratio: Ratio, goal: float) -> Gate:
    """A gate on the median ratio of paired rounds."""
    return Gate(name, ratio.median, goal, spread=f"{ratio.low:.3g} to {ratio.high:.3g}")


def gates_table(gates: Iterable[Gate]) -> str:
    """One line a gate."""
    lines = [f"{'gate':<72}{'value':>10}{'goal':>12}  {'':<8}middle half of the rounds"]
    for gate in gates:
        goal = f"{'<=' if gate.at_most else '>='} {gate.goal:g}"
        lines.append(f"{gate.name:<72}{gate.value:>10.4g}{goal:>12}  {'met' if gate.ok else 'NOT MET':<8}{gate.spread}")
    return "\n".join(lines)
