"""Values over the steps of training, several panels in one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from recbole_marn.plots.style import strokes, styled, svg

__all__ = ["curves"]


def curves(panels: Mapping[str, Mapping[str, Sequence[float]]], at: Sequence[float], x_axis: str) -> str:
    """The text of an `.svg` file.

    Args:
        panels: heading -> label of a line -> its values, one for each of `at`.
        at: places on the x axis.
        x_axis: what they are.
    """
    rows = math.ceil(len(panels) / 2)
    with styled() as pyplot:
        figure, axes = pyplot.subplots(rows, 2, figsize=(9, 2.7 * rows), squeeze=False, layout="constrained")
        for place in axes.flat[len(panels) :]:
            place.remove()
        for place, (heading, lines) in zip(axes.flat, panels.items(), strict=False):
            for (label, values), stroke in zip(lines.items(), strokes(), strict=False):
                place.plot(at, values, label=label, **stroke)
            place.set(title=heading, xlabel=x_axis)
            place.legend(fontsize=7)
        return svg(figure)
