"""Plots as inline SVG: numbers in, text out, drawn in the colours of the page around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = [
    "Curve", "Interval", "Plot", "Point", "Reliability",
    "curves_plot", "interval_plot", "reliability_plot", "scatter_plot",
]  # fmt: skip

WIDTH = 480
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 14, 44
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b08900", "#56b4e9")


@dataclass(frozen=True)
class Interval:
    """A labelled value with its interval; ends are NaN where there is none."""

    label: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """A numbered point."""

    number: int
    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Curve:
    """A labelled line through (1, y1), (2, y2), ...; strong ones are drawn in colour."""

    label: str
    values: tuple[float, ...]
    strong: bool


@dataclass(frozen=True)
class Reliability:
    """A labelled line of observed over predicted click rates, ascending."""

    label: str
    predicted: tuple[float, ...]
    observed: tuple[float, ...]


@dataclass(frozen=True)
class Plot:
    """A drawn plot: WIDTH x `height` units of `content`."""

    title: str
    height: float
    content: str

    def inline(self) -> str:
        """The element, for a page."""
        view = f'viewBox="0 0 {WIDTH} {self.height:g}" role="img" aria-label="{escape(self.title)}"'
        return f"<svg {view}>{self.content}</svg>"


# --------------------------------------------------------------------------------------------------- plots
def interval_plot(rows: Sequence[Interval], title: str, axis: str) -> Plot | None:
    """One line per row: a dot with its interval, along `axis`. None where no row has a value."""
    rows = [row for row in rows if not math.isnan(row.value)]
    if not rows:
        return None
    left, step = 170, 24
    height = TOP + step * len(rows) + BOTTOM
    ends = [end for row in rows for end in (row.value, row.low, row.high) if not math.isnan(end)]
    ticks = _linear_ticks(min(ends), max(ends))
    x = _linear(ticks[0], ticks[-1], left, WIDTH - RIGHT)
    parts = [_x_axis(x, ticks, height - BOTTOM, axis, (left + WIDTH - RIGHT) / 2)]
    for index, row in enumerate(rows):
        y = TOP + step * (index + 0.5)
        parts.append(_text(left - 8, y + 4, _cut(row.label, 24), "end"))
        told = f"{row.label}: {row.value:.4f}"
        if not math.isnan(row.low):
            told += f" [{row.low:.4f}, {row.high:.4f}]"
            parts.append(
                f'<line class="whisker" x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
        parts.append(_dot(x(row.value), y, told))
    return Plot(title, height, "".join(parts))


def scatter_plot(points: Sequence[Point], title: str, x_axis: str, y_axis: str) -> Plot | None:
    """Numbered points over a logarithmic `x_axis`; points at 0 or without y are left out. None where none is left."""
    points = [point for point in points if point.x > 0 and not math.isnan(point.y)]
    if not points:
        return None
    height = 320
    x_ticks = _log_ticks(min(point.x for point in points), max(point.x for point in points))
    y_ticks = _linear_ticks(min(point.y for point in points), max(point.y for point in points))
    across = _linear(math.log(x_ticks[0]), math.log(x_ticks[-1]), LEFT, WIDTH - RIGHT - 14)
    down = _linear(y_ticks[0], y_ticks[-1], height - BOTTOM, TOP)
    parts = [
        _x_axis(lambda value: across(math.log(value)), x_ticks, height - BOTTOM, x_axis, (LEFT + WIDTH) / 2),
        _y_axis(down, y_ticks, y_axis),
    ]
    taken: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda point: point.number):
        cx, cy = across(math.log(point.x)), down(point.y)
        lx, ly = _free_place(cx, cy, taken)
        taken.append((lx, ly))
        parts.append(_dot(cx, cy, f"{point.number} {point.label}: {point.y:.4f} at {_tick(point.x)}"))
        parts.append(_text(lx, ly, str(point.number), "middle", "number"))
    return Plot(title, height, "".join(parts))


def curves_plot(curves: Sequence[Curve], title: str, y_axis: str) -> Plot | None:
    """Lines over epochs, the strong ones last and named. None without a line."""
    curves = [curve for curve in curves if curve.values]
    if not curves:
        return None
    strong = [curve for curve in curves if curve.strong][: len(COLOURS)]
    height = 320 + 20 * len(strong)
    bottom = 320 - BOTTOM
    values = [value for curve in curves for value in curve.values]
    longest = max(len(curve.values) for curve in curves)
    y_ticks = _linear_ticks(min(values), max(values))
    epochs = range(1, max(longest, 2) + 1)
    x_ticks = [float(epoch) for epoch in epochs[:: max(1, math.ceil(longest / 10))]]
    x = _linear(1, epochs[-1], LEFT, WIDTH - RIGHT)
    y = _linear(y_ticks[0], y_ticks[-1], bottom, TOP)
    parts = [_x_axis(x, x_ticks, bottom, "epoch", (LEFT + WIDTH) / 2), _y_axis(y, y_ticks, y_axis)]
    for curve in sorted(curves, key=lambda curve: curve in strong):
        style = f' style="stroke:{COLOURS[strong.index(curve)]}"' if curve in strong else ""
        kind = "curve strong" if curve in strong else "curve"
        path = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in zip(epochs, curve.values, strict=False))
        told = f"<title>{escape(curve.label)}</title>"
        parts.append(f'<polyline class="{kind}"{style} points="{path}">{told}</polyline>')
        if len(curve.values) == 1:
            fill = style.replace("stroke", "fill")
            place = f'cx="{x(1):.1f}" cy="{y(curve.values[0]):.1f}"'
            parts.append(f'<circle class="{kind} alone"{fill} {place} r="4">{told}</circle>')
    return Plot(title, height, "".join([*parts, *_legend([curve.label for curve in strong])]))


def reliability_plot(curves: Sequence[Reliability]) -> Plot | None:
    """Observed against predicted click rates beside the diagonal, on logarithmic axes. None without a line.

    Bins without a click have no place on a logarithmic axis and are left out.
    """
    lines = []
    for curve in curves[: len(COLOURS)]:
        points = [pair for pair in zip(curve.predicted, curve.observed, strict=True) if min(pair) > 0]
        lines += [(curve.label, points)] if points else []
    if not lines:
        return None
    values = [value for _, points in lines for pair in points for value in pair]
    ticks = _log_ticks(min(values), max(values))
    bottom = 320 - BOTTOM
    across = _linear(math.log(ticks[0]), math.log(ticks[-1]), LEFT, WIDTH - RIGHT - 14)
    up = _linear(math.log(ticks[0]), math.log(ticks[-1]), bottom, TOP)

    def x(value: float) -> float:
        return across(math.log(value))

    def y(value: float) -> float:
        return up(math.log(value))

    ends = f'x1="{x(ticks[0]):.1f}" y1="{y(ticks[0]):.1f}" x2="{x(ticks[-1]):.1f}" y2="{y(ticks[-1]):.1f}"'
    parts = [
        _x_axis(x, ticks, bottom, "predicted click rate", (LEFT + WIDTH) / 2),
        _y_axis(y, ticks, "observed click rate"),
        f'<line class="axis" {ends}/>',
    ]
    for colour, (label, points) in zip(COLOURS, lines, strict=False):
        path = " ".join(f"{x(predicted):.1f},{y(observed):.1f}" for predicted, observed in points)
        told = f"<title>{escape(label)}</title>"
        parts.append(f'<polyline class="curve strong" style="stroke:{colour}" points="{path}">{told}</polyline>')
    parts += _legend([label for label, _ in lines])
    return Plot("Reliability", 320 + 20 * len(lines), "".join(parts))


# --------------------------------------------------------------------------------------------------- parts
Scale = Callable[[float], float]


def _linear(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _linear_ticks(low: float, high: float) -> list[float]:
    """About five round numbers that enclose low and high."""
    room = max(high - low, 1e-4)
    step = 10 ** math.floor(math.log10(room / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if room / 4 <= factor * step * 1.0000001)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Numbers 1, 2 or 5 times a power of ten that enclose low and high, thinned to at most seven."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    first = max(index for index, tick in enumerate(every) if tick <= low * 1.0000001)
    last = min((index for index, tick in enumerate(every) if tick >= high * 0.9999999), default=len(every) - 1)
    ticks = every[first : max(last, first + 1) + 1]
    if len(ticks) <= 7:
        return ticks
    thin = [tick for tick in ticks if math.isclose(math.log10(tick), round(math.log10(tick)), abs_tol=1e-9)]
    apart = [tick for tick in thin if tick > 4 * ticks[0] and tick < ticks[-1] / 4]  # of the labels at both ends
    return [ticks[0], *apart[:: math.ceil(len(apart) / 5) or 1], ticks[-1]]


def _tick(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.4g}"


def _x_axis(x: Scale, ticks: Sequence[float], y: float, label: str, middle: float) -> str:
    parts = [f'<line class="axis" x1="{x(ticks[0]):.1f}" x2="{x(ticks[-1]):.1f}" y1="{y}" y2="{y}"/>']
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{y}"/>')
        parts.append(_text(x(tick), y + 17, _tick(tick), "middle"))
    return "".join(parts) + _text(middle, y + 36, label, "middle", "label")


def _y_axis(y: Scale, ticks: Sequence[float], label: str) -> str:
    parts = []
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(_text(LEFT - 6, y(tick) + 4, _tick(tick), "end"))
    middle = (y(ticks[0]) + y(ticks[-1])) / 2
    turned = f'<text class="label" text-anchor="middle" transform="translate(13 {middle:.1f}) rotate(-90)">'
    return "".join(parts) + f"{turned}{escape(label)}</text>"


def _legend(labels: Sequence[str]) -> list[str]:
    """Names below a plot of 320 units, a line each, in the order of `COLOURS`."""
    parts = []
    for index, label in enumerate(labels):
        line = 320 + 20 * index + 4
        place = f'x1="{LEFT}" x2="{LEFT + 24}" y1="{line}" y2="{line}"'
        parts.append(f'<line class="curve strong" style="stroke:{COLOURS[index]}" {place}/>')
        parts.append(_text(LEFT + 32, line + 4, _cut(label, 44), "start"))
    return parts


def _free_place(x: float, y: float, taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Where a point's number goes: beside it, and off the numbers already there where possible."""
    near = [(11, -6), (-11, -6), (11, 15), (-11, 15)]
    places = [(x + a, y + b) for a, b in [*near, (0, -20), (0, 28), (28, -6), (-28, -6), (28, 15), (-28, 15)]]
    free = (place for place in places if all(abs(place[0] - a) > 15 or abs(place[1] - b) > 12 for a, b in taken))
    return next(free, places[0])


def _dot(x: float, y: float, told: str) -> str:
    return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4.5"><title>{escape(told)}</title></circle>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
