"""How time and memory grow with the log: python benchmarks/data_growth.py --work DIR [--events 100000 1000000 ...]

For every size a log in the layout of Taobao's (`taobao_log.py`) is written to DIR, prepared, opened, trained on for a
pass over each user's latest click (about two rows a user, with its negative) and evaluated on the validation part;
then it is deleted. With --most_steps no more than so many batches are trained on, and a million rows evaluated.
Stages run in processes of their own, which count their own CPU seconds, on one thread, and the peak of their resident
memory. A table a size is printed, and the last line is JSON; with --out a picture is drawn.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from resident import megabytes, start_peak

SIZES = (100_000, 1_000_000, 10_000_000)
STAGES = ("prepare", "read", "rows", "train", "evaluate")
SETTINGS = {
    "train_last": 1, "eval_negatives": 1, "train_batch_size": 1_024, "eval_batch_size": 4_096, "epochs": 1,
    "learner": "adagrad", "learning_rate": 0.1, "show_progress": False, "use_gpu": False, "threads": 1,
}  # fmt: skip
# Rows evaluated where not all are.
EVALUATED = 1_000_000


class Watch:
    """CPU seconds and the peak of resident memory, in MB, since the last look."""

    def __init__(self) -> None:
        self.imports = round(megabytes("VmRSS"))
        self._look()

    def _look(self) -> None:
        start_peak()
        self._cpu = time.process_time()

    def look(self, **facts: Any) -> dict[str, Any]:
        found = {"cpu_s": round(time.process_time() - self._cpu, 2), "peak_mb": round(megabytes("VmHWM")), **facts}
        found["over_imports_mb"] = found["peak_mb"] - self.imports
        self._look()
        return found


def prepare(work: Path) -> dict[str, Any]:
    from recbole_marn.prepare import pipeline

    watch = Watch()
    record = pipeline.prepare("taobao", work / "raw", work / "data", download=False)
    return {"prepare": watch.look(counts=record["counts"])}


def run(work: Path, most_steps: int | None) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    from recbole.utils import get_trainer, init_seed
    from recbole_marn.benchmarks.host import FewBatches

    from recbole_marn.data.ctr_dataset import CTRDataset
    from recbole_marn.data.loader import build_loaders
    from recbole_marn.quick_start import build_config
    from recbole_marn.training import prepared  # noqa: F401 (all that a run imports)

    given = SETTINGS | {"data_path": str(work / "data"), "checkpoint_dir": str(work / "saved")}
    config = build_config("MARN", "taobao", config_dict=given)
    init_seed(config["seed"], config["reproducibility"])
    watch, found = Watch(), {}
    dataset = CTRDataset(config)
    found["read"] = watch.look()
    train, valid, _ = build_loaders(config, dataset)
    found["rows"] = watch.look(split_sha256=train.part.split_sha256)
    model = prepared.get_model("MARN")(config, train.part)
    trainer = get_trainer(config["MODEL_TYPE"], "MARN")(config, model)
    model.prepare_training(steps_per_epoch=len(train), epochs=1)
    if most_steps is not None:
        train = FewBatches(train, min(most_steps, len(train)))
        valid = FewBatches(valid, min(EVALUATED // SETTINGS["eval_batch_size"], len(valid)))
    trainer._train_epoch(train, 0)
    found["train"] = watch.look(rows=min(len(train) * SETTINGS["train_batch_size"], len(train.part)), steps=len(train))
    result = dict(trainer.evaluate(valid, load_best_model=False))
    rows = min(len(valid) * SETTINGS["eval_batch_size"], len(valid.part))
    found["evaluate"] = watch.look(result=result, rows=rows)
    return found


def measure(events: int, work: Path, most_steps: int | None) -> dict[str, Any]:
    """All stages at one size."""
    from taobao_log import write_log

    raw = work / "raw"
    raw.mkdir(parents=True)
    write_log(raw / "UserBehavior.csv", events)
    found: dict[str, Any] = {"events": events, "raw_mb": (raw / "UserBehavior.csv").stat().st_size >> 20}
    for stage in ("prepare", "run"):
        command = [sys.executable, str(Path(__file__).resolve()), "--work", str(work), "--child", stage]
        command += [] if most_steps is None else ["--most_steps", str(most_steps)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found |= json.loads(output.strip().splitlines()[-1])
        if stage == "prepare":
            files = {path.name: path.stat().st_size >> 20 for path in (work / "data" / "taobao").iterdir()}
            found["files_mb"] = files
    return found


def table(found: dict[str, Any]) -> str:
    events, users = found["events"], found["prepare"]["counts"]["users"]
    lines = [f"{events:,} events, {users:,} users, {found['prepare']['counts']['items']:,} items"]
    for stage in filter(found.get, STAGES):
        part = found[stage]
        line = f"  {stage:9} {part['cpu_s']:8.1f} CPU s {1e6 * part['cpu_s'] / events:7.2f} us an event"
        line += f" {part['over_imports_mb']:7,} MB over the imports"
        if "steps" in part:
            line += f"; {part['rows']:,} rows, {1e3 * part['cpu_s'] / part['steps']:.0f} ms a step"
        lines.append(line)
    return "\n".join(lines)


def picture(results: list[dict[str, Any]]) -> str:
    from picture import log_log_picture

    shown = {"prepare": ("prepare",), "open": ("read", "rows"), "train": ("train",), "evaluate": ("evaluate",)}
    lines = [
        (name, [(f["events"], sum(f[stage]["cpu_s"] for stage in stages)) for f in results if stages[0] in f])
        for name, stages in shown.items()
    ]
    smallest = f"{results[0]['events']:,}"
    return log_log_picture(lines, title=f"A log that grows, from {smallest} events", y_axis="CPU s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the files, deleted size by size")
    parser.add_argument("--events", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--out", type=Path, help="folder of data_growth.svg")
    parser.add_argument("--most_steps", type=int, help="train so many steps, not a pass, and evaluate a million rows")
    parser.add_argument("--child", choices=("prepare", "run"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        found = prepare(args.work) if args.child == "prepare" else run(args.work, args.most_steps)
        print(json.dumps(found, default=str))
        return
    results = []
    for events in sorted(args.events):
        work = args.work / str(events)
        shutil.rmtree(work, ignore_errors=True)
        results.append(measure(events, work, args.most_steps))
        shutil.rmtree(work)
        print(table(results[-1]), flush=True)
    if args.out is not None:
        (args.out / "data_growth.svg").write_text(picture(results), encoding="utf-8")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
