"""Items a model has never seen, put into the codes of those it has: what is known of them, and what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recbole_marn.data.catalogue import Catalogue, statistic_columns
from recbole_marn.data.item_table import IdTable, ItemTable, StatisticTable, TextTable, VectorTable
from recbole_marn.errors import InputError
from recbole_marn.prepare.titles import title_words
from recbole_marn.prepare.tokens import identifier, is_missing, number
from recbole_marn.settings.data import ModalitySettings

__all__ = ["Described", "counted_columns", "describe_items", "vector_modalities"]


@dataclass
class Described:
    """Items in a model's codes.

    Attributes:
        table: row r + 1 is item r of those given; row 0 is the padding.
        unknown: field -> values (words of a text) that training never saw, which count as missing.
        unreadable: field -> values that are no numbers, which count as missing.
        not_read: columns that the model has no use for.
    """

    table: ItemTable
    unknown: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    not_read: list[str] = field(default_factory=list)


def describe_items(
    items: Sequence[str],
    columns: Mapping[str, np.ndarray],
    vectors: Mapping[str, np.ndarray],
    catalogue: Catalogue,
    settings: Mapping[str, ModalitySettings],
) -> Described:
    """The item table of items, with the vocabularies and bins of training.

    An id that training never saw has code 0, whose embedding is zero: of such an item its content speaks; with
    `id_min_count` it has the embedding of rare items. What training
    counted of items (interactions, exposures, clicks) is that of an item which was never shown, unless a column says
    otherwise. A value that training never saw is missing, and so is a column that is not given.

    Args:
        items: n ids.
        columns: field -> n values.
        vectors: modality of kind `vector` -> (n, width) floats; a row of NaN is an item without one.
        settings: of the modalities.

    Raises:
        InputError: vectors of another width or number, or for a modality that the model does not have.
    """
    n = len(items)
    statistic = np.zeros((n + 1, catalogue.table.statistic.shape[1]), dtype=np.int64)
    present = np.zeros((n + 1, len(settings)), dtype=bool)
    table = ItemTable(n + 1, {}, statistic, (), present)
    described = Described(table)
    _check_vectors(vectors, catalogue, n)
    read = {catalogue.fields.item}
    for index, (name, modality) in enumerate(catalogue.table.modalities.items()):
        if isinstance(modality, IdTable):
            fields = list(settings[name].fields)
            read |= set(fields)
            given = {**columns, catalogue.fields.item: items}
            codes = np.stack([_codes(described, field, given.get(field), catalogue, n) for field in fields], axis=1)
            if (shared := modality.shared) is not None:  # an item that training never saw is a rare one
                known = codes[:, shared]
                codes[:, shared] = np.where(known > 0, modality.codes[known, shared], 1)
            table.modalities[name] = dataclasses.replace(modality, codes=_below_padding(codes))
            present[1:, index] = True
        elif isinstance(modality, VectorTable):
            table.modalities[name] = _vectors(vectors.get(name), modality.matrix, n)
            present[:, index] = table.modalities[name].row >= 0
        elif isinstance(modality, TextTable):
            text = settings[name].field
            read.add(text)
            words = _words(described, text, columns.get(text), catalogue.codes[text], settings[name].max_words, n)
            table.modalities[name] = TextTable(_below_padding(words), modality.vocabulary, modality.word_vectors)
            present[1:, index] = words.any(axis=1)
        else:
            read |= set(settings[name].fields)
            codes = _statistics(described, settings[name].fields, columns, modality, catalogue.moving, n)
            table.statistic[1:, modality.start : modality.stop] = codes
            table.modalities[name] = modality
            present[1:, index] = codes.any(axis=1)
    described.not_read = [name for name in columns if name not in read]
    return described


def vector_modalities(catalogue: Catalogue) -> list[str]:
    """Names of the modalities that are vectors."""
    return [name for name, table in catalogue.table.modalities.items() if isinstance(table, VectorTable)]


def counted_columns(
    catalogue: Catalogue, settings: Mapping[str, ModalitySettings], given: Collection[str]
) -> list[int]:
    """Columns of the statistics that training counted and that are not `given` anew."""
    return [
        column
        for name, start, stop in statistic_columns(catalogue.table, settings)
        if name in catalogue.moving and name not in given
        for column in range(start, stop)
    ]


def _below_padding(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(values[:1], shape=(1, values.shape[1])), values])


def _check_vectors(vectors: Mapping[str, np.ndarray], catalogue: Catalogue, n: int) -> None:
    tables = {name: table for name, table in catalogue.table.modalities.items() if isinstance(table, VectorTable)}
    for name, given in vectors.items():
        if name not in tables:
            raise InputError(
                f"vectors of a modality of the model ({', '.join(tables) or 'it reads none'})",
                repr(name),
                "Correct the name.",
            )
        width = tables[name].matrix.shape[1]
        if given.shape != (n, width):
            raise InputError(
                f"vectors of modality '{name}' of shape {(n, width)}",
                f"{given.shape}",
                "Give one vector an item, of the encoder that the training data came from.",
            )


def _codes(described: Described, name: str, values: Any, catalogue: Catalogue, n: int) -> np.ndarray:
    if values is None:
        return np.zeros(n, dtype=np.int64)
    known = catalogue.codes[name]
    tokens = ["" if is_missing(v) else v if isinstance(v, str) else identifier(v) for v in values]
    codes = np.array([known.get(token, 0) for token in tokens], dtype=np.int64)
    if name != catalogue.fields.item:
        _count(described.unknown, name, sum(bool(token) for token in tokens) - int((codes > 0).sum()))
    return codes


def _count(where: dict[str, int], name: str, number: int) -> None:
    if number:
        where[name] = where.get(name, 0) + number


def _words(described: Described, name: str, values: Any, known: Mapping[str, int], longest: int, n: int) -> np.ndarray:
    """(n, T) codes of words; a word is looked up as it stands, then as `prepare` spells words."""
    found: list[list[int]] = [[] for _ in range(n)]
    for item, value in enumerate([] if values is None else values):
        if is_missing(value):
            continue
        for word in value if isinstance(value, (list, tuple, np.ndarray)) else str(value).split():
            spelled = [word] if word in known else title_words(str(word))[0].split()
            codes = [known[part] for part in spelled if part in known]
            _count(described.unknown, name, len(spelled) - len(codes))
            found[item] += codes
    width = max(1, min(longest, max(map(len, found), default=1)))
    words = np.zeros((n, width), dtype=np.int64)
    for item, codes in enumerate(found):
        words[item, : len(codes[:width])] = codes[:width]
    return words


def _vectors(given: np.ndarray | None, like: np.ndarray, n: int) -> VectorTable:
    if given is None or n == 0:
        return VectorTable(np.zeros((1, like.shape[1]), dtype=like.dtype), np.full(n + 1, -1, dtype=np.int64))
    has = np.isfinite(given).all(axis=1)
    matrix = given[has].astype(like.dtype) if has.any() else np.zeros((1, like.shape[1]), dtype=like.dtype)
    return VectorTable(matrix, np.concatenate([[-1], np.where(has, np.cumsum(has) - 1, -1)]))


def _statistics(
    described: Described,
    fields: Sequence[str],
    columns: Mapping[str, np.ndarray],
    table: StatisticTable,
    never_shown: Mapping[str, float],
    n: int,
) -> np.ndarray:
    codes = []
    for name, bins in zip(fields, table.bins, strict=True):
        given = columns.get(name)
        if given is None:
            values = np.full(n, never_shown.get(name, np.nan))
        else:
            read = [number(value) for value in given]
            missing = sum(is_missing(value) for value in given)
            _count(described.unreadable, name, sum(value is None for value in read) - missing)
            values = np.array([np.nan if value is None else value for value in read], dtype=np.float64)
        codes.append(bins.assign(values))
    return np.concatenate(codes, axis=1)
