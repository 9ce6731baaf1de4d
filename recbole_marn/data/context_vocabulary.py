"""How values of profile and context become codes: what a log's training rows said, without its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from recbole_marn.data.context import ContextField
from recbole_marn.data.context_codes import FieldCodes
from recbole_marn.data.statistics import EqualFrequencyBins

__all__ = ["FieldVocabulary"]


@dataclass(frozen=True, eq=False)
class FieldVocabulary:
    """One column of profile or context, as vocabulary or bins.

    Attributes:
        name: of the column.
        kind: "token", "float" or "token_seq".
        fields: what models see it as: one a number of bins for numbers, else one.
        tokens: (codes,) the tokens by code, that of code 0 not read; None for numbers.
        bins: of numbers, or None.
        fixed: the codes it has whatever a row says (a position that is fixed when scores are served), or None.
    """

    name: str
    kind: str
    fields: tuple[ContextField, ...]
    tokens: np.ndarray | None
    bins: EqualFrequencyBins | None
    fixed: tuple[int, ...] | None = None

    @classmethod
    def of(cls, found: FieldCodes, fixed: Sequence[int] = ()) -> FieldVocabulary:
        """That of a column's codes; `fixed`: those that it always has."""
        tokens = None
        if found.code_of is not None:
            tokens = np.array(["", *found.column.tokens[np.flatnonzero(found.code_of)].astype(str)], dtype=object)
        return cls(found.column.name, found.column.kind, found.fields, tokens, found.bins, tuple(fixed) or None)

    @property
    def source(self) -> str:
        """"user" or "context"."""
        return self.fields[0].source

    @property
    def size(self) -> int:
        """Columns of codes."""
        return sum(field.bag for field in self.fields)

    @cached_property
    def code(self) -> Mapping[str, int]:
        """token -> code."""
        return {token: code for code, token in enumerate(self.tokens.tolist()) if code}

    def of_tokens(self, tokens: np.ndarray) -> tuple[np.ndarray, int]:
        """(n, 1) codes of tokens (n,), `""` where one is missing; and how many training never saw."""
        which, distinct = pd.factorize(tokens)
        codes = np.array([self._code(token) for token in distinct], dtype=np.int64)[which]
        return codes[:, None], int(((codes == 0) & (tokens != "")).sum())

    def of_lists(self, lists: Sequence[Sequence[str]]) -> tuple[np.ndarray, int]:
        """(n, size) codes of lists of tokens, and how many tokens training never saw or are beyond the longest."""
        codes, unknown = np.zeros((len(lists), self.size), dtype=np.int64), 0
        for row, tokens in enumerate(lists):
            known = [code for code in map(self._code, tokens) if code][: self.size]
            codes[row, : len(known)] = known
            unknown += len(tokens) - len(known)
        return codes, unknown

    def of_numbers(self, numbers: np.ndarray) -> np.ndarray:
        """(n, size) codes of numbers (n,), NaN where one is missing."""
        return self.bins.assign(numbers)

    def _code(self, token: str) -> int:
        """A whole number may have been read as `3.0` in training."""
        return self.code.get(token) or self.code.get(f"{token}.0", 0)

    # --------------------------------------------------------------------------------------------- plain data
    def state(self) -> dict[str, Any]:
        """Plain data, as JSON takes it; `from_state` reads it again."""
        return {
            "name": self.name,
            "kind": self.kind,
            "fields": [vars(field) for field in self.fields],
            "tokens": None if self.tokens is None else self.tokens.tolist(),
            "bins": None if self.bins is None else self.bins.state(),
            "fixed": None if self.fixed is None else list(self.fixed),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> FieldVocabulary:
        """What `state` gave."""
        return cls(
            state["name"],
            state["kind"],
            tuple(ContextField(**field) for field in state["fields"]),
            None if state["tokens"] is None else np.array(state["tokens"], dtype=object),
            None if state["bins"] is None else EqualFrequencyBins.from_state(state["bins"]),
            None if state["fixed"] is None else tuple(state["fixed"]),
        )
