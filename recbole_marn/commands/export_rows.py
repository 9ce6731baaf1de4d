"""`recbole-marn export-rows`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from recbole_marn.data.export import SUMMARY, export_benchmark
from recbole_marn.files import check_plain_name
from recbole_marn.files.folders import refuse_existing
from recbole_marn.host.config import build_config
from recbole_marn.settings.arguments import add_run_arguments, config_files
from recbole_marn.training.prepared import prepare_run

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, and where its rows go."""
    add_run_arguments(parser)
    parser.set_defaults(model="LR")
    parser.add_argument("--out", default="dataset", help="RecBole's data_path to write to (default: %(default)s)")
    parser.add_argument("--name", help="name of the exported data set (default: DATASET-rows)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT/NAME if it is there")


def main(args: argparse.Namespace) -> int:
    """Write the rows as files for plain RecBole; print what was written as one line of JSON."""
    name = args.name or f"{args.dataset}-rows"
    check_plain_name("name", name, "--out names the folder")
    refuse_existing(Path(args.out) / name, args.overwrite, SUMMARY.format(name))  # before the rows are built
    config = build_config(args.model, args.dataset, config_files(args.config_files), args.settings)
    run = prepare_run(config, quiet=True)
    parts = [loader.part for loader in (run.train, run.valid, run.test)]
    print(json.dumps(export_benchmark(parts, args.out, name=name, overwrite=args.overwrite)))
    return 0
