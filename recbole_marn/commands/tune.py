"""`recbole-marn tune`."""

from __future__ import annotations

import argparse
import json
import os

from recbole_marn.settings.arguments import add_run_arguments, config_files
from recbole_marn.tuning.ray import Cluster
from recbole_marn.tuning.search import tune
from recbole_marn.tuning.space import ALGORITHMS

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A run, a space, an algorithm and an engine."""
    add_run_arguments(parser)
    add = parser.add_argument
    add("--params_file", help="RecBole's search space file (default: the one shipped for the model)")
    add("--algo", choices=ALGORITHMS, default="exhaustive")
    add("--max_evals", type=int, default=20, help="trials for random and bayes (default: %(default)s)")
    add("--output_file", default="tune.json", help="trials are written here (default: %(default)s)")
    add("--engine", choices=["recbole", "ray"], default="recbole", help="ray: many at once, ASHA, resumable")
    add("--workers", type=int, default=os.cpu_count() or 1, help="ray: trials at once (default: one per core)")
    add("--address", help="ray: a running cluster, or auto (default: start Ray on this machine)")
    add("--gpus", type=float, default=0.0, help="ray: share of a GPU a trial takes (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Search settings, selected on validation; print the best as one line of JSON."""
    best = tune(
        model=args.model,
        dataset=args.dataset,
        config_file_list=config_files(args.config_files),
        config_dict=args.settings,
        params_file=args.params_file,
        algo=args.algo,
        max_evals=args.max_evals,
        output_file=args.output_file,
        cluster=Cluster(args.workers, args.address, args.gpus) if args.engine == "ray" else None,
    )
    print(json.dumps(best))
    return 0
