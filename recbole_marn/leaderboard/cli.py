"""The `leaderboard` sub-command."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError
from recbole_marn.leaderboard.records import Folders
from recbole_marn.leaderboard.render import LeaderboardRequest, render
from recbole_marn.settings.arguments import add_config_files, config_files

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `leaderboard`; settings follow as --key=value."""
    parser.add_argument("-d", "--dataset", required=True, help="see `recbole-marn datasets`")
    parser.add_argument("--models", default="all", help="names, separated by commas (default: all that the data allow)")
    parser.add_argument("--seeds", type=int, default=5, help="runs per row, with seeds 2020, 2021, ... (default: 5)")
    parser.add_argument("--grid", help="YAML file of further rows: choices by model, or named rows")
    parser.add_argument("--tune", type=int, metavar="N", help="first try N settings per row, compared on validation")
    parser.add_argument("--space", help="YAML file of choices for --tune (default: properties/tune/MODEL.hyper)")
    parser.add_argument(
        "--halving", action="store_true", help="with --tune: the best third go on after 1, 3, 9, ... epochs"
    )
    parser.add_argument("--baseline", help="row that others are tested against (default: DIN, or Popularity)")
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="folder of tables and records (default: results)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at once (default: one per core)")
    parser.add_argument("--resamples", type=int, help="bootstrap resamples of the users (default: the table's, or 500)")
    parser.add_argument(
        "--unit", choices=("user", "request"), help="what intervals and tests of a log draw anew (default: user)"
    )
    add_config_files(parser)
    parser.add_argument(
        "--without_anchors", action="store_true",
        help="leave out the rows every table has: Popularity, BaseModelIMAGE, MARN -statistic",
    )  # fmt: skip
    parser.add_argument("--render_only", action="store_true", help="train nothing; tables from the records there are")


def main(args: argparse.Namespace) -> int:
    """Run `leaderboard`: 0 done, 2 bad input, 1 a run failed by a fault of ours."""
    if args.render_only:
        _check_rendering(args)
    models = None if args.models == "all" else [name.strip() for name in args.models.split(",") if name.strip()]
    request = LeaderboardRequest(
        dataset=args.dataset, models=models, seeds=args.seeds, grid=args.grid, tune=args.tune, space=args.space,
        halving=args.halving, baseline=args.baseline, anchors=not args.without_anchors, out=args.out,
        jobs=args.jobs, resamples=args.resamples, unit=args.unit, config_files=config_files(args.config_files),
        settings=args.settings,
    )  # fmt: skip
    try:
        line, failures = (_render(request), []) if args.render_only else _build(request)
    except OSError as error:
        raise InputError(
            f"room and permission to write to {args.out}",
            f"{error.strerror or error} ({error.filename or args.out})",
            "Free some space or choose another --out, and give the same command again: finished runs are kept.",
        ) from error
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    if line["without_scores"]:
        print(f"scores are not on this machine, no intervals of: {', '.join(line['without_scores'])}", file=sys.stderr)
    print(f"{line['best']} leads. {line['tables']['html']} says by how much, and whether that is sure.")
    print(json.dumps(line))
    if not failures:
        return 0
    return 2 if all(failure.kind in ("input", "library") for failure in failures) else 1


def _check_rendering(args: argparse.Namespace) -> None:
    """Tables of the records there are have every row of them."""
    options = ("config_files", "grid", "tune", "space", "halving", "without_anchors")
    given = [*(["models"] if args.models != "all" else []), *(name for name in options if getattr(args, name))]
    if idle := [*args.settings, *given]:
        raise InputError(
            "--render_only without what says what is trained",
            ", ".join(f"--{name}" for name in idle),
            "Leave it out: the tables have every record there is.",
        )


def _render(request: LeaderboardRequest) -> dict[str, Any]:
    folders = Folders(request.out, request.dataset)
    if not folders.records.is_dir():
        return render(request)  # which says so, and makes no folder
    folders.prepare()
    with folders.lock:
        return render(request)


def _build(request: LeaderboardRequest) -> tuple:
    # Here and not above: training imports torch and RecBole, which verifying and rendering do without.
    from recbole_marn.leaderboard.build import build

    return build(request)
