"""`recbole-marn tune`."""

from __future__ import annotations

import argparse
import json
import os

from recbole_marn.errors import InputError
from recbole_marn.files import without_nan
from recbole_marn.settings.arguments import add_run_arguments, config_files
from recbole_marn.tuning.ray import Cluster
from recbole_marn.tuning.search import MAX_EVALS, tune
from recbole_marn.tuning.space import ALGORITHMS

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, a space, an algorithm and an engine."""
    add_run_arguments(parser)
    add = parser.add_argument
    add("--params_file", help="RecBole's search space file (default: the one shipped for the model)")
    add("--algo", choices=ALGORITHMS, default="exhaustive", help="exhaustive: every combination (default: %(default)s)")
    add("--max_evals", type=int, help=f"trials for random and bayes (default: {MAX_EVALS})")
    add("--output_file", default="tune.json", help="trials are written here (default: %(default)s)")
    add("--engine", choices=["recbole", "ray"], default="recbole", help="ray: many at once, ASHA, resumable")
    add("--workers", type=int, help="ray: trials at once (default: one per core)")
    add("--address", help="ray: a running cluster, or auto (default: start Ray on this machine)")
    add("--gpus", type=float, help="ray: share of a GPU a trial takes (default: 0)")


def main(args: argparse.Namespace) -> int:
    """Search settings, selected on validation; print the best as one line of JSON."""
    of_ray = {name: getattr(args, name) for name in ("workers", "address", "gpus")}
    of_ray = {name: value for name, value in of_ray.items() if value is not None}
    if of_ray and args.engine != "ray":
        name = next(iter(of_ray))
        raise InputError(f"--engine=ray with --{name}", f"--engine={args.engine}", "Give both, or neither.")
    if args.max_evals is not None and args.algo == "exhaustive":
        raise InputError(
            "--algo=random or bayes with --max_evals", "--algo=exhaustive", "It tries every combination; leave one out."
        )
    best = tune(
        model=args.model,
        dataset=args.dataset,
        config_file_list=config_files(args.config_files),
        config_dict=args.settings,
        params_file=args.params_file,
        algo=args.algo,
        max_evals=MAX_EVALS if args.max_evals is None else args.max_evals,
        output_file=args.output_file,
        cluster=Cluster(**{"workers": os.cpu_count() or 1} | of_ray) if args.engine == "ray" else None,
    )
    print(json.dumps(without_nan(best)))
    return 0
