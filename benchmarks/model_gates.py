"""Gates that need no file: training steps, the recurrent layer, item vectors, evaluation."""

from __future__ import annotations

import torch

from .bench import Bench, Sizes, forward_backward
from .gates import Gate, ratio_gate
from .timing import paired

__all__ = ["evaluation_gates", "extraction_gates", "recurrent_gates", "step_gates"]

# Steps of the faster model per step of the slower one, so that no timed call is shorter than some 50 ms.
REPEATS = 4


def repeated(step, times: int = REPEATS):
    def run() -> None:
        for _ in range(times):
            step()

    return run


def step_gates(bench: Bench, sizes: Sizes, *, quick: bool = False) -> list[Gate]:
    """Training steps: forward, backward and update on batches that are at hand."""
    rows = bench.rows(sizes.small)
    difference = bench.largest_difference(rows[0])
    gates = [Gate("logits and losses, largest difference to the naive model", difference, 1e-5, at_most=True)]
    marn = repeated(bench.marn_step(rows))
    variants = {"marn": marn, "naive": bench.ordinary_step(bench.naive, rows)}
    times = paired(variants | {"unique": bench.ordinary_step(bench.unique, rows)}, rounds=sizes.rounds)
    gates.append(ratio_gate(f"naive / MARN step, batch {sizes.small}", times.ratio("naive", "marn", per=REPEATS), 30))
    name = "unique items + conv1d / MARN step, batch"
    gates.append(ratio_gate(f"{name} {sizes.small}", times.ratio("unique", "marn", per=REPEATS), 2))

    din = repeated(bench.din_step(rows))
    times = paired({"marn": marn, "din": din}, rounds=3 * sizes.rounds, warm_up=2)
    name = "MARN / padded DIN, samples/s, batch"
    gates.append(ratio_gate(f"{name} {sizes.small}", times.ratio("din", "marn"), 0.45))
    if not quick:
        gates.append(_large_step(bench, sizes))
    rows = bench.rows(sizes.largest, 2)
    times = paired({"marn": bench.marn_step(rows), "din": bench.din_step(rows)}, rounds=sizes.rounds)
    gates.append(ratio_gate(f"{name} {sizes.largest}", times.ratio("din", "marn"), 0.75))
    return gates


def _large_step(bench: Bench, sizes: Sizes) -> Gate:
    rows = bench.rows(sizes.large, 2)
    variants = {"marn": bench.marn_step(rows), "unique": bench.ordinary_step(bench.unique, rows)}
    ratio = paired(variants, rounds=sizes.rounds).ratio("unique", "marn")
    return ratio_gate(f"unique items + conv1d / MARN step, batch {sizes.large}", ratio, 4)


def recurrent_gates(bench: Bench, sizes: Sizes) -> list[Gate]:
    """APGRU, forward and backward: packed as it ships against the step-by-step loop over padded histories."""
    row = bench.rows(2 * sizes.histories, 1)[0]  # a positive and its negative share a history
    batch, _ = bench.data.batch(row)
    padded, _ = bench.padded(row[::2])
    token, property_ = _tokens(bench, batch.gap)
    slots, padded_property = _tokens(bench, padded.gap.flatten(0, 1))
    shape = (len(padded.length), -1, token.shape[1])
    slots, padded_property = slots.view(shape), padded_property.view(*shape[:2], property_.shape[1])
    variants = {
        "packed": repeated(forward_backward(lambda x, p: bench.marn.rnn(x, p, batch.length), token, property_)),
        "loop": forward_backward(lambda x, p: bench.naive.roll(x, p, padded.length), slots, padded_property),
    }
    ratio = paired(variants, rounds=2 * sizes.rounds).ratio("loop", "packed", per=REPEATS)
    return [ratio_gate(f"step-by-step / packed APGRU, {len(batch.length)} histories", ratio, 6)]


def _tokens(bench: Bench, gap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    property_ = bench.marn.property(None, gap).detach()
    return torch.randn(len(gap), bench.marn.vector_size), property_


def extraction_gates(bench: Bench, sizes: Sizes) -> list[Gate]:
    """Vectors of the catalogue, for evaluation and serving."""
    bench.share_parameters()
    item = torch.arange(1, min(sizes.extracted, bench.data.shape.items) + 1)
    assert (bench.fresh_vectors(item) - bench.naive_vectors(item)).abs().max() <= 1e-5
    variants = {"marn": lambda: bench.fresh_vectors(item), "conv1d": lambda: bench.naive_vectors(item)}
    ratio = paired(variants, rounds=sizes.rounds).ratio("conv1d", "marn")
    return [ratio_gate(f"conv1d tower / item vector extraction, {len(item)} items", ratio, 5)]


def evaluation_gates(bench: Bench, sizes: Sizes) -> list[Gate]:
    """Scores of test rows: from vectors that are at hand, and with the tower in each forward pass."""
    bench.share_parameters()
    data, model = bench.data, bench.marn.eval()
    few, many = sizes.small, sizes.evaluation
    row = data.random_rows(many, data.test)
    batch, _ = data.batch(row, data.test)
    slow, unique = (bench.padded(row[:size], data.test)[0] for size in (few, many))

    def cached() -> torch.Tensor:
        return torch.sigmoid(model.score(model.item_vectors(batch.entity_id), batch))

    with torch.no_grad():
        assert (cached() - torch.sigmoid(bench.unique(unique))).abs().max() <= 1e-5
        variants = {
            "cached": repeated(cached),
            "naive": lambda: bench.naive(slow),
            "unique": lambda: bench.unique(unique),
        }
        times = paired(variants, rounds=sizes.rounds)
    name = "evaluation from extracted vectors"
    return [
        ratio_gate(f"naive forward / {name}", times.ratio("naive", "cached", per=REPEATS * many / few), 600),
        ratio_gate(f"unique items + conv1d / {name}", times.ratio("unique", "cached", per=REPEATS), 40),
    ]
