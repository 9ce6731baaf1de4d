"""Whether an export answers as the model it is of, and how fast."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_marn.data.context_vocabulary import FieldVocabulary
from recbole_marn.data.part import Part
from recbole_marn.evaluation.metrics import auc, uauc
from recbole_marn.evaluation.record import read_record
from recbole_marn.layers.kernels.segment import expand_rows
from recbole_marn.serving.exported import ExportedScorer
from recbole_marn.serving.histories import Behaviours, Windows
from recbole_marn.serving.scorer import CTRScorer
from recbole_marn.training.prepared import Prepared

__all__ = ["latency_and_difference", "of_test_part"]

LATENCIES = {1: 200, 100: 100, 1000: 30}  # candidates -> requests timed
HISTORY = 50  # behaviours of a timed request, or as many as the model reads


def of_test_part(exported: ExportedScorer, run: Prepared, checkpoint: str | Path | None = None) -> dict[str, Any]:
    """Metrics of the test part by an export, those of the record, and the largest difference to its scores.

    Args:
        run: as `load_run` gives it.
        checkpoint: its record and scores lie beside it; without them the comparison is left out.
    """
    part = run.test.part
    columns = part.rows.columns(np.arange(len(part)))
    moving = part.rows.at_time is not None
    score = _scores_at_their_time(exported, run) if moving else _scores(exported, part)
    found: dict[str, Any] = {
        "rows": len(score),
        "AUC": round(float(auc(columns["label"], score)), 6),
        "UAUC": round(float(uauc(columns["user"], columns["label"], score)), 6),
    }
    record = None if checkpoint is None else Path(checkpoint).with_suffix(".json")
    if record is not None and record.is_file():
        content = read_record(record, "training")
        found["record"] = {name: content["metrics"]["test"][name] for name in ("AUC", "UAUC")}
        stored = np.load(record.with_name(content["scores"]["file"]))["test_score"]
        found["largest_difference"] = float(np.abs(stored - score).max())
    return found


def _scores(exported: ExportedScorer, part: Part) -> np.ndarray:
    """(R,) of the rows of a part, whose items have their statistics at the end of training."""
    rows, events, row = part.rows, part.rows.events, np.arange(len(part))
    columns, group = rows.columns(row), rows.group_of(row)
    tokens = part.field2id_token[part.iid_field].astype(object)
    number = np.concatenate([[0], exported.numbers(tokens[1:])])
    kind = None
    if exported.facts.needs.kind:
        types = part.protocol.behaviour_type if part.is_log else part.source.behaviour_types
        kind = np.array([exported.facts.kinds.get(token, 0) for token in types])[events.behaviour]
    behaviours = Behaviours({}, events.user, number[events.item], events.time, kind)
    context = rows.context_of(row)  # as it was, a position included
    return exported.probabilities(
        number[columns["item"]], columns["time"], Windows(*rows.windows(group)), behaviours,
        np.zeros((len(row), 0), dtype=np.int64) if context is None else context,
    )  # fmt: skip


@torch.no_grad()
def _scores_at_their_time(exported: ExportedScorer, run: Prepared) -> np.ndarray:
    """(R,) of the test rows with statistics as known then: vectors by the model's towers, scores by the export."""
    scores = []
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
        scores.append(exported.run(given)[:, 0])
    return np.concatenate(scores)


def latency_and_difference(scorer: CTRScorer, exported: ExportedScorer) -> dict[str, Any]:
    """Largest difference of scores on made-up requests, and milliseconds a request by candidates, on one thread."""
    rng = np.random.default_rng(0)
    longest = min(HISTORY, scorer.facts.longest)
    largest, milliseconds = 0.0, {}
    scorer.item_vectors()  # computed once, and not part of a request
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for candidates, repeats in LATENCIES.items():
            took: dict[str, list[float]] = {"onnx": [], "pytorch": []}
            for repeat in range(repeats + 3):
                rows, behaviours = _request(scorer, rng, candidates, longest if repeat else 0)
                scores = {}
                for name, answers in (("onnx", exported), ("pytorch", scorer)):
                    start = time.perf_counter()
                    scores[name] = answers.score(rows, behaviours)
                    if repeat >= 3:
                        took[name].append(1000 * (time.perf_counter() - start))
                largest = max(largest, float(np.abs(scores["onnx"] - scores["pytorch"]).max()))
            milliseconds[str(candidates)] = {
                name: {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95, 99)}
                for name, values in took.items()
            }
    finally:
        torch.set_num_threads(threads)
    return {"largest_difference": largest, "history": longest, "milliseconds_by_candidates": milliseconds}


def _request(scorer: CTRScorer, rng: np.random.Generator, candidates: int, length: int) -> tuple[dict, dict]:
    """Rows of one user, and what he did, at random."""
    read = {field.name: field for field in scorer.facts.context if field.fixed is None}
    fields, items, now = scorer.facts.fields, np.array(scorer.items, dtype=object), scorer.facts.latest + 86_400.0
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
    if scorer.facts.needs.kind:
        kinds = np.array(list(scorer.facts.kinds), dtype=object)
        behaviours[fields.behaviour] = kinds[rng.integers(len(kinds), size=length)]
    return rows, behaviours


def _drawn(rng: np.random.Generator, field: FieldVocabulary, number: int) -> np.ndarray:
    """Values of a field of profile or context, at random."""
    if field.kind == "float":
        edges = np.concatenate([[0.0], *field.bins.edges])
        return rng.uniform(edges.min() - 1, edges.max() + 1, size=number)
    return field.tokens[rng.integers(len(field.tokens), size=number)]
