"""Paired timing: variants take turns in one process on one thread, so that whatever else runs touches all of them.

Process CPU time is measured, not the clock: a pause in which another process has the core does not count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Ratio", "Timings", "paired"]


@dataclass(frozen=True)
class Ratio:
    """How many times longer one variant takes than another: median over rounds, and the middle half of them."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g}x ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True)
class Timings:
    """CPU seconds of each variant in each round."""

    seconds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, slow: str, fast: str, *, per: float = 1.0) -> Ratio:
        """slow / fast, round by round, times `per`: e.g. their work per call, to compare rates."""
        rounds = [per * a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True)]
        low, median, high = statistics.quantiles(rounds, n=4) if len(rounds) > 1 else rounds * 3
        return Ratio(median, low, high)


def paired(variants: Mapping[str, Callable[[], object]], *, rounds: int = 5, warm_up: int = 1) -> Timings:
    """Call the variants in turn, `rounds` times; the order is reversed in every other round.

    Args:
        variants: what to call, without arguments; a variant does the same amount of work in each call.
        rounds: timed rounds.
        warm_up: untimed calls of each variant before.
    """
    for variant in variants.values():
        for _ in range(warm_up):
            variant()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds):
        names = list(variants) if number % 2 == 0 else list(reversed(variants))
        for name in names:
            start = time.process_time()
            variants[name]()
            seconds[name].append(time.process_time() - start)
    return Timings(seconds)
