"""The reports that `probe_every` left in a run's history, as a table and a picture over the steps of training."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError, first_line
from recbole_marn.plots.curves import curves
from recbole_marn.training import checkpoint

__all__ = ["curves_picture", "curves_table", "read_probes"]

# Heading of a plot -> its lines: label -> keys of a report, the mean over modalities where a mapping is left.
SUMMARY = {
    "Naming the modality from c": {
        "D0 on c": ["D0 accuracy"],
        "D1 on c": ["D1 accuracy"],
        "linear probe on c": ["probe c", "linear"],
        "MLP probe on c": ["probe c", "mlp"],
        "chance": ["chance"],
    },
    "Naming the modality from s": {
        "linear probe on s": ["probe s", "linear"],
        "MLP probe on s": ["probe s", "mlp"],
        "chance": ["chance"],
    },
    "Validation UAUC": {"as trained": ["UAUC"], "c deleted": ["UAUC without c"]},
}
PER_MODALITY = {"degree": "Mean degree w", "|c|": "Mean |c|", "attention norm": "Norm of attention"}


def read_probes(path: str | Path) -> list[dict[str, Any]]:
    """The reports in the history of a record (`.json`) or checkpoint (`.pth`), in the order of training.

    Raises:
        InputError: no such file, or a run without `probe_every`.
    """
    if str(path).endswith(".json"):
        try:
            history = json.loads(Path(path).read_text(encoding="utf-8"))["history"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                "the record or checkpoint of a run", f"{path}: {first_line(error)}", "Give <run>.json or <run>.pth."
            ) from None
    else:
        history = checkpoint.load(path)["history"]
    probes = [probe for epoch in history for probe in epoch.get("probes", [])]
    if not probes:
        raise InputError("a run with reports on its adversary", f"{path} without", "Train with --probe_every=STEPS.")
    return probes


def _value(report: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    value: Any = report
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        return statistics.fmean(value.values())
    return value


def curves_table(probes: Sequence[Mapping[str, Any]]) -> str:
    """One line a report: its step, the summary, and the degrees by modality."""
    lines = {label: keys for plot in SUMMARY.values() for label, keys in plot.items()}
    lines |= {f"w {name}": ["degree", name] for name in probes[0]["degree"]}
    width = max(map(len, lines))
    rows = [f"{'step':<{width}}" + "".join(f"{probe['step']:>8}" for probe in probes)]
    for label, keys in lines.items():
        values = [_value(probe, keys) for probe in probes]
        rows.append(f"{label:<{width}}" + "".join(f"{'-' if v is None else format(v, '.3f'):>8}" for v in values))
    return "\n".join(rows)


def curves_picture(probes: Sequence[Mapping[str, Any]]) -> str:
    """The text of an `.svg` file with all curves."""
    steps = [probe["step"] for probe in probes]
    plots = {heading: dict(lines) for heading, lines in SUMMARY.items()}
    for key, heading in PER_MODALITY.items():
        plots[heading] = {name: [key, name] for name in probes[0][key]}
    panels = {}
    for heading, lines in plots.items():
        values = {label: [_value(probe, keys) for probe in probes] for label, keys in lines.items()}
        panels[heading] = {label: found for label, found in values.items() if None not in found}
    return curves(panels, steps, "training step")
