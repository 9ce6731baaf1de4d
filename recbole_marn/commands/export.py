"""`recbole-marn export`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from recbole_marn.commands.predict import add_scorer_arguments, loaded_scorer
from recbole_marn.files import without_nan
from recbole_marn.serving.export import export
from recbole_marn.training import checkpoint
from recbole_marn.training.prepared import Prepared, run_of

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A checkpoint, and where the export goes."""
    add_scorer_arguments(parser)
    parser.add_argument("--out", required=True, type=Path, help="folder to write, whole or not at all")
    parser.add_argument("--overwrite", action="store_true", help="replace the export that is there")
    parser.add_argument(
        "--no-why", action="store_true",
        help="do not keep what a service tells of each modality's part in a score (half of items.npy a modality)",
    )  # fmt: skip
    parser.add_argument(
        "--no-test", action="store_true",
        help="do not score the test part by the export (it is left out, too, where the data are not there)",
    )  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Write the export; print where it is and how it compares as one line of JSON."""
    scorer = loaded_scorer(args)
    manifest = export(
        scorer, args.out, checkpoint=args.checkpoint, run=None if args.no_test else _run(args.checkpoint),
        overwrite=args.overwrite, why=not args.no_why,
    )  # fmt: skip
    told = {name: manifest[name] for name in ("model", "items", "width", "parity")}
    size = sum(file["bytes"] for file in manifest["files"].values())
    print(json.dumps(without_nan({"out": str(args.out), **told, "bytes": size})))
    return 0


def _run(path: str) -> Prepared | None:
    """The run with its data, where they are."""
    content = checkpoint.load(path)
    config = content["config"]
    there = (Path(config["data_path"]) / f"{config['dataset']}.inter").is_file()
    return run_of(content, path) if there else None
