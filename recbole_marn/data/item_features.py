"""Builds the item table from the item file and the vector files, with bins fitted on training rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol as Interface
from typing import TypeVar

import numpy as np

from recbole_marn.data.arrays import evenly_spaced
from recbole_marn.data.grouped_rows import GroupedRows
from recbole_marn.data.item_table import (
    IdTable,
    ItemTable,
    StatisticTable,
    TextTable,
    VectorTable,
    read_vectors,
    vectors_of_rows,
)
from recbole_marn.data.statistics import EqualFrequencyBins, GapBins, KnownBefore, StatisticsAtTime
from recbole_marn.errors import InputError
from recbole_marn.settings.data import (
    BehaviourSettings,
    DataSettings,
    IdModality,
    ModalitySettings,
    StatisticModality,
    TextModality,
    VectorModality,
)
from recbole_marn.settings.logs import STATISTICS
from recbole_marn.settings.parsing import nearest

__all__ = ["ItemColumns", "ItemFeatures", "MovingStatistics", "OfItems", "TRAIN_INTERACTIONS"]

# The statistic of clicks that changes over time: training interactions before the row.
TRAIN_INTERACTIONS = "train_interactions"
# Enough values to place 100 equal-frequency edges within a fraction of a percent.
BIN_SAMPLE = 500_000


class ItemColumns(Interface):
    """What the item table is built from; the data set provides it."""

    n_items: int
    folder: Path
    id_field: str

    def fields(self) -> list[str]:
        """Names of the columns, the id among them."""
        ...

    def codes(self, field: str) -> tuple[np.ndarray, int]:
        """Codes (n_items, 1) of a token field, or (n_items, longest) of lists, zeros behind; how many codes exist."""
        ...

    def numbers(self, field: str) -> np.ndarray:
        """(n_items,) values of a float field, NaN where missing."""
        ...

    def words(self, field: str) -> tuple[np.ndarray, Mapping[str, int]]:
        """(n_items, longest) codes of the words of a `token_seq` field, zeros behind; word -> code."""
        ...

    def vectors(self, field: str) -> list[np.ndarray]:
        """One array per item of a `float_seq` field."""
        ...

    def token_id(self) -> Mapping[str, int]:
        """Item token -> id; 0 is the padding."""
        ...


class OfItems:
    """What a model reads of the settings when it is built: its modalities, and the property of a behaviour."""

    settings: DataSettings

    @cached_property
    def modality_settings(self) -> Mapping[str, ModalitySettings]:
        """Name -> settings of the modalities in use."""
        return self.settings.modality_settings()

    @cached_property
    def behaviour_settings(self) -> BehaviourSettings:
        """What a model reads of a behaviour beside its item."""
        return self.settings.behaviour_settings()


Rows = TypeVar("Rows", bound=GroupedRows)


@dataclass(frozen=True)
class MovingStatistics:
    """Statistics of items that change over time, by the name a statistic modality calls them.

    Attributes:
        training: from training rows, as rows of training see them; its end is the snapshot.
        count: (n_items,) clicks, or exposures of a log, that each item has in the rows that are trained on.
        evaluation: as validation and test rows see them, or None for the snapshot.
    """

    training: Mapping[str, KnownBefore]
    count: np.ndarray
    evaluation: Mapping[str, KnownBefore] | None = None

    @property
    def trained(self) -> np.ndarray:
        """(n_items,) whether an item is in a training row."""
        return self.count > 0


@dataclass(frozen=True)
class ItemFeatures:
    """The item table, and how values that depend on the moment are binned."""

    table: ItemTable
    at_time: StatisticsAtTime | None
    gap: GapBins | None
    in_evaluation: StatisticsAtTime | None = None

    @classmethod
    def build(
        cls,
        columns: ItemColumns,
        modalities: Mapping[str, ModalitySettings],
        behaviour: BehaviourSettings,
        training: GroupedRows,
        moving: MovingStatistics,
        id_min_count: int | None = None,
    ) -> ItemFeatures:
        """Read every modality; fit bins on training rows only.

        Args:
            id_min_count: items with fewer clicks or exposures in training share one embedding of their id.

        Raises:
            InputError: a field or file that is missing or of the wrong kind.
        """
        tables, notes, statistics = {}, [], _Statistics(columns, training, moving)
        present = np.zeros((columns.n_items, len(modalities)), dtype=bool)
        for index, (name, settings) in enumerate(modalities.items()):
            if isinstance(settings, IdModality):
                tables[name] = _ids(columns, name, settings, moving.count, id_min_count)
                present[:, index] = True
            elif isinstance(settings, VectorModality):
                tables[name], note = _vectors(columns, name, settings)
                notes.append(note)
                present[:, index] = tables[name].row >= 0
            elif isinstance(settings, TextModality):
                tables[name] = _text(columns, name, settings)
                present[:, index] = tables[name].words.any(axis=1)
                if wordless := int((~present[1:, index]).sum()):
                    notes.append(f"{name}: {wordless} of {columns.n_items - 1} items have no words")
            else:
                tables[name] = statistics.add(name, settings)
                present[:, index] = statistics.codes[:, tables[name].start :].any(axis=1)
        present[0] = False
        at_time = statistics.at_time(moving.training)
        dynamic = () if at_time is None else at_time.columns
        table = ItemTable(columns.n_items, tables, statistics.codes, dynamic, present, notes)
        return cls(table, at_time, _gap(behaviour, training), statistics.at_time(moving.evaluation))

    def without_ids_of(self, item: np.ndarray, field: str) -> ItemFeatures:
        """Items (n_items,) of a mask get code 0, that of an unknown item, in the ID modalities that read `field`."""
        tables = dict(self.table.modalities)
        for name, table in tables.items():
            if isinstance(table, IdTable) and (column := table.column_of(field)) is not None:
                codes = table.codes.copy()
                codes[item, column] = 0
                tables[name] = dataclasses.replace(table, codes=codes, shared=column, new=0)
        return dataclasses.replace(self, table=dataclasses.replace(self.table, modalities=tables))

    def seen_by(self, rows: Rows, *, training: bool) -> Rows:
        """Rows with statistics as known at their time or, in evaluation, at the end of training, and with gaps."""
        return dataclasses.replace(rows, at_time=self.at_time if training else self.in_evaluation, gap=self.gap)


def _need(columns: ItemColumns, field: str, name: str, kind: str) -> None:
    if field not in columns.fields():
        close = nearest(field, [*columns.fields(), *STATISTICS])
        raise InputError(
            f"column '{field}' ({kind}) of the items for modality '{name}'",
            f"columns {', '.join(columns.fields()) or 'none'}",
            f"Add it to the .item file and to load_col, or correct the name.{close}",
        )


def frequent_codes(count: np.ndarray, least: int) -> tuple[np.ndarray, int]:
    """(n_items, 1) codes, 0 of the padding, 1 of all items that occur less than `least` times, and their number."""
    often = np.flatnonzero(count[1:] >= least) + 1
    codes = np.ones(len(count), dtype=np.int64)
    codes[0] = 0
    codes[often] = 2 + np.arange(len(often))
    return codes[:, None], 2 + len(often)


def _ids(
    columns: ItemColumns, name: str, settings: IdModality, count: np.ndarray, id_min_count: int | None
) -> IdTable:
    for field in settings.fields:
        _need(columns, field, name, "token or token_seq")
    shared = [field == columns.id_field and id_min_count is not None for field in settings.fields]
    codes, cardinalities = zip(
        *(
            frequent_codes(count, id_min_count) if of_rare else columns.codes(field)
            for field, of_rare in zip(settings.fields, shared, strict=True)
        ),
        strict=True,
    )
    for field, of_field in zip(settings.fields, codes, strict=True):
        if not of_field.any():
            raise InputError(
                f"a value of {field} of some item, for modality '{name}'",
                "none",
                f"Leave {field} out of the fields of '{name}', or fill it in.",
            )
    bags = tuple(of_field.shape[1] for of_field in codes)
    sizes, fields = tuple(int(size) for size in settings.fields.values()), tuple(settings.fields)
    table = IdTable(np.concatenate(codes, axis=1), cardinalities, sizes, bags, fields)
    return dataclasses.replace(table, shared=table.column_of(columns.id_field), new=1) if any(shared) else table


def _vectors(columns: ItemColumns, name: str, settings: VectorModality) -> tuple[VectorTable, str]:
    if (settings.file is None) == (settings.field is None):
        raise InputError(
            f"modality '{name}' to have either file (and ids) or field",
            f"file {settings.file}, field {settings.field}",
            "Give one of them.",
        )
    if settings.field is not None:
        _need(columns, settings.field, name, "float_seq")
        table, note = vectors_of_rows(columns.vectors(settings.field), name), f"{name}: read from the item file"
    else:
        file = columns.folder / settings.file
        ids = columns.folder / settings.ids if settings.ids else file.with_suffix(".ids")
        table, note = read_vectors(name, file, ids, columns.token_id(), columns.n_items)
    if settings.size not in (None, table.matrix.shape[1]):
        raise InputError(
            f"vectors of modality '{name}' {settings.size} wide",
            f"{table.matrix.shape[1]} numbers per vector",
            "Give the file of the right encoder, or correct 'size'.",
        )
    return table, note


def _text(columns: ItemColumns, name: str, settings: TextModality) -> TextTable:
    _need(columns, settings.field, name, "token_seq")
    words, word_id = columns.words(settings.field)
    words = words[:, : settings.max_words]
    words = words[:, : max(1, int((words > 0).sum(axis=1).max(initial=0)))]
    vectors = None
    if settings.word_vectors is not None:
        file = columns.folder / settings.word_vectors
        found, _ = read_vectors(f"{name} words", file, file.with_suffix(".ids"), word_id, len(word_id))
        vectors = np.zeros((len(word_id), found.matrix.shape[1]), dtype=np.float32)
        known = found.row >= 0
        vectors[known] = found.matrix[found.row[known]]
    return TextTable(np.ascontiguousarray(words), len(word_id), vectors)


class _Statistics:
    """The statistic modalities while they are read.

    Attributes:
        codes: (n_items, C) at the end of training, of all statistics so far; zeros for the padding.
    """

    def __init__(self, columns: ItemColumns, training: GroupedRows, moving: MovingStatistics):
        self._columns, self._training, self._moving = columns, training, moving
        self._changing: dict[int, tuple[str, EqualFrequencyBins]] = {}  # by the first column of what changes over time
        self.codes = np.zeros((columns.n_items, 0), dtype=np.int64)

    def add(self, name: str, settings: StatisticModality) -> StatisticTable:
        """Fit the bins of a modality, and put its codes beside the others."""
        start, fitted = self.codes.shape[1], []
        for field in settings.fields:
            if field in self._moving.training:
                values, bins = self._counted(name, field, settings.bins)
                self._changing[self.codes.shape[1]] = (field, bins)
            else:
                values, bins = self._given(name, field, settings.bins)
            codes = bins.assign(values)
            codes[0] = 0
            self.codes = np.concatenate([self.codes, codes], axis=1)
            fitted.append(bins)
        cardinalities = tuple(number for bins in fitted for number in bins.cardinalities)
        return StatisticTable(start, self.codes.shape[1], cardinalities, tuple(fitted))

    def at_time(self, values: Mapping[str, KnownBefore] | None) -> StatisticsAtTime | None:
        """The codes that change over time, from `values` by field; None without such codes or values."""
        if not self._changing or values is None:
            return None
        return StatisticsAtTime({first: (values[field], bins) for first, (field, bins) in self._changing.items()})

    def _counted(self, name: str, field: str, bins: Sequence[int]) -> tuple[np.ndarray, EqualFrequencyBins]:
        """Values (n_items,) at the end of training of what its rows tell, binned as the rows see it."""
        if field in self._columns.fields():
            raise InputError(
                f"no column {field} of the items, for what is called so is counted from the training rows",
                "one",
                f"Give the column another name, in the .item file, in load_col and in the fields of '{name}'.",
            )
        known = self._moving.training[field]
        seen = self._training.columns(evenly_spaced(self._training.n_rows, BIN_SAMPLE))
        fitted = EqualFrequencyBins.fit(known.as_of(seen["item"], seen["time"]), bins=bins)
        return known.snapshot().astype(np.float64), fitted

    def _given(self, name: str, field: str, bins: Sequence[int]) -> tuple[np.ndarray, EqualFrequencyBins]:
        """Values (n_items,) of a column of the items, binned as the items of training have them."""
        _need(self._columns, field, name, "float")
        values = self._columns.numbers(field)
        trained = values[self._moving.trained]
        if np.isnan(trained).all():
            raise InputError(
                f"a {field} of some item with training events, for modality '{name}'",
                f"no known value in column {field}",
                f"Leave {field} out of the fields of '{name}', or fill it in.",
            )
        return values, EqualFrequencyBins.fit(trained, bins=bins)


def _gap(behaviour: BehaviourSettings, training: GroupedRows) -> GapBins | None:
    if behaviour.time is None:
        return None
    row = training.first_row(evenly_spaced(training.n_groups, BIN_SAMPLE // 10))
    event, length = training.history(row)
    if len(event) == 0:
        return None  # a log without histories
    time = np.repeat(training.columns(row)["time"], length)
    return GapBins(EqualFrequencyBins.fit(time - training.events.time[event], bins=behaviour.bins))
