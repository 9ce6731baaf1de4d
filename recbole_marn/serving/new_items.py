"""Items a model has never seen, put into the codes of those it has: what is known of them, and what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence
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
from recbole_marn.prepare.fields import entries, list_of_numbers, listed
from recbole_marn.prepare.titles import title_words
from recbole_marn.prepare.tokens import clean, identifier, is_missing
from recbole_marn.serving.numbers import no_rates_left_out, read_numbers
from recbole_marn.settings.data import ModalitySettings
from recbole_marn.settings.logs import RATES
from recbole_marn.settings.parsing import nearest

__all__ = ["Described", "ItemCodes", "ItemsAdded", "describe_items"]

LARGEST = float(np.finfo(np.float32).max)  # of a number in a vector


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
        unreadable: field -> values that are no numbers, lists of them of another length than training's, rates that
            are not between 0 and 1, and prices of 0 or less; they count as missing.
        without: modality -> items that have nothing of it.
        not_read: columns that the model has no use for.
        not_given: columns that the model reads and that are not there: every item lacks what they say.
    """

    added: int
    replaced: int
    unknown: dict[str, int]
    unreadable: dict[str, int]
    without: dict[str, int]
    not_read: list[str]
    not_given: list[str]


@dataclass
class Described:
    """Items in a model's codes.

    Attributes:
        table: row r + 1 is item r of those given; row 0 is the padding.
        unknown: field -> values (words of a text) that training never saw, which count as missing.
        unreadable: field -> values that are none and count as missing, see `ItemsAdded`.
        not_read: columns that the model has no use for.
        not_given: columns that the model reads and that are not there.
    """

    table: ItemTable
    unknown: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    not_read: list[str] = field(default_factory=list)
    not_given: list[str] = field(default_factory=list)

    def told(self, new: int) -> ItemsAdded:
        """What to say of it; `new`: how many of the items nobody knew."""
        n = self.table.n_items - 1
        without = {name: n - int(self.table.present[1:, index].sum()) for index, name in enumerate(self.table.names)}
        return ItemsAdded(
            new, n - new, self.unknown, self.unreadable,
            {name: missing for name, missing in without.items() if missing}, self.not_read, self.not_given,
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
        InputError: vectors of another width or number, with numbers out of the range of training's, or for a modality
            that the model does not have.
    """
    _check_vectors(vectors, known, len(items))
    return _Describing(items, columns, known).described(vectors)


class _Describing:
    """Puts items into the codes of training, one modality after another, and counts what these do not know."""

    def __init__(self, items: Sequence[str], columns: Mapping[str, np.ndarray], known: ItemCodes):
        self.items, self.columns, self.known = items, {**columns, known.field: items}, known
        self.n = len(items)
        self.unknown: dict[str, int] = {}
        self.unreadable: dict[str, int] = {}
        self.says: dict[str, np.ndarray] = {}  # what training counted -> of which items a value by now is given

    def described(self, vectors: Mapping[str, np.ndarray]) -> Described:
        known, n = self.known, self.n
        statistic = np.zeros((n + 1, known.table.statistic.shape[1]), dtype=np.int64)
        present = np.zeros((n + 1, len(known.table.modalities)), dtype=bool)
        tables: dict[str, Any] = {}
        read = {known.field}
        for index, (name, of_training) in enumerate(known.table.modalities.items()):
            settings = known.settings[name]
            if isinstance(of_training, IdTable):
                read |= set(settings.fields)
                tables[name] = self._ids(list(settings.fields), of_training)
                present[1:, index] = True
            elif isinstance(of_training, VectorTable):
                given = vectors.get(name)
                if given is None and settings.field in self.columns:
                    read.add(settings.field)
                    given = self._numbers(settings.field, of_training.matrix.shape[1])
                tables[name] = _vectors(given, of_training.matrix, n)
                present[:, index] = tables[name].row >= 0
            elif isinstance(of_training, TextTable):
                read.add(settings.field)
                words = self._words(settings.field, settings.max_words)
                tables[name] = dataclasses.replace(of_training, words=_below_padding(words))
                present[1:, index] = words.any(axis=1)
            else:
                read |= set(settings.fields)
                own = slice(of_training.start, of_training.stop)
                tables[name] = of_training
                statistic[1:, own] = self._statistics(settings.fields, of_training)
        table = ItemTable(n + 1, tables, statistic, (), present)
        self._keep_counts(table)
        for index, of_items in enumerate(tables.values()):
            if isinstance(of_items, StatisticTable):
                present[1:, index] = statistic[1:, of_items.start : of_items.stop].any(axis=1)
        not_read = [name for name in self.columns if name not in read]
        not_given = sorted(read - self.columns.keys() - known.never_shown.keys())
        return Described(table, self.unknown, self.unreadable, not_read, not_given)

    def _ids(self, fields: Sequence[str], table: IdTable) -> IdTable:
        codes = np.concatenate([self._codes(*of_field) for of_field in zip(fields, table.bags, strict=True)], axis=1)
        if (shared := table.shared) is not None:
            item = codes[:, shared]
            codes[:, shared] = np.where(item > 0, table.codes[item, shared], table.new)
        return dataclasses.replace(table, codes=_below_padding(codes))

    def _codes(self, name: str, bag: int) -> np.ndarray:
        """(n, bag) codes; where training has lists, those of the first `bag` entries that it knows."""
        codes, of_tokens = np.zeros((self.n, bag), dtype=np.int64), self.known.codes[name]
        for item, value in enumerate(self.columns.get(name, ())):
            tokens = entries(value, of_tokens) if bag > 1 or _is_list(value) else _token(value, of_tokens)
            found = [of_tokens[token] for token in tokens if token in of_tokens]
            if name != self.known.field:
                _count(self.unknown, name, len(tokens) - len(found))
            codes[item, : len(found[:bag])] = found[:bag]
        return codes

    def _words(self, name: str, longest: int) -> np.ndarray:
        """(n, T) codes of words; a word is looked up as it stands, then as `prepare` spells words."""
        found: list[list[int]] = [[] for _ in range(self.n)]
        known = self.known.codes[name]
        for item, value in enumerate(self.columns.get(name, ())):
            if is_missing(value) and not (isinstance(value, str) and value.strip() in known):
                continue
            for word in value if isinstance(value, (list, tuple, np.ndarray)) else str(value).split():
                spelled = [word] if word in known else title_words(str(word))[0].split()
                codes = [known[part] for part in spelled if part in known]
                _count(self.unknown, name, len(spelled) - len(codes))
                found[item] += codes
        width = max(1, min(longest, max(map(len, found), default=1)))
        words = np.zeros((self.n, width), dtype=np.int64)
        for item, codes in enumerate(found):
            words[item, : len(codes[:width])] = codes[:width]
        return words

    def _numbers(self, name: str, width: int) -> np.ndarray:
        """(n, width) vectors of a column of lists of numbers; NaN where there is none of that width."""
        matrix = np.full((self.n, width), np.nan, dtype=np.float32)
        for item, value in enumerate(self.columns[name]):
            if is_missing(value):
                continue
            numbers = list_of_numbers(value)
            if numbers is None or len(numbers) != width or max(map(abs, numbers)) > LARGEST:
                _count(self.unreadable, name, 1)
            else:
                matrix[item] = numbers
        return matrix

    def _statistics(self, fields: Sequence[str], table: StatisticTable) -> np.ndarray:
        """(n, columns of the table) codes."""
        codes = []
        for name, bins in zip(fields, table.bins, strict=True):
            values, unreadable = read_numbers(name, self.columns.get(name, [None] * self.n))
            if name in self.known.never_shown:
                if name in RATES:
                    values, unreadable = no_rates_left_out(values, unreadable)
                self.says[name] = ~np.isnan(values)
                values = np.where(self.says[name], values, self.known.never_shown[name])
            _count(self.unreadable, name, int(unreadable.sum()))
            codes.append(bins.assign(values))
        return np.concatenate(codes, axis=1)

    def _keep_counts(self, table: ItemTable) -> None:
        """What training counted of an item it saw, unless a column says what it is by now."""
        number = np.array([self.known.codes[self.known.field].get(item, 0) for item in self.items], dtype=np.int64)
        for name, start, stop in statistic_columns(table, self.known.settings):
            if name in self.says:
                row = np.flatnonzero((number > 0) & ~self.says[name])
                table.statistic[row + 1, start:stop] = self.known.table.statistic[number[row], start:stop]


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
        largest = np.finfo(tables[name].matrix.dtype).max
        if (np.abs(given) > largest).any():
            raise InputError(
                f"numbers up to {largest:g} in vectors of modality '{name}'", f"{np.nanmax(np.abs(given)):g}",
                "Give vectors of the encoder that the training data came from.",
            )  # fmt: skip


def _is_list(value: Any) -> bool:
    """Whether a cell is a list, or spells one as `['a']`: the longest list of training may have had one entry."""
    if isinstance(value, str):
        return listed(value.strip()) is not None
    return isinstance(value, (list, tuple, np.ndarray))


def _token(value: Any, known: Container[str]) -> list[str]:
    """The token of a cell as it stands where training has it, else as `prepare` spells it; or none."""
    if isinstance(value, str) and value in known:
        return [value]  # NA may be one
    if is_missing(value):
        return []
    return [clean(value) if isinstance(value, str) else identifier(value)]


def _count(where: dict[str, int], name: str, number: int) -> None:
    if number:
        where[name] = where.get(name, 0) + number


def _vectors(given: np.ndarray | None, like: np.ndarray, n: int) -> VectorTable:
    if given is None or n == 0:
        return VectorTable(np.zeros((1, like.shape[1]), dtype=like.dtype), np.full(n + 1, -1, dtype=np.int64))
    has = np.isfinite(given).all(axis=1)
    matrix = given[has].astype(like.dtype) if has.any() else np.zeros((1, like.shape[1]), dtype=like.dtype)
    return VectorTable(matrix, np.concatenate([[-1], np.where(has, np.cumsum(has) - 1, -1)]))
