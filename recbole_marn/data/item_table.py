"""What each item looks like, by internal item id: codes, vectors, words, statistics, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.data.fingerprint import LookedUp, Widened, split_sha256
from recbole_marn.data.statistics import EqualFrequencyBins
from recbole_marn.data.vector_file import open_vectors
from recbole_marn.errors import InputError
from recbole_marn.settings.data import ModalitySettings

__all__ = [
    "IdTable", "ItemTable", "StatisticTable", "TextTable", "VectorTable", "read_vectors", "statistic_columns",
    "vectors_of_rows",
]  # fmt: skip

# Rows looked at in one go when a vector file is searched for NaN: 256 x 4,096 float32 is 4 MB.
CHECK_ROWS = 256


@dataclass(frozen=True)
class IdTable:
    """One modality of kind `id`.

    Attributes:
        codes: (n_items, sum of bags), 0 = missing; a list is filled up with zeros.
        cardinalities: how many codes each field has.
        sizes: width of each field's embedding.
        bags: columns of `codes` that each field takes: 1, or the longest list of it.
        fields: their names, where they are known.
        shared: the column of item ids where items have another code than their number, since rare ones share code 1 or
            those that training never saw have 0; None where each has its own.
        new: the code in that column of an item that training never saw.
    """

    codes: np.ndarray
    cardinalities: tuple[int, ...]
    sizes: tuple[int, ...]
    bags: tuple[int, ...]
    fields: tuple[str, ...] = ()
    shared: int | None = None
    new: int = 0

    def column_of(self, field: str) -> int | None:
        """The first column of a field's codes, or None where no such field is known."""
        return sum(self.bags[: self.fields.index(field)]) if field in self.fields else None


@dataclass(frozen=True)
class VectorTable:
    """One modality of kind `vector`: matrix (V, width) as stored, and the row of each item (n_items,), -1 = missing."""

    matrix: np.ndarray
    row: np.ndarray


@dataclass(frozen=True)
class TextTable:
    """One modality of kind `text`: words (n_items, T), 0 = no word, and frozen word vectors (V, w) or None."""

    words: np.ndarray
    vocabulary: int
    word_vectors: np.ndarray | None


@dataclass(frozen=True)
class StatisticTable:
    """One modality of kind `statistic`: the columns [start, stop) of the item table's codes, and each field's bins."""

    start: int
    stop: int
    cardinalities: tuple[int, ...]
    bins: tuple[EqualFrequencyBins, ...] = ()


@dataclass
class ItemTable:
    """All modalities of all items.

    Attributes:
        n_items: number of items including id 0, the padding.
        modalities: name -> table, in the order of the configuration.
        statistic: (n_items, C) codes of all statistics at the end of training; 0 = missing.
        dynamic_columns: columns of `statistic` that change over time.
        present: (n_items, M) whether the item has the modality; False throughout for the padding item.
    """

    n_items: int
    modalities: dict[str, IdTable | VectorTable | TextTable | StatisticTable]
    statistic: np.ndarray
    dynamic_columns: tuple[int, ...]
    present: np.ndarray
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of the modalities, in the order of the model."""
        return list(self.modalities)

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of what every item looks like, by number."""
        found = [{"statistic": Widened(self.statistic, np.int64), "present": self.present}]
        return split_sha256([*found, *map(_arrays_of, self.modalities.values())])


def _arrays_of(table: IdTable | VectorTable | TextTable | StatisticTable) -> dict[str, Any]:
    """What a modality has beside the statistics of `ItemTable`; vectors by item, wherever in their file they are."""
    if isinstance(table, IdTable):
        return {"codes": Widened(table.codes, np.int64)}
    if isinstance(table, VectorTable):
        return {"vectors": LookedUp(table.matrix, table.row[table.row >= 0])}
    if isinstance(table, TextTable):
        vectors = {} if table.word_vectors is None else {"word_vectors": table.word_vectors}
        return {"words": Widened(table.words, np.int64), **vectors}
    return {}


def statistic_columns(
    table: ItemTable, settings: Mapping[str, ModalitySettings]
) -> Iterator[tuple[str, int, int]]:
    """Each statistic and its columns [start, stop) of the item table's codes."""
    for name, modality in table.modalities.items():
        if isinstance(modality, StatisticTable):
            start = modality.start
            for field, bins in zip(settings[name].fields, modality.bins, strict=True):
                yield field, start, start + len(bins.edges)
                start += len(bins.edges)


def read_vectors(
    name: str, file: Path, ids_file: Path, token_id: Mapping[str, int], n_items: int
) -> tuple[VectorTable, str]:
    """Open a `.npy` of item vectors without loading it, and find each item's row.

    Args:
        name: the modality's name, for messages.
        file: (V, width) float16 or float32 array.
        ids_file: V lines, the item token of each row.
        token_id: item token -> internal id.
        n_items: number of internal ids including the padding.

    Returns:
        The table, and a note on how many items have no vector.

    Raises:
        InputError: missing or truncated file, not a matrix of floats, NaN or infinity, another number of ids than
            rows, a repeated id, or no item of the data set among the ids.
    """
    missing = "Prepare the data set with images, correct 'file', or leave the modality out with use_modalities."
    matrix = open_vectors(file, what=f"the vectors of modality '{name}'", missing=missing, mode="c")
    tokens = _read_ids(name, ids_file)
    if len(tokens) != len(matrix):
        raise InputError(
            f"as many ids as vectors for modality '{name}'",
            f"{len(tokens)} ids in {ids_file.name} and {len(matrix)} vectors in {file.name}",
            "Write both files anew from the same list of items.",
        )
    row = np.full(n_items, -1, dtype=np.int64)
    internal = np.fromiter((token_id.get(token, 0) for token in tokens), dtype=np.int64, count=len(tokens))
    row[internal[internal > 0]] = np.flatnonzero(internal > 0)
    without = int((row[1:] < 0).sum())
    if without == n_items - 1:
        raise InputError(
            f"ids of modality '{name}' that are items of this data set",
            f"none of {len(tokens)} ids known (first: {tokens[0] if tokens else 'none'!r})",
            "Use the item tokens of the .inter file, leading zeros included.",
        )
    _check_finite(name, file, matrix)
    return VectorTable(matrix, row), f"{name}: {without} of {n_items - 1} items have no vector and are masked"


def _read_ids(name: str, file: Path) -> list[str]:
    """The item token of each vector, in their order."""
    if not file.is_file():
        raise InputError(
            f"the ids of modality '{name}', one item token per line",
            f"no file {file}",
            "Put it beside the vectors, in their order.",
        )
    try:
        tokens = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"item tokens in UTF-8 in {file}", f"'{error}'", "Save it as UTF-8.") from None
    if tokens[-1] == "":  # what follows the last line end
        tokens.pop()
    if len(set(tokens)) != len(tokens):
        raise InputError(
            f"each id of modality '{name}' once",
            f"{len(tokens) - len(set(tokens))} repeated ids in {file.name}",
            "Keep one vector per item.",
        )
    return tokens


def vectors_of_rows(values: Sequence[np.ndarray], name: str) -> VectorTable:
    """A float_seq field of the item file, one array an item (entry 0 the padding), as a vector table.

    Raises:
        InputError: vectors of several widths, none at all, or numbers that are not finite.
    """
    widths = np.fromiter((len(value) for value in values), dtype=np.int64, count=len(values))
    found = np.unique(widths[widths > 0])
    if len(found) != 1:
        raise InputError(
            f"vectors of one width in field '{name}'", f"widths {found[:5].tolist()}", "Write every vector in full."
        )
    has = np.flatnonzero(widths > 0)
    matrix = np.stack([np.asarray(values[item], dtype=np.float32) for item in has])
    row = np.full(len(values), -1, dtype=np.int64)
    row[has] = np.arange(len(has))
    _check_finite(name, Path(name), matrix)
    return VectorTable(matrix, row)


def _check_finite(name: str, file: Path, matrix: np.ndarray) -> None:
    for start in range(0, len(matrix), CHECK_ROWS):
        finite = np.isfinite(matrix[start : start + CHECK_ROWS]).all(axis=1)
        if not finite.all():
            raise InputError(
                f"finite numbers in the vectors of modality '{name}'",
                f"NaN or infinity in row {start + int(np.argmin(finite))} of {file.name}",
                "Leave that item out: an item without a vector is masked.",
            )
