import json

import numpy as np
import pytest

from recbole_marn.data.rows import TRAIN, Events, rows_of_part, split_leave_last
from recbole_marn.data.statistics import EqualFrequencyBins, InteractionCounts
from recbole_marn.errors import InputError

N_ITEMS = 12


def random_training(seed=0, n_events=200):
    rng = np.random.default_rng(seed)
    return rng.integers(1, N_ITEMS - 1, n_events), rng.integers(0, 20, n_events) / 4


def count_by_loop(item, time, item_event, time_event):
    return sum(1 for i, t in zip(item_event, time_event, strict=True) if i == item and t < time)


def test_counts_as_of_a_moment_against_a_loop():
    item, time = random_training()
    counts = InteractionCounts(item=item, time=time, n_items=N_ITEMS)
    rng = np.random.default_rng(1)
    asked_item = rng.integers(0, N_ITEMS, 300)
    # Between, before, after and exactly at the times of events.
    asked_time = rng.choice(np.concatenate([time, time + 0.1, [-1.0, 99.0]]), 300)
    expected = [count_by_loop(i, t, item, time) for i, t in zip(asked_item, asked_time, strict=True)]
    found = counts.as_of(asked_item, asked_time)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int64 and max(expected) > 10


@pytest.mark.parametrize("whole", [True, False])
def test_counts_of_items_that_are_put_in_order_in_pieces(monkeypatch, whole):
    """A popular item fills several pieces, and many items share one."""
    monkeypatch.setattr("recbole_marn.data.statistics.AT_ONCE", 16)
    rng = np.random.default_rng(6)
    item = np.minimum(rng.geometric(0.2, 500), N_ITEMS - 1)
    time = rng.integers(10**9, 10**9 + 50, 500) / (1 if whole else 4)
    time = time.astype(np.int32) if whole else time
    found = InteractionCounts(item=item, time=time, n_items=N_ITEMS).as_of(item, time)
    np.testing.assert_array_equal(found, [count_by_loop(i, t, item, time) for i, t in zip(item, time, strict=True)])


def test_counts_are_strict_so_that_a_row_never_counts_itself():
    counts = InteractionCounts(item=[3, 3, 3], time=[1.0, 2.0, 2.0], n_items=5)
    np.testing.assert_array_equal(
        counts.as_of([3, 3, 3, 3], [1.0, 1.5, 2.0, np.nextafter(2.0, 3)]), [0, 1, 1, 3]
    )


def test_counts_of_large_close_times_stay_exact():
    # Milliseconds since 1970 differ in the last of 13 digits.
    start = 1_600_000_000_000.0
    counts = InteractionCounts(item=[1, 1], time=[start, start + 1], n_items=2)
    np.testing.assert_array_equal(counts.as_of([1, 1, 1], start + np.arange(3)), [0, 1, 2])


def test_counts_broadcast_rows_against_their_candidates():
    item, time = random_training()
    counts = InteractionCounts(item=item, time=time, n_items=N_ITEMS)
    candidates, row_time = np.arange(8).reshape(2, 4), np.array([[1.0], [3.0]])
    expected = [
        [count_by_loop(i, t, item, time) for i in row] for row, t in zip(candidates, (1.0, 3.0), strict=True)
    ]
    np.testing.assert_array_equal(counts.as_of(candidates, row_time), expected)
    assert counts.as_of(np.empty((0, 3), dtype=np.int64), np.empty((0, 1))).shape == (0, 3)


def test_snapshot_is_the_count_at_the_end_of_training():
    item, time = random_training()
    counts = InteractionCounts(item=item, time=time, n_items=N_ITEMS)
    np.testing.assert_array_equal(counts.snapshot(), np.bincount(item, minlength=N_ITEMS))
    np.testing.assert_array_equal(counts.snapshot(), counts.as_of(np.arange(N_ITEMS), np.inf))
    assert counts.snapshot()[0] == 0


def test_statistics_of_training_do_not_move_with_test_events():
    rng = np.random.default_rng(2)
    n_users, size = 40, 6
    user, time = np.repeat(np.arange(1, n_users + 1), size), np.tile(np.arange(size, dtype=float), n_users)
    item = rng.integers(1, N_ITEMS, user.size)
    part = split_leave_last(Events(user=user, item=item, time=time))
    changed = np.where(part == TRAIN, item, N_ITEMS - item)
    assert (changed != item).any()

    def statistics(items):
        events = Events(user=user, item=items, time=time)
        train = split_leave_last(events) == TRAIN
        counts = InteractionCounts(item=items[train], time=time[train], n_items=N_ITEMS)
        position = rows_of_part(events, part, TRAIN, max_history=3).position
        values = counts.as_of(items[position], time[position])
        return counts.snapshot(), values, EqualFrequencyBins.fit(values).assign(values)

    for one, other in zip(statistics(item), statistics(changed), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("item", "time", "text"),
    [
        ([1, 2], [0.0], r"shapes item \(2,\) and time \(1,\)"),
        ([1, 12], [0.0, 1.0], "Expected item ids from 0 to 11. Got ids from 1 to 12"),
        ([1, 2], [0.0, np.nan], "Got 1 that are missing or infinite"),
    ],
)
def test_unusable_training_events_are_refused(item, time, text):
    with pytest.raises(InputError, match=text):
        InteractionCounts(item=np.array(item), time=np.array(time), n_items=N_ITEMS)


def test_a_missing_moment_or_a_foreign_item_is_refused():
    counts = InteractionCounts(item=[1], time=[0.0], n_items=3)
    with pytest.raises(InputError, match="Got 1 NaN"):
        counts.as_of([1, 1], [0.0, np.nan])
    for item in (-1, 3):
        with pytest.raises(InputError, match="Expected item ids from 0 to 2"):
            counts.as_of([item], [0.0])


def test_bins_have_equal_frequency_on_distinct_values():
    values = np.random.default_rng(3).permutation(1_000).astype(float)
    bins = EqualFrequencyBins.fit(values, bins=(10, 100))
    codes = bins.assign(values)
    assert codes.shape == (1_000, 2) and codes.dtype == np.int64
    np.testing.assert_array_equal(np.bincount(codes[:, 0])[1:], np.full(10, 100))
    np.testing.assert_array_equal(np.bincount(codes[:, 1])[1:], np.full(100, 10))
    np.testing.assert_array_equal(codes[:, 0], values // 100 + 1)
    assert bins.cardinalities == (11, 101)


@pytest.mark.parametrize("heavy", [0, 7, 40])
def test_a_heavy_value_gets_one_bin_of_its_own(heavy):
    # 30 % of all values are one value: smallest, in the middle, or largest.
    values = np.concatenate([np.arange(41).repeat(5), np.full(90, heavy)]).astype(float)
    bins = EqualFrequencyBins.fit(values, bins=(10,))
    code = bins.assign(values)[:, 0]
    mine = np.unique(code[values == heavy])
    assert len(mine) == 1
    assert (values[code == mine[0]] == heavy).all()
    assert bins.cardinalities[0] <= 11


def test_bins_increase_with_the_value_and_none_is_empty_in_training():
    rng = np.random.default_rng(4)
    for values in (
        rng.poisson(0.7, 500),
        rng.geometric(0.1, 300),
        rng.integers(0, 3, 50),
        np.array([5.0]),
        [1, 1, 2],
    ):
        bins = EqualFrequencyBins.fit(values, bins=(10, 100))
        codes = bins.assign(np.sort(values))
        assert (np.diff(codes, axis=0) >= 0).all()
        for column, cardinality in enumerate(bins.cardinalities):
            np.testing.assert_array_equal(np.unique(codes[:, column]), np.arange(1, cardinality))


@pytest.mark.parametrize("seed", range(5))
def test_coarse_bins_are_unions_of_fine_ones(seed):
    values = np.random.default_rng(seed).poisson(3 * seed + 0.5, 377)
    coarse, fine = EqualFrequencyBins.fit(values, bins=(10, 100)).edges
    assert set(coarse) <= set(fine)


def test_missing_values_have_code_zero_and_take_no_part_in_fitting():
    known = np.arange(100.0)
    with_missing = np.concatenate([known, np.full(50, np.nan)])
    bins, reference = EqualFrequencyBins.fit(with_missing), EqualFrequencyBins.fit(known)
    np.testing.assert_array_equal(bins.assign(known), reference.assign(known))
    np.testing.assert_array_equal(bins.assign(with_missing)[100:], 0)
    assert bins.assign(known).min() == 1


def test_values_beyond_training_fall_into_the_end_bins():
    bins = EqualFrequencyBins.fit(np.arange(50.0), bins=(5,))
    np.testing.assert_array_equal(bins.assign([[-10.0, 1e9], [np.inf, -np.inf]])[..., 0], [[1, 5], [5, 1]])


def test_bins_survive_a_checkpoint():
    values = np.random.default_rng(5).normal(size=300)
    bins = EqualFrequencyBins.fit(values, bins=(10, 100, 7))
    again = EqualFrequencyBins.from_state(json.loads(json.dumps(bins.state())))
    assert again.cardinalities == bins.cardinalities
    asked = np.concatenate([values, [np.nan]])
    np.testing.assert_array_equal(again.assign(asked), bins.assign(asked))


@pytest.mark.parametrize(
    ("values", "bins", "text"),
    [
        ([np.nan, np.nan], (10,), "Got 0 known values"),
        ([1.0, np.inf], (10,), "2 known values, 1 of them infinite"),
        ([1.0], (10, 0), r"Got \[10, 0\]"),
        ([1.0], (), r"Got \[\]"),
    ],
)
def test_bins_that_cannot_be_fitted_are_refused(values, bins, text):
    with pytest.raises(InputError, match=text):
        EqualFrequencyBins.fit(values, bins=bins)
