"""The same labelled rows for every model, and nothing in them that was not known at their time."""

import collections

import pytest
import tiny
from token_rows import MODELS, PARTS, build, delivered

from recbole_marn.errors import InputError


# ------------------------------------------------------------------------------------------------------ the same rows
@pytest.mark.parametrize("part", PARTS)
def test_every_model_gets_the_same_rows_token_for_token(rows, part):
    reference = rows["MARN"][part]
    assert len(reference) > 50
    for model in MODELS:
        assert [row[:4] for row in rows[model][part]] == [row[:4] for row in reference], model
    for model in ("DIN", "DIEN"):
        assert [row.history for row in rows[model][part]] == [row.history for row in reference], model


def test_the_fingerprint_is_the_same_for_every_model(loaders):
    assert len({parts["test"].part.split_sha256 for parts in loaders.values()}) == 1


# --------------------------------------------------------------------------------------------------- against the file
def test_each_positive_is_an_event_and_lies_in_the_part_its_user_says(rows, events):
    found = {part: collections.Counter(row.user for row in rows["MARN"][part] if row.label == 1) for part in PARTS}
    for user, seen in events.items():
        n = len(seen)
        expected = {1: (0, 0, 0), 2: (1, 0, 0), 3: (1, 0, 1)}.get(n, (n - 3, 1, 1))
        assert tuple(found[part][user] for part in PARTS) == expected, n
    for part in PARTS:
        for row in rows["MARN"][part]:
            if row.label == 1:
                assert (row.time, row.item) in {(time, item) for time, item, _ in events[row.user]}


def test_a_history_is_what_came_before_and_no_more(rows, events):
    for part in PARTS:
        for row in rows["MARN"][part]:
            time_of = {item: time for time, item, _ in events[row.user]}
            assert 1 <= len(row.history) <= 4
            past = [time_of[item] for item in row.history]  # a KeyError here would be an item of somebody else
            assert past == sorted(past), "oldest first"
            assert all(time <= row.time for time in past)
            # Nothing between the oldest kept event and the row is left out.
            earlier = {item for item, time in time_of.items() if time < row.time}
            assert earlier <= set(row.history) or len(row.history) == 4
            if len(row.history) == 4:
                assert not {item for item in earlier - set(row.history) if time_of[item] > past[0]}


@pytest.mark.parametrize("model", ["MARN", "DIN", "DIEN"])
def test_no_target_future_or_negative_item_in_any_history(rows, events, model):
    for part in PARTS:
        for row in rows[model][part]:
            assert row.item not in row.history
            future = {item for time, item, _ in events[row.user] if time > row.time}
            assert not future & set(row.history)
            assert set(row.history) <= {item for _, item, _ in events[row.user]}, "a negative is nobody's history"


def test_negatives_were_touched_in_no_part_and_are_distinct(rows, events):
    for part, number in zip(PARTS, (1, 3, 3), strict=True):
        reference = rows["LR"][part]
        assert [row.label for row in reference] == ([1.0] + [0.0] * number) * (len(reference) // (1 + number))
        for start in range(0, len(reference), 1 + number):
            positive, *negatives = reference[start : start + 1 + number]
            assert len({row.item for row in negatives}) == number
            assert {row.user for row in negatives} == {positive.user}
            assert {row.time for row in negatives} == {positive.time}
            assert not {row.item for row in negatives} & {item for _, item, _ in events[positive.user]}


def test_the_items_beside_a_dien_history_were_never_touched(loaders, events):
    for part in PARTS:
        loader = loaders["DIEN"][part]
        token = loader.part.field2id_token
        for interaction in delivered(loader):
            for user, length, items in zip(
                token["user_id"][interaction["user_id"].numpy()], interaction["item_length"].tolist(),
                interaction["neg_item_id_list"].tolist(), strict=True,
            ):  # fmt: skip
                beside = set(token["item_id"][items[:length]])
                assert "[PAD]" not in beside
                assert not beside & {item for _, item, _ in events[user]}


# ----------------------------------------------------------------------------------------------- what a batch carries
@pytest.mark.parametrize("model", MODELS)
def test_a_batch_carries_nothing_of_the_targets_own_event(loaders, model):
    allowed = {"user_id", "item_id", "timestamp", "label"}
    if model != "MARN":
        allowed |= {"category"}
    if model in ("DIN", "DIEN"):
        allowed |= {"item_id_list", "item_length"}
    if model == "DIEN":
        allowed |= {"neg_item_id_list"}
    for part in PARTS:
        for interaction in delivered(loaders[model][part]):
            assert set(interaction.columns) == allowed


def test_the_behaviour_types_are_those_of_the_history(loaders, rows, events):
    pairs = set()
    for part in PARTS:
        row = iter(rows["MARN"][part])
        for interaction in delivered(loaders["MARN"][part]):
            batch = interaction.batch
            assert len(batch.behaviour) == len(batch.token)
            kinds = batch.behaviour.split(batch.length.tolist())
            for sequence in batch.row_sequence.tolist():
                expected = next(row)
                kind = {item: kind for _, item, kind in events[expected.user]}
                pairs |= set(zip(kinds[sequence].tolist(), [kind[item] for item in expected.history], strict=True))
    assert len(pairs) == 2 and dict(pairs).keys() == {1, 2}, "one number a type, 0 left to padding"


# ------------------------------------------------------------------------------------------------------------- errors
def test_too_few_items_for_the_negatives(settings):
    with pytest.raises(InputError, match="Expected at least 20 items to draw negatives from for every row"):
        build(settings("LR", eval_negatives=20))


def test_a_data_set_of_users_with_one_event(tmp_path):
    tiny.write_dataset(tmp_path, most_events=1)
    with pytest.raises(InputError, match="Expected rows in the train part. Got none of 30 events."):
        build(tiny.settings(tmp_path))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"unload_col": {"inter": ["knd"]}}, ["tiny.inter: it has no column knd, which unload_col names"]),
        (
            {"load_col": {"inter": ["user_id", "item_id", "timestamp", "kind", "where"], "item": "*"}},
            ["tiny.inter: it has no column where, which load_col names"],
        ),
        ({}, []),
    ],
)
def test_columns_that_are_named_and_not_there_are_told(settings, given, told):
    notes = build(settings(**given))["train"].part.notes
    assert [note for note in notes if "it has no column" in note] == told
