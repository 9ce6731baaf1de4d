"""`recbole-marn analyze`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from recbole_marn.analysis.adversary import adversary_report, check_adversary
from recbole_marn.analysis.attention import attention_report, describe
from recbole_marn.analysis.curves import curves_picture, curves_table, read_probes
from recbole_marn.files import write_text
from recbole_marn.training.prepared import load_run

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A checkpoint, and what to report on it."""
    parser.add_argument("checkpoint", help="<run>.pth of a MARN; for curves also <run>.json")
    parser.add_argument("--part", choices=["valid", "test"], default="valid", help="rows scored (default: %(default)s)")
    parser.add_argument(
        "--report",
        choices=["adversary", "curves", "attention"],
        default="adversary",
        help="curves: what --probe_every kept, as a table and <run>.curves.svg; "
        "attention: which modality decides in which category (default: %(default)s)",
    )
    parser.add_argument("--field", default="category", help="of --report attention, token field (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Print the report, as text and as one line of JSON."""
    return {"adversary": _adversary, "curves": _curves, "attention": _attention}[args.report](args)


def _curves(args: argparse.Namespace) -> int:
    probes, picture = read_probes(args.checkpoint), Path(args.checkpoint).with_suffix(".curves.svg")
    write_text(picture, curves_picture(probes))
    print(curves_table(probes))
    print(json.dumps({"picture": str(picture), "probes": probes}))
    return 0


def _adversary(args: argparse.Namespace) -> int:
    parts = load_run(args.checkpoint)
    check_adversary(parts.model)
    rows = next(iter(parts.train)).to(parts.config["device"])
    report = adversary_report(parts.model, parts.trainer, getattr(parts, args.part), rows.batch)
    for name, value in report.items():
        numbers = value.items() if isinstance(value, dict) else [("", value)]
        print(f"{name:<16}" + "  ".join(f"{label} {number:.4f}".strip() for label, number in numbers))
    print(json.dumps(report))
    return 0


def _attention(args: argparse.Namespace) -> int:
    parts = load_run(args.checkpoint)
    report = attention_report(parts.model, parts.trainer, getattr(parts, args.part), args.field)
    print(describe(report))
    print(json.dumps(report))
    return 0
