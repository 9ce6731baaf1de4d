"""A log-log line plot as SVG text: one line for everything that grows, each from its first point."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["log_log_picture"]

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 400, 60, 50, 40, 110
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b08900")

Line = tuple[str, Sequence[tuple[float, float]]]


def log_log_picture(lines: Sequence[Line], *, title: str, y_axis: str) -> str:
    """Lines of (size, value); the x axis is the size as a multiple of each line's first, the dashes are proportional.

    Raises:
        ValueError: a size or value that is not positive.
    """
    scaled = [(name, [(x / points[0][0], y) for x, y in points]) for name, points in lines]
    xs = [x for _, points in scaled for x, _ in points]
    ys = [y for _, points in scaled for _, y in points]
    if min(xs + ys) <= 0:
        raise ValueError("Expected positive sizes and values. Got one that is not. A logarithm has no place for it.")
    x_high = max(1, math.ceil(math.log10(max(xs))))
    y_low, y_high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    y_high = max(y_high, y_low + 1)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + math.log10(x) / x_high * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (math.log10(y) - y_low) / (y_high - y_low) * (HEIGHT - BOTTOM - TOP),
        )

    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{title}: {y_axis}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 12}">size, as a multiple of the smallest measured</text>',
    ]
    for power in range(x_high + 1):
        x, bottom = place(10**power, 10**y_low)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{10**power}</text>')
    for power in range(y_low, y_high + 1):
        left, y = place(1, 10.0**power)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for (name, points), colour in zip(scaled, COLOURS, strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        (x0, y0), (x1, _) = points[0], points[-1]
        # Proportional to size, as far as the picture reaches.
        reach = min(x1, 10.0**y_high / y0)
        straight = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(x0, y0), place(reach, y0 * reach)))
        dashes = f'fill="none" stroke="{colour}" stroke-dasharray="3 4" opacity="0.5"'
        parts.append(f'<polyline points="{straight}" {dashes}/>')
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point in points:
            x, y = place(*point)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        x, y = place(*points[-1])
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
