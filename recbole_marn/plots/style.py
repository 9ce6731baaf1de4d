"""The one style of all pictures, and how they are written."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

from recbole_marn.errors import InputError

__all__ = ["LINES", "matplotlib", "strokes", "styled", "svg"]

# Okabe and Ito's colours, which the colour-blind tell apart, in an order of falling contrast to paper.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# In grey the dashes tell lines apart.
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
SETTINGS = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#d8dde2",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "recbole_marn",  # the same picture is the same file
    "pdf.fonttype": 42,
}


def matplotlib() -> Any:
    """matplotlib without a screen.

    Raises:
        InputError: it is not installed.
    """
    try:
        module = importlib.import_module("matplotlib")
    except ImportError:
        raise InputError(
            "the package matplotlib, which draws pictures",
            "no such package",
            "Install it: pip install 'recbole-marn[plots]'.",
        ) from None
    module.use("agg")
    return module


@contextmanager
def styled() -> Iterator[Any]:
    """`matplotlib.pyplot` in our style, which ends with the block; figures are closed."""
    settings = matplotlib().rc_context(SETTINGS)
    pyplot = importlib.import_module("matplotlib.pyplot")
    with settings:
        try:
            yield pyplot
        finally:
            pyplot.close("all")


def strokes() -> Iterator[dict[str, Any]]:
    """Colour and dashes for one line after another."""
    for colour, line in zip(cycle(COLOURS), cycle(LINES), strict=False):
        yield {"color": colour, "linestyle": line}


def svg(figure: Any) -> str:
    """The text of a figure's `.svg` file; without a date, so that the same figure is the same text."""
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return written.getvalue()
