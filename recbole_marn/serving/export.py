"""Writes what serving needs without PyTorch: item vectors, the user side as ONNX, vocabularies, bins, a manifest."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn import __version__
from recbole_marn.evaluation.record import sealed_text
from recbole_marn.files import sha256, write_json, write_text
from recbole_marn.files.folders import staged_folder
from recbole_marn.prepare.encoders import need
from recbole_marn.serving.export_items import shown_fields, tower_difference, write_items
from recbole_marn.serving.exported import CODES, FORMAT, IDS, MANIFEST, SCORER, TOWER, VECTORS, ExportedScorer
from recbole_marn.serving.exported_items import ItemTower, item_codes_state
from recbole_marn.serving.parity import latency_and_difference, of_test_part, recall_of_short_lists
from recbole_marn.serving.scorer import CTRScorer
from recbole_marn.serving.scores import UNKNOWN
from recbole_marn.serving.user_graph import write_user_side
from recbole_marn.serving.user_sides import user_side
from recbole_marn.training.prepared import Prepared

__all__ = ["export", "write_vectors"]


def export(
    scorer: CTRScorer,
    folder: str | Path,
    *,
    checkpoint: str | Path | None = None,
    run: Prepared | None = None,
    overwrite: bool = False,
    why: bool = True,
) -> dict[str, Any]:
    """Write an export, whole or not at all, and compare it with the model it is of.

    Args:
        scorer: items that were added are exported, too.
        folder: where to.
        checkpoint: what the scorer was loaded from, for the manifest.
        run: what `load_run` made of it, to score the test part by the export; None where the data are not there.
        overwrite: replace an export that is there.
        why: with what tells which modality did what for a score: the vector of each item without each modality.

    Returns:
        The manifest: files with SHA-256 and bytes, versions, and `parity`.

    Raises:
        InputError: a package is missing, the model's user side cannot be exported, or something is there.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        need(package, "serve", "exporting a model")
    side = user_side(scorer.model)
    with staged_folder(Path(folder), overwrite, MANIFEST) as staging:
        write_vectors(scorer, staging)
        write_json(staging / CODES, _codes(scorer))
        write_user_side(side, scorer.facts, scorer.model.vector_size, staging / SCORER)
        written = [CODES, VECTORS, IDS, SCORER, *write_items(scorer, staging, why=why)]
        files = {name: {"sha256": sha256(staging / name), "bytes": (staging / name).stat().st_size}
                 for name in written}  # fmt: skip
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
        write_text(staging / MANIFEST, sealed_text(manifest))
        exported = ExportedScorer(staging)
        manifest["parity"] = latency_and_difference(scorer, exported)
        if TOWER in files:
            manifest["parity"]["tower"] = tower_difference(scorer, ItemTower(staging, exported))
        if run is not None:
            manifest["parity"]["test"] = of_test_part(exported, run, checkpoint)
            manifest["parity"]["retrieval"] = recall_of_short_lists(exported, run.test.part)
        write_text(staging / MANIFEST, sealed_text(manifest))
    return manifest


def write_vectors(scorer: CTRScorer, folder: Path) -> None:
    """Piece by piece: memory does not grow with the catalogue."""
    shape = (len(scorer.items), scorer.model.vector_size)
    with open(folder / VECTORS, "wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for number, piece in enumerate(scorer.vectors_in_pieces()):
            piece = piece[1:] if number == 0 else piece  # number 0 is the unknown item
            file.write(np.ascontiguousarray(piece, dtype=np.float32).data)
    with open(folder / IDS, "w", encoding="utf-8") as file:
        file.writelines(f"{item}\n" for item in scorer.items)


def _codes(scorer: CTRScorer) -> dict[str, Any]:
    facts, catalogue = scorer.facts, scorer.catalogue
    kinds = catalogue.vocabularies[facts.fields.behaviour].tolist() if facts.needs.typed else []
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
        "shown": shown_fields(scorer),
        "vocabularies": {
            name: tokens.tolist() for name, tokens in catalogue.vocabularies.items() if name != facts.fields.item
        },
    } | item_codes_state(scorer.item_codes)
