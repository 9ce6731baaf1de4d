"""Profile and context of a log's rows as codes, with the vocabulary and the bins of the rows that are trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recbole_marn.data import log_checks
from recbole_marn.data.arrays import evenly_spaced, kept, taken
from recbole_marn.data.context import ContextField
from recbole_marn.data.context_codes import Column, FieldCodes, Fixed, RowCodes, coded, in_order
from recbole_marn.data.context_vocabulary import FieldVocabulary
from recbole_marn.data.log_statistics import LogCounts
from recbole_marn.data.logged_rows import Requests
from recbole_marn.settings.data import DataSettings
from recbole_marn.settings.logs import USER_STATISTICS

__all__ = ["LogContext"]


@dataclass
class LogContext:
    """Codes of the rows of a log, in the order of its requests.

    Args:
        columns: profile and context as they were read, rows in the order of the file.
        requests: all of the log.
        trained: (R,) bool, the rows that are trained on.
        counts: of which a user's statistics are.
        settings: of the data.
    """

    columns: Sequence[Column]
    requests: Requests
    trained: np.ndarray
    counts: LogCounts
    settings: DataSettings

    @cached_property
    def ordered(self) -> list[Column]:
        """The columns with rows in the order of requests; a user's statistics, which are counted, as they were."""
        as_read = [column.by_user or column.name in USER_STATISTICS for column in self.columns]
        return [
            column if same else dataclasses.replace(column, values=taken(column.values, self.requests.line))
            for column, same in zip(self.columns, as_read, strict=True)
        ]

    @cached_property
    def codes(self) -> list[FieldCodes]:
        """Codes of every column by user, or by row in the order of requests."""
        bins = {"user": self.settings.user_settings().bins, "context": self.settings.context_settings().bins}
        return [self._coded(column, bins[column.source]) for column in self.ordered]

    def _coded(self, column: Column, bins: Sequence[int]) -> FieldCodes:
        if column.name in USER_STATISTICS:
            column = dataclasses.replace(column, values=self.counts.of_users(column.name))
        of_trained = column.values[self._trained_user] if column.by_user else kept(column.values, self.trained)
        return coded(column, of_trained, bins)

    @cached_property
    def _trained_user(self) -> np.ndarray:
        return self.requests.of_rows(self.requests.user)[self.trained]

    def _read(self, column: Column, row: np.ndarray) -> np.ndarray:
        """Values of rows as they were read."""
        return column.values[self.requests.user[self.requests.request_of(row)] if column.by_user else row]

    # ------------------------------------------------------------------------------------------------- models
    @property
    def fields(self) -> tuple[ContextField, ...]:
        """In the order of the columns of `RowCodes.of`."""
        return in_order(self.codes)

    def rows(self, row: np.ndarray) -> RowCodes | None:
        """The codes of the rows of a mask (R,), or None where a log has neither profile nor context."""
        return RowCodes.of_rows(self.codes, row) if self.columns else None

    def at_serving(self) -> Fixed:
        """The codes that stand for the value of `position: at_serving`.

        Raises:
            InputError: a value that no training row has.
        """
        position = self.settings.position_settings()
        start = 0
        for found in self.codes:
            if found.column.name == position.field and found.column.source == "context":
                return found.fixed(start, position.at_serving)
            start += found.codes.shape[1]
        raise ValueError(f"{position.field} is no context")  # checked when the columns were read

    def vocabulary(self) -> tuple[FieldVocabulary, ...]:
        """What turns values of profile and context into codes when scores are served."""
        fixed = {} if self.settings.position is None else self.at_serving().codes
        found, start = [], 0
        for codes in self.codes:
            columns = range(start, start + codes.codes.shape[1])
            found.append(FieldVocabulary.of(codes, [fixed[column] for column in columns if column in fixed]))
            start = columns.stop
        return tuple(found)

    # ------------------------------------------------------------------------------------------------- checks
    def unknown(self, row: np.ndarray) -> dict[str, int]:
        """Column -> how many of its values in some rows are in none that is trained on, where there are any."""
        counted = {}
        for found in self.codes:
            if found.code_of is not None:
                seen = self._read(found.column, row)
                counted[found.column.name] = int(((seen > 0) & (found.code_of[seen] == 0)).sum())
        return {name: number for name, number in counted.items() if number}

    def check(self, row: np.ndarray) -> list[str]:
        """Notes on columns that may tell the label of training rows almost perfectly.

        Args:
            row: of the training part.

        Raises:
            InputError: naming one that may not; a value of `position: at_serving` that no training row has.
        """
        if self.settings.position_settings() is not None:
            self.at_serving()
        row = row[evenly_spaced(len(row), log_checks.LEAK_SAMPLE)]
        columns = [c for c in self.ordered if c.kind != "token_seq" and c.name not in USER_STATISTICS]
        return log_checks.check_tells(
            {column.name: self._read(column, row) for column in columns},
            self.requests.label[row],
            sources={column.name: column.source for column in columns},
            allowed=[*self.settings.user_settings().allow, *self.settings.context_settings().allow],
        )
