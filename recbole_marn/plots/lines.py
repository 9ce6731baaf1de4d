"""Lines through points, with bands where there are intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recbole_marn.plots.style import NARROW, Picture, picture, strokes, styled

__all__ = ["Line", "lines"]

FEW = 25  # points that are marked one by one


@dataclass(frozen=True)
class Line:
    """A line through (x, y), with a band from low to high where they are given."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def lines(
    of: Mapping[str, Line],
    *,
    title: str,
    x_axis: str,
    y_axis: str,
    log_x: bool = False,
    log_y: bool = False,
    diagonal: bool = False,
    x_labels: Sequence[str] | None = None,
) -> Picture:
    """Label of a line -> the line, told apart by colour, dashes and marks.

    Args:
        log_x, log_y: logarithmic axes.
        diagonal: draw y = x, where both axes have one scale.
        x_labels: what stands at x = 0, 1, 2, ... in place of numbers.
    """
    with styled() as pyplot:
        figure, axes = pyplot.subplots(figsize=(NARROW, 3.4), layout="constrained")
        if diagonal:
            ends = [value for line in of.values() for side in (line.x, line.y) for value in side]
            axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color="0.6", linewidth=0.8, label="as predicted")
        for (label, line), stroke in zip(of.items(), strokes(), strict=False):
            axes.plot(
                line.x, line.y, label=label, color=stroke.color, linestyle=stroke.linestyle,
                marker=stroke.marker if len(line.x) <= FEW else None, markersize=3.5,
            )  # fmt: skip
            if line.low is not None:
                axes.fill_between(line.x, line.low, line.high, color=stroke.color, alpha=0.12, linewidth=0)
        axes.set(title=title, xlabel=x_axis, ylabel=y_axis)
        if log_x:
            axes.set_xscale("log")
        if log_y:
            axes.set_yscale("log")
        if x_labels is not None:
            axes.set_xticks(range(len(x_labels)), x_labels)
        if len(of) > 1 or diagonal:
            figure.legend(fontsize=8, loc="outside lower center", ncols=3)
        return picture(figure)
