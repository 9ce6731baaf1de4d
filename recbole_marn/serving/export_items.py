"""Writes what an export knows of items beside their vectors: the tower, what explains a score, what people see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_marn.data.item_table import IdTable, TextTable
from recbole_marn.layers.normalisation import ModalityWhitening
from recbole_marn.serving.exported import SHOWN, STATISTICS, TOWER, WITHOUT
from recbole_marn.serving.exported_items import ItemTower, tower_inputs
from recbole_marn.serving.item_tower import ItemSide, side_inputs, text_widths, vectors_without_modalities
from recbole_marn.serving.onnx_files import write_onnx
from recbole_marn.serving.scorer import CTRScorer

__all__ = ["shown_fields", "tower_difference", "write_items"]

COMPARED = 256  # items whose vectors by the tower are compared with those of the model


def write_items(scorer: CTRScorer, folder: Path, *, why: bool) -> list[str]:
    """Write the files and return their names.

    Args:
        why: with the vectors of items without each modality, M times as many numbers as their vectors.
    """
    _write_shown(scorer, folder / SHOWN)
    names = [SHOWN]
    if why:
        _write_without(scorer, folder / WITHOUT)
        names.append(WITHOUT)
    # A norm that solves equations has no operator in ONNX: such a study switch can be scored, and takes no new items.
    if not any(isinstance(module, ModalityWhitening) for module in scorer.model.modules()):
        np.save(folder / STATISTICS, scorer.catalogue.table.statistic.astype(np.int32))
        _write_tower(scorer, folder / TOWER)
        names += [STATISTICS, TOWER]
    return names


def _write_tower(scorer: CTRScorer, file: Path) -> None:
    example = tower_inputs(scorer.catalogue.table, np.zeros(3, dtype=np.int64), text_widths(scorer))
    present, content = side_inputs(example)
    items = torch.export.Dim("items")
    write_onnx(
        ItemSide(scorer.model),
        {"present": present, "content": content},
        {"present": {0: items}, "content": {name: {0: items} for name in content}},
        [*example],
        "vector",
        file,
    )


def tower_difference(scorer: CTRScorer, tower: ItemTower) -> float:
    """Largest difference between vectors of items of training by the tower and by the model."""
    known = [number for number in range(1, scorer.catalogue.n_items) if number not in scorer.described]
    rows = np.array(known[:: max(1, len(known) // COMPARED)], dtype=np.int64)
    expected = scorer.item_vectors([scorer.items[row - 1] for row in rows])
    return float(np.abs(tower.of_table(scorer.catalogue.table, rows) - expected).max(initial=0.0))


def _write_without(scorer: CTRScorer, file: Path) -> None:
    """Piece by piece, in half precision: enough for a difference that people look at."""
    shape = (len(scorer.items), len(scorer.model.encoder.names) * scorer.model.vector_size)
    matrix = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
    start = -1  # number 0 is no item
    for piece in vectors_without_modalities(scorer):
        rows = piece.reshape(len(piece), -1)
        matrix[max(0, start) : start + len(rows)] = rows[max(0, -start) :]
        start += len(rows)
    matrix.flush()


def shown_fields(scorer: CTRScorer) -> dict[str, Any]:
    """The field that is an item's title, and the further ones that say something of it."""
    texts, ids = [], []
    for name, table in scorer.catalogue.table.modalities.items():
        if isinstance(table, TextTable):
            texts.append(scorer.item_codes.settings[name].field)
        elif isinstance(table, IdTable):
            ids += [field for field in scorer.item_codes.settings[name].fields if field != scorer.facts.fields.item]
    return {"title": texts[0] if texts else "", "about": [*texts[1:], *ids]}


def _write_shown(scorer: CTRScorer, file: Path) -> None:
    """One JSON object an item; of items that were added nothing is kept."""
    fields, table = shown_fields(scorer), scorer.catalogue.table
    codes: dict[str, np.ndarray] = {}  # field -> (n_items, words or longest list)
    for name, modality in table.modalities.items():
        if isinstance(modality, TextTable):
            codes[scorer.item_codes.settings[name].field] = modality.words
        elif isinstance(modality, IdTable):
            fields_of = scorer.item_codes.settings[name].fields
            pieces = np.split(modality.codes, np.cumsum(modality.bags)[:-1], axis=1)
            codes.update(zip(fields_of, pieces, strict=True))
    tokens = {field: scorer.catalogue.vocabularies[field] for field in codes}

    def text(field: str, number: int) -> str:
        return " ".join(tokens[field][code] for code in codes[field][number] if code)

    with open(file, "w", encoding="utf-8") as lines:
        for number in range(1, len(scorer.items) + 1):
            known = number < scorer.catalogue.n_items and number not in scorer.described
            entry = {
                "title": text(fields["title"], number) if known and fields["title"] else "",
                "about": {field: text(field, number) for field in fields["about"]} if known else {},
            }
            lines.write(json.dumps(entry) + "\n")
