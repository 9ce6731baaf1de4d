"""How long and how large is building the data set? python benchmarks/dataset_build.py [clothing|electronics ...]

Writes synthetic atomic files of the two sizes of the paper (users, items, events; popularity and activity skewed as
in the originals), builds all parts in a fresh process with one thread, and reports CPU seconds and peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

# name: users, items, events, seconds allowed, megabytes allowed
SIZES = {
    "clothing": (39_387, 23_033, 278_677, 10, 1_024),
    "electronics": (192_403, 63_001, 1_689_188, 60, 4_096),
}


def write_atomic(folder: Path, name: str, users: int, items: int, events: int) -> None:
    """Every user has 5 events or more; items follow a Zipf-like popularity."""
    rng = np.random.default_rng(0)
    spare = rng.geometric(1 / (events / users - 4), size=users) - 1
    user = np.repeat(np.arange(users), 5)
    user = np.concatenate([user, rng.choice(users, size=max(0, events - len(user)), p=spare / spare.sum())])[:events]
    weight = 1 / np.arange(20, items + 20) ** 0.8
    item = rng.choice(items, size=events, p=weight / weight.sum())
    day = rng.integers(0, 3_000, size=events) * 86_400
    folder.mkdir(parents=True)
    with open(folder / f"{name}.inter", "w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        file.writelines(f"A{u}\tB{i:09d}\t{t}\n" for u, i, t in zip(user, item, day, strict=True))
    with open(folder / f"{name}.item", "w", encoding="utf-8") as file:
        file.write("item_id:token\tcategory:token\ttitle:token_seq\tprice:float\n")
        for i in range(items):
            words = " ".join(f"w{w}" for w in rng.zipf(1.3, size=10) % 20_000)
            file.write(f"B{i:09d}\tc{i % 500}\t{words}\t{rng.lognormal(3, 1):.2f}\n")


SETTINGS = {
    "repeats": "first",
    "modalities": {
        "ids": {"kind": "id", "fields": {"item_id": 32, "category": 16}},
        "title": {"kind": "text", "field": "title"},
        "statistic": {"kind": "statistic", "fields": ["train_interactions", "price"]},
    },
    "behaviour": {"time": "timestamp"},
    "show_progress": False,
    "eval_negatives": 1,
}


def build(folder: str, name: str) -> None:
    """In the child process: build, and print what it took. Imports and model are not counted as building."""
    import torch

    torch.set_num_threads(1)
    from recbole.data import create_dataset, data_preparation

    import recbole_marn  # noqa: F401
    from recbole_marn.quick_start import build_config

    config = build_config("MARN", name, config_dict=SETTINGS | {"data_path": folder})
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    train, valid, test = data_preparation(config, create_dataset(config))
    measured = {
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "imports_mb": base // 1024,
        "rows": [len(part.part) for part in (train, valid, test)],
    }
    print(json.dumps(measured))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", default=list(SIZES), help=f"of {', '.join(SIZES)}")
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "NAME"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        build(*args.child)
        return
    gates = []
    for name in args.sizes:
        users, items, events, seconds, megabytes = SIZES[name]
        with tempfile.TemporaryDirectory() as folder:
            write_atomic(Path(folder) / name, name, users, items, events)
            command = [sys.executable, str(Path(__file__).resolve()), "--child", folder, name]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder).stdout
        measured = json.loads(output.strip().splitlines()[-1])
        print(f"{name}: {events} events, {measured}")
        gates.append({"name": f"{name} seconds", "value": measured["cpu_s"], "goal": seconds})
        gates.append({"name": f"{name} MB", "value": measured["peak_mb"], "goal": megabytes})
    for gate in gates:
        gate["ok"] = gate["value"] <= gate["goal"]
    print(json.dumps({"gates": gates}))


if __name__ == "__main__":
    main()
