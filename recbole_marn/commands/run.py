"""`recbole-marn run`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from recbole_marn.settings.arguments import add_run_arguments, config_files
from recbole_marn.training.run import run

__all__ = ["add_arguments", "main", "metric_table"]

add_arguments = add_run_arguments


def main(args: argparse.Namespace) -> int:
    """Train, choose on validation, test once; print a table and one line of JSON."""
    result = run(args.model, args.dataset, config_files(args.config_files), args.settings)
    kept = ("model", "dataset", "seed", "split_sha256", "valid", "test")
    kept += tuple(name for name in result if name.startswith("test_") and name != "test_result")
    kept += ("parameters", "epochs", "seconds_per_epoch", "record", "checkpoint")
    print(metric_table(result))
    print(json.dumps({name: result[name] for name in kept}))
    return 0


def metric_table(result: dict[str, Any]) -> str:
    """Metrics by part, one line a part."""
    parts = [name for name in result if name == "valid" or (name.startswith("test") and name != "test_result")]
    metrics = list(result[parts[0]])
    lines = [f"{result['model']} on {result['dataset']}, seed {result['seed']}"]
    lines.append("  ".join([f"{'part':<16}", *(f"{name:>8}" for name in metrics)]))
    for part in parts:
        lines.append("  ".join([f"{part:<16}", *(f"{result[part][name]:>8.4f}" for name in metrics)]))
    return "\n".join(lines)
