"""Answers of a trained model from extracted vectors and with towers, and the memory that extraction takes."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from recbole_marn.data.catalogue import Catalogue
from recbole_marn.data.fields import Fields
from recbole_marn.serving.answers import Answers
from recbole_marn.serving.export import export, write_vectors
from recbole_marn.serving.exported import ExportedScorer
from recbole_marn.serving.histories import Behaviours, Windows
from recbole_marn.serving.restored import Restored
from recbole_marn.serving.scorer import CTRScorer
from recbole_marn.training.click_rates import ClickRates

from .bench import Sizes
from .children import child_result
from .gates import Gate, ratio_gate
from .plain_din import PlainDIN
from .resident import is_told, megabytes, start_peak
from .synthetic import CLOTHING, SyntheticData, build_model
from .timing import paired

__all__ = ["extraction_peak", "serving_gates"]

HISTORY, CANDIDATES, WIDTH = 50, 100, 64  # of a request
REPEATS = 20  # requests of a timed call
CATALOGUES = (10_000, 100_000, 1_000_000)


def serving_gates(sizes: Sizes, *, quick: bool = False) -> list[Gate]:
    """One user with 50 behaviours and 100 candidates; 1,024 rows of their own users; the export of large catalogues.

    Raises:
        InputError: a package of the extra `serve` is missing.
    """
    data = SyntheticData(CLOTHING)
    gates = _request_gates(data, sizes)
    return gates if quick else gates + _memory_gates()


def scorer_of(name: str, data: SyntheticData) -> CTRScorer:
    """The scorer of an untrained model."""
    torch.manual_seed(0)
    model = build_model(name, data, width=WIDTH).eval()
    tokens = {"item_id": data.num("item_id"), "category": data.shape.categories + 1, "title": data.shape.words + 1}
    catalogue = Catalogue(
        fields=Fields("user_id", "item_id", "timestamp", None),
        table=data.item_table,
        vocabularies={field: np.arange(number).astype(str) for field, number in tokens.items()},
        gap=data.features.gap,
        behaviour_cardinality=None,
        latest=float(data.protocol.events.time.max()),
        moving={"train_interactions": 0.0},
    )
    settings = SimpleNamespace(modality_settings=lambda: data.modality_settings)
    return CTRScorer(Restored(model, catalogue, settings, data.shape.history, ClickRates()))


@contextmanager
def exported(scorer: CTRScorer) -> Iterator[ExportedScorer]:
    with tempfile.TemporaryDirectory() as folder:
        export(scorer, Path(folder) / "export")
        yield ExportedScorer(Path(folder) / "export")


def _request_gates(data: SyntheticData, sizes: Sizes) -> list[Gate]:
    marn, din = scorer_of("MARN", data), scorer_of("MultimodalDIN", data)
    with exported(marn) as marn_onnx, exported(din) as din_onnx:
        every = np.arange(1, data.shape.items + 1)
        marn.item_vectors(every.astype(str))
        ask = _request(data)
        fast, eager = ask(marn_onnx), ask(marn)
        difference = float(np.abs(fast() - eager()).max())
        gates = [Gate("probabilities, largest difference of ONNX Runtime to PyTorch", difference, 1e-5, at_most=True)]
        variants = {"onnx": fast, "eager": eager, "towers": _with_towers(marn, fast, data), "DIN": ask(din_onnx),
                    "plain": _plain_din(data)}  # fmt: skip
        times = paired({name: _repeated(call) for name, call in variants.items()}, rounds=3 * sizes.rounds, warm_up=2)
        what = f"{CANDIDATES} candidates, history {HISTORY}"
        gates += [
            ratio_gate(f"eager PyTorch / ONNX Runtime, one user, {what}", times.ratio("eager", "onnx"), 2),
            ratio_gate("the same, items encoded by PyTorch / from extracted vectors", times.ratio("towers", "onnx"), 8),
            ratio_gate("padded DIN, PyTorch / MARN, ONNX Runtime", times.ratio("plain", "onnx"), 1),
            ratio_gate("MultimodalDIN / MARN, ONNX Runtime", times.ratio("DIN", "onnx"), 0.3),
        ]
        rows = _rows_of_test(data, sizes.large)
        times = paired({"onnx": rows(marn_onnx), "eager": rows(marn)}, rounds=3 * sizes.rounds, warm_up=2)
        name = f"samples per CPU second, batch {sizes.large}, ONNX Runtime"
        return [*gates, Gate(name, sizes.large / times.median("onnx"), 20_000)]


def _repeated(call: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(REPEATS):
            call()

    return run


def _request(data: SyntheticData) -> Callable[[Answers], Callable[[], np.ndarray]]:
    """What asks answers for the candidates of one user."""
    rng, now = np.random.default_rng(0), 2e9
    history, item = (rng.integers(1, data.shape.items + 1, size=size) for size in (HISTORY, CANDIDATES))
    behaviours = Behaviours({}, np.zeros(HISTORY, int), history, now - 3600.0 * np.arange(HISTORY, 0, -1), None)
    windows = Windows(np.zeros(CANDIDATES, int), np.full(CANDIDATES, HISTORY))
    time, context = np.full(CANDIDATES, now), np.zeros((CANDIDATES, 0), int)
    return lambda answers: lambda: answers.probabilities(item, time, windows, behaviours, context)


def _with_towers(scorer: CTRScorer, call: Callable[[], np.ndarray], data: SyntheticData) -> Callable[[], np.ndarray]:
    """The same request after encoding as many items as it has."""
    model, item = scorer.model, torch.randperm(data.shape.items)[: HISTORY + CANDIDATES] + 1

    def run() -> np.ndarray:
        with torch.no_grad():
            model.represent(model.encoder.snapshot(item))
        return call()

    return run


def _plain_din(data: SyntheticData) -> Callable[[], object]:
    """A padded DIN of the same width on the same sizes: it looks items up by id."""
    ids = data.item_table.modalities["ids"]
    model = PlainDIN(
        codes=torch.from_numpy(ids.codes), cardinalities=ids.cardinalities, sizes=(WIDTH - WIDTH // 4, WIDTH // 4)
    ).eval()
    item = torch.randint(1, data.shape.items + 1, (CANDIDATES, HISTORY + 1))
    item[:, :-1] = item[0, :-1].clone()
    length = torch.full((CANDIDATES,), HISTORY)

    def run() -> torch.Tensor:
        with torch.no_grad():
            return torch.sigmoid(model(item, length))

    return run


def _rows_of_test(data: SyntheticData, size: int) -> Callable[[Answers], Callable[[], np.ndarray]]:
    """What asks answers for rows of different users."""
    rows, events = data.test, data.protocol.events
    row = np.sort(np.random.default_rng(0).choice(rows.n_rows, size=size, replace=False))
    columns, windows = rows.columns(row), Windows(*rows.windows(rows.group_of(row)))
    behaviours = Behaviours({}, events.user, events.item, events.time, None)
    context = np.zeros((size, 0), int)
    return lambda answers: lambda: answers.probabilities(
        columns["item"], columns["time"], windows, behaviours, context
    )


# ------------------------------------------------------------------------------------------------------ memory
def _memory_gates() -> list[Gate]:
    """None where the operating system does not tell a process its peak."""
    if not is_told():
        return []
    found = {size: child_result("vectors", str(size)) for size in CATALOGUES}
    least, most = (found[size] for size in (CATALOGUES[0], CATALOGUES[-1]))
    told = ", ".join(f"{size:,}: {one['mb']:.0f} of {one['output_mb']:.0f} written" for size, one in found.items())
    name = f"MB above resident, vectors of {CATALOGUES[-1]:,} items"
    return [
        Gate(name, most["mb"], 150, at_most=True, spread=told),
        Gate(f"the same / of {CATALOGUES[0]:,}", most["mb"] / least["mb"], 1.5, at_most=True),
    ]


def extraction_peak(items: int) -> dict[str, float]:
    """Megabytes that writing the vectors of a catalogue takes in this process, and that it writes."""
    data = SyntheticData(replace(CLOTHING, items=items, image_rows=10_000, users=10_000))
    scorer = scorer_of("MARN", data)
    with tempfile.TemporaryDirectory() as folder:
        gc.collect()
        start_peak()
        before = megabytes("VmRSS")
        write_vectors(scorer, Path(folder))
        written = (Path(folder) / "items.npy").stat().st_size
    return {"mb": megabytes("VmHWM") - before, "output_mb": written / 1e6}
