import numpy as np
import pytest

from recbole_marn.data.rows import (
    TEST,
    TRAIN,
    VALID,
    Events,
    count_repeats,
    count_rows,
    first_of_each_pair,
    rows_of_part,
    sort_events,
    split_by_time,
    split_leave_last,
)
from recbole_marn.errors import InputError

N_USERS, N_ITEMS = 30, 25
USER_KEY = np.random.default_rng(1).integers(0, 2**64, N_USERS + 1, dtype=np.uint64)
ITEM_KEY = np.random.default_rng(2).integers(0, 2**64, N_ITEMS + 1, dtype=np.uint64)


def random_columns(n_events=400, seed=0):
    """Few distinct times and items, so that ties and repeats are frequent."""
    rng = np.random.default_rng(seed)
    user = rng.integers(1, N_USERS + 1, n_events)
    item = rng.integers(1, N_ITEMS + 1, n_events)
    return user, item, rng.integers(0, 8, n_events).astype(float), rng.integers(1, 4, n_events)


def sort(user, item, time, behaviour=None):
    return sort_events(user, item, time, behaviour, user_key=USER_KEY, item_key=ITEM_KEY)


def events_of_sizes(*sizes):
    """User 1 has sizes[0] events, user 2 sizes[1], ...; times 0, 1, 2, .. and all items different."""
    user = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    time = np.concatenate([np.arange(n, dtype=float) for n in sizes])
    return Events(user=user, item=np.arange(1, len(user) + 1), time=time)


def columns_of(events):
    return [events.user, events.item, events.time, events.behaviour]


def test_events_are_ordered_by_user_then_time_and_none_is_lost():
    columns = random_columns()
    events = sort(*columns)
    order = list(zip(events.user, events.time, strict=True))
    assert order == sorted(order)
    assert sorted(zip(*columns, strict=True)) == sorted(zip(*columns_of(events), strict=True))
    assert events.n_events == 400


def test_order_does_not_depend_on_the_order_of_the_file():
    columns = random_columns()
    shuffle = np.random.default_rng(3).permutation(400)
    for one, other in zip(
        columns_of(sort(*columns)), columns_of(sort(*(column[shuffle] for column in columns))), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_ties_in_time_favour_no_item():
    # Every user meets all items at one moment: each item must come last about equally often.
    n_users, n_items = 2_000, 5
    rng = np.random.default_rng(4)
    # Small keys on purpose: the mix, not the caller's hash, has to spread them.
    user_key, item_key = np.arange(n_users + 1, dtype=np.uint64), np.arange(n_items + 1, dtype=np.uint64)
    user = np.repeat(np.arange(1, n_users + 1), n_items)
    item = np.tile(np.arange(1, n_items + 1), n_users)
    shuffle = rng.permutation(user.size)
    events = sort_events(
        user[shuffle], item[shuffle], np.zeros(user.size), user_key=user_key, item_key=item_key
    )
    for place in range(n_items):
        at_place = np.bincount(events.item.reshape(n_users, n_items)[:, place], minlength=n_items + 1)[1:]
        # Five standard deviations of a binomial count.
        assert np.abs(at_place - n_users / n_items).max() < 5 * np.sqrt(n_users * 0.2 * 0.8)


def test_tie_order_follows_tokens_not_ids():
    # The same two items under swapped ids: the order by token is the same.
    key = np.array([0, 11, 22], dtype=np.uint64)
    user, time = np.array([1, 1]), np.zeros(2)
    one = sort_events(user, np.array([1, 2]), time, user_key=key[:2], item_key=key)
    other = sort_events(user, np.array([1, 2]), time, user_key=key[:2], item_key=key[[0, 2, 1]])
    np.testing.assert_array_equal(key[one.item], key[[0, 2, 1]][other.item])


def test_same_user_item_and_time_are_ordered_by_behaviour():
    events = sort([1, 1, 1], [4, 4, 4], [2.0, 2.0, 2.0], [3, 1, 2])
    np.testing.assert_array_equal(events.behaviour, [1, 2, 3])


def test_time_comes_before_behaviour_and_items_stay_together():
    user, item, time, behaviour = random_columns(seed=5)
    events = sort(user, item, np.zeros(400), behaviour)
    for which in range(1, N_USERS + 1):
        items = events.item[events.user == which]
        assert np.count_nonzero(np.diff(items)) + 1 == len(np.unique(items))


def test_users_segments_against_a_loop():
    events = sort(*random_columns())
    start = events.start_of(np.arange(events.n_events))
    for i, user in enumerate(events.user):
        mine = np.flatnonzero(events.user == user)
        assert start[i] == mine[0]
        assert events.size[events.first == mine[0]] == len(mine)


@pytest.mark.parametrize("at_once", [1, 7, 50, 10**6])
def test_pieces_are_whole_users_and_change_nothing(monkeypatch, at_once):
    columns = random_columns(seed=3)
    whole = sort(*columns)
    expected = [
        count_repeats(whole, by_type=True), first_of_each_pair(whole).item,
        rows_of_part(whole, split_leave_last(whole), TRAIN, max_history=4, latest=2).position,
    ]  # fmt: skip
    monkeypatch.setattr("recbole_marn.data.rows.AT_ONCE", at_once)
    cut = sort(*columns)
    pieces = cut.pieces()
    assert np.concatenate([np.arange(400)[piece] for piece in pieces]).tolist() == list(range(400))
    assert all(cut.user[piece.start] != cut.user[piece.start - 1] for piece in pieces[1:])
    for name in ("user", "item", "time", "behaviour"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name))
    found = [
        count_repeats(cut, by_type=True), first_of_each_pair(cut).item,
        rows_of_part(cut, split_leave_last(cut), TRAIN, max_history=4, latest=2).position,
    ]  # fmt: skip
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_ids_beyond_products_of_32_bits():
    """Pairs of these users and items differ by a multiple of 2**32."""
    n = 1 << 17
    keys = {"user_key": np.zeros(n + 1, np.uint64), "item_key": np.arange(n + 1, dtype=np.uint64)}
    user, item = np.array([1, 1 + (1 << 15), n, n]), np.array([n - 1, n - 1, 7, 7])
    made = sort_events(user, item, np.arange(4.0), **keys)
    assert made.user.dtype == np.int32
    assert count_repeats(made) == 1 and first_of_each_pair(made).n_events == 3


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (([], [], []), "Expected one or more events"),
        (([1], [1, 2], [0.0]), r"user \(1,\), item \(2,\)"),
        (([0], [1], [0.0]), "Expected user ids from 1 to 30. Got ids from 0 to 0"),
        (([1], [26], [0.0]), "Expected item ids from 1 to 25. Got ids from 26 to 26"),
        (([1, 1], [1, 2], [0.0, np.nan]), "Got 1 of 2 times that are missing"),
    ],
)
def test_unusable_events_are_refused(columns, text):
    with pytest.raises(InputError, match=text):
        sort(*columns)


def test_repeats_against_a_loop():
    events = sort(*random_columns())
    seen, first = set(), []
    for i, pair in enumerate(zip(events.user, events.item, strict=True)):
        if pair not in seen:
            first.append(i)
        seen.add(pair)
    assert count_repeats(events) == events.n_events - len(first) > 0
    once = first_of_each_pair(events)
    for column, kept in zip(columns_of(events), columns_of(once), strict=True):
        np.testing.assert_array_equal(column[first], kept)
    assert count_repeats(once) == 0


def test_leave_last_by_hand_for_one_to_five_events():
    part = split_leave_last(events_of_sizes(1, 2, 3, 4, 5))
    by_user = np.split(part, np.cumsum([1, 2, 3, 4]))
    assert [list(p) for p in by_user] == [
        [TRAIN],
        [TRAIN, TRAIN],
        [TRAIN, TRAIN, TEST],
        [TRAIN, TRAIN, VALID, TEST],
        [TRAIN, TRAIN, TRAIN, VALID, TEST],
    ]


def test_leave_last_rows_by_hand():
    events = events_of_sizes(1, 2, 3, 4, 5)
    part = split_leave_last(events)
    rows = {
        which: rows_of_part(events, part, which, max_history=50).position for which in (TRAIN, VALID, TEST)
    }
    # Users start at 0, 1, 3, 6, 10.
    assert list(rows[TRAIN]) == [2, 4, 7, 11, 12]
    assert list(rows[VALID]) == [8, 13]
    assert list(rows[TEST]) == [5, 9, 14]


def test_split_by_time_by_hand():
    events = events_of_sizes(4, 3)
    part = split_by_time(events, valid_start=2, test_start=3)
    assert list(part) == [TRAIN, TRAIN, VALID, TEST, TRAIN, TRAIN, VALID]


def test_split_by_time_refuses_starts_out_of_order():
    events = events_of_sizes(4)
    for starts in ((3, 2), (2, 2)):
        with pytest.raises(InputError, match=r"split_times \[., 2\].*run from 0.0 to 3.0"):
            split_by_time(events, valid_start=starts[0], test_start=starts[1])


def test_split_by_time_refuses_a_part_without_rows():
    events = events_of_sizes(4)
    with pytest.raises(InputError, match=r"Got no row for test. Move split_times \[2, 9\]"):
        split_by_time(events, valid_start=2, test_start=9)
    # The only training event is a first event, which is no row.
    with pytest.raises(InputError, match="Got no row for training"):
        split_by_time(events, valid_start=1, test_start=2)
    with pytest.raises(InputError, match="no row for training and validation"):
        split_by_time(events, valid_start=-2, test_start=-1)


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("max_history", [1, 3, 100])
def test_rows_against_a_loop(max_history, earlier):
    events = first_of_each_pair(sort(*random_columns()))
    for part in (split_leave_last(events), split_by_time(events, valid_start=4, test_start=6)):
        total = 0
        for which in (TRAIN, VALID, TEST):
            rows = rows_of_part(events, part, which, max_history=max_history, earlier=earlier)
            expected = []
            for i in range(events.n_events):
                before = [j for j in range(i) if events.user[j] == events.user[i]]
                seen = [j for j in before if not earlier or events.time[j] < events.time[i]][-max_history:]
                if part[i] == which and before:
                    expected.append((i, seen))
            start, length = rows.history_start, rows.history_length
            windows = [list(range(start[r], start[r] + length[r])) for r in range(rows.n_rows)]
            assert list(zip(rows.position, windows, strict=True)) == expected
            total += rows.n_rows
        assert total == events.n_events - len(np.unique(events.user))


def test_no_target_and_no_future_in_a_history():
    events = first_of_each_pair(sort(*random_columns()))
    part = split_leave_last(events)
    for which in (TRAIN, VALID, TEST):
        rows = rows_of_part(events, part, which, max_history=6)
        assert rows.n_rows > 0
        for p, start, length in zip(rows.position, rows.history_start, rows.history_length, strict=True):
            history = slice(start, start + length)
            assert 1 <= length <= 6
            assert (events.user[history] == events.user[p]).all()
            assert (events.time[history] <= events.time[p]).all()
            assert events.item[p] not in events.item[history]


def test_a_first_event_is_never_a_row_even_of_a_late_user():
    # User 2 appears after the test start: the first event is in the test part but is no row.
    events = Events(
        user=np.array([1, 1, 1, 1, 2, 2]), item=np.arange(1, 7), time=np.array([0.0, 1, 2, 3, 3, 4])
    )
    part = split_by_time(events, valid_start=2, test_start=3)
    assert list(rows_of_part(events, part, TEST, max_history=5).position) == [3, 5]


def test_a_history_of_nothing_is_refused():
    events = events_of_sizes(4)
    with pytest.raises(InputError, match="Got max_history 0"):
        rows_of_part(events, split_leave_last(events), TRAIN, max_history=0)


def test_the_latest_rows_of_each_user_against_a_loop():
    made = events_of_sizes(1, 4, 2, 7)
    rows = rows_of_part(made, split_leave_last(made), TRAIN, max_history=3)
    kept = []
    for user in np.unique(made.user):
        kept += [r for r in range(rows.n_rows) if made.user[rows.position[r]] == user][-2:]
    latest, every = (
        rows_of_part(made, split_leave_last(made), TRAIN, max_history=3, latest=number) for number in (2, 100)
    )
    for field in ("position", "history_start", "history_length"):
        np.testing.assert_array_equal(getattr(latest, field), getattr(rows, field)[kept])
        np.testing.assert_array_equal(getattr(every, field), getattr(rows, field))
    assert len(kept) < rows.n_rows == count_rows(made, split_leave_last(made), TRAIN)
