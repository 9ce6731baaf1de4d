"""Peak memory of one training step above what is resident before it, each variant in a fresh process."""

from __future__ import annotations

import gc
from pathlib import Path

from .bench import Bench, Sizes
from .children import child_result
from .gates import Gate
from .synthetic import CLOTHING, Shape

__all__ = ["memory_gates", "resident", "step_peak"]

MB = 1024


def memory_gates(sizes: Sizes) -> list[Gate]:
    """None where the operating system does not tell a process its peak."""
    if not Path("/proc/self/clear_refs").exists():
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
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew at what is resident now
    before = resident("VmRSS")
    steps[1]()
    return {"mb": (resident("VmHWM") - before) / MB, "resident_mb": before / MB}


def resident(name: str) -> int:
    """A size of /proc/self/status in kilobytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
