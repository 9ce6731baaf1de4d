"""The histograms of the report as one SVG file, drawn without a plotting library so that every install has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["histogram_counts", "histograms_svg"]

_WIDTH, _HEIGHT, _MARGIN = 420, 240, 44


def histogram_counts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts in bins whose edges double: 1, 2-3, 4-7, ...

    Args:
        values: (n,) whole numbers; zeros are left out.

    Returns:
        Lower edges (bins,) and counts (bins,).
    """
    values = values[values > 0]
    if not len(values):
        return np.array([1]), np.array([0])
    exponents = np.floor(np.log2(values)).astype(int)
    return 2 ** np.arange(exponents.max() + 1), np.bincount(exponents)


def histograms_svg(panels: Sequence[tuple[str, str, np.ndarray]]) -> str:
    """A row of histograms, one for each `(title, unit of the bars, values)`."""
    width = _WIDTH * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_HEIGHT}" font-family="sans-serif" '
        'font-size="11">',
        f'<rect width="{width}" height="{_HEIGHT}" fill="white"/>',
    ]
    for number, (title, unit, values) in enumerate(panels):
        parts += _panel(number * _WIDTH, title, unit, values)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(left: int, title: str, unit: str, values: np.ndarray) -> list[str]:
    edges, counts = histogram_counts(values)
    tallest = max(int(counts.max()), 1)
    floor, room = _HEIGHT - _MARGIN, _HEIGHT - 2 * _MARGIN
    step = (_WIDTH - 2 * _MARGIN) / len(edges)
    parts = [f'<text x="{left + _WIDTH / 2:.0f}" y="20" text-anchor="middle" font-size="13">{title}</text>']
    for i, (edge, count) in enumerate(zip(edges.tolist(), counts.tolist(), strict=True)):
        x, height = left + _MARGIN + i * step, room * count / tallest
        label = str(edge) if edge == 1 else f"{edge}-"
        parts += [
            f'<rect x="{x + 1:.1f}" y="{floor - height:.1f}" width="{step - 2:.1f}" height="{height:.1f}" '
            f'fill="#4477aa"><title>{edge} to {2 * edge - 1}: {count:,} {unit}</title></rect>',
            f'<text x="{x + step / 2:.1f}" y="{floor + 14}" text-anchor="middle" font-size="9">{label}</text>',
        ]
    parts += [
        f'<text x="{left + _MARGIN - 4}" y="{floor - room + 4}" text-anchor="end">{tallest:,}</text>',
        f'<text x="{left + _MARGIN - 4}" y="{floor}" text-anchor="end">0</text>',
        f'<text x="{left + _WIDTH / 2:.0f}" y="{_HEIGHT - 8}" text-anchor="middle">events ({unit} per bar)</text>',
    ]
    return parts
