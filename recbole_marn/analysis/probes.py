"""The reports that `probe_every` left in a run's history, as curves over the steps of training."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["panels_of"]

# Heading and y axis of a plot -> its lines: label -> keys of a report; the mean where they lead to one a modality.
SUMMARY = {
    ("Naming the modality from c", "accuracy"): {
        "D0 on c": ["D0 accuracy"],
        "D1 on c": ["D1 accuracy"],
        "linear probe on c": ["probe c", "linear"],
        "MLP probe on c": ["probe c", "mlp"],
        "chance": ["chance"],
    },
    ("Naming the modality from s", "accuracy"): {
        "linear probe on s": ["probe s", "linear"],
        "MLP probe on s": ["probe s", "mlp"],
        "chance": ["chance"],
    },
    ("Validation, with and without c", "UAUC"): {"as trained": ["UAUC"], "c deleted": ["UAUC without c"]},
}
PER_MODALITY = {"degree": "Mean degree w", "|c|": "Mean |c|", "attention norm": "Norm of attention"}


def panels_of(reports: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, dict[str, list[float]]]]:
    """Heading, y axis, and the lines of each plot: label -> a value for each report.

    A line that some report has no value for is left out: with a single discriminator there is no D0.
    """
    plots = {key: dict(of) for key, of in SUMMARY.items()}
    for key, heading in PER_MODALITY.items():
        plots[heading, key] = {name: [key, name] for name in reports[0][key]}
    panels = []
    for (heading, axis), of in plots.items():
        values = {label: [_value(report, keys) for report in reports] for label, keys in of.items()}
        panels.append((heading, axis, {label: found for label, found in values.items() if None not in found}))
    return panels


def _value(report: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    value: Any = report
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return statistics.fmean(value.values()) if isinstance(value, Mapping) else value
