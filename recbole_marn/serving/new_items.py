"""Items a model has never seen, put into the codes of those it has: what is known of them, and what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recbole_marn.data.item_table import (
    IdTable,
    ItemTable,
    StatisticTable,
    TextTable,
    VectorTable,
    statistic_columns,
)
from recbole_marn.errors import InputError
from recbole_marn.prepare.titles import title_words
from recbole_marn.prepare.tokens import identifier, is_missing, number
from recbole_marn.settings.data import ModalitySettings
from recbole_marn.settings.parsing import nearest

__all__ = ["Described", "ItemCodes", "ItemsAdded", "describe_items"]


@dataclass(frozen=True)
class ItemCodes:
    """How items were put into codes in training.

    Attributes:
        field: the column of their ids.
        table: of the items that training saw; of a modality nothing but its kind, widths and bins is read.
        codes: field -> token -> code.
        never_shown: statistics that change over time -> their value for an item that was never shown.
        settings: of the modalities.
    """

    field: str
    table: ItemTable
    codes: Mapping[str, Mapping[str, int]]
    never_shown: Mapping[str, float]
    settings: Mapping[str, ModalitySettings]

    @property
    def vector_modalities(self) -> list[str]:
        """Names of the modalities that are vectors."""
        return [name for name, table in self.table.modalities.items() if isinstance(table, VectorTable)]


@dataclass(frozen=True)
class ItemsAdded:
    """What became of items that were added.

    Attributes:
        added: how many were new.
        replaced: how many took the place of known ones.
        unknown: field -> values or words that training never saw; they count as missing.
        unreadable: field -> values that are no numbers; they count as missing.
        without: modality -> items that have nothing of it.
        not_read: columns that the model has no use for.
    """

    added: int
    replaced: int
    unknown: dict[str, int]
    unreadable: dict[str, int]
    without: dict[str, int]
    not_read: list[str]


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

    def told(self, new: int) -> ItemsAdded:
        """What to say of it; `new`: how many of the items nobody knew."""
        n = self.table.n_items - 1
        without = {name: n - int(self.table.present[1:, index].sum()) for index, name in enumerate(self.table.names)}
        return ItemsAdded(
            new, n - new, self.unknown, self.unreadable,
            {name: missing for name, missing in without.items() if missing}, self.not_read,
        )  # fmt: skip


def describe_items(
    items: Sequence[str],
    columns: Mapping[str, np.ndarray],
    vectors: Mapping[str, np.ndarray],
    known: ItemCodes,
) -> Described:
    """The item table of items, with the vocabularies and bins of training.

    An id that training never saw has code 0, whose embedding is zero: of such an item its content speaks; with
    `id_min_count` it has the embedding of rare items. What training counted (interactions, exposures, clicks) a known
    item keeps, and another has that of an item which was never shown, unless a column says what it is by now. A value
    that training never saw is missing, and so is a column that is not given.

    Args:
        items: n ids.
        columns: field -> n values.
        vectors: modality of kind `vector` -> (n, width) floats; a row of NaN is an item without one.
        known: codes of training.

    Raises:
        InputError: vectors of another width or number, or for a modality that the model does not have.
    """
    n, settings = len(items), known.settings
    statistic = np.zeros((n + 1, known.table.statistic.shape[1]), dtype=np.int64)
    present = np.zeros((n + 1, len(known.table.modalities)), dtype=bool)
    table = ItemTable(n + 1, {}, statistic, (), present)
    described = Described(table)
    _check_vectors(vectors, known, n)
    read = {known.field}
    for index, (name, modality) in enumerate(known.table.modalities.items()):
        if isinstance(modality, IdTable):
            fields = list(settings[name].fields)
            read |= set(fields)
            given = {**columns, known.field: items}
            codes = np.concatenate(
                [
                    _codes(described, field, given.get(field), known, n, bag)
                    for field, bag in zip(fields, modality.bags, strict=True)
                ],
                axis=1,
            )
            if modality.shared is not None:
                number = codes[:, modality.shared]
                codes[:, modality.shared] = np.where(
                    number > 0, modality.codes[number, modality.shared], modality.new
                )
            table.modalities[name] = dataclasses.replace(modality, codes=_below_padding(codes))
            present[1:, index] = True
        elif isinstance(modality, VectorTable):
            table.modalities[name] = _vectors(vectors.get(name), modality.matrix, n)
            present[:, index] = table.modalities[name].row >= 0
        elif isinstance(modality, TextTable):
            text = settings[name].field
            read.add(text)
            words = _words(described, text, columns.get(text), known.codes[text], settings[name].max_words, n)
            table.modalities[name] = TextTable(_below_padding(words), modality.vocabulary, modality.word_vectors)
            present[1:, index] = words.any(axis=1)
        else:
            read |= set(settings[name].fields)
            table.modalities[name] = modality
            own = slice(modality.start, modality.stop)
            statistic[1:, own] = _statistics(
                described, settings[name].fields, columns, modality, known.never_shown, n
            )
            _keep_counts(table, items, known, given=columns)
            present[1:, index] = statistic[1:, own].any(axis=1)
    described.not_read = [name for name in columns if name not in read]
    return described


def _keep_counts(table: ItemTable, items: Sequence[str], known: ItemCodes, given: Collection[str]) -> None:
    codes = known.codes[known.field]
    rows = np.array([row for row, item in enumerate(items, start=1) if item in codes], dtype=np.int64)
    of_training = np.array([codes[items[row - 1]] for row in rows], dtype=np.int64)
    for name, start, stop in statistic_columns(table, known.settings):
        if name in known.never_shown and name not in given:
            table.statistic[rows, start:stop] = known.table.statistic[of_training, start:stop]


def _below_padding(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(values[:1], shape=(1, values.shape[1])), values])


def _check_vectors(vectors: Mapping[str, np.ndarray], known: ItemCodes, n: int) -> None:
    tables = {name: table for name, table in known.table.modalities.items() if isinstance(table, VectorTable)}
    for name, given in vectors.items():
        if name not in tables:
            raise InputError(
                f"vectors of a modality of the model ({', '.join(tables) or 'it reads none'})",
                repr(name),
                f"Name one of them.{nearest(name, tables)}",
            )
        width = tables[name].matrix.shape[1]
        if given.shape != (n, width):
            raise InputError(
                f"vectors of modality '{name}' of shape {(n, width)}",
                f"{given.shape}",
                "Give one vector per item, of the encoder that the training data came from.",
            )


def _codes(described: Described, name: str, values: Any, known: ItemCodes, n: int, bag: int) -> np.ndarray:
    """(n, bag) codes; where training has lists, those of the first `bag` entries that it knows."""
    codes, of_tokens = np.zeros((n, bag), dtype=np.int64), known.codes[name]
    for item, value in enumerate([] if values is None else values):
        tokens = _entries(value, bag > 1)
        found = [of_tokens[token] for token in tokens if token in of_tokens]
        if name != known.field:
            _count(described.unknown, name, len(tokens) - len(found))
        codes[item, : len(found[:bag])] = found[:bag]
    return codes


def _entries(value: Any, is_list: bool) -> list[str]:
    """The tokens of a cell; those of a list may stand between blanks, as in an atomic file."""
    if is_missing(value):
        return []
    if isinstance(value, (list, tuple, np.ndarray)):
        entries = list(value)
    else:
        entries = value.split() if is_list and isinstance(value, str) else [value]
    return [entry if isinstance(entry, str) else identifier(entry) for entry in entries if not is_missing(entry)]


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
