"""Table and map of the runs of `benchmarks.redundancy`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from recbole_marn.errors import InputError
from recbole_marn.evaluation.significance import holm, t_test_p_value
from recbole_marn.plots.heat_map import heat_map

__all__ = ["read_lines", "write_map"]

# What is asked, and the two forms whose difference answers it.
QUESTIONS = {
    "the game": ("DDMA", "branch"),
    "a game ten times as strong": ("DDMA x10", "branch"),
    "degrees, beside one discriminator": ("DDMA", "ADV"),
    "whitening, beside the branch without game": ("whitened", "branch"),
    "degrees, without a game": ("branch", "branch alone"),
    "the branch without game or degrees": ("branch alone", "MAF"),
    "attention over modalities": ("MAF", "CONC"),
}
LEVEL = 0.05
PLANTED = """\
Users like items by a common part and by a part of each of two modalities; `share in common` is the weight of the
common one, and how much of each modality shows it. `noise` is the deviation of each modality's noise (the signal has
1), `cold` the share of the catalogue that no training click knows. Each form is one model with another way from
modalities to the item vector: CONC adds projections, MAF weighs them, branch alone adds the invariant features without
any discriminator (`adversary: branch`), branch those of two discriminators whose game has no weight (`lambda0: 0`), so
that only the degrees are left of them; ADV has one discriminator, DDMA two and the degrees, whitened is DDMA with
whitened invariant features. Ids are a third modality. A seed draws data and training anew, the same data for all forms.
"""


def read_lines(files: Iterable[Path]) -> list[dict[str, Any]]:
    """Runs of files of JSON lines; a file that is not there has none."""
    texts = [file.read_text(encoding="utf-8") for file in files if file.exists()]
    return [json.loads(line) for text in texts for line in text.splitlines()]


@dataclass(frozen=True)
class Grid:
    """Test UAUC of one model: points, forms, seeds.

    Attributes:
        uauc: (P, F, S), without a gap.
    """

    points: tuple[tuple[float, tuple[float, ...], float], ...]
    forms: tuple[str, ...]
    seeds: tuple[int, ...]
    uauc: np.ndarray

    def difference(self, form: str, other: str) -> np.ndarray:
        """(P, S) by which a form is ahead of another."""
        return self.uauc[:, self.forms.index(form)] - self.uauc[:, self.forms.index(other)]


def grid_of(lines: Sequence[dict[str, Any]]) -> Grid:
    """The grid of one model's runs.

    Raises:
        InputError: no run, or a point without every form and seed: means over other seeds could not be compared.
    """
    found = {}
    for line in lines:
        point = line["point"]
        found[(point["share"], tuple(point["noise"]), point["cold"]), line["form"], line["seed"]] = line["test"]["all"]
    points, seeds = (tuple(sorted({key[at] for key in found})) for at in (0, 2))
    forms = tuple(dict.fromkeys(key[1] for key in found))
    missing = [(p, f, s) for p in points for f in forms for s in seeds if (p, f, s) not in found]
    if missing or not found:
        told = f"{len(missing)} missing, the first {missing[0]}" if missing else "no run"
        raise InputError("runs of every form with every seed at every point", told, "Give the `run` command again.")
    values = np.array([[[found[p, f, s] for s in seeds] for f in forms] for p in points])
    return Grid(points, forms, seeds, values)


def write_map(lines: Sequence[dict[str, Any]], out: Path) -> None:
    """Write `redundancy.md`, and of each model `redundancy-MODEL.svg`, into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    parts = []
    for model in sorted({line["model"] for line in lines}, reverse=True):
        grid = grid_of([line for line in lines if line["model"] == model])
        picture = out / f"redundancy-{model}.svg"
        picture.write_text(_picture(grid, model), encoding="utf-8")
        parts += [f"## {model}\n", *_questions(grid), f"\n![Where each form leads]({picture.name})\n", *_points(grid)]
    seconds = sum(line["cpu_seconds"] for line in lines)
    head = f"{len(lines)} runs, {seconds / 3600:.1f} CPU hours. Written by `python -m benchmarks.redundancy map`.\n"
    text = "\n".join(["# Planted redundancy\n", PLANTED, head, *parts]) + "\n"
    (out / "redundancy.md").write_text(text, encoding="utf-8")


def _questions(grid: Grid) -> list[str]:
    """What each part brings over the whole grid; a seed, whose data all points share, is the independent unit."""
    told = [
        "| what is added | difference of UAUC, mean of all points | 95 % interval | p | points ahead | behind |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for question, (form, other) in QUESTIONS.items():
        if form not in grid.forms or other not in grid.forms:
            continue
        difference = grid.difference(form, other)
        by_seed = difference.mean(0)
        half = stats.t.ppf(0.975, len(by_seed) - 1) * by_seed.std(ddof=1) / math.sqrt(len(by_seed))
        p = holm([t_test_p_value(values)[1] for values in difference])
        ahead, behind = (int(((p < LEVEL) & (sign * difference.mean(1) > 0)).sum()) for sign in (1, -1))
        mean = by_seed.mean()
        told.append(
            f"| {question}: {form} − {other} | {mean:+.4f} | {mean - half:+.4f} to {mean + half:+.4f} "
            f"| {_p(t_test_p_value(by_seed)[1])} | {ahead} of {len(p)} | {behind} |"
        )
    note = "Ahead, behind: p < .05 of Student's test over the seeds at one point, after Holm over the points."
    return [*told, f"\n{note}"]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _points(grid: Grid) -> list[str]:
    """UAUC of every form at every point; the best of a row in bold."""
    told = [
        "| share in common | noise | cold | " + " | ".join(grid.forms) + " |",
        "|" + "---|" * (3 + len(grid.forms)),
    ]
    for (share, noise, cold), values in zip(grid.points, grid.uauc, strict=True):
        mean, deviation = values.mean(1), values.std(1, ddof=1)
        cells = [f"{m:.4f} ± {d:.4f}" for m, d in zip(mean, deviation, strict=True)]
        cells[int(mean.argmax())] = f"**{cells[int(mean.argmax())]}**"
        noises = ", ".join(f"{value:g}" for value in noise)
        told.append(f"| {share:g} | {noises} | {cold:g} | " + " | ".join(cells) + " |")
    seeds = f"Test UAUC, mean ± deviation over {len(grid.seeds)} seeds."
    return [*told, f"\n{seeds}\n"]


def _picture(grid: Grid, model: str) -> str:
    """By how much each form is ahead of the mean of all at a point."""
    mean = grid.uauc.mean(2)
    rows = [f"{share:g}  {'/'.join(f'{n:g}' for n in noise)}  {cold:g}" for share, noise, cold in grid.points]
    columns = ["\n" * (at % 2) + form for at, form in enumerate(grid.forms)]  # side by side they would touch
    picture = heat_map(
        1000 * (mean - mean.mean(1, keepdims=True)), rows, columns, digits=0,
        title=f"{model}, by share in common, noise, cold", legend="thousandths of UAUC above the row's mean",
    )  # fmt: skip
    return picture.svg
