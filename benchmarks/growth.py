"""How the step of MARN grows with batch, history, catalogue and width: tables, exponents and a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .bench import shipped_adagrad
from .picture import log_log_picture
from .synthetic import CLOTHING, SyntheticData, build_model
from .timing import paired

__all__ = ["GROWTH", "Point", "growth_tables", "measure"]

GROWTH = {
    "batch": (32, 128, 512, 2_048, 4_096),
    "history": (10, 25, 50, 100, 200),
    "catalogue": (10_000, 30_000, 100_000, 300_000, 1_000_000),
    "width": (32, 64, 128, 256),
}
ROWS = 512
# Items beyond this many share image vectors: a million of 4,096 numbers would be 8 GB.
IMAGE_ROWS = 10_000


@dataclass(frozen=True)
class Point:
    """CPU milliseconds of one step's parts at one size: forward and backward, update."""

    size: int
    model: float
    update: float
    tokens: int
    items: int


def growth_tables(*, quick: bool = False, out: Path | None = None) -> dict[str, Any]:
    """Measure and print each table; with `out` draw `growth.svg` there. Returns milliseconds by what grows."""
    lines, result = [], {}
    for what, sizes in GROWTH.items():
        points = list(measure(what, sizes[: 2 if quick else None]))
        print(_table(what, points), flush=True)
        result[what] = [{"size": p.size, "model_ms": p.model, "update_ms": p.update} for p in points]
        lines.append((what, [(p.size, p.model + p.update) for p in points]))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        picture = log_log_picture(lines, title="A training step of MARN", y_axis="CPU ms per step")
        (out / "growth.svg").write_text(picture, encoding="utf-8")
    return result


def measure(what: str, sizes: Sequence[int], *, rounds: int = 5) -> Iterator[Point]:
    """A point a size; all else is as in Clothing, with batches of 512 rows.

    Histories grow in earnest: with L every history has exactly L behaviours.
    """
    data, shape = None, replace(CLOTHING, image_rows=IMAGE_ROWS)
    for size in sizes:
        if what == "catalogue":
            data = SyntheticData(replace(shape, items=size))
        elif what == "history":
            events = {"fewest_events": size + 4, "most_events": size + 5}
            data = SyntheticData(replace(shape, users=1_000, history=size, **events))
        elif data is None:
            data = SyntheticData(shape)
        rows = _full_rows(data, size) if what == "history" else data.random_rows(size if what == "batch" else ROWS)
        yield _point(size, data, rows, size if what == "width" else 64, rounds)


def _full_rows(data: SyntheticData, length: int) -> np.ndarray:
    """Rows whose history is as long as histories get."""
    full = np.flatnonzero(data.training.rows.history_length == length)
    return data.training.rows_of_groups(data.rng.choice(full, size=ROWS // 2, replace=False))


def _point(size: int, data: SyntheticData, rows: np.ndarray, width: int, rounds: int) -> Point:
    torch.manual_seed(0)
    model = build_model("MARN", data, width=width)
    model.prepare_training(steps_per_epoch=2, epochs=1)
    model.step = 1
    batch, label = data.batch(rows)
    optimizer = shipped_adagrad(model)

    def forward_and_backward() -> None:
        optimizer.zero_grad()
        sum(model.losses(batch, label).values()).backward()

    times = paired({"model": forward_and_backward, "update": optimizer.step}, rounds=rounds, warm_up=2)
    return Point(
        size, 1e3 * times.median("model"), 1e3 * times.median("update"), len(batch.token), len(batch.item)
    )


def _table(what: str, points: list[Point]) -> str:
    lines = [f"{what:>10}{'ms a step':>12}{'of it update':>14}{'tokens':>9}{'items':>8}{'exponent':>10}"]
    before: Point | None = None
    for p in points:
        total, exponent = p.model + p.update, ""
        if before is not None:
            exponent = f"{math.log(total / (before.model + before.update)) / math.log(p.size / before.size):.2f}"
        lines.append(f"{p.size:>10}{total:>12.1f}{p.update:>14.2f}{p.tokens:>9}{p.items:>8}{exponent:>10}")
        before = p
    return "\n".join(lines) + "\n"
