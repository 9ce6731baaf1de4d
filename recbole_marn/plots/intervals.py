"""Values with their intervals, a line each; several series side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recbole_marn.plots.style import NARROW, Picture, picture, strokes, styled

__all__ = ["Series", "intervals"]


@dataclass(frozen=True)
class Series:
    """Values (R,) with the ends of their intervals; NaN where there is none."""

    value: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def intervals(
    rows: Sequence[str], of: Mapping[str, Series], *, title: str, x_axis: str, zero: float | None = None
) -> Picture:
    """A dot with its interval for every row and series, told apart by colour and mark.

    Args:
        rows: labels, from the top.
        of: label of a series -> its values.
        zero: where a line is drawn that intervals are compared with.
    """
    with styled() as pyplot:
        height = 1.4 + len(rows) * max(0.24, 0.13 * len(of))
        figure, axes = pyplot.subplots(figsize=(NARROW, height), layout="constrained")
        if zero is not None:
            axes.axvline(zero, color="0.4", linewidth=0.8)
        shift = np.linspace(-0.25, 0.25, len(of)) if len(of) > 1 else np.zeros(1)
        for (label, series), stroke, offset in zip(of.items(), strokes(), shift, strict=False):
            value, low, high = (np.asarray(side, dtype=float) for side in (series.value, series.low, series.high))
            reach = np.nan_to_num(np.stack([value - low, high - value])).clip(0)
            axes.errorbar(
                value, np.arange(len(rows)) + offset, xerr=reach, label=label, color=stroke.color,
                fmt=stroke.marker, markersize=4, linewidth=1, capsize=2,
            )  # fmt: skip
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set(title=title, xlabel=x_axis)
        if len(of) > 1:
            figure.legend(fontsize=8, loc="outside lower center", ncols=3)
        return picture(figure)
