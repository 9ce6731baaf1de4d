"""Peak memory of one training step above what is resident before it, each variant in a fresh process."""

from __future__ import annotations

import gc

from .bench import Bench, Sizes
from .children import child_result
from .gates import Gate
from .resident import is_told, megabytes, start_peak
from .synthetic import CLOTHING, Shape

__all__ = ["memory_gates", "step_peak"]


def memory_gates(sizes: Sizes) -> list[Gate]:
    """None where the operating system does not tell a process its peak."""
    if not is_told():
        return []
    marn, unique = (child_result("memory", variant, str(sizes.large))["mb"] for variant in ("marn", "unique"))
    return [
        Gate(f"step peak memory above resident, MB, batch {sizes.large}", marn, 120, at_most=True),
        Gate(f"the same / unique items + conv1d ({unique:.0f} MB)", marn / unique, 1 / 3, at_most=True),
    ]


def step_peak(variant: str, size: int, shape: Shape = CLOTHING) -> dict[str, float]:
    """Megabytes of a step of "marn" or "unique", in this process; a small step has gone before."""
    bench = Bench(shape)
    first, rows = bench.rows(32, 1), bench.rows(size, 1)
    if variant == "marn":
        steps = [bench.marn_step(chosen) for chosen in (first, rows)]
    else:
        steps = [bench.ordinary_step(bench.unique, chosen) for chosen in (first, rows)]
    steps[0]()
    gc.collect()
    start_peak()
    before = megabytes("VmRSS")
    steps[1]()
    return {"mb": megabytes("VmHWM") - before, "resident_mb": before}
