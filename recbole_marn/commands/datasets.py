"""`recbole-marn datasets`."""

from __future__ import annotations

import argparse
from pathlib import Path

from recbole_marn.registry import committed_data_folder, known_datasets

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to look."""
    parser.add_argument("--data_path", default="dataset", help="folder of atomic files (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """List the data sets and whether they are on this machine."""
    for name in known_datasets():
        folders = [Path(args.data_path) / name, committed_data_folder() / name]
        found = next((str(folder) for folder in folders if (folder / f"{name}.inter").is_file()), None)
        here = "comes with RecBole" if name.startswith("ml-100k") else found or f"recbole-marn prepare {name} --raw DIR"
        print(f"{name:<30}  {here}")
    return 0
