"""The `verify` sub-command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from recbole_marn.errors import printable
from recbole_marn.leaderboard.verify import datasets_in, verify

__all__ = ["add_arguments", "main"]

SHOWN_PROBLEMS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `verify`."""
    parser.add_argument("out", type=Path, metavar="DIR", help="the --out of a leaderboard")
    parser.add_argument("-d", "--dataset", help="only this data set (default: all there are)")


def main(args: argparse.Namespace) -> int:
    """Run `verify`: 0 all holds, 2 something was altered; every problem is named on stderr."""
    problems = 0
    for dataset in [args.dataset] if args.dataset else datasets_in(args.out):
        with tqdm(desc=f"verify {dataset}", unit="check") as bar:
            report = verify(args.out, dataset, bar.update)
        problems += len(report.problems)
        for problem in report.problems[:SHOWN_PROBLEMS]:
            print(printable(problem), file=sys.stderr)
        if len(report.problems) > SHOWN_PROBLEMS:
            print(f"... and {len(report.problems) - SHOWN_PROBLEMS} more", file=sys.stderr)
        print(
            f"{printable(dataset)}: {report.cells} cells against {report.records} records; {report.recomputed} "
            f"recomputed from their scores, {len(report.absent)} taken from the record, whose scores are not on this "
            f"machine; {len(report.problems)} problems"
        )
    return 2 if problems else 0
