"""The ragged batch holds the same as the padded rows, each item once."""

import dataclasses

import numpy as np
import pytest
import torch

from recbole_marn.data.arrays import slices
from recbole_marn.data.batch import RaggedBatch, StatisticCodes, assemble


def random_batch(seed, *, n_sequences=5, n_rows=12, n_items=9, n_static=3, moving=(), n_codes=3):
    """Arguments of `assemble`, drawn."""
    rng = np.random.default_rng(seed)
    length = rng.integers(1, 6, n_sequences)
    row_sequence = np.concatenate([np.arange(n_sequences), rng.integers(0, n_sequences, n_rows - n_sequences)])
    k = len(moving)
    return {
        "token_item": rng.integers(1, n_items, length.sum()),
        "length": length,
        "row_sequence": row_sequence,
        "candidate_item": rng.integers(1, n_items, n_rows),
        "statistics": StatisticCodes(
            rng.integers(0, n_codes, (n_items, n_static)),
            moving,
            rng.integers(0, n_codes, (length.sum(), k)),
            rng.integers(0, n_codes, (n_rows, k)),
        ),
    }


def codes_of(given, item, dynamic):
    codes = given["statistics"].of_items[item].copy()
    codes[:, list(given["statistics"].moving)] = dynamic
    return codes


CASES = [
    {},
    {"moving": (1,)},
    {"moving": (2, 0)},
    {"n_static": 0},
    {"n_static": 1, "moving": (0,)},
    {"moving": (0, 1, 2), "n_codes": 2**40},  # codes too large to be packed side by side
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_token_and_candidate_finds_its_item_and_codes(case, seed):
    given = random_batch(seed, **case)
    batch = assemble(**given)
    for place, item, dynamic in [
        (batch.token, given["token_item"], given["statistics"].of_tokens),
        (batch.candidate, given["candidate_item"], given["statistics"].of_candidates),
    ]:
        np.testing.assert_array_equal(batch.item[batch.entity_item[place]], item)
        np.testing.assert_array_equal(batch.entity_id[place], item)
        if len(batch.statistic):
            found = batch.statistic[batch.entity_statistic[place]]
            np.testing.assert_array_equal(found, codes_of(given, item, dynamic))
    np.testing.assert_array_equal(batch.length, given["length"])
    np.testing.assert_array_equal(batch.row_sequence, given["row_sequence"])
    assert batch.n_rows == 12


@pytest.mark.parametrize("case", CASES)
def test_items_statistics_and_entities_occur_once_and_are_all_used(case):
    batch = assemble(**random_batch(3, **case))
    assert torch.equal(batch.item, batch.item.unique())
    assert len(batch.statistic) == len({tuple(codes) for codes in batch.statistic.tolist()})
    pairs = torch.stack([batch.entity_item, batch.entity_statistic], dim=1)
    assert len(pairs) == len(pairs.unique(dim=0))
    used = torch.cat([batch.token, batch.candidate]).unique()
    assert torch.equal(used, torch.arange(len(batch.entity_item)))


@pytest.mark.parametrize("case", CASES)
def test_counts_are_those_of_rows_that_each_carry_their_history(case):
    given = random_batch(5, **case)
    batch = assemble(**given)
    sequences = batch.token.split(batch.length.tolist())
    everywhere, as_candidate = torch.zeros(len(batch.entity_item)), torch.zeros(len(batch.entity_item))
    for row in range(batch.n_rows):
        for entity in sequences[batch.row_sequence[row]]:
            everywhere[entity] += 1
        everywhere[batch.candidate[row]] += 1
        as_candidate[batch.candidate[row]] += 1
    assert torch.equal(batch.entity_count, everywhere)
    assert torch.equal(batch.candidate_count, as_candidate)


def test_without_statistics_an_entity_is_an_item():
    batch = assemble(**random_batch(0, n_static=0))
    assert batch.statistic.shape[0] == 0
    assert torch.equal(batch.entity_item, torch.arange(len(batch.item)))
    assert not batch.entity_statistic.any()


def test_dtypes_and_passengers():
    given = random_batch(1, moving=(0,))
    behaviour, gap = (
        np.ones(given["length"].sum(), dtype=np.int32),
        np.zeros((given["length"].sum(), 2), dtype=np.int64),
    )
    context = np.ones((len(given["row_sequence"]), 3), dtype=np.uint8)
    batch = assemble(**given, behaviour=behaviour, gap=gap, context=context)
    for field in dataclasses.fields(RaggedBatch):
        expected = torch.float32 if field.name in ("entity_count", "candidate_count") else torch.int64
        assert getattr(batch, field.name).dtype == expected, field.name
    assert assemble(**given).behaviour is None


def test_moving_keeps_everything():
    batch = assemble(**random_batch(1, moving=(0,)))
    moved = batch.to("cpu")
    assert isinstance(moved, RaggedBatch)
    for field in dataclasses.fields(RaggedBatch):
        before, after = getattr(batch, field.name), getattr(moved, field.name)
        assert (before is None and after is None) or torch.equal(before, after)


def test_slices():
    assert slices(np.array([5, 0, 2]), np.array([2, 3, 1])).tolist() == [5, 6, 0, 1, 2, 2]
    assert slices(np.array([], dtype=np.int64), np.array([], dtype=np.int64)).tolist() == []


def test_codes_that_do_not_fit_side_by_side_into_one_integer():
    """Item and codes are packed into 64 bits: here the codes alone fill them, and the items would be lost."""
    codes = np.full((2, 2), 2**32 - 1)
    batch = assemble(
        token_item=np.array([1, 2]),
        length=np.array([2]),
        row_sequence=np.array([0, 0]),
        candidate_item=np.array([1, 2]),
        statistics=StatisticCodes(np.zeros((3, 2), dtype=np.int64), (0, 1), codes, codes),
    )
    assert batch.entity_id[batch.candidate].tolist() == [1, 2]
    assert len(batch.statistic) == 1
