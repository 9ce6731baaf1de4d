"""Tokens are numbered and compared alike, whether they are Python's or Arrow's."""

import numpy as np
import pandas as pd
import pytest

from recbole_marn.data.numbering import number_tokens, places

pa = pytest.importorskip("pyarrow")

WORDS = ["b", "a", "é", "漢", "", "07", "7", "c"]


def of_arrow(words):
    return pd.Index(pd.arrays.ArrowExtensionArray(pa.array(words, pa.string())))


def of_python(words):
    return pd.Index(words, dtype=object)


def categories(words, codes):
    return pd.Series(pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(of_arrow(words))))


def text(words, codes):
    return pd.Series([np.nan if code < 0 else words[code] for code in codes], dtype=object)


@pytest.mark.parametrize("ours", [of_arrow, of_python])
@pytest.mark.parametrize("theirs", [of_arrow, of_python])
@pytest.mark.parametrize("known", [WORDS, WORDS[::-1], ["x", *WORDS[2:5], "y"], ["x"], []])
def test_where_words_are_among_others(ours, theirs, known):
    found = places(ours(WORDS), theirs(known))
    assert found.tolist() == [known.index(word) if word in known else -1 for word in WORDS]
    found[0] = 9  # may be written to


@pytest.mark.parametrize("first", [categories, text])
@pytest.mark.parametrize("second", [categories, text])
@pytest.mark.parametrize(
    "codes, others, other_codes",
    [
        ([0, 1, 1, 2, 3, 4, 5, 6, 7, 0], WORDS, range(8)),  # two files of the same order
        ([0, 1, 1, 2, 3, 4, 5, 6, 7, 0], WORDS[::-1], range(8)),
        ([3, -1, 3, 0, 5], ["new", *WORDS, "newer"], [9, 4, -1, 0, 0]),  # rows were filtered, some cells are empty
        ([-1, -1], WORDS, [2, 1]),
    ],
)
def test_numbers_go_by_first_appearance(first, second, codes, others, other_codes):
    events, table = first(WORDS, list(codes)), second(others, list(other_codes))
    (ours, theirs), tokens = number_tokens([events, table])
    order = list(dict.fromkeys([WORDS[c] for c in codes if c >= 0] + [others[c] for c in other_codes if c >= 0]))
    assert tokens.tolist() == ["[PAD]", *order] and tokens.dtype.kind == "U"
    for numbers, words, of_codes in ((ours, WORDS, codes), (theirs, others, other_codes)):
        assert numbers.dtype == np.int32
        assert [tokens[n] if n else "" for n in numbers] == [words[c] if c >= 0 else "" for c in of_codes]
        assert [bool(n) for n in numbers] == [c >= 0 for c in of_codes]
