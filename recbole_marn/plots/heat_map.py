"""A table of numbers in shades, the numbers written in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recbole_marn.plots.style import NARROW, Picture, picture, styled

__all__ = ["heat_map"]


def heat_map(
    values: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, title: str, digits: int = 2, legend: str = ""
) -> Picture:
    """Shades from light to dark, alike in grey and to the colour-blind; a NaN stays empty.

    Args:
        values: (R, C).
        rows, columns: their labels.
        digits: of the numbers written in.
        legend: what the shades mean.
    """
    with styled() as pyplot:
        height = 1.1 + 0.27 * len(rows)
        figure, axes = pyplot.subplots(figsize=(NARROW, height), layout="constrained")
        shown = axes.imshow(np.ma.masked_invalid(values), cmap="cividis_r", aspect="auto")
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), [row if len(row) < 24 else row[:23] + "…" for row in rows])
        axes.tick_params(length=0, labelsize=8)
        axes.grid(visible=False)
        axes.set_title(title)
        low, high = shown.get_clim()
        for row, column in np.argwhere(~np.isnan(values)):
            value = values[row, column]
            dark = high > low and (value - low) / (high - low) > 0.5
            axes.text(
                column, row, f"{round(value, digits) + 0.0:.{digits}f}", ha="center", va="center", fontsize=7,
                color="white" if dark else "black",
            )  # fmt: skip
        figure.colorbar(shown, ax=axes, label=legend, shrink=0.8)
        return picture(figure)
