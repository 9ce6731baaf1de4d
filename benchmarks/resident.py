"""What Linux tells a process of its own memory."""

from __future__ import annotations

from pathlib import Path

__all__ = ["is_told", "megabytes", "start_peak"]

PEAK = Path("/proc/self/clear_refs")


def is_told() -> bool:
    """Whether the operating system tells a process its peak."""
    return PEAK.exists()


def start_peak() -> None:
    """Let the peak (`VmHWM`) start anew at what is resident now (`VmRSS`)."""
    PEAK.write_text("5")


def megabytes(name: str, file: str = "status") -> float:
    """A size by its name in a file of /proc/self."""
    lines = Path("/proc/self", file).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024
