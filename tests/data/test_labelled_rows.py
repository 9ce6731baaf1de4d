"""Labelled rows by hand: three users, a few events, one negative or two."""

import numpy as np
import pytest

from recbole_marn.data.labelled_rows import LabelledRows
from recbole_marn.data.rows import Events, Rows
from recbole_marn.data.statistics import EqualFrequencyBins, GapBins, InteractionCounts, StatisticsAtTime

#                  user 1           user 2    user 3
EVENTS = Events(
    user=np.array([1, 1, 1, 1, 2, 2, 3, 3]),
    item=np.array([3, 1, 4, 2, 5, 3, 1, 5]),
    time=np.array([0.0, 10, 20, 30, 5, 15, 8, 40]),
    behaviour=np.array([1, 2, 1, 1, 2, 2, 1, 2]),
)
# Positives: item 4 after (3, 1), item 2 after (1, 4) (longest history 2), item 3 after (5).
ROWS = Rows(position=np.array([2, 3, 5]), history_start=np.array([0, 1, 4]), history_length=np.array([2, 2, 1]))
NEGATIVES = np.array([[5, 2], [5, 5], [1, 4]])
N_ITEMS = 6


@pytest.fixture
def labelled():
    return LabelledRows(EVENTS, ROWS, NEGATIVES)


@pytest.fixture
def at_time():
    counts = InteractionCounts(item=EVENTS.item, time=EVENTS.time, n_items=N_ITEMS)
    return StatisticsAtTime({1: (counts, EqualFrequencyBins.fit(np.arange(4.0), bins=(2, 4)))})


def test_columns(labelled):
    columns = labelled.columns(np.arange(9))
    assert columns["user"].tolist() == [1, 1, 1, 1, 1, 1, 2, 2, 2]
    assert columns["item"].tolist() == [4, 5, 2, 2, 5, 5, 3, 1, 4]
    assert columns["time"].tolist() == [20, 20, 20, 30, 30, 30, 15, 15, 15]
    assert columns["label"].tolist() == [1, 0, 0, 1, 0, 0, 1, 0, 0]
    assert (labelled.n_groups, labelled.rows_per_group, labelled.n_rows) == (3, 3, 9)


def test_columns_in_any_order(labelled):
    order = np.array([8, 0, 4, 4])
    for name, values in labelled.columns(np.arange(9)).items():
        np.testing.assert_array_equal(labelled.columns(order)[name], values[order])


def test_columns_leave_the_events_alone(labelled):
    before = EVENTS.item.copy()
    labelled.columns(np.arange(9))["item"][:] = 0
    labelled.columns(np.arange(9))
    np.testing.assert_array_equal(EVENTS.item, before)


def test_rows_of_groups(labelled):
    assert labelled.rows_of_groups(np.array([2, 0])).tolist() == [6, 7, 8, 0, 1, 2]


def test_history(labelled):
    event, length = labelled.history(np.array([3, 4, 6, 0]))
    assert event.tolist() == [1, 2, 1, 2, 4, 0, 1]
    assert length.tolist() == [2, 2, 1, 2]


def test_padded(labelled):
    assert labelled.padded(np.array([3, 6, 0]), EVENTS.item, 3).tolist() == [[1, 4, 0], [5, 0, 0], [3, 1, 0]]
    assert labelled.padded(np.array([6]), EVENTS.behaviour, 1).tolist() == [[2]]


@pytest.mark.parametrize("row", [np.arange(9), np.array([0, 1, 2]), np.array([7, 3, 0, 8])])
@pytest.mark.parametrize("with_time", [True, False])
def test_ragged_equals_the_rows_it_was_made_from(row, with_time, at_time):
    static = np.array([[0, 0, 0], [1, 9, 9], [2, 9, 9], [3, 9, 9], [4, 9, 9], [5, 9, 9]])
    gap = GapBins(EqualFrequencyBins.fit(np.arange(30.0), bins=(3, 10)))
    labelled = LabelledRows(EVENTS, ROWS, NEGATIVES, at_time if with_time else None, gap)
    batch = labelled.ragged(row, static=static)
    columns = labelled.columns(row)
    assert batch.n_rows == len(row)
    np.testing.assert_array_equal(batch.entity_id[batch.candidate], columns["item"])
    starts = np.cumsum(batch.length.numpy()) - batch.length.numpy()
    for index, (item, time) in enumerate(zip(columns["item"], columns["time"], strict=True)):
        sequence = batch.row_sequence[index]
        tokens = slice(int(starts[sequence]), int(starts[sequence] + batch.length[sequence]))
        event, _ = labelled.history(row[index : index + 1])
        np.testing.assert_array_equal(batch.entity_id[batch.token[tokens]], EVENTS.item[event])
        np.testing.assert_array_equal(batch.behaviour[tokens], EVENTS.behaviour[event])
        np.testing.assert_array_equal(batch.gap[tokens], gap.codes(time - EVENTS.time[event]))
        for place, of in [(batch.candidate[index : index + 1], [item]), (batch.token[tokens], EVENTS.item[event])]:
            codes = batch.statistic[batch.entity_statistic[place]].numpy()
            expected = static[of].copy()
            if with_time:
                seen = [sum(EVENTS.item[e] == i and EVENTS.time[e] < time for e in range(8)) for i in of]
                expected[:, 1:] = at_time.statistics[1][1].assign(np.array(seen))
            np.testing.assert_array_equal(codes, expected)


def test_rows_of_one_positive_share_their_history(labelled):
    batch = labelled.ragged(np.arange(9), static=np.zeros((N_ITEMS, 0), dtype=np.int64))
    assert batch.length.tolist() == [2, 2, 1]
    assert batch.row_sequence.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_count_at_a_rows_time_leaves_its_own_event_out(at_time):
    # Item 3 happened at 0 and at 15: at 15 itself only the first is known.
    assert at_time.statistics[1][0].as_of(np.array([3, 3, 3]), np.array([0.0, 15.0, 15.1])).tolist() == [0, 1, 2]
    assert at_time.columns == (1, 2)
    np.testing.assert_array_equal(
        at_time.codes(np.array([3]), np.array([15.0])), at_time.statistics[1][1].assign(np.array([1]))
    )


def test_columns_of_several_statistics():
    counts = InteractionCounts(item=EVENTS.item, time=EVENTS.time, n_items=N_ITEMS)
    bins = EqualFrequencyBins.fit(np.arange(4.0), bins=(2, 4))
    at_time = StatisticsAtTime({0: (counts, bins), 5: (counts, bins)})
    assert at_time.columns == (0, 1, 5, 6)
    assert at_time.codes(np.array([3, 5]), np.array([20.0, 6.0])).shape == (2, 4)
