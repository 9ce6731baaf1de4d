"""`recbole-marn run`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from recbole_marn.files import without_nan
from recbole_marn.host.processes import is_first
from recbole_marn.settings.arguments import add_run_arguments, config_files
from recbole_marn.training.run import run

__all__ = ["add_arguments", "main", "metric_table"]

add_arguments = add_run_arguments


def main(args: argparse.Namespace) -> int:
    """Train, choose on validation, test once; print a table and one line of JSON."""
    result = run(args.model, args.dataset, config_files(args.config_files), args.settings)
    if not is_first():
        return 0
    kept = ("model", "dataset", "seed", "split_sha256", "valid", "test")
    kept += tuple(name for name in result if name.startswith("test_") and name != "test_result")
    kept += ("calibration",) if result["calibration"]["steps"] else ()
    kept += ("parameters", "epochs", "seconds_per_epoch", "record", "checkpoint")
    print(metric_table(result))
    for line in calibration_lines(result):
        print(line)
    print(json.dumps(without_nan({name: result[name] for name in kept})))
    return 0


# Metrics whose names are long, and the request counts, are told in lines of their own.
COUNTS = ("requests", "requests without a click", "requests without a non-click")


def metric_table(result: dict[str, Any]) -> str:
    """Metrics by part, one line a part; those of a log's requests in a second table."""
    parts = [name for name in result if name == "valid" or (name.startswith("test") and name != "test_result")]
    names = [name for name in result[parts[0]] if name not in COUNTS]
    cut = names.index("request AUC") if "request AUC" in names else len(names)
    lines = [f"{result['model']} on {result['dataset']}, seed {result['seed']}"]
    for some in filter(None, (names[:cut], names[cut:])):
        lines.append("  ".join([f"{'part':<16}", *(f"{name:>8}" for name in some)]))
        for part in parts:
            values = (f"{result[part][name]:>{max(8, len(name))}.4f}" for name in some)
            lines.append("  ".join([f"{part:<16}", *values]))
    for part in parts:
        if COUNTS[0] in result[part]:
            ranked, no_click, no_other = (result[part][name] for name in COUNTS)
            lines.append(
                f"{part}: {ranked} requests are ranked; left out are {no_click} without a click and {no_other} "
                "without a non-click"
            )
    return "\n".join(lines)


def calibration_lines(result: dict[str, Any]) -> list[str]:
    """How probabilities were corrected, and metrics before and after the step that was fitted."""
    told, lines = result["calibration"], []
    if told["kept_negatives"] < 1:
        lines.append(f"probabilities are corrected for {told['kept_negatives']:g} of the non-clicks kept in training")
    for part, before in told["before"].items():
        pairs = (f"{name} {value:.4f} -> {result[part][name]:.4f}" for name, value in before.items())
        lines.append(f"{told['fitted']}, {part}: " + ", ".join(pairs if "NE" in result[part] else ()))
    return [*lines, told["note"]] if "note" in told else lines
