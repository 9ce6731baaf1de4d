"""What scoring needs of the data a model was trained on: items, vocabularies and bins, without users and events."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_marn.data.context_vocabulary import FieldVocabulary
from recbole_marn.data.fields import Fields
from recbole_marn.data.item_features import ItemFeatures
from recbole_marn.data.item_table import (
    IdTable,
    ItemTable,
    StatisticTable,
    TextTable,
    VectorTable,
    statistic_columns,
)
from recbole_marn.data.log_protocol import LogProtocol
from recbole_marn.data.part import Part
from recbole_marn.data.statistics import EqualFrequencyBins, GapBins
from recbole_marn.data.vector_file import open_vectors
from recbole_marn.errors import InputError
from recbole_marn.files import sha256
from recbole_marn.settings.data import token_fields

__all__ = ["Catalogue"]


@dataclass(frozen=True)
class Catalogue:
    """Items as a model sees them, and how further ones are put into the same codes.

    Attributes:
        fields: the names that rows and behaviours are known by.
        table: the item table, with statistics at the end of training; of a log with `statistics_until: row` at the
            end of the log.
        vocabularies: field -> its tokens by code, code 0 the padding: of items, of the fields of every `id` modality,
            of the words of every text, of behaviour types.
        gap: bins of the time from a behaviour to the row, or None.
        behaviour_cardinality: number of behaviour types, padding included; None where events have none.
        latest: the last moment of the rows that statistics are of.
        moving: statistics that change over time -> their value for an item that was never shown.
        context: profile and context of a log's rows.
    """

    fields: Fields
    table: ItemTable
    vocabularies: Mapping[str, np.ndarray]
    gap: GapBins | None
    behaviour_cardinality: int | None
    latest: float
    moving: Mapping[str, float]
    context: tuple[FieldVocabulary, ...] = ()

    @classmethod
    def of(cls, part: Part) -> Catalogue:
        """The catalogue of the data set that a part with item features was cut from."""
        source, protocol, kind = part.source, part.protocol, part.behaviour_settings.kind
        names = {source.iid_field} | token_fields(part.modality_settings.values())
        tokens = {name: source.field2id_token[name] for name in names}
        tokens |= {kind: source.behaviour_types} if kind else {}
        return cls(
            fields=Fields(source.uid_field, source.iid_field, source.time_field, kind),
            table=_at_the_end(part),
            vocabularies={name: np.asarray(tokens[name], dtype=str) for name in sorted(tokens)},
            gap=part.features.gap,
            behaviour_cardinality=part.behaviour_cardinality,
            latest=protocol.latest(),
            moving=_moving(part),
            context=protocol.context.vocabulary() if isinstance(protocol, LogProtocol) else (),
        )

    @property
    def n_items(self) -> int:
        """Number of items, the padding included."""
        return self.table.n_items

    @cached_property
    def codes(self) -> Mapping[str, Mapping[str, int]]:
        """field -> token -> code."""
        return {
            field: {token: code for code, token in enumerate(tokens.tolist()) if code}
            for field, tokens in self.vocabularies.items()
        }

    @property
    def features(self) -> ItemFeatures:
        """As a part has them; statistics stand still."""
        return ItemFeatures(self.table, None, self.gap)

    # --------------------------------------------------------------------------------------------- plain data
    def state(self, *, largest_copy: int) -> dict[str, Any]:
        """Plain data and tensors.

        Args:
            largest_copy: bytes of a modality's vectors up to which they are copied; of larger ones the path and the
                SHA-256 of the file are kept.
        """
        return {
            "fields": [self.fields.user, self.fields.item, self.fields.time, self.fields.behaviour],
            "n_items": self.n_items,
            "modalities": [
                [name, _state_of(table, largest_copy)] for name, table in self.table.modalities.items()
            ],
            "statistic": torch.from_numpy(self.table.statistic.astype(np.int32)),
            "present": torch.from_numpy(self.table.present),
            "vocabularies": {field: "\n".join(tokens.tolist()) for field, tokens in self.vocabularies.items()},
            "gap": None if self.gap is None else self.gap.bins.state(),
            "behaviour_cardinality": self.behaviour_cardinality,
            "latest": self.latest,
            "moving": dict(self.moving),
            "context": [field.state() for field in self.context],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], vectors: Mapping[str, Path]) -> Catalogue:
        """The catalogue that `state` was made of.

        Args:
            vectors: modality -> where its file now is, of modalities whose vectors were not copied.

        Raises:
            InputError: such a file is missing or is another one.
        """
        tables = {name: _table_from(name, table, vectors.get(name)) for name, table in state["modalities"]}
        statistic = state["statistic"].numpy().astype(np.int64)
        table = ItemTable(state["n_items"], tables, statistic, (), state["present"].numpy())
        return cls(
            fields=Fields(*state["fields"]),
            table=table,
            vocabularies={field: np.array(text.split("\n")) for field, text in state["vocabularies"].items()},
            gap=None if state["gap"] is None else GapBins(EqualFrequencyBins.from_state(state["gap"])),
            behaviour_cardinality=state["behaviour_cardinality"],
            latest=state["latest"],
            moving=state["moving"],
            context=tuple(FieldVocabulary.from_state(field) for field in state["context"]),
        )


def _at_the_end(part: Part) -> ItemTable:
    """The item table with the statistics that a row after the last of them sees."""
    table, known = part.item_table, part.features.in_evaluation
    if known is None:
        return table
    statistic = table.statistic.copy()
    every = np.arange(table.n_items)
    statistic[1:, list(known.columns)] = known.codes(every, np.full(len(every), np.inf))[1:]
    return dataclasses.replace(table, statistic=statistic)


def _moving(part: Part) -> dict[str, float]:
    """Statistics that change over time -> their value for an item that was never shown, as the padding is."""
    found: dict[str, float] = {}
    at_time = part.features.at_time
    for name, start, _ in statistic_columns(part.item_table, part.modality_settings):
        if at_time is not None and start in at_time.statistics:
            found[name] = float(at_time.statistics[start][0].snapshot()[0])
    return found


def _state_of(table: Any, largest_copy: int) -> dict[str, Any]:
    if isinstance(table, IdTable):
        return {
            "kind": "id",
            "codes": torch.from_numpy(table.codes.astype(np.int32)),
            "cardinalities": list(table.cardinalities),
            "sizes": list(table.sizes),
            "bags": list(table.bags),
            "shared": table.shared,
            "new": table.new,
        }
    if isinstance(table, VectorTable):
        return {"kind": "vector"} | _state_of_vectors(table, largest_copy)
    if isinstance(table, TextTable):
        return {
            "kind": "text",
            "words": torch.from_numpy(table.words.astype(np.int32)),
            "vocabulary": table.vocabulary,
            "word_vectors": None if table.word_vectors is None else torch.from_numpy(table.word_vectors),
        }
    return {
        "kind": "statistic",
        "start": table.start,
        "stop": table.stop,
        "cardinalities": list(table.cardinalities),
        "bins": [bins.state() for bins in table.bins],
    }


def _state_of_vectors(table: VectorTable, largest_copy: int) -> dict[str, Any]:
    """The items' vectors in the order of the items, or where they are."""
    matrix, has = table.matrix, table.row >= 0
    file = matrix.filename if isinstance(matrix, np.memmap) else None
    if file is not None and int(has.sum()) * matrix[:1].nbytes > largest_copy:
        row = torch.from_numpy(table.row.astype(np.int32))
        return {"matrix": None, "row": row, "file": str(file), "sha256": sha256(file)}
    row = np.where(has, np.cumsum(has) - 1, -1).astype(np.int32)
    return {"matrix": torch.from_numpy(np.array(matrix[table.row[has]])), "row": torch.from_numpy(row)}


def _table_from(name: str, state: Mapping[str, Any], file: Path | None) -> Any:
    kind = state["kind"]
    if kind == "id":
        codes = state["codes"].numpy().astype(np.int64)
        bags = state.get("bags", [1] * len(state["sizes"]))  # version 0.1.0 had no lists
        sizes, cardinalities = tuple(state["sizes"]), tuple(state["cardinalities"])
        shared, new = state.get("shared"), state.get("new", 0)
        return IdTable(codes, cardinalities, sizes, tuple(bags), shared=shared, new=new)
    if kind == "vector":
        row = state["row"].numpy().astype(np.int64)
        matrix = state["matrix"]
        return VectorTable(_same_vectors(name, state, file) if matrix is None else matrix.numpy(), row)
    if kind == "text":
        vectors = state["word_vectors"]
        words = state["words"].numpy().astype(np.int64)
        return TextTable(words, state["vocabulary"], None if vectors is None else vectors.numpy())
    bins = tuple(EqualFrequencyBins.from_state(bins) for bins in state["bins"])
    return StatisticTable(state["start"], state["stop"], tuple(state["cardinalities"]), bins)


def _same_vectors(name: str, state: Mapping[str, Any], file: Path | None) -> np.ndarray:
    file = Path(file or state["file"])
    missing = f"They were too many to be copied. Say where the file now is: vectors={{'{name}': FILE}}."
    matrix = open_vectors(file, what=f"the vectors of modality '{name}'", missing=missing, mode="c")
    if sha256(file) != state["sha256"]:
        raise InputError(
            f"the vectors of modality '{name}' that the model was trained with (SHA-256 {state['sha256'][:12]}...)",
            f"{file} with another content",
            "Take that file, or train again.",
        )
    return matrix
