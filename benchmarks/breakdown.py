"""Where each millisecond of a training step goes, before and after, and what share of the machine's rate it reaches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from recbole_marn.layers.kernels import large_linear

from .bench import Bench, forward_backward, shipped_adagrad, torch_adagrad
from .naive import NaiveMARN
from .synthetic import CLOTHING, Shape
from .timing import paired

__all__ = ["breakdown_tables", "marn_parts", "naive_parts", "roofline"]

Parts = dict[str, Callable[[], object]]


def breakdown_tables(*, quick: bool = False, shape: Shape = CLOTHING) -> dict[str, Any]:
    """Print both tables for small and large batches; returns milliseconds by batch, variant and part."""
    bench, result = Bench(shape), {}
    for size in (64,) if quick else (64, 1_024):
        row = bench.rows(size, 1)[0]
        columns = {"MARN": milliseconds(marn_parts(bench, row), rounds=9 if size < 256 else 5)}
        columns["unique + conv1d"] = milliseconds(naive_parts(bench, bench.unique, row), rounds=3)
        if size <= 64:
            columns["naive"] = milliseconds(naive_parts(bench, bench.naive, row), rounds=1)
        print(f"CPU ms a step, batch {size}, each part by itself\n{parts_table(columns)}\n", flush=True)
        result[str(size)] = columns
    result["roofline"] = roofline(bench, (32, 1_024) if quick else (32, 1_024, 4_096))
    return result


def milliseconds(parts: Parts, *, rounds: int) -> dict[str, float]:
    """Of each part alone, and of the whole step."""
    times = paired(parts, rounds=rounds, warm_up=1)
    return {name: 1e3 * times.median(name) for name in parts}


def marn_parts(bench: Bench, row: np.ndarray) -> Parts:
    """The parts of MARN's step on rows (B,), each forward and backward on the values it gets in the step."""
    model, encoder = bench.marn.train(), bench.marn.encoder
    batch, label = bench.data.batch(row)
    with torch.no_grad():
        cells = encoder(batch)
        vector = model.represent(cells).vector
        item, property_ = vector[batch.token], model.property(batch.behaviour, batch.gap)
        state, candidate = model.rnn(item, property_, batch.length), vector[batch.candidate]

    def fuse(aligned: torch.Tensor) -> list[torch.Tensor]:
        these = dataclasses.replace(cells, aligned=aligned)
        represented = model.represent(these)
        return [represented.vector, *model.auxiliary_losses(represented, these, batch).values()]

    def predict(state: torch.Tensor, candidate: torch.Tensor) -> torch.Tensor:
        return model.head(model.pool(state, item, candidate, batch.length, batch.row_sequence), candidate)

    def encode(name: str) -> Callable[[], torch.Tensor]:
        return lambda: encoder._encode(name, encoder.encoders[name], batch.item, False)

    def ids_and_statistics() -> list[torch.Tensor]:
        return [encode("ids")(), encoder.encoders["statistic"](batch.statistic)]

    return {
        "loading": lambda: bench.data.batch(row),
        "IDs, statistics": forward_backward(ids_and_statistics),
        "image": forward_backward(encode("image")),
        "title": forward_backward(encode("title")),
        "fusion, discriminators": forward_backward(fuse, cells.aligned),
        "recurrent layer": forward_backward(lambda x, p: model.rnn(x, p, batch.length), item, property_),
        "attention, prediction": forward_backward(predict, state, candidate),
        "optimizer": update(model, shipped_adagrad(model), lambda: model.losses(batch, label)),
        "whole step": bench.marn_step([row]),
    }


def naive_parts(bench: Bench, model: NaiveMARN, row: np.ndarray) -> Parts:
    """The same parts of one of the ordinary versions."""
    batch, label = bench.padded(row)
    with torch.no_grad():
        rows = model.tower_rows(batch)
        aligned = model.align(rows)
        vector, _ = model.item_vectors(batch)
        history, candidate, property_ = vector[:, :-1], vector[:, -1], model.property(batch)
        states = model.roll(history, property_, batch.length)

    def fuse(aligned: torch.Tensor) -> list[torch.Tensor]:
        fused, c, degree = model.fuse(aligned)
        return [fused, *model.adversarial_losses(aligned, c, degree, rows.weight).values()]

    def ids_and_statistics() -> list[torch.Tensor]:
        return [model.ids(rows.item), model.categorical("statistic", rows.statistic)]

    return {
        "loading": lambda: bench.padded(row),
        "IDs, statistics": forward_backward(ids_and_statistics),
        "image": forward_backward(lambda: model.image(rows.item)),
        "title": forward_backward(lambda: model.title(rows.item)),
        "fusion, discriminators": forward_backward(fuse, aligned),
        "recurrent layer": forward_backward(lambda x, p: model.roll(x, p, batch.length), history, property_),
        "attention, prediction": forward_backward(lambda h, c: model.predict(h, c, batch.length), states, candidate),
        "optimizer": update(model, torch_adagrad(model), lambda: model.losses(batch, label)),
        "whole step": bench.ordinary_step(model, [row]),
    }


def update(model: Any, optimizer: Any, losses: Callable[[], dict[str, torch.Tensor]]) -> Callable[[], None]:
    """The update with the gradients of one batch; rate 0, so that the parts see the same model."""
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.zero_grad()
    sum(losses().values()).backward()
    gradients = [parameter.grad for parameter in model.parameters()]

    def run() -> None:
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()

    return run


def parts_table(columns: dict[str, dict[str, float]]) -> str:
    names = next(iter(columns.values()))
    lines = [f"{'part':<26}" + "".join(f"{column:>18}" for column in columns)]
    lines += [f"{name:<26}" + "".join(f"{values[name]:>18.2f}" for values in columns.values()) for name in names]
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------- roofline
def roofline(bench: Bench, sizes: tuple[int, ...]) -> list[dict[str, float]]:
    """Print and return, per batch size, arithmetic a sample and the share reached of the rate of matrix products.

    The step's arithmetic is that of its matrix products; the machine's rate is that of one product of middling size,
    measured beside the step, once by `F.linear` and once by the faster library where there is one.
    """
    a, b = torch.randn(2_048, 512), torch.randn(576, 512)
    operations, result = 2 * 2_048 * 512 * 576, []
    print(f"{'batch':>6}{'MFLOP a sample':>16}{'samples/s':>11}{'of F.linear':>13}{'of the faster':>15}")
    for size in sizes:
        rows = bench.rows(size, 2)
        step = bench.marn_step(rows)
        flops = step_flops(step) / size
        variants = {
            "step": step,
            "linear": lambda: torch.nn.functional.linear(a, b),
            "faster": lambda: large_linear.plain_product(a, b),
        }
        times = paired(variants, rounds=9, warm_up=4)
        per_second = size / times.median("step")
        shares = [flops * per_second * times.median(name) / operations for name in ("linear", "faster")]
        print(f"{size:>6}{flops / 1e6:>16.1f}{per_second:>11.0f}{shares[0]:>12.0%}{shares[1]:>15.0%}", flush=True)
        result.append(
            {
                "batch": size,
                "mflop": flops / 1e6,
                "samples_per_second": per_second,
                "share_of_linear": shares[0],
                "share_of_faster": shares[1],
                "linear_gflops": operations / times.median("linear") / 1e9,
                "faster_gflops": operations / times.median("faster") / 1e9,
            }
        )
    return result


def step_flops(step: Callable[[], None]) -> float:
    """Floating-point operations of the matrix products of one step, counted while torch's own library does them."""
    has_onednn, large_linear.HAS_ONEDNN = large_linear.HAS_ONEDNN, False
    try:
        with FlopCounterMode(display=False) as counter:
            step()
    finally:
        large_linear.HAS_ONEDNN = has_onednn
    return counter.get_total_flops()
