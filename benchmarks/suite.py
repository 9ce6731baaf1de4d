"""`recbole-marn bench`: every gate in one command; tables for people, one line of JSON for machines."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from . import GROUPS, OURS
from .bench import Bench, Sizes
from .gates import Gate, gates_table
from .host import compare_with_recbole, host_gates
from .log_rows import log_gates
from .memory import memory_gates, step_peak
from .model_gates import evaluation_gates, extraction_gates, recurrent_gates, step_gates
from .peers import peer_gates
from .synthetic import CLOTHING, Shape

__all__ = ["main", "run_gates"]

QUICK = ("steps", "recurrent", "extraction", "evaluation")
QUICK_SIZES = Sizes(extracted=4_096, rounds=3)


def main(args: argparse.Namespace) -> int:
    """Measure what the arguments ask for; the exit code says whether all gates are met."""
    torch.set_num_threads(1)
    if args.child:
        print(json.dumps(CHILDREN[args.child[0]](*args.child[1:])))
        return 0
    sizes = QUICK_SIZES if args.quick else Sizes()
    sizes = replace(sizes, rounds=args.rounds) if args.rounds else sizes
    result: dict[str, Any] = {"gates": []}
    if args.growth:
        from .growth import growth_tables

        result["growth"] = growth_tables(quick=args.quick, out=args.out)
    if args.breakdown:
        from .breakdown import breakdown_tables

        result["breakdown"] = breakdown_tables(quick=args.quick)
    gates: list[Gate] = []
    if args.gpu:
        from .gpu import gpu_tables

        result["gpu"], gates = gpu_tables(args.dataset, args.data_path, quick=args.quick)
    if args.only or not (args.growth or args.breakdown or args.gpu):
        gates += run_gates(args.only or (QUICK if args.quick else OURS), sizes, quick=args.quick)
    if gates:
        print(gates_table(gates))
        result["gates"] = [gate.as_json() for gate in gates]
    print(json.dumps(result))
    return 0 if all(gate.ok for gate in gates) else 1


def run_gates(groups: Sequence[str], sizes: Sizes, *, quick: bool = False, shape: Shape = CLOTHING) -> list[Gate]:
    """The gates of the groups, measured one after another."""
    measured: list[Gate] = []
    bench = Bench(shape) if set(groups) & set(QUICK) else None
    jobs: dict[str, Callable[[], list[Gate]]] = {
        "steps": lambda: step_gates(bench, sizes, quick=quick),
        "recurrent": lambda: recurrent_gates(bench, sizes),
        "extraction": lambda: extraction_gates(bench, sizes),
        "evaluation": lambda: evaluation_gates(bench, sizes),
        "memory": lambda: memory_gates(sizes),
        "host": lambda: host_gates(sizes, quick=quick),
        "serving": lambda: serving(sizes, quick=quick),
        "build": build_gates,
        "log": lambda: log_gates(sizes.rounds),
        "peers": lambda: peer_gates(sizes.rounds),
    }
    for group in (group for group in GROUPS if group in groups):
        print(f"measuring: {group}", file=sys.stderr, flush=True)
        measured += jobs[group]()
    return measured


def build_gates() -> list[Gate]:
    """Building the data set at two sizes, by its own script."""
    script = Path(__file__).with_name("dataset_build.py")
    run = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, check=True)
    gates = json.loads(run.stdout.strip().splitlines()[-1])["gates"]
    return [Gate(f"dataset build, {gate['name']}", gate["value"], gate["goal"], at_most=True) for gate in gates]


def _host_child(content: str) -> list[list[float]]:
    wanted = json.loads(content)
    return compare_with_recbole(wanted["jobs"], wanted["rounds"])


def serving(sizes: Sizes, *, quick: bool = False) -> list[Gate]:
    """Those of answers; what the extra `serve` brings is imported only for them."""
    from .serving_gates import serving_gates

    return serving_gates(sizes, quick=quick)


def _vectors_child(items: str) -> dict[str, float]:
    from .serving_gates import extraction_peak

    return extraction_peak(int(items))


CHILDREN: dict[str, Callable[..., Any]] = {
    "memory": lambda variant, size: step_peak(variant, int(size)),
    "host": _host_child,
    "vectors": _vectors_child,
}
