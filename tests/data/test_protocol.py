"""From events to rows without RecBole."""

import numpy as np
import pytest

from recbole_marn.data.protocol import DAY, Protocol
from recbole_marn.data.rows import TEST, TRAIN, VALID, Events
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


def test_unclicked_items_were_never_touched():
    made = protocol()
    touched = set(zip(made.events.user.tolist(), made.events.item.tolist(), strict=True))
    assert not touched & set(zip(made.events.user.tolist(), made.unclicked_items().tolist(), strict=True))


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
