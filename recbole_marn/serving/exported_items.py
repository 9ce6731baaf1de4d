"""New items by an export: the item tower as ONNX, and the codes of training as plain data."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recbole_marn.data.item_table import IdTable, ItemTable, StatisticTable, TextTable, VectorTable
from recbole_marn.data.statistics import EqualFrequencyBins
from recbole_marn.errors import InputError, entries_of
from recbole_marn.serving.exported import CODES, EXPORT_AGAIN, STATISTICS, TOWER, ExportedScorer
from recbole_marn.serving.new_items import Described, ItemCodes, describe_items
from recbole_marn.serving.onnx_session import open_graph
from recbole_marn.settings.data import parse_modality

__all__ = ["Encoded", "ItemTower", "item_codes_state", "tower_inputs"]

PRESENT = "present"


class Encoded(NamedTuple):
    """Items by the tower.

    Attributes:
        vectors: (n, D) float32.
        without: (n, M, D) float32, their vectors if they lacked the m-th modality; NaN where they lack it anyway.
        described: what became of what was told of them.
    """

    vectors: np.ndarray
    without: np.ndarray
    described: Described


class ItemTower:
    """Makes vectors of items from their content, as the model did.

    Args:
        folder: an export that `scorer` has checked.
        scorer: the export's.
    """

    def __init__(self, folder: Path, scorer: ExportedScorer):
        state = json.loads((folder / CODES).read_text(encoding="utf-8"))
        statistics = np.load(folder / STATISTICS, mmap_mode="r", allow_pickle=False)
        with entries_of(f"{folder / CODES}", EXPORT_AGAIN):
            self.codes = _item_codes(state, scorer, statistics)
        self._session = open_graph(folder / TOWER)
        self._widths = {entry.name: entry.shape[1] for entry in self._session.get_inputs()}

    @property
    def modalities(self) -> list[str]:
        """Their names."""
        return self.codes.table.names

    def encode(
        self, items: Sequence[str], fields: Mapping[str, Sequence[Any]], vectors: Mapping[str, Sequence[Any]]
    ) -> Encoded:
        """Vectors of items.

        Args:
            items: n ids.
            fields: column -> n values.
            vectors: modality -> n lists of numbers, None for an item without one.

        Raises:
            InputError: vectors of another width, or of no modality of the model.
        """
        columns = {}
        for name, values in fields.items():
            columns[name] = np.empty(len(items), dtype=object)
            columns[name][:] = values
        matrices = {name: self._matrix(name, values) for name, values in vectors.items()}
        described = describe_items(items, columns, matrices, self.codes)
        given = tower_inputs(described.table, np.arange(1, len(items) + 1), self._widths)
        whole = self._run(given)
        without = np.full((len(items), len(self.modalities), whole.shape[1]), np.nan, dtype=np.float32)
        for index in range(len(self.modalities)):
            present = given[PRESENT].copy()
            present[:, index] = False
            has = given[PRESENT][:, index]
            without[has, index] = self._run(given | {PRESENT: present})[has]
        return Encoded(whole, without, described)

    def of_table(self, table: ItemTable, rows: np.ndarray) -> np.ndarray:
        """(n, D) vectors of rows of an item table of the same codes."""
        return self._run(tower_inputs(table, rows, self._widths))

    def _matrix(self, name: str, values: Sequence[Any]) -> np.ndarray:
        table = self.codes.table.modalities.get(name)
        if not isinstance(table, VectorTable):
            return np.zeros((len(values), 0), dtype=np.float32)  # `describe_items` says what is wrong
        width = table.matrix.shape[1]
        matrix = np.full((len(values), width), np.nan)
        for row, numbers in enumerate(values):
            if numbers is not None and len(numbers) != width:
                raise InputError(
                    f"{width} numbers in a vector of modality '{name}'", f"{len(numbers)}",
                    "Give vectors of the encoder that the training data came from.",
                )  # fmt: skip
            matrix[row] = np.nan if numbers is None else numbers
        return matrix

    def _run(self, given: Mapping[str, np.ndarray]) -> np.ndarray:
        return self._session.run(None, {name: given[name] for name in self._widths})[0]


def tower_inputs(table: ItemTable, rows: np.ndarray, widths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """What the tower takes of rows of an item table.

    Args:
        widths: how many words each text is padded to, by `content.<modality>`; other entries are not read.
    """
    present = np.zeros((len(rows), len(table.modalities)), dtype=bool)
    given: dict[str, np.ndarray] = {PRESENT: present}
    for index, (name, modality) in enumerate(table.modalities.items()):
        present[:, index] = table.present[rows, index]
        if isinstance(modality, IdTable):
            values = modality.codes[rows]
        elif isinstance(modality, VectorTable):
            row = modality.row[rows]
            values = np.asarray(modality.matrix[row.clip(min=0)], dtype=np.float32)
            values[row < 0] = 0.0
        elif isinstance(modality, TextTable):
            words = modality.words[rows]
            values = np.zeros((len(rows), widths[f"content.{name}"]), dtype=np.int64)
            values[:, : words.shape[1]] = words
        else:
            values = table.statistic[rows, modality.start : modality.stop]
            present[:, index] = values.any(axis=1)  # of the moment, as the models see it
        given[f"content.{name}"] = values
    return given


# ------------------------------------------------------------------------------------------------- plain data
def item_codes_state(known: ItemCodes) -> dict[str, Any]:
    """Plain data of the codes of training, without its items and vocabularies."""
    modalities = {}
    for name, table in known.table.modalities.items():
        state: dict[str, Any] = {"settings": dataclasses.asdict(known.settings[name])}
        if isinstance(table, IdTable):
            state |= {
                "cardinalities": list(table.cardinalities), "sizes": list(table.sizes), "bags": list(table.bags),
                "shared": table.shared, "new": table.new,
                "codes": None if table.shared is None else table.codes[:, table.shared].tolist(),
            }  # fmt: skip
        elif isinstance(table, VectorTable):
            state |= {"width": table.matrix.shape[1], "numbers": table.matrix.dtype.name}
        elif isinstance(table, TextTable):
            state |= {"vocabulary": table.vocabulary}
        else:
            state |= {
                "start": table.start, "stop": table.stop, "cardinalities": list(table.cardinalities),
                "bins": [bins.state() for bins in table.bins],
            }  # fmt: skip
        modalities[name] = state
    never_shown = {name: None if math.isnan(value) else value for name, value in known.never_shown.items()}
    return {"items_of_training": known.table.n_items - 1, "modalities": modalities, "never_shown": never_shown}


def _item_codes(state: Mapping[str, Any], scorer: ExportedScorer, statistics: np.ndarray) -> ItemCodes:
    field = scorer.facts.fields.item
    modalities = {name: _table(entry) for name, entry in state["modalities"].items()}
    known = scorer.items[: state["items_of_training"]]
    codes = {
        name: {token: code for code, token in enumerate(tokens) if code}
        for name, tokens in state["vocabularies"].items()
    }
    codes[field] = {token: code for code, token in enumerate(known, start=1)}
    present = np.zeros((0, len(modalities)), dtype=bool)
    settings = {name: parse_modality(name, entry["settings"]) for name, entry in state["modalities"].items()}
    return ItemCodes(
        field, ItemTable(len(known) + 1, modalities, statistics, (), present), codes,
        {name: math.nan if value is None else value for name, value in state["never_shown"].items()}, settings,
    )  # fmt: skip


def _table(state: Mapping[str, Any]) -> IdTable | VectorTable | TextTable | StatisticTable:
    """A modality without items."""
    nothing = np.zeros((0, 0), dtype=np.int64)
    kind = state["settings"]["kind"]
    if kind == "id":
        table = IdTable(nothing, tuple(state["cardinalities"]), tuple(state["sizes"]), tuple(state["bags"]))
        if state.get("shared") is None:
            return table
        codes = np.zeros((len(state["codes"]), sum(table.bags)), dtype=np.int64)
        codes[:, state["shared"]] = state["codes"]
        return dataclasses.replace(table, codes=codes, shared=state["shared"], new=state["new"])
    if kind == "vector":
        return VectorTable(np.zeros((0, state["width"]), dtype=state["numbers"]), np.zeros(0, dtype=np.int64))
    if kind == "text":
        return TextTable(nothing, state["vocabulary"], None)
    bins = tuple(EqualFrequencyBins.from_state(one) for one in state["bins"])
    return StatisticTable(state["start"], state["stop"], tuple(state["cardinalities"]), bins)
