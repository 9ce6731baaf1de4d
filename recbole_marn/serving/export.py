"""Writes what serving needs without PyTorch: item vectors, the user side as ONNX, vocabularies, bins, a manifest."""

from __future__ import annotations

import logging
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_marn import __version__
from recbole_marn.data.item_table import IdTable, StatisticTable, TextTable, VectorTable
from recbole_marn.files import sha256, write_json
from recbole_marn.files.folders import staged_folder
from recbole_marn.prepare.encoders import need
from recbole_marn.serving.answers import UNKNOWN
from recbole_marn.serving.dense import UserSide, user_side
from recbole_marn.serving.exported import CODES, FORMAT, IDS, MANIFEST, SCORER, VECTORS, ExportedScorer
from recbole_marn.serving.parity import latency_and_difference, of_test_part
from recbole_marn.serving.scorer import CTRScorer
from recbole_marn.training.prepared import Prepared

__all__ = ["export"]


def export(
    scorer: CTRScorer,
    folder: str | Path,
    *,
    checkpoint: str | Path | None = None,
    run: Prepared | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write an export, whole or not at all, and compare it with the model it is of.

    Args:
        scorer: items that were added are exported, too.
        folder: where to.
        checkpoint: what the scorer was loaded from, for the manifest.
        run: what `load_run` made of it, to score the test part by the export; None where the data are not there.
        overwrite: replace an export that is there.

    Returns:
        The manifest: files with SHA-256 and bytes, versions, and `parity`.

    Raises:
        InputError: a package is missing, the model's user side cannot be exported, or something is there.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        need(package, "serve", "exporting a model")
    side = user_side(scorer.model)
    with staged_folder(Path(folder), overwrite) as staging:
        _write_vectors(scorer, staging)
        write_json(staging / CODES, _codes(scorer))
        _write_scorer(scorer, side, staging / SCORER)
        files = {name: {"sha256": sha256(staging / name), "bytes": (staging / name).stat().st_size}
                 for name in (CODES, VECTORS, IDS, SCORER)}  # fmt: skip
        manifest = {
            "format": FORMAT,
            "model": scorer.facts.model,
            "checkpoint": None if checkpoint is None else {"file": str(checkpoint), "sha256": sha256(checkpoint)},
            "items": len(scorer.items),
            "width": scorer.model.vector_size,
            "files": files,
            "versions": {"recbole_marn": __version__}
            | {name: metadata.version(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")},
        }
        write_json(staging / MANIFEST, manifest)
        exported = ExportedScorer(staging)
        manifest["parity"] = latency_and_difference(scorer, exported)
        if run is not None:
            manifest["parity"]["test"] = of_test_part(exported, run, checkpoint)
        write_json(staging / MANIFEST, manifest)
    return manifest


def _write_vectors(scorer: CTRScorer, folder: Path) -> None:
    """Piece by piece: memory does not grow with the catalogue."""
    shape = (len(scorer.items), scorer.model.vector_size)
    matrix = np.lib.format.open_memmap(folder / VECTORS, mode="w+", dtype=np.float32, shape=shape)
    start = 0
    for number, piece in enumerate(scorer.vectors_in_pieces()):
        piece = piece[1:] if number == 0 else piece  # number 0 is the unknown item
        matrix[start : start + len(piece)] = piece
        start += len(piece)
    matrix.flush()
    (folder / IDS).write_text("".join(f"{item}\n" for item in scorer.items), encoding="utf-8")


def _codes(scorer: CTRScorer) -> dict[str, Any]:
    facts, catalogue = scorer.facts, scorer.catalogue
    kinds = catalogue.vocabularies[facts.fields.behaviour].tolist() if facts.needs.kind else []
    modalities: dict[str, Any] = {}
    for name, table in catalogue.table.modalities.items():
        modalities[name] = {"kind": KINDS[type(table)]}
        if isinstance(table, VectorTable):
            modalities[name]["width"] = table.matrix.shape[1]
        elif isinstance(table, StatisticTable):
            modalities[name]["bins"] = [bins.state() for bins in table.bins]
    return {
        "fields": vars(facts.fields),
        "needs": vars(facts.needs),
        "longest": facts.longest,
        "latest": facts.latest,
        "behaviour_types": kinds,
        "gap": None if facts.gap is None else facts.gap.bins.state(),
        "context": [field.state() for field in facts.context],
        "click_rates": scorer.click_rates.state(),
        "unknown_item": next(scorer.vectors_in_pieces(1))[UNKNOWN].tolist(),
        "modalities": modalities,
        "vocabularies": {
            name: tokens.tolist() for name, tokens in catalogue.vocabularies.items() if name != facts.fields.item
        },
    }


KINDS = {IdTable: "id", VectorTable: "vector", TextTable: "text", StatisticTable: "statistic"}


def _write_scorer(scorer: CTRScorer, side: UserSide, file: Path) -> None:
    """The user side through torch's exporter, with any number of requests, behaviours and candidates."""
    facts, width, gap = scorer.facts, scorer.model.vector_size, scorer.facts.gap
    requests, behaviours, candidates = 3, 5, 4  # of the example that is traced
    example = {
        "history": torch.randn(requests, behaviours, width),
        "length": torch.tensor([behaviours, 2, 0]),
        "candidate": torch.randn(requests, candidates, width),
    }
    request, behaviour = torch.export.Dim("requests"), torch.export.Dim("behaviours")
    shapes = {
        "history": {0: request, 1: behaviour},
        "length": {0: request},
        "candidate": {0: request, 1: torch.export.Dim("candidates")},
    }
    if facts.needs.kind:
        example["behaviour"] = torch.ones(requests, behaviours, dtype=torch.int64)
        shapes["behaviour"] = {0: request, 1: behaviour}
    if gap is not None:
        example["gap"] = torch.ones(requests, behaviours, len(gap.bins.edges), dtype=torch.int64)
        shapes["gap"] = {0: request, 1: behaviour}
    if facts.context:
        codes = sum(field.size for field in facts.context)
        example["context"] = torch.ones(requests, candidates, codes, dtype=torch.int64)
        shapes["context"] = shapes["candidate"]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own, on its own code
        program = torch.onnx.export(
            side, kwargs=example, dynamic_shapes=shapes, input_names=list(example), output_names=["probability"],
            dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    program.save(str(file), external_data=False)
