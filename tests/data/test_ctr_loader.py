"""Repeated events, the fingerprint of a split, and the order of rows in an epoch."""

import collections

import numpy as np
import pytest
import tiny
from token_rows import build, token_rows

from recbole_marn.errors import InputError


# ------------------------------------------------------------------------------------------------------------ repeats
@pytest.fixture
def repeated(tmp_path, data_path):
    events = tiny.read_events(data_path)
    user, item, time, kind = events[0]
    tiny.write_dataset(tmp_path, events=[*events, (user, item, time + 7200, kind), (user, item, time, kind)])
    return tmp_path


def test_repeated_events_stop_the_run_unless_it_is_said_what_they_are(repeated):
    with pytest.raises(InputError) as error:
        build(tiny.settings(repeated))
    assert "Expected each (user, item) pair once. Got 2 of" in str(error.value)
    assert "Set repeats: first to keep each pair's first event, or repeats: keep" in str(error.value)


def test_the_first_of_repeated_events_can_be_kept(repeated, loaders):
    dataset = build(tiny.settings(repeated, repeats="first"))["train"].part
    assert "events: 2 that repeat a (user, item) pair were left out" in dataset.notes
    assert dataset.split_sha256 == loaders["MARN"]["train"].part.split_sha256


def test_repeated_events_can_be_kept(repeated, loaders):
    dataset = build(tiny.settings(repeated, repeats="keep"))["train"].part
    assert dataset.protocol.events.n_events == loaders["MARN"]["train"].part.protocol.events.n_events + 2


# ---------------------------------------------------------------------------------------------------- the fingerprint
def sha(settings):
    return build(settings)["train"].part.split_sha256


def test_positives_and_histories_do_not_depend_on_the_order_of_the_file(tmp_path, data_path, rows):
    """Negatives do: they are drawn among internal ids, which follow the file."""
    tiny.write_dataset(tmp_path, events=sorted(tiny.read_events(data_path)))
    for part, loader in build(tiny.settings(tmp_path, "DIN")).items():
        positives = {row for row in token_rows(loader, "DIN") if row.label == 1}
        assert positives == {row for row in rows["DIN"][part] if row.label == 1}


@pytest.mark.parametrize(
    "changed",
    [{"sample_seed": 1}, {"eval_negatives": 2}, {"train_negatives": 2}, {"split": "time"}, {"MAX_ITEM_LIST_LENGTH": 2},
     {"eval_sampling": "popularity"}, {"train_sampling": "popularity"}],
)  # fmt: skip
def test_the_fingerprint_changes_with_the_rows(settings, loaders, changed):
    assert sha(settings("LR", **changed)) != loaders["LR"]["train"].part.split_sha256


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"train_batch_size": 8}, {"learning_rate": 0.5}, {"embedding_size": 3}]
)
def test_the_fingerprint_does_not_change_with_the_training(settings, loaders, changed):
    assert sha(settings("LR", **changed)) == loaders["LR"]["train"].part.split_sha256


def test_the_fingerprint_changes_with_one_time(tmp_path, data_path, loaders):
    events = tiny.read_events(data_path)
    user, item, time, kind = events[3]
    events[3] = (user, item, time + 1, kind)
    tiny.write_dataset(tmp_path, events=events)
    assert sha(tiny.settings(tmp_path, "LR")) != loaders["LR"]["train"].part.split_sha256


# ---------------------------------------------------------------------------------------------- loaders and negatives
def test_groups_stay_together_and_every_row_comes_once_an_epoch(settings):
    loader = build(settings(train_negatives=2, train_batch_size=32))["train"]
    orders = []
    for epoch in (0, 1, 0):
        loader.set_epoch(epoch)
        rows = []
        for interaction in loader:
            assert len(interaction) <= 32 and len(interaction) % 3 == 0
            label = interaction["label"].view(-1, 3)
            assert label[:, 0].all() and not label[:, 1:].any()
            assert (interaction["user_id"].view(-1, 3) == interaction["user_id"][::3, None]).all()
            rows += zip(interaction["user_id"].tolist(), interaction["item_id"].tolist(), strict=True)
        orders.append(rows)
    assert orders[0] == orders[2] != orders[1], "the order is a function of the epoch"
    assert sorted(orders[0]) == sorted(orders[1])
    assert len(orders[0]) == loader.part.rows.n_rows


def test_training_negatives_are_fixed_unless_asked(settings):
    loader = build(settings("LR"))["train"]
    before = loader.part.rows.negatives.copy()
    loader.set_epoch(1)
    np.testing.assert_array_equal(loader.part.rows.negatives, before)


def test_training_negatives_can_be_drawn_anew_every_epoch(settings):
    parts = build(settings(resample_negatives=True))
    loader, valid = parts["train"], parts["valid"].part.rows.negatives.copy()
    drawn = {}
    for epoch in (0, 1, 2, 1):
        loader.set_epoch(epoch)
        dataset = loader.part
        assert epoch not in drawn or (drawn[epoch] == dataset.rows.negatives).all()
        drawn[epoch] = dataset.rows.negatives.copy()
        user = dataset.protocol.events.user[dataset.rows.rows.position]
        touched = set(zip(dataset.protocol.events.user.tolist(), dataset.protocol.events.item.tolist(), strict=True))
        assert not touched & set(zip(user.tolist(), drawn[epoch][:, 0].tolist(), strict=True))
    assert (drawn[0] != drawn[1]).any() and (drawn[1] != drawn[2]).any()
    assert dataset.rows.at_time is not None, "still with statistics at the row's time"
    np.testing.assert_array_equal(parts["valid"].part.rows.negatives, valid)


def test_the_test_positives_against_other_negatives(loaders):
    dataset = loaders["MARN"]["test"].part
    other = dataset.against("popularity")
    np.testing.assert_array_equal(other.rows.rows.position, dataset.rows.rows.position)
    assert (other.rows.negatives != dataset.rows.negatives).any()
    counts = dataset.protocol.counts.snapshot()
    assert (counts[other.rows.negatives] > 0).all()
    np.testing.assert_array_equal(dataset.against("uniform").rows.negatives, dataset.rows.negatives)


def test_released_negatives_exist_by_the_time_of_their_row(tmp_path, data_path):
    events = tiny.read_events(data_path)
    first = collections.defaultdict(lambda: 1e9)
    for _, item, time, _ in events:
        first[item] = min(first[item], time)
    tiny.write_dataset(tmp_path, events=events)
    header = ["item_id:token", "release:float"]
    # An item comes an hour before its first event; one nobody touched never comes.
    tiny.write_table(
        tmp_path / "tiny/tiny.item", header, [(token, first[token] - 3600) for token in tiny.item_tokens(25)]
    )
    ids = {"ids": {"kind": "id", "fields": {"item_id": 4}}}
    given = tiny.settings(
        tmp_path, "LR", modalities=ids, negatives_from="released", release_field="release", eval_negatives=1
    )
    for part, loader in build(given).items():
        for row in token_rows(loader, "LR"):
            assert first[row.item] - 3600 <= row.time, part


def test_without_release_times_an_items_first_event_is_no_row(settings, events):
    parts = build(settings("LR", negatives_from="released", eval_negatives=1))
    first = {}
    for user, seen in events.items():
        for time, item, _ in seen:
            first[item] = min(first.get(item, (time, user)), (time, user))
    for part, loader in parts.items():
        for row in token_rows(loader, "LR"):
            assert first[row.item][0] < row.time, part
    assert any("rows whose item had never been seen were left out" in note for note in parts["train"].part.notes)


def test_the_time_split_holds_back_later_days(settings):
    parts = build(settings(split="time", split_times=[3600.0 * 60, 3600.0 * 80]))
    times = {part: [row.time for row in token_rows(loader, "MARN")] for part, loader in parts.items()}
    assert max(times["train"]) < 3600 * 60 <= min(times["valid"])
    assert max(times["valid"]) < 3600 * 80 <= min(times["test"])
    history = {item for row in token_rows(parts["test"], "MARN") for item in row.history}
    assert history, "what was held out before a row is part of its history"
