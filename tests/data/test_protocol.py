"""From events to rows without RecBole."""

import numpy as np
import pytest

from recbole_marn.data.negatives import first_seen
from recbole_marn.data.protocol import Protocol
from recbole_marn.data.rows import DAY, TEST, TRAIN, VALID, Events
from recbole_marn.errors import InputError
from recbole_marn.settings.data import DataSettings


def events(n_users=40, per_user=6, n_items=30, seed=0):
    rng = np.random.default_rng(seed)
    item = np.concatenate([rng.permutation(n_items - 1)[:per_user] + 1 for _ in range(n_users)])
    time = np.sort(rng.uniform(0, 10 * DAY, (n_users, per_user)), axis=1).ravel()
    return Events(np.repeat(np.arange(1, n_users + 1), per_user), item, time)


def protocol(**changed):
    release = changed.pop("release", None)
    return Protocol(events(), DataSettings(eval_negatives=3, **changed), n_items=30, max_history=4, release=release)


def test_times_of_the_time_split_default_to_the_last_two_days():
    made = protocol(split="time")
    last = np.floor(made.events.time.max() / DAY)
    day = np.floor(made.events.time / DAY)
    np.testing.assert_array_equal(made.part_of_event == TEST, day == last)
    np.testing.assert_array_equal(made.part_of_event == VALID, day == last - 1)
    np.testing.assert_array_equal(made.part_of_event == TRAIN, day < last - 1)


def test_two_split_times_are_needed():
    with pytest.raises(InputError, match=r"split_times to be \[validation start, test start\]. Got \(1.0,\)"):
        protocol(split="time", split_times=(1.0,)).positives("train")


def test_counts_are_those_of_the_training_part():
    made = protocol()
    trained = made.part_of_event == TRAIN
    np.testing.assert_array_equal(made.counts.snapshot(), np.bincount(made.events.item[trained], minlength=30))


def test_negatives_depend_on_seed_part_and_epoch_and_nothing_else():
    one, two = protocol(), protocol()
    np.testing.assert_array_equal(one.labelled("train").negatives, two.labelled("train").negatives)
    # Asking for another part in between must not move anything.
    one.labelled("test")
    np.testing.assert_array_equal(one.labelled("valid").negatives, two.labelled("valid").negatives)
    assert (one.labelled("train", epoch=1).negatives != one.labelled("train").negatives).any()
    assert (protocol(sample_seed=1).labelled("train").negatives != one.labelled("train").negatives).any()
    assert one.labelled("train").negatives.shape[1] == 1 and one.labelled("test").negatives.shape[1] == 3


def test_resampling_changes_the_negatives_alone():
    made = protocol()
    before = made.labelled("train")
    after = made.resampled(before, 2)
    assert after.rows is before.rows and after.events is before.events
    assert (after.negatives != before.negatives).any()


def test_release_times_bound_the_negatives():
    made = protocol()
    first = np.full(30, 9 * DAY)
    np.minimum.at(first, made.events.item, made.events.time)
    first[:10] = 0.0  # or the earliest rows would have nothing to draw from
    released = protocol(negatives_from="released", release=first)
    assert not released.release_is_inferred
    rows = released.labelled("train")
    time = released.events.time[rows.rows.position]
    assert (first[rows.negatives] <= time[:, None]).all()
    assert (first[protocol().labelled("train").negatives] > time[:, None]).any(), "from all items some come too early"


def test_what_its_first_event_releases_is_drawn_after_that_moment_alone():
    """At that very moment nobody has clicked it yet, which is true of no positive: its count of 0 would tell."""
    by_day = events()
    by_day = Events(by_day.user, by_day.item, np.floor(by_day.time / DAY))  # many at one moment
    made = Protocol(by_day, DataSettings(negatives_from="released"), n_items=30, max_history=4)
    rows = made.labelled("train")
    first, time = first_seen(by_day.item, by_day.time, 30), by_day.time[rows.rows.position]
    assert made.release_is_inferred and np.isin(time, first).any()
    assert (first[rows.negatives] < time[:, None]).all()


def test_unclicked_items_were_never_touched():
    made = protocol()
    touched = set(zip(made.events.user.tolist(), made.events.item.tolist(), strict=True))
    assert not touched & set(zip(made.events.user.tolist(), made.unclicked_item.tolist(), strict=True))


def test_the_fingerprint_sees_rows_and_negatives():
    made = protocol()
    parts = {part: made.labelled(part) for part in ("train", "valid", "test")}
    key = np.arange(50, dtype=np.uint64)
    before = made.sha256(parts, key, key)
    assert before == protocol().sha256(parts, key, key)
    negatives = parts["test"].negatives.copy()
    negatives[0, 0] = 1 + negatives[0, 0] % 29
    changed = parts | {"test": type(parts["test"])(made.events, parts["test"].rows, negatives)}
    assert before != made.sha256(changed, key, key)
    assert before != made.sha256(parts, key, key[::-1].copy())


def test_a_part_without_rows():
    short = Events(np.array([1, 1, 1]), np.array([1, 2, 3]), np.array([0.0, 1, 2]))
    made = Protocol(short, DataSettings(eval_negatives=1), n_items=9, max_history=4)
    with pytest.raises(InputError) as error:
        made.labelled("valid")
    assert "Expected rows in the valid part. Got none of 3 events." in str(error.value)
    assert "split: leave_last needs users with 4 events or more" in str(error.value)


def test_train_last_leaves_out_old_training_rows_and_nothing_else():
    made, everything = protocol(train_last=2), protocol()
    short, long = made.positives("train"), everything.positives("train")
    assert set(np.bincount(made.events.user[short.position])[1:]) == {2}
    assert set(short.position) < set(long.position)
    assert made.notes == ["train: 40 of 120 rows before their user's last 2 were left out"]
    for part in ("valid", "test"):
        np.testing.assert_array_equal(made.labelled(part).negatives, everything.labelled(part).negatives)
    np.testing.assert_array_equal(made.counts.snapshot(), everything.counts.snapshot())
    np.testing.assert_array_equal(
        short.history_length, long.history_length[np.isin(long.position, short.position)], "histories stay whole"
    )


# ----------------------------------------------------------------------- what each choice of the protocol is drawn from
def test_popularity_counts_training_events_alone():
    """Items whose only events are held out must never be drawn: their popularity would be known from the test part."""
    user = np.repeat(np.arange(1, 11), 4)
    item = np.tile([1, 2, 3, 4], 10)
    item[2::4], item[3::4] = np.arange(11, 21), np.arange(21, 31)  # held out, and never seen in training
    user = np.append(user, [11, 11])
    item = np.append(item, [5, 6])  # training events of somebody else
    made = Protocol(
        Events(user, item, np.arange(len(user), dtype=float)),
        DataSettings(eval_negatives=1, train_sampling="popularity", eval_sampling="popularity"),
        n_items=31,
        max_history=4,
    )
    for part in ("train", "valid", "test"):
        rows = made.labelled(part)
        assert set(rows.negatives.ravel()) <= {5, 6} | {1, 2}, part


def test_parts_have_random_streams_of_their_own():
    """Parts of the same users and candidates must not repeat each other's draws."""
    made = Protocol(events(n_items=2000), DataSettings(eval_negatives=3), n_items=2000, max_history=4)
    valid, test = made.labelled("valid").negatives, made.labelled("test").negatives
    assert valid.shape == test.shape
    assert (valid == test).mean() < 0.05


def test_train_last_leaves_evaluation_rows_alone():
    made, everything = protocol(train_last=1, split="time"), protocol(split="time")
    assert made.positives("train").n_rows < everything.positives("train").n_rows
    for part in ("valid", "test"):
        of_user = np.bincount(everything.events.user[everything.positives(part).position])
        assert of_user.max() > 1, "users with several rows, which train_last: 1 would cut"
        np.testing.assert_array_equal(made.positives(part).position, everything.positives(part).position)


def matched(part, *, sampling):
    """Training counts of positives and negatives, in a world where levels hold one count each."""
    rng = np.random.default_rng(0)
    n_items, per_user = 400, 8
    item = np.concatenate([rng.choice(n_items - 1, per_user, replace=False, p=WEIGHT) + 1 for _ in range(600)])
    log = Events(np.repeat(np.arange(1, 601), per_user), item, np.arange(len(item), dtype=float))
    made = Protocol(log, DataSettings(eval_negatives=1, matched_pool=1, **sampling), n_items=n_items, max_history=4)
    rows, counts = made.labelled(part), made.counts.snapshot()
    return counts[log.item[rows.rows.position]], counts[rows.negatives[:, 0]]


WEIGHT = 1 / np.arange(1, 400)
WEIGHT = WEIGHT / WEIGHT.sum()


def test_matched_negatives_of_training_are_one_event_below_and_those_of_evaluation_are_level():
    """A training positive is one of the events that were counted, an evaluation positive is not."""
    positive, negative = matched("train", sampling={"train_sampling": "matched"})
    common = np.isin(positive - 1, np.unique(negative)) & (positive < 20)
    assert np.median((positive - negative)[common]) == 1
    positive, negative = matched("test", sampling={"eval_sampling": "matched"})
    assert np.median((positive - negative)[positive < 20]) == 0


def test_a_release_date_after_an_items_first_event_is_an_error_of_the_data():
    made = protocol()
    late = np.full(30, 20 * DAY)  # every date after the last event
    released = protocol(negatives_from="released", release=late)
    first = np.full(30, np.inf)
    np.minimum.at(first, made.events.item, made.events.time)
    rows = released.labelled("test")
    time = released.events.time[rows.rows.position]
    assert (first[rows.negatives] <= time[:, None]).all()
    early = protocol(negatives_from="released", release=np.zeros(30)).labelled("train")
    time = made.events.time[early.rows.position]
    assert (first[early.negatives] > time[:, None]).any(), "an earlier date stands"


# -------------------------------------------------------------------------------------- users who touched every item
def test_users_who_touched_every_item_have_no_row_and_are_counted():
    everything = np.arange(1, 9)
    user = np.concatenate([np.full(8, 1), np.repeat(np.arange(2, 12), 5)])
    item = np.concatenate([everything, np.tile([1, 2, 3, 4, 5], 10)])
    log = Events(user, item, np.arange(len(user), dtype=float))
    made = Protocol(log, DataSettings(eval_negatives=3), n_items=9, max_history=4)
    for part, left_out, total in (("train", 5, 25), ("valid", 1, 11), ("test", 1, 11)):
        rows = made.labelled(part)
        assert 1 not in log.user[rows.rows.position]
        note = f"{part}: {left_out} of {total} rows of users who touched every item that can be drawn were left out"
        assert note in made.notes
    assert (made.unclicked_item[:8] == 0).all() and (made.unclicked_item[8:] > 5).all()


def test_too_few_items_are_still_a_stop_for_users_who_have_some():
    log = Events(np.repeat([1, 2], 5), np.tile([1, 2, 3, 4, 5], 2), np.arange(10.0))
    with pytest.raises(InputError, match="at least 3 items to draw negatives from"):
        Protocol(log, DataSettings(eval_negatives=3), n_items=8, max_history=4).labelled("test")


def test_nobody_who_left_an_item_untouched():
    log = Events(np.repeat([1, 2], 5), np.tile([1, 2, 3, 4, 5], 2), np.arange(10.0))
    with pytest.raises(InputError, match="rows in the train part"):
        Protocol(log, DataSettings(), n_items=6, max_history=4).labelled("train")
