"""Profile and context of rows as codes: a value that training never saw is unknown, and is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from recbole_marn.data.context_vocabulary import FieldVocabulary
from recbole_marn.prepare.fields import entries
from recbole_marn.prepare.tokens import identifier, is_missing
from recbole_marn.serving.distinct import distinct
from recbole_marn.serving.numbers import no_rates_left_out, read_numbers
from recbole_marn.settings.logs import RATES, USER_STATISTICS

__all__ = ["Context", "columns_read", "context_of"]


class Context(NamedTuple):
    """Profile and context of rows.

    Attributes:
        codes: (B, F).
        unknown: column -> values that training never saw or that are no numbers, prices of 0 or less; code 0.
    """

    codes: np.ndarray
    unknown: dict[str, int]


def columns_read(vocabularies: Sequence[FieldVocabulary]) -> list[str]:
    """Columns that rows must have; what is fixed when scores are served is not read."""
    return [vocabulary.name for vocabulary in vocabularies if vocabulary.fixed is None]


def context_of(vocabularies: Sequence[FieldVocabulary], columns: Mapping[str, np.ndarray], rows: int) -> Context:
    """The codes of rows, given the columns that are read.

    Args:
        columns: name -> (B,) values, of every vocabulary that is not fixed.
        rows: B.
    """
    codes, unknown = [np.zeros((rows, 0), dtype=np.int64)], {}
    for vocabulary in vocabularies:
        if vocabulary.fixed is not None:
            codes.append(np.tile(np.array(vocabulary.fixed, dtype=np.int64), (rows, 1)))
            continue
        found, new = _codes(vocabulary, columns[vocabulary.name])
        codes.append(found)
        if new:
            unknown[vocabulary.name] = new
    return Context(np.concatenate(codes, axis=1), unknown)


def _codes(vocabulary: FieldVocabulary, values: np.ndarray) -> tuple[np.ndarray, int]:
    if vocabulary.kind == "token_seq":
        return vocabulary.of_lists([entries(value, vocabulary.code) for value in values])
    which, different = distinct(values, use_na_sentinel=False)
    if vocabulary.kind == "token":
        tokens = np.array([_token(vocabulary, value) for value in different], dtype=object)
        return vocabulary.of_tokens(tokens[which])
    numbers, unreadable = read_numbers(vocabulary.name, different)
    if USER_STATISTICS.get(vocabulary.name) in RATES:
        numbers, unreadable = no_rates_left_out(numbers, unreadable)
    return vocabulary.of_numbers(numbers[which]), int(unreadable[which].sum())


def _token(vocabulary: FieldVocabulary, value: Any) -> str:
    """As training spelled it, else as `prepare` spells ids: 5 and 5.0 are `5`; JSON's true may be `true` or `True`."""
    if isinstance(value, str) and value in vocabulary.code:
        return value  # NA may be one
    if is_missing(value):
        return ""
    if isinstance(value, (bool, np.bool_)) and str(value) not in vocabulary.code:
        return str(value).lower()
    return identifier(value)
