"""When does MARN's idea pay? Item fusions on data of planted redundancy.

    python -m benchmarks.redundancy run --share .5 --noise 1 1 --cold 0 --seeds 5 --out FILE.jsonl
    python -m benchmarks.redundancy jobs --out FOLDER > jobs.txt
    python -m benchmarks.redundancy map FILE.jsonl ... --out FOLDER

The first trains every form at one point with every seed and adds a line a run to its file; what the file has is not
trained again. The second writes such a command for each point of the grid. The third makes table and map of all lines.
Data differ from seed to seed, and are the same for all forms.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_marn import __version__
from recbole_marn.data.labelled_rows import LabelledRows
from recbole_marn.evaluation.metrics import uauc
from recbole_marn.registry import choices

from .redundancy_map import read_lines, write_map
from .redundant_data import Point, RedundantData
from .synthetic import build_model

# The same model, each with another way from modalities to the item vector.
FORMS: dict[str, dict[str, Any]] = {
    "CONC": {"fusion": "conc", "adversary": "none"},
    "MAF": {"adversary": "none"},
    "branch alone": {"adversary": "branch"},
    "branch": {"lambda0": 0.0},
    "ADV": {"adversary": "single"},
    "DDMA": {},
    "DDMA x10": {"lambda0": 0.5},
    "whitened": {"invariant_norm": "whiten"},
}
SHARES, COLD = (0.1, 0.5, 0.9), (0.0, 0.5)
NOISE = ((0.5, 0.5), (0.5, 2.0), (2.0, 2.0))
RATE, BATCH, EPOCHS, WIDTH = 3e-3, 512, 8, 32
FIRST_SEED = 2020
EVALUATED = 8_192  # rows scored at once


def run_form(model_name: str, form: str, data: RedundantData, seed: int, epochs: int) -> dict[str, Any]:
    """Train one form until validation falls, and test the best epoch once.

    Returns:
        UAUC of validation by epoch, and of the test part as `tested` has it; CPU seconds.
    """
    torch.manual_seed(seed)
    started = time.process_time()
    sizes = {"width": WIDTH, "attention_hidden": [32], "prediction_hidden": [64, 32]}
    given = {"epochs": epochs, "train_batch_size": BATCH} | sizes | FORMS[form]
    model = build_model(model_name, data, **choices("model", model_name) | given)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    order, valid, history, best = np.random.default_rng(seed), data.part("valid"), [], {}
    for _ in range(epochs):
        model.train()
        for row in _batches(data.training, order):
            batch, label = data.batch(row, data.training)
            optimizer.zero_grad()
            sum(model.losses(batch, label).values()).backward()
            optimizer.step()
            model.step += 1  # the schedule of lambda; a trainer of the package counts by itself
        history.append(tested(model, data, valid)["all"])
        if history[-1] < max(history):
            break
        best = copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    seconds = round(time.process_time() - started, 2)
    return {"valid": history, "test": tested(model, data, data.part("test")), "cpu_seconds": seconds}


def _batches(rows: LabelledRows, order: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of one epoch, whole groups in a new order."""
    group, step = order.permutation(rows.n_groups), rows.groups_a_batch(BATCH)
    for start in range(0, rows.n_groups, step):
        yield rows.rows_of_groups(group[start : start + step])


@torch.no_grad()
def tested(model: Any, data: RedundantData, part: LabelledRows) -> dict[str, float]:
    """UAUC of a part: of all its rows, and of those with items that training knew ("warm") and did not ("cold")."""
    model.eval()
    score = []
    for row in np.array_split(np.arange(part.n_rows), -(-part.n_rows // EVALUATED)):
        batch, _ = data.batch(row, part)
        score.append(model.score(model.item_vectors(batch.entity_id), batch).numpy())
    columns = part.columns(np.arange(part.n_rows))
    user, label, cold, score = columns["user"], columns["label"], data.cold[columns["item"]], np.concatenate(score)
    found = {"all": np.ones_like(cold), "warm": ~cold, "cold": cold}
    return {
        name: round(uauc(user[these], label[these], score[these]), 6) for name, these in found.items() if these.any()
    }


# -------------------------------------------------------------------------------------------- command line
def _run(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    point = Point(args.share, tuple(args.noise), args.cold)
    what = {"model": args.model, "point": {"share": point.share, "noise": list(point.noise), "cold": point.cold}}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    _end_with_a_whole_line(args.out)
    there = read_lines([args.out])
    done = {(line["form"], line["seed"]) for line in there if {key: line[key] for key in what} == what}
    for seed in range(FIRST_SEED, FIRST_SEED + args.seeds):
        missing = [form for form in args.forms if (form, seed) not in done]
        data = RedundantData(point, seed=seed) if missing else None
        for form in missing:
            line = {**what, "form": form, "seed": seed, **run_form(args.model, form, data, seed, args.epochs)}
            line["versions"] = {"recbole_marn": __version__, "torch": torch.__version__, "numpy": np.__version__}
            with args.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def _end_with_a_whole_line(file: Path) -> None:
    """Cut off what a crash left half-written."""
    content = file.read_bytes() if file.exists() else b""
    if content and not content.endswith(b"\n"):
        file.write_bytes(content[: content.rfind(b"\n") + 1])


def _jobs(args: argparse.Namespace) -> None:
    for share, noise, cold in itertools.product(SHARES, NOISE, COLD):
        given = f"--share {share:g} --noise {' '.join(f'{value:g}' for value in noise)} --cold {cold:g}"
        file = args.out / f"{args.model}-{share:g}-{'-'.join(f'{value:g}' for value in noise)}-{cold:g}.jsonl"
        command = f"{args.python} -m benchmarks.redundancy run --model {args.model} {given}"
        print(f"{command} --seeds {args.seeds} --out {file}")


def _map(args: argparse.Namespace) -> None:
    write_map(read_lines(args.files), args.out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line above."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="train every form at one point")
    run.add_argument("--share", type=float, default=0.5, help="of the common part, 0 to 1")
    run.add_argument("--noise", type=float, nargs="+", default=[1.0, 1.0], help="deviation of each modality's noise")
    run.add_argument("--cold", type=float, default=0.0, help="share of the catalogue that comes out with the test part")
    run.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS), metavar="FORM")
    run.add_argument("--epochs", type=int, default=EPOCHS, help="at most")
    run.set_defaults(do=_run)
    jobs = commands.add_parser("jobs", help="print the commands of the grid, one a point")
    jobs.add_argument("--python", default="python")
    jobs.set_defaults(do=_jobs)
    for command, what in ((run, "file of JSON lines"), (jobs, "folder of the files")):
        command.add_argument("--model", choices=("MARNPlus", "MARN"), default="MARNPlus", help="what the forms are of")
        command.add_argument("--seeds", type=int, default=5)
        command.add_argument("--out", type=Path, required=True, help=what)
    drawn = commands.add_parser("map", help="table and map of the runs in files")
    drawn.add_argument("files", type=Path, nargs="+")
    drawn.add_argument("--out", type=Path, required=True, help="folder")
    drawn.set_defaults(do=_map)
    args = parser.parse_args(arguments)
    args.do(args)


if __name__ == "__main__":
    main()
