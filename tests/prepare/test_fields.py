"""Cells of lists: what `prepare` writes of them is what a scorer reads in them."""

import pytest

from recbole_marn.prepare.fields import FieldReader, entries
from recbole_marn.prepare.lines import Tally


def prepared(cells):
    """The words that an atomic file has of each cell of a column."""
    reader = FieldReader("tags", "token_seq", Tally("items.csv"), 10)
    read = {row: reader.read(cell, row) for row, cell in enumerate(cells)}
    written = reader.finish({row: value for row, value in read.items() if value is not None})
    return [written.get(row, "").split() for row in range(len(cells))]


@pytest.mark.parametrize(
    "cells",
    [
        ["a|New York", "New York", "b", ""],
        ["a;b;c", "b", "c;a"],
        ["a, b", "b", "new, a"],
        ["['a', 'New York']", '["b"]', "[]", "[1, 2.0]"],
        [["a", "New York"], ["b", None], [], [3, 2.5]],
        ["new york", "a"],
    ],
)
def test_cells_are_read_as_they_were_written(cells):
    written = prepared(cells)
    known = {word for words in written for word in words}
    assert [entries(cell, known) for cell in cells] == written
    assert [entries(" ".join(words), known) for words in written] == written, "as the atomic file has them"


def test_of_several_ways_to_read_a_text_the_known_one_is_meant():
    assert entries("rock,pop jazz", {"rock,pop", "jazz"}) == ["rock,pop", "jazz"]
    assert entries("rock,pop jazz", {"rock", "pop_jazz"}) == ["rock", "pop_jazz"]
    assert entries("a b", set()) == ["a", "b"]


def test_vectors_have_the_width_that_most_have():
    tally = Tally("items.csv", 0.5)
    reader = FieldReader("look", "float_seq", tally, 10)
    cells = ["1 2 3", "[4, 5]", [6.0, 7.5], "8;9", "1"]
    read = {row: reader.read(cell, row) for row, cell in enumerate(cells)}
    assert list(reader.finish(read).values()) == ["", "4.0 5.0", "6.0 7.5", "8.0 9.0", ""]
    assert "2 x look has not 2 numbers, as most have (first in line 0" in tally.describe()
