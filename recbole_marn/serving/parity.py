"""Whether an export answers as the model it is of, and how fast."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_marn.data.context_vocabulary import FieldVocabulary
from recbole_marn.data.part import Part
from recbole_marn.evaluation.metrics import auc, uauc
from recbole_marn.evaluation.record import read_record
from recbole_marn.evaluation.scores import check_scores_file, load_scores
from recbole_marn.layers.kernels.segment import expand_rows
from recbole_marn.serving.answers import Asker
from recbole_marn.serving.exported import ExportedScorer
from recbole_marn.serving.histories import Behaviours, Windows
from recbole_marn.serving.retrieval import agreement
from recbole_marn.serving.scorer import CTRScorer
from recbole_marn.training.prepared import Prepared

__all__ = ["latency_and_difference", "of_test_part", "recall_of_short_lists"]

LATENCIES = {1: 200, 100: 100, 1000: 30}  # candidates -> requests timed
HISTORY = 50  # behaviours of a timed request, or as many as the model reads
ITEMS = 4_096  # that requests are made of, at most twice as many: vectors of a large catalogue would fill the memory
LISTS = (250, 500, 1000, 2000)  # sizes of short lists that are compared with full scoring
TOP = 20  # items of the rankings that are compared
FULLY_SCORED = 500_000  # items scored for it in full: some seconds
WARM_UP = 3  # requests that are not timed


def of_test_part(exported: ExportedScorer, run: Prepared, checkpoint: str | Path | None = None) -> dict[str, Any]:
    """Metrics of the test part by an export, those of the record, and the largest difference to its scores.

    Args:
        run: as `load_run` gives it.
        checkpoint: its record and scores lie beside it; without them the comparison is left out.

    Raises:
        InputError: a record or scores that were altered.
    """
    part = run.test.part
    columns = part.rows.columns(np.arange(len(part)))
    moving = part.rows.at_time is not None
    output = _outputs_at_their_time(exported, run) if moving else _outputs(exported, part)
    found: dict[str, Any] = {  # of the order that is served, as in the record: a fitted step makes rows alike
        "rows": len(output),
        "AUC": round(float(auc(columns["label"], output)), 6),
        "UAUC": round(float(uauc(columns["user"], columns["label"], output)), 6),
    }
    record = None if checkpoint is None else Path(checkpoint).with_suffix(".json")
    if record is not None and record.is_file():
        content = read_record(record, "training")
        found["record"] = {name: content["metrics"]["test"][name] for name in ("AUC", "UAUC")}
        scores = record.with_name(content["scores"]["file"])
        if check_scores_file(scores, content["scores"]["sha256"]):
            stored = load_scores(scores, "test")["test"]["score"]
            found["largest_difference"] = float(np.abs(stored - exported.rates(output)).max())
    return found


def _outputs(exported: ExportedScorer, part: Part) -> np.ndarray:
    """(R,) of the rows of a part, whose items have their statistics at the end of training."""
    rows, row = part.rows, np.arange(len(part))
    columns, number = rows.columns(row), _numbers(exported, part)
    return exported.outputs(
        number[columns["item"]], columns["time"], Windows(*rows.windows(rows.group_of(row))),
        _behaviours(exported, part, number), _context(part, row),
    )  # fmt: skip


def _numbers(exported: ExportedScorer, part: Part) -> np.ndarray:
    """(items,) numbers of the items of a part's data."""
    tokens = part.field2id_token[part.iid_field].astype(object)
    return np.concatenate([[0], exported.numbers(tokens[1:])])


def _behaviours(exported: ExportedScorer, part: Part, number: np.ndarray) -> Behaviours:
    events, kind = part.rows.events, None
    if exported.facts.needs.kind:
        types = part.source.behaviour_types
        kind = np.array([exported.facts.kinds.get(token, 0) for token in types])[events.behaviour]
    return Behaviours({}, events.user, number[events.item], events.time, kind)


def _context(part: Part, row: np.ndarray) -> np.ndarray:
    """(R, F) codes of profile and context as they were, a position included."""
    context = part.rows.context_of(row)
    return np.zeros((len(row), 0), dtype=np.int64) if context is None else context


def recall_of_short_lists(exported: ExportedScorer, part: Part) -> dict[str, Any] | None:
    """How much of the likeliest items short lists hold, for rows of the test part, as many as are soon scored in full.

    Returns:
        None where even the shortest list would be most of the catalogue.
    """
    sizes = [size for size in LISTS if 2 * size < len(exported.items)]
    if not sizes:
        return None
    number = min(len(part), int(np.clip(FULLY_SCORED // len(exported.items), 5, 50)))
    row = np.linspace(0, len(part) - 1, number).astype(np.int64)
    columns, windows = part.rows.columns(row), Windows(*part.rows.windows(part.rows.group_of(row)))
    behaviours = _behaviours(exported, part, _numbers(exported, part))
    askers = [
        Asker(behaviours, *at, context[None])
        for *at, context in zip(
            windows.start.tolist(), windows.length.tolist(), columns["time"].tolist(), _context(part, row), strict=True
        )
    ]
    every = exported.candidates(None)
    full = [exported.ranking(asker, TOP, every, unseen=True).output for asker in askers]
    recall = {}
    for size in sizes:
        lists = exported.short_lists(size)
        found = [exported.ranking(asker, TOP, lists, unseen=True).output for asker in askers]
        recall[str(size)] = round(float(np.mean([agreement(*pair) for pair in zip(found, full, strict=True)])), 4)
    return {"top": TOP, "rows": number, "recall_of_full_scoring": recall}


@torch.no_grad()
def _outputs_at_their_time(exported: ExportedScorer, run: Prepared) -> np.ndarray:
    """(R,) of the test rows with statistics as known then: vectors by the model's towers, scores by the export."""
    outputs = []
    for interaction, *_ in run.test:
        batch = interaction.batch
        vector = run.model.eval().represent(run.model.encoder(batch)).vector
        length = batch.length[batch.row_sequence]
        token, row = expand_rows(batch.length, batch.row_sequence)
        there = torch.arange(max(1, int(length.max()))) < length[:, None]

        def padded(values: Tensor, token: Tensor = token, there: Tensor = there) -> np.ndarray:
            whole = values.new_zeros(*there.shape, *values.shape[1:])
            whole[there] = values[token]
            return whole.numpy()

        given = {
            "history": padded(vector[batch.token]), "length": length.numpy(),
            "candidate": vector[batch.candidate][:, None].numpy(),
            "behaviour": None if batch.behaviour is None else padded(batch.behaviour),
            "gap": None if batch.gap is None else padded(batch.gap),
            "context": None if batch.context is None else batch.context[:, None].numpy(),
        }  # fmt: skip
        outputs.append(exported.run(given)[:, 0])
    return np.concatenate(outputs)


def latency_and_difference(scorer: CTRScorer, exported: ExportedScorer) -> dict[str, Any]:
    """How scores and speed compare on made-up requests, on one thread.

    Returns:
        The largest difference of scores; by number of candidates, of ONNX Runtime and of PyTorch, percentiles of the
        milliseconds a request takes (by the clock), and candidates scored in a CPU second.
    """
    rng = np.random.default_rng(0)
    longest = min(HISTORY, scorer.facts.longest)
    items = np.array(scorer.items[:: max(1, len(scorer.items) // ITEMS)], dtype=object)
    scorer.item_vectors(items)  # computed once, and not part of a request
    largest, by_candidates = 0.0, {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for candidates, repeats in LATENCIES.items():
            requests = [_request(scorer, rng, items, candidates, longest) for _ in range(repeats)]
            requests[0] = _request(scorer, rng, items, candidates, 0)
            took = {"onnx": Took(), "pytorch": Took()}
            for number, (rows, behaviours) in enumerate(requests):
                scores = {}
                for name, answers in (("onnx", exported), ("pytorch", scorer)):
                    with took[name].timed(warm=number >= WARM_UP):
                        scores[name] = answers.score(rows, behaviours)
                largest = max(largest, float(np.abs(scores["onnx"] - scores["pytorch"]).max()))
            by_candidates[str(candidates)] = {name: of.told(candidates) for name, of in took.items()}
    finally:
        torch.set_num_threads(threads)
    return {"largest_difference": largest, "history": longest, "by_candidates": by_candidates}


class Took:
    """Time of requests, one after another."""

    def __init__(self):
        self.milliseconds: list[float] = []
        self.cpu = 0.0

    @contextmanager
    def timed(self, *, warm: bool) -> Iterator[None]:
        """`warm`: it counts."""
        start, cpu = time.perf_counter(), time.process_time()
        yield
        if warm:
            self.milliseconds.append(1000 * (time.perf_counter() - start))
            self.cpu += time.process_time() - cpu

    def told(self, candidates: int) -> dict[str, float]:
        """For requests of so many candidates."""
        percentiles = {f"p{q}_ms": round(float(np.percentile(self.milliseconds, q)), 3) for q in (50, 95, 99)}
        return percentiles | {"candidates_per_cpu_second": round(candidates * len(self.milliseconds) / self.cpu)}


def _request(
    scorer: CTRScorer, rng: np.random.Generator, items: np.ndarray, candidates: int, length: int
) -> tuple[dict, dict]:
    """Rows of one user, and what that user did, at random."""
    read = {field.name: field for field in scorer.facts.context if field.fixed is None}
    fields, now = scorer.facts.fields, scorer.facts.latest + 86_400.0
    rows = {name: _drawn(rng, field, candidates) for name, field in read.items()}
    rows |= {
        fields.user: ["user"] * candidates,
        fields.item: items[rng.integers(len(items), size=candidates)],
        fields.time: [now] * candidates,
    }
    behaviours = {
        fields.user: ["user"] * length,
        fields.item: items[rng.integers(len(items), size=length)],
        fields.time: now - 1 - rng.exponential(86_400.0, size=length),
    }
    if scorer.facts.needs.typed:
        kinds = np.array(scorer.facts.types, dtype=object)
        behaviours[fields.behaviour] = kinds[rng.integers(len(kinds), size=length)]
    return rows, behaviours


def _drawn(rng: np.random.Generator, field: FieldVocabulary, number: int) -> np.ndarray:
    """Values of a field of profile or context, at random."""
    if field.kind == "float":
        edges = np.concatenate([[0.0], *field.bins.edges])
        return rng.uniform(edges.min() - 1, edges.max() + 1, size=number)
    return field.tokens[rng.integers(len(field.tokens), size=number)]
