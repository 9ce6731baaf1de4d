"""The `prepare` sub-command: `recbole-marn prepare DATASET --raw DIR`, also `python -m recbole_marn.prepare`."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.report import render
from recbole_marn.prepare.sources import Options

__all__ = ["add_arguments", "main"]

_DONE, _FAULT_OF_INPUT = 0, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `prepare` to a parser."""
    default = Options()
    parser.add_argument("dataset", help="name of the dataset: ml-1m, hm, taobao, ...")
    parser.add_argument("--raw", type=Path, default=Path("raw"), help="folder of the official files (default: raw)")
    parser.add_argument("--out", type=Path, default=Path("dataset"), help="where DATASET/ is made (default: dataset)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing OUT/DATASET")
    parser.add_argument(
        "--max-skipped", type=float, default=default.max_skipped, metavar="SHARE",
        help="share of unusable lines above which a file is refused (default: 0.01)",
    )  # fmt: skip
    parser.add_argument(
        "--title-words", type=int, default=default.title_words, metavar="N",
        help="longest title kept, in words (default: 64)",
    )  # fmt: skip
    parser.add_argument(
        "--min-interactions", type=int, default=default.min_interactions, metavar="K",
        help="keep only users and items with at least K events, repeatedly (default: keep all)",
    )  # fmt: skip
    parser.add_argument("--keep-unseen-items", action="store_true", help="keep catalogue items without any event")


def options_of(args: argparse.Namespace) -> Options:
    """The reading options among the arguments."""
    return Options(
        max_skipped=args.max_skipped,
        title_words=args.title_words,
        min_interactions=args.min_interactions,
        keep_unseen_items=args.keep_unseen_items,
    )


def main(args: argparse.Namespace) -> int:
    """Run `prepare`; 0 when done, 2 when the input is at fault (the message is on stderr)."""
    command = "recbole-marn prepare " + shlex.join(
        [args.dataset, "--raw", str(args.raw), "--out", str(args.out)]
    )
    try:
        record = prepare(
            args.dataset, args.raw, args.out, options_of(args), overwrite=args.overwrite, command=command
        )
    except InputError as error:
        print(error, file=sys.stderr)
        return _FAULT_OF_INPUT
    print(render(record))
    print(f"\nwritten to {args.out / args.dataset}")
    return _DONE
