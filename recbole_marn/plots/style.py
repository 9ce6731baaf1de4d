"""The one style of all pictures, and how they are written."""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from recbole_marn.errors import InputError

__all__ = ["NARROW", "Picture", "Stroke", "matplotlib", "picture", "strokes", "styled"]

# Okabe and Ito's colours, which the colour-blind tell apart, in an order of falling contrast to paper.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# In grey dashes and marks tell lines apart.
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Inches across of a picture that a phone shows whole, with letters that can still be read.
NARROW = 4.6
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


@dataclass(frozen=True)
class Stroke:
    """What one series is drawn with: no two of the first 49 are alike, in colour or in grey."""

    color: str
    linestyle: Any
    marker: str


def strokes() -> Iterator[Stroke]:
    """For one series after another."""
    for number in count():
        again, place = divmod(number, len(COLOURS))
        shifted = (place + again) % len(COLOURS)
        yield Stroke(COLOURS[place], LINES[shifted], MARKERS[shifted])


@dataclass(frozen=True)
class Picture:
    """A drawn figure: the text of its `.svg` file and the bytes of its `.pdf` file, alike whenever they are drawn."""

    svg: str
    pdf: bytes

    @property
    def inline(self) -> str:
        """The `<svg>` element, for a page: without the lines before it that a file has."""
        return self.svg[self.svg.index("<svg") :]


def picture(figure: Any) -> Picture:
    """What a figure is written to; without a date, so that the same figure is the same file."""
    text, pages = io.StringIO(), io.BytesIO()
    with warnings.catch_warnings():
        # Of a name in a script that the font lacks: the SVG keeps it as text, which a browser draws by another font.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(text, format="svg", metadata={"Date": None}, bbox_inches="tight")
        figure.set_layout_engine("none")  # as it was laid out just now, which takes as long as to draw it
        figure.savefig(pages, format="pdf", metadata={"CreationDate": None}, bbox_inches="tight")
    return Picture(text.getvalue(), pages.getvalue())
