"""Draws docs/marn.svg, the figure of MARN: python tools/draw_model.py"""

from __future__ import annotations

from html import escape
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "docs" / "marn.svg"
WIDTH, HEIGHT = 760, 582
STYLE = """
svg{--ink:#1b2530;--soft:#55636f;--line:#7b8a97;--back:#ffffff;--plain:#eef2f6;--own:#dbeafe;--shared:#fde7c8;--game:#f7d9dd}
@media(prefers-color-scheme:dark){svg{--ink:#e9eef3;--soft:#a9b6c2;--line:#7f90a0;--back:#161c23;--plain:#26303a;
--own:#1d3a5f;--shared:#57401a;--game:#5a2730}}
text{font-family:system-ui,sans-serif;fill:var(--ink);font-size:15px}.head{font-size:17px;font-weight:700}.soft{fill:var(--soft);font-size:14px}
.mid{text-anchor:middle}.formula{font-size:15px;font-style:italic}rect{stroke:var(--line);stroke-width:1.2}
.plain{fill:var(--plain)}.own{fill:var(--own)}.shared{fill:var(--shared)}.game{fill:var(--game)}
path{stroke:var(--line);stroke-width:1.6;fill:none}.dash{stroke-dasharray:5 4}.tip{fill:var(--line);stroke:none}
"""


def box(x: int, y: int, width: int, height: int, kind: str, *lines: str) -> str:
    """A box with centred lines, the first one as a name, the others as formulas."""
    first = y + height / 2 + 5 - 10 * (len(lines) - 1)
    texts = [
        f'<text class="mid{" formula" if at else ""}" x="{x + width / 2}" y="{first + 20 * at}">{escape(line)}</text>'
        for at, line in enumerate(lines)
    ]
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="7"/>' + "".join(texts)


def arrow(*points: tuple[int, int], dashed: bool = False) -> str:
    """A line through points that ends in a tip, which looks along its last piece."""
    (x0, y0), (x1, y1) = points[-2:]
    along = (x1 > x0) - (x1 < x0), (y1 > y0) - (y1 < y0)
    across = along[1], along[0]
    base = x1 - 9 * along[0], y1 - 9 * along[1]
    corners = [(x1, y1)] + [(base[0] + side * 5 * across[0], base[1] + side * 5 * across[1]) for side in (1, -1)]
    line = "M" + " L".join(f"{x} {y}" for x, y in [*points[:-1], base])
    tip = " ".join(f"{x},{y}" for x, y in corners)
    kind = ' class="dash"' if dashed else ""
    return f'<path{kind} d="{line}"/><polygon class="tip" points="{tip}"/>'


def words(x: int, y: int, text: str, kind: str = "soft") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'


def item_side() -> list[str]:
    parts = [words(20, 32, "An item: what is special to each modality, and what they share", "head")]
    for at, name in enumerate(["IDs", "image", "title", "statistic"]):
        y = 50 + 42 * at
        parts += [box(20, y, 90, 34, "plain", name), arrow((110, y + 17), (140, y + 17))]
    parts += [
        box(140, 50, 66, 160, "plain", "Align", "eₘ"),
        arrow((206, 79), (240, 79)),
        arrow((206, 181), (240, 181)),
        box(240, 50, 150, 58, "own", "specific", "sₘ = relu(Sₘ eₘ)"),
        box(240, 152, 150, 58, "shared", "invariant, one I", "cₘ = relu(I eₘ)"),
        arrow((390, 79), (420, 79)),
        arrow((390, 181), (420, 181)),
        box(420, 50, 180, 58, "own", "attention fusion", "s = Σ aₘ ⊙ sₘ"),
        box(420, 152, 180, 58, "shared", "weighted maximum", "c = maxₘ wₘ cₘ"),
        arrow((600, 79), (676, 79), (676, 102)),
        arrow((600, 181), (676, 181), (676, 158)),
        box(622, 102, 108, 56, "plain", "item vector", "x = s + c"),
        # The game of the discriminators.
        box(240, 252, 150, 58, "game", "D0: which m?", "wₘ = 1 − D0ₘ(cₘ)"),
        box(420, 252, 180, 58, "game", "D1: which m?", "I learns to fool it"),
        arrow((290, 210), (290, 252), dashed=True),
        arrow((340, 210), (340, 236), (480, 236), (480, 252), dashed=True),
        arrow((390, 281), (405, 281), (405, 224), (440, 224), (440, 210), dashed=True),
        words(614, 276, "reversed gradient"),
        words(614, 295, "to I alone"),
        words(20, 276, "Two discriminators"),
        words(20, 295, "tell modalities apart."),
    ]
    return parts


def user_side() -> list[str]:
    parts = [
        words(20, 352, "A user: the history, read for one candidate", "head"),
        box(20, 368, 336, 28, "plain", "states h₁, h₂, h₃"),
    ]
    for at, label in enumerate(["x₁, p₁", "x₂, p₂", "x₃, p₃"]):
        x = 20 + 122 * at
        parts += [
            box(x, 484, 92, 34, "plain", label),
            arrow((x + 46, 484), (x + 46, 458)),
            box(x, 422, 92, 36, "own", "APGRU"),
            arrow((x + 46, 422), (x + 46, 396)),
        ]
        if at:
            parts.append(arrow((x - 30, 440), (x, 440)))
    parts += [
        words(20, 546, "xₜ: items in the order of the clicks"),
        words(20, 566, "pₜ: type of the behaviour and time since, for the update gate alone"),
        arrow((356, 382), (420, 382)),
        box(420, 368, 180, 58, "own", "candidate attention", "u = Σ αₜ hₜ"),
        arrow((600, 397), (676, 397), (676, 426)),
        box(420, 484, 180, 34, "plain", "candidate x"),
        arrow((510, 484), (510, 426)),
        arrow((600, 501), (676, 501), (676, 482)),
        box(622, 426, 108, 56, "plain", "prediction", "MLP[u; x]"),
    ]
    return parts


def drawing() -> str:
    body = "\n".join([*item_side(), *user_side()])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="MARN: item vectors from specific and invariant features, and a history read for a candidate">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" style="fill:var(--back);stroke:none"/>\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    OUT.write_text(drawing(), "utf-8")
