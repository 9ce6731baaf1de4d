"""Points in a plane, in groups."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recbole_marn.plots.style import NARROW, Picture, picture, strokes, styled

__all__ = ["scatter"]


def scatter(of: Mapping[str, np.ndarray], *, title: str) -> Picture:
    """Label of a group -> its points (n, 2), told apart by colour and mark; axes without numbers, which mean nothing.

    For pictures in which only what lies beside what can be read, such as t-SNE.
    """
    with styled() as pyplot:
        figure, axes = pyplot.subplots(figsize=(NARROW, 4.0), layout="constrained")
        for (label, points), stroke in zip(of.items(), strokes(), strict=False):
            axes.scatter(
                points[:, 0], points[:, 1], s=20, alpha=0.8, linewidths=0.4, label=label, color=stroke.color,
                marker=stroke.marker, edgecolors="white",
            )  # fmt: skip
        axes.set(title=title, xticks=[], yticks=[])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3)
        return picture(figure)
