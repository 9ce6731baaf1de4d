"""Tokens of several columns numbered together, as RecBole numbers them, without making text of coded columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from recbole_marn.data.arrays import pieces, taken
from recbole_marn.data.twin import arrow

__all__ = ["TokenIds", "distinct", "number_tokens", "places", "token_hashes"]


class TokenIds(dict):
    """field -> {token: id}; a field's dictionary is made of its tokens when it is first asked for."""

    def __init__(self, tokens: Mapping[str, np.ndarray]):
        super().__init__()
        self._tokens = tokens

    def __missing__(self, field: str) -> dict[str, int]:
        self[field] = {token: number for number, token in enumerate(self._tokens[field].tolist())}
        return self[field]

    def __contains__(self, field: object) -> bool:
        return super().__contains__(field) or field in self._tokens


def token_hashes(tokens: np.ndarray) -> np.ndarray:
    """(n,) uint64: a fixed hash of each token, the same in every data set."""
    return pd.util.hash_array(tokens.astype(object), categorize=False)


def number_tokens(columns: Sequence[pd.Series]) -> tuple[list[np.ndarray], np.ndarray]:
    """Ids of the tokens of all columns: 1 for the one that comes first, 0 for missing ones.

    Args:
        columns: text or categories; the first column's tokens come first.

    Returns:
        (n,) integers a column, of the narrowest type among int32 and int64, and all tokens by id, "[PAD]" being 0.
    """
    known = None
    found = []
    for column in columns:
        codes, words = _coded(column)
        # Rows that filters took away leave words that no row has, and others that come first.
        order = _first_appearance(codes, len(words))
        if not np.array_equal(order, np.arange(len(words))):
            words = words.take(order)
        known = words[:0] if known is None else known
        place = places(words, known) if len(known) else np.full(len(words), -1)
        new = np.flatnonzero(place < 0)
        place[new] = len(known) + np.arange(len(new))
        known = known.append(words.take(new).astype(known.dtype)) if len(new) else known
        number = np.zeros(max(order.max(initial=-1) + 2, 1), dtype=np.int32 if len(known) < 2**31 else np.int64)
        number[order] = place + 1  # the last entry stays 0: that of code -1
        found.append(_numbered(number, codes))
    return found, np.concatenate([["[PAD]"], _objects(known)]).astype(str)


def places(words: pd.Index, known: pd.Index) -> np.ndarray:
    """(n,) where each word is among the known ones, or -1; neither has a word twice."""
    if not (_of_arrow(words) or _of_arrow(known)):
        return known.get_indexer(words)
    pa = arrow()
    ours, theirs = (
        index.array.__arrow_array__().combine_chunks() if _of_arrow(index) else pa.array(index.to_numpy(), pa.string())
        for index in (words, known)
    )
    if ours.equals(theirs):  # as in files that are written together; no hash tables of millions of words then
        return np.arange(len(words))
    return pa.compute.index_in(ours, value_set=theirs).fill_null(-1).to_numpy().astype(np.int64)


def _of_arrow(words: pd.Index) -> bool:
    return isinstance(words.dtype, pd.ArrowDtype)


def _objects(words: pd.Index) -> np.ndarray:
    return words.array.__arrow_array__().to_numpy() if _of_arrow(words) else words.to_numpy()


def _numbered(number: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """number[codes], without codes of eight bytes for all events at once."""
    if (number[:-1] == np.arange(1, len(number))).all():  # and number[-1] is 0
        following = codes.astype(number.dtype)
        following += 1
        return following
    return taken(number, codes)


def _coded(column: pd.Series) -> tuple[np.ndarray, pd.Index]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), column.cat.categories
    codes, words = pd.factorize(column.to_numpy())
    return codes, pd.Index(words, dtype=object)


def _first_appearance(codes: np.ndarray, n: int) -> np.ndarray:
    """The codes that occur, without -1, in the order in which they first do."""
    if _in_order(codes, n):
        return np.arange(n)
    seen = np.zeros(n + 1, dtype=bool)
    seen[-1] = True  # that of code -1
    order = [np.zeros(0, dtype=np.int64)]
    for piece in pieces(codes):
        some = pd.unique(piece)
        some = some[~seen[some]]
        seen[some] = True
        order.append(some.astype(np.int64))
    return np.concatenate(order)


def _in_order(codes: np.ndarray, n: int) -> bool:
    """Whether each code from 0 to n - 1 occurs, and none before the one below it: so they are in a twin."""
    highest = -1
    for some in pieces(codes):
        before = np.maximum.accumulate(np.append(some.dtype.type(highest), some[:-1]))
        if (some > before + 1).any():
            return False
        highest = max(int(before[-1]), int(some[-1]))
    return highest == n - 1


def distinct(column: pd.Series) -> pd.Index:
    """The tokens of a column, without the missing one, each once; of categories those it may have."""
    return _coded(column)[1]
