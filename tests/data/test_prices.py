"""A price of 0 is a price that nobody knows, to whoever reads it."""

import numpy as np
import pytest
import tiny
from cases import of_settings

from recbole_marn.data.context import ContextField
from recbole_marn.data.context_vocabulary import FieldVocabulary
from recbole_marn.data.statistics import EqualFrequencyBins
from recbole_marn.prepare.fields import FieldReader
from recbole_marn.prepare.lines import Tally
from recbole_marn.serving.contexts import context_of

PRICES = {"0": None, "-1": None, "0.00": None, "0.01": 0.01, "5": 5.0}
BINS = EqualFrequencyBins((np.array([2.0, 4.0]),))


def with_prices(folder):
    """`tiny` whose first items cost what PRICES says."""
    file = tiny.write_dataset(folder) / "tiny.item"
    header, *lines = file.read_text().splitlines()
    for row, price in enumerate(PRICES):
        lines[row] = lines[row].rpartition("\t")[0] + f"\t{price}"
    file.write_text("\n".join([header, *lines]) + "\n")


@pytest.mark.parametrize("model", ["MARN", "DIN"])
def test_training_reads_what_prepare_would_have_written(tmp_path, model):
    with_prices(tmp_path)
    part = of_settings(model, tiny.NAME, tiny.settings(tmp_path, model)).train.part
    reader = FieldReader("price", "float", Tally("items.csv"), 64)
    assert [reader.read(price, 1) for price in PRICES] == list(PRICES.values())
    item = part.field2token_id["item_id"]
    found = part.source.item_numbers["price"][[item[token] for token in tiny.item_tokens(len(PRICES))]]
    np.testing.assert_array_equal(found, [np.nan if value is None else value for value in PRICES.values()])
    assert "tiny.item: price is 0 or less in 3 lines: taken as missing" in part.notes


def test_other_columns_may_be_zero():
    field = ContextField("paid/3", 4, 2, "context")
    paid = FieldVocabulary("paid", "float", (field,), None, BINS)
    price = FieldVocabulary("price", "float", (field,), None, BINS)
    values = np.array(["0", "-1", "3", "", "x"], dtype=object)
    found = context_of([price], {"price": values}, 5)
    assert (found.codes[:, 0].tolist(), found.unknown) == ([0, 0, 2, 0, 0], {"price": 3})
    found = context_of([paid], {"paid": values}, 5)
    assert (found.codes[:, 0].tolist(), found.unknown) == ([1, 1, 2, 0, 0], {"paid": 1})
