"""Profile and context as codes: vocabularies and bins are those of the rows that are trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recbole_marn.data.arrays import kept, pieces, taken
from recbole_marn.data.context import ContextField
from recbole_marn.data.fingerprint import LookedUp
from recbole_marn.data.numbering import token_hashes
from recbole_marn.data.statistics import EqualFrequencyBins
from recbole_marn.errors import InputError

__all__ = ["Column", "FieldCodes", "Fixed", "RowCodes", "as_codes", "coded", "in_order"]


class Fixed(NamedTuple):
    """What is fixed when scores are served.

    Attributes:
        codes: column of the context -> code.
        ids: column for RecBole's models -> id.
    """

    codes: dict[int, int]
    ids: dict[str, int]


@dataclass(frozen=True, eq=False)
class Column:
    """One column of profile or context as it was read.

    Attributes:
        name: of the column.
        width: of its embedding.
        source: "user" or "context".
        values: ids of tokens (n,), 0 missing; numbers (n,), NaN missing; or ids of lists (n, longest), 0 behind.
            n is the users where `by_user`, else the rows of the log.
        kind: "token", "float" or "token_seq".
        by_user: one value a user.
        tokens: the tokens by id, the first of them for missing; None for numbers.
    """

    name: str
    width: int
    source: str
    values: np.ndarray
    kind: str
    by_user: bool
    tokens: np.ndarray | None = None

    def hashed(self, values: np.ndarray) -> np.ndarray | LookedUp:
        """Values as numbers that do not hang on ids, for a fingerprint."""
        if self.tokens is None:
            return values
        return LookedUp(token_hashes(self.tokens), values)


@dataclass(frozen=True, eq=False)
class FieldCodes:
    """Codes of one column, and the fields that models see it as.

    Attributes:
        fields: one a number of bins for numbers, else one.
        codes: (n, k) as `Column.values`.
        code_of: (tokens,) code of each token id, or None for numbers.
        bins: of numbers.
    """

    column: Column
    fields: tuple[ContextField, ...]
    codes: np.ndarray
    code_of: np.ndarray | None = None
    bins: EqualFrequencyBins | None = None

    def fixed(self, start: int, value: object) -> Fixed:
        """What fixes this column at a value.

        Args:
            start: the column of codes that it starts at.

        Raises:
            InputError: a value that no training row has.
        """
        name = self.column.name
        if self.bins is not None:
            if isinstance(value, str) or not np.isfinite(float(value)):
                raise InputError(
                    f"position: at_serving to be a number, for {name} is one", repr(value), "Write a number."
                )
            codes = self.bins.assign(np.array([float(value)]))[0]
            return Fixed({start + offset: int(code) for offset, code in enumerate(codes)}, {})
        words = [str(value), f"{value}.0"] if isinstance(value, int) else [str(value)]
        ids = [number for number, token in enumerate(self.column.tokens.tolist()) if number and token in words]
        if not ids or self.code_of[ids[0]] == 0:
            seen = self.column.tokens[np.flatnonzero(self.code_of)][:5]
            raise InputError(
                f"position: at_serving to be a {name} of training rows ({', '.join(map(str, seen))}, ...)",
                repr(value),
                "Name one of them.",
            )
        return Fixed({start: int(self.code_of[ids[0]])}, {name: ids[0]})


def coded(column: Column, trained: np.ndarray, bins: Sequence[int]) -> FieldCodes:
    """Codes of a column, with the vocabulary or the bins of training rows.

    Args:
        trained: the values of the rows that are trained on.
        bins: numbers of equal-frequency bins of a column of numbers.

    Raises:
        InputError: no training row has a value.
    """
    if not (~np.isnan(trained) if column.kind == "float" else trained > 0).any():
        raise InputError(
            f"values of {column.name} in training rows",
            "none",
            f"Leave {column.name} out of the fields of {column.source}, or fill it in.",
        )
    if column.kind == "float":
        fitted = EqualFrequencyBins.fit(trained, bins=bins)
        fields = tuple(
            ContextField(f"{column.name}/{number}", cardinality, column.width, column.source)
            for number, cardinality in zip(bins, fitted.cardinalities, strict=True)
        )
        codes = as_codes(fitted.assign(column.values), max(fitted.cardinalities))
        return FieldCodes(column, fields, codes, bins=fitted)
    known = np.zeros(len(column.tokens), dtype=bool)
    for some in pieces(trained):
        known[some] = True
    known[0] = False
    size = int(known.sum()) + 1
    code_of = as_codes(np.where(known, np.cumsum(known), 0), size)
    codes = taken(code_of, column.values)
    codes = codes if codes.ndim == 2 else codes[:, None]
    field = ContextField(column.name, size, column.width, column.source, codes.shape[1])
    return FieldCodes(column, (field,), codes, code_of)


def as_codes(codes: np.ndarray, cardinality: int) -> np.ndarray:
    """Codes from 0 to below `cardinality` in as few bytes as they need."""
    return codes.astype(np.min_scalar_type(max(1, cardinality - 1)))


def in_order(found: Sequence[FieldCodes]) -> tuple[ContextField, ...]:
    """All fields, in the order of the columns of `RowCodes.of`."""
    return tuple(field for codes in found for field in codes.fields)


@dataclass(frozen=True, eq=False)
class RowCodes:
    """Codes of the rows of one part, a column after another.

    Attributes:
        blocks: per column, codes by user (n_users, k) or by row (R, k).
        by_user: which of the blocks are by user.
        constant: column -> code that stands in its place.
    """

    blocks: tuple[np.ndarray, ...]
    by_user: tuple[bool, ...]
    constant: Mapping[int, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_rows(cls, found: Sequence[FieldCodes], rows: np.ndarray) -> RowCodes:
        """The codes of the rows of a mask over those of the log."""
        blocks = tuple(c.codes if c.column.by_user else kept(c.codes, rows) for c in found)
        return cls(blocks, tuple(c.column.by_user for c in found))

    def of(self, row: np.ndarray, user: np.ndarray) -> np.ndarray:
        """(B, F) int64 codes of rows (B,) with users (B,)."""
        picked = [block[user if by_user else row] for block, by_user in zip(self.blocks, self.by_user, strict=True)]
        codes = np.concatenate(picked, axis=1).astype(np.int64)
        for column, code in self.constant.items():
            codes[:, column] = code
        return codes

    def take(self, row: np.ndarray) -> RowCodes:
        """The codes of rows (n,) alone."""
        blocks = zip(self.blocks, self.by_user, strict=True)
        return dataclasses.replace(self, blocks=tuple(block if by_user else block[row] for block, by_user in blocks))

    def fixed(self, column: int, code: int) -> RowCodes:
        return dataclasses.replace(self, constant={**self.constant, column: code})
