"""A GPU beside one core of the same machine: whole training steps of MARN and DIN, from rows to the optimizer.

A step is the trainer's own: threads make batches ahead, nothing in it waits for a number of the device. Time is the
clock's on the GPU, which is waited for at the end, and process CPU time of one thread on the core.
"""

from __future__ import annotations

import collections
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from recbole_marn.data.loader import CTRDataLoader
from recbole_marn.errors import InputError
from recbole_marn.models.base import OurModel
from recbole_marn.quick_start import build_config, prepare_run

from .breakdown import step_flops
from .gates import Gate
from .host import FewBatches, modalities, write_atomic_files
from .synthetic import CLOTHING, SyntheticData

__all__ = ["gpu_tables"]

MODELS = ("MARN", "DIN")
SIZES = (1_024, 4_096, 16_384)
# Rows of a timed pass on the GPU, and on the core.
ROWS, CORE_ROWS = 400_000, 4_096
# Goals: samples a second over those of one core at the largest batch, and waits a step.
TIMES_A_CORE, WAITS = 20, 0.1
WAITING = "called a synchronizing"


def gpu_tables(dataset: str | None, data_path: str | None, *, quick: bool = False) -> tuple[list[dict], list[Gate]]:
    """Measure, print and return the rows of the table, and the gates.

    Args:
        dataset: a data set with atomic files in `data_path`; None: rows of the shape of Amazon Clothing, made here.
        data_path: the folder of data sets.
        quick: shorter passes.

    Raises:
        InputError: there is no GPU.
    """
    if not torch.cuda.is_available():
        raise InputError("a GPU for bench --gpu", "a torch that sees none", "Run it where `recbole-marn doctor` does.")
    properties = torch.cuda.get_device_properties(0)
    rates = {kind: product_rate(kind) for kind in (torch.float32, torch.bfloat16)}
    told = ", ".join(f"{rate / 1e12:.0f} TFLOP/s in {str(kind)[6:]}" for kind, rate in rates.items())
    print(f"{properties.name}, torch {torch.__version__}; products of 8,192 x 8,192: {told}", flush=True)
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"data_path": data_path} if data_path else {}
        if dataset is None:
            data, dataset = SyntheticData(CLOTHING), "clothing"
            write_atomic_files(Path(folder) / dataset, data)
            settings = {"data_path": folder, "modalities": modalities(data), "repeats": "keep"}
        settings |= {"checkpoint_dir": folder, "show_progress": False, "MAX_ITEM_LIST_LENGTH": 50}
        for model in MODELS:
            measured = Measured(model, dataset, settings)
            for size in SIZES:
                per_core, flops = measured.core(size)
                for narrow in (False, True) if model == "MARN" else (False,):
                    found = measured.row(size, narrow, ROWS // (8 if quick else 1))
                    rate = found["samples_per_second"]
                    shares = {"times_a_core": rate / per_core, "of_products": flops * rate / rates[torch.float32]}
                    rows.append(found | shares)
                    print(line(rows[-1]), flush=True)
            measured.print_parts(SIZES[0])
    return rows, gates_of(rows)


def product_rate(kind: torch.dtype, size: int = 8_192, number: int = 10) -> float:
    """Floating-point operations a second of a large matrix product of random numbers."""
    a, b = (torch.randn(size, size, device="cuda", dtype=kind) for _ in range(2))
    seconds = waited(lambda: [a @ b for _ in range(number)])
    return 2 * size**3 * number / seconds


def waited(work: Callable[[], object]) -> float:
    """Seconds of the clock until the GPU has done the work; it is done once before."""
    work()
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


class Measured:
    """One model on the rows of a data set, on the GPU and on a core."""

    def __init__(self, model: str, dataset: str, settings: dict[str, Any]):
        self.name = model
        self.on = {
            device: prepare_run(
                build_config(model, dataset, config_dict=settings | {"use_gpu": device == "cuda"}), quiet=True
            )
            for device in ("cpu", "cuda")
        }

    def steps(self, device: str, size: int, number: int, narrow: bool = False) -> Callable[[], object]:
        """`number` training steps at each call, with the next batches of the rows."""
        parts = self.on[device]
        parts.config["train_batch_size"] = size
        loader = CTRDataLoader(parts.config, parts.train.part, shuffle=True)
        if isinstance(parts.model, OurModel):
            parts.model.prepare_training(steps_per_epoch=len(loader), epochs=1)
        parts.trainer.enable_amp = narrow
        batches = FewBatches(loader, number)
        return lambda: parts.trainer._train_epoch(batches, 0)

    def row(self, size: int, narrow: bool, rows: int) -> dict[str, Any]:
        """What the GPU does of one batch size: samples a second, share of the time that it works, waits a step."""
        number = max(24, rows // size)
        torch.cuda.reset_peak_memory_stats()
        seconds = waited(self.steps("cuda", size, number, narrow)) / number
        peak = torch.cuda.max_memory_allocated()
        kernels, _ = self.profiled(size, narrow)
        return {
            "model": self.name,
            "batch": size,
            "type": "bfloat16" if narrow else "float32",
            "samples_per_second": size / seconds,
            "milliseconds": 1e3 * seconds,
            "busy": kernels / seconds,
            "waits": self.waits(size, narrow),
            "peak_mb": peak / 1e6,
        }

    def core(self, size: int) -> tuple[float, float]:
        """Samples a CPU second of one core, and floating-point operations a sample."""
        number = max(1, CORE_ROWS // size)
        work = self.steps("cpu", size, number)
        flops = step_flops(work) / number / size  # counted in a first pass, which warms up
        start = time.process_time()
        work()
        return number * size / (time.process_time() - start), flops

    def profiled(self, size: int, narrow: bool = False, number: int = 8) -> tuple[float, Any]:
        """Seconds a step that the GPU works, and torch's profile of `number` steps."""
        steps = self.steps("cuda", size, number, narrow)
        steps()
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
            steps()
            torch.cuda.synchronize()
        events = profiler.key_averages()
        on_gpu = (event.self_device_time_total for event in events if event.device_type.name == "CUDA")
        return sum(on_gpu) / 1e6 / number, events

    def waits(self, size: int, narrow: bool = False, number: int = 8) -> float:
        """Waits for the GPU a step; that of the end, which reads the losses, is not one of a step."""
        with told_waits() as places:
            self.steps("cuda", size, number, narrow)()
        inside = {place: times for place, times in places.items() if times >= number}
        for place, times in inside.items():
            print(f"  {self.name} waits {times / number:.0f} times a step in {place}", flush=True)
        return sum(inside.values()) / number

    def print_parts(self, size: int) -> None:
        """Where the time goes: the operations that take most of the GPU, and of the thread that gives it work."""
        _, events = self.profiled(size)
        for what, key in (("GPU", "self_cuda_time_total"), ("CPU", "self_cpu_time_total")):
            print(f"{self.name}, batch {size}, 8 steps: most time of the {what}")
            print(events.table(sort_by=key, row_limit=12, max_name_column_width=60), flush=True)


@contextmanager
def told_waits() -> Iterator[collections.Counter[str]]:
    """The places where the CPU waited for the GPU, and how often."""
    places: collections.Counter[str] = collections.Counter()
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode(before)
    for warning in told:
        if WAITING in str(warning.message):
            places[f"{Path(warning.filename).name}:{warning.lineno}"] += 1


def line(row: dict[str, Any]) -> str:
    """One row of the table, for people."""
    return (
        f"{row['model']:<6}{row['batch']:>7}{row['type']:>10}{row['samples_per_second']:>12,.0f} samples/s"
        f"{row['times_a_core']:>8.1f}x a core{row['milliseconds']:>8.1f} ms{row['busy']:>7.0%} busy"
        f"{row['of_products']:>7.1%} of products{row['waits']:>5.1f} waits{row['peak_mb']:>8,.0f} MB"
    )


def gates_of(rows: list[dict[str, Any]]) -> list[Gate]:
    """Speed at the largest batch, and that no step waits."""
    largest = [row for row in rows if row["batch"] == SIZES[-1] and row["type"] == "float32"]
    return [
        *(
            Gate(f"{row['model']} on the GPU / on one core, batch {row['batch']}", row["times_a_core"], TIMES_A_CORE)
            for row in largest
        ),
        Gate(
            "MARN's waits for the GPU a step, the most",
            max(row["waits"] for row in rows if row["model"] == "MARN"),  # RecBole's DIN has two of its own
            WAITS,
            at_most=True,
        ),
    ]
