"""Statistics are what was known at the row's time, and every item has its own vector, words and numbers."""

import collections

import numpy as np
import pytest
import tiny
import torch
from token_rows import build, delivered


# --------------------------------------------------------------------------------------------------------- statistics
def training_events(rows, events):
    """(item, time) of the events of the training part: all but those of validation and test rows."""
    held_out = {(row.user, row.item) for part in ("valid", "test") for row in rows["MARN"][part] if row.label == 1}
    return [(item, time) for user, seen in events.items() for time, item, _ in seen if (user, item) not in held_out]


def test_training_rows_see_counts_from_strictly_before_their_time(loaders, rows, events):
    dataset = loaders["MARN"]["train"].part
    bins = dataset.features.at_time.statistics[0][1]
    trained = training_events(rows, events)
    row = iter(rows["MARN"]["train"])
    for interaction in delivered(loaders["MARN"]["train"]):
        batch = interaction.batch
        codes = batch.statistic[batch.entity_statistic[batch.candidate]]
        for code in codes.numpy():
            expected = next(row)
            count = sum(item == expected.item and time < expected.time for item, time in trained)
            np.testing.assert_array_equal(code[:1], bins.assign(np.array(count)))


@pytest.mark.parametrize("part", ["valid", "test"])
def test_evaluation_rows_see_the_counts_at_the_end_of_training(loaders, rows, events, part):
    dataset = loaders["MARN"][part].part
    bins = dataset.features.at_time.statistics[0][1]
    total = collections.Counter(item for item, _ in training_events(rows, events))
    row = iter(rows["MARN"][part])
    for interaction in delivered(loaders["MARN"][part]):
        batch = interaction.batch
        codes = batch.statistic[batch.entity_statistic[batch.candidate]]
        for code in codes.numpy():
            np.testing.assert_array_equal(code[:1], bins.assign(np.array(total[next(row).item])))


def last_of_each_user(events):
    """Indices of the test events of a list of events."""
    by_user = collections.defaultdict(list)
    for index, (user, _, time, _) in enumerate(events):
        by_user[user].append((time, index))
    # Of users whose last two times are equal the tie-break decides, so those are left alone.
    chosen = []
    for seen in by_user.values():
        seen.sort()
        if len(seen) >= 4 and seen[-1][0] > seen[-2][0]:
            chosen.append(seen[-1][1])
    return chosen


def test_statistics_and_bins_do_not_change_with_the_test_rows(tmp_path, data_path, loaders):
    events = tiny.read_events(data_path)
    changed = list(events)
    for index in last_of_each_user(events):
        user, item, time, kind = events[index]
        changed[index] = (user, item, time + 50_000.0, "buy" if kind == "view" else "view")
    assert changed != events
    tiny.write_dataset(tmp_path, events=changed)
    # The draws behind titles, prices and vectors come after those behind the events: the file is taken as it was.
    (tmp_path / "tiny/tiny.item").write_text((data_path / "tiny/tiny.item").read_text())
    before, after = loaders["MARN"], build(tiny.settings(tmp_path))
    assert before["test"].part.split_sha256 != after["test"].part.split_sha256
    old, new = before["train"].part, after["train"].part
    assert by_token(old, old.item_table.statistic) == by_token(new, new.item_table.statistic)
    np.testing.assert_equal(old.features.at_time.statistics[0][1].edges, new.features.at_time.statistics[0][1].edges)
    np.testing.assert_equal(old.features.gap.bins.edges, new.features.gap.bins.edges)
    for one, other in zip(delivered(before["train"]), delivered(after["train"]), strict=True):
        assert torch.equal(one.batch.statistic, other.batch.statistic)


def test_counts_do_not_change_with_the_items_of_the_test_rows(tmp_path, data_path, loaders):
    events = tiny.read_events(data_path)
    touched = collections.defaultdict(set)
    for user, item, _, _ in events:
        touched[user].add(item)
    changed = list(events)
    for index in last_of_each_user(events):
        user, _, time, kind = events[index]
        other = next(token for token in tiny.item_tokens(25) if token not in touched[user])
        changed[index] = (user, other, time, kind)
    tiny.write_dataset(tmp_path, events=changed)
    old, new = loaders["MARN"]["train"].part, build(tiny.settings(tmp_path))["train"].part
    assert old.split_sha256 != new.split_sha256
    assert by_token(old, old.protocol.counts.snapshot()) == by_token(new, new.protocol.counts.snapshot())


def by_token(dataset, values):
    return {
        token: np.asarray(value).tolist()
        for token, value in zip(dataset.field2id_token["item_id"], values, strict=True)
    }


# -------------------------------------------------------------------------------------------------------------- items
def test_each_item_has_its_own_vector_words_and_price(loaders, data_path):
    dataset = loaders["MARN"]["train"].part
    table, token_id = dataset.item_table, dataset.field2token_id["item_id"]
    ids = (data_path / "tiny/image.ids").read_text().split()
    vectors = np.load(data_path / "tiny/image.npy")
    image, title = table.modalities["image"], table.modalities["title"]
    words = dataset.field2id_token["title"]
    price = dataset.source.item_numbers["price"]
    names = table.names
    for token, columns in tiny.read_items(data_path).items():
        item = token_id[token]
        has = dict(zip(names, table.present[item], strict=True))
        assert has["image"] == (token in ids)
        if has["image"]:
            np.testing.assert_array_equal(image.matrix[image.row[item]], vectors[ids.index(token)])
        assert [word for word in words[title.words[item]] if word != "[PAD]"] == columns["title"].split()
        assert has["title"] == bool(columns["title"])
        np.testing.assert_equal(price[item], float(columns["price"] or "nan"))
    assert not table.present[0].any() and not table.statistic[0].any()


def test_a_missing_number_has_the_code_of_missing(loaders, data_path):
    dataset = loaders["MARN"]["train"].part
    without = [token for token, columns in tiny.read_items(data_path).items() if not columns["price"]]
    assert len(without) == 1
    codes = dataset.item_table.statistic[dataset.field2token_id["item_id"][without[0]]]
    assert codes[1] == 0, "price"
    assert codes[0] > 0, "train_interactions"


def test_vectors_of_the_item_file_are_masked_where_there_are_none(tmp_path):
    folder = tiny.write_dataset(tmp_path)
    tokens = tiny.item_tokens(25)
    rows = [(token, "" if token == "003" else f"{index}.5 {-index}") for index, token in enumerate(tokens)]
    tiny.write_table(folder / "tiny.item", ["item_id:token", "sound:float_seq"], rows)
    modalities = {"sound": {"kind": "vector", "field": "sound", "size": 2}}
    dataset = build(tiny.settings(tmp_path, modalities=modalities))["train"].part
    table, token_id = dataset.item_table, dataset.field2token_id["item_id"]
    sound = table.modalities["sound"]
    for index, token in enumerate(tokens):
        item = token_id[token]
        assert table.present[item, 0] == (token != "003")
        if table.present[item, 0]:
            np.testing.assert_array_equal(sound.matrix[sound.row[item]], np.float32([index + 0.5, -index]))


def test_events_of_items_without_a_line_are_left_out_and_counted(tmp_path):
    folder = tiny.write_dataset(tmp_path)
    file = folder / "tiny.item"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("005")))
    events = tiny.read_events(tmp_path)
    number = sum(item == "005" for _, item, _, _ in events)
    dataset = build(tiny.settings(tmp_path))["train"].part
    assert dataset.notes[0] == (
        f"events: {number} of {len(events)} left out by filters or for want of a line in .item or .user"
    )


def test_the_notes_say_what_is_missing(loaders):
    assert loaders["MARN"]["train"].part.notes == (
        "users: 4 with a single event have no row (their event still counts)",
        "image: 3 of 25 items have no vector and are masked",
        "title: 1 of 25 items have no words",
        "train: 59 clicks from 1970-01-01 to 1970-01-04 (UTC)",
        "valid: 18 clicks from 1970-01-01 to 1970-01-04 (UTC)",
        "test: 22 clicks from 1970-01-02 to 1970-01-04 (UTC)",
    )


def test_models_of_recbole_see_the_id_fields_and_nothing_else(loaders):
    for model in ("LR", "FM", "xDeepFM", "DIN", "DIEN"):
        dataset = loaders[model]["train"].part
        assert set(dataset.item_feat.columns) == {"item_id", "category"}
        assert dataset.user_feat is None or set(dataset.user_feat.columns) == {"user_id"}


def test_use_modalities_also_chooses_the_id_fields_of_recboles_models(settings):
    modalities = {"a": {"kind": "id", "fields": {"item_id": 4}}, "b": {"kind": "id", "fields": {"category": 4}}}
    dataset = build(settings("LR", modalities=modalities, use_modalities=["a"]))["train"].part
    assert set(dataset.item_feat.columns) == {"item_id"}
