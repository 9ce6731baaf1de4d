"""The same labelled rows for every model, and nothing in them that was not known at their time."""

import collections

import numpy as np
import pytest
import tiny
import torch

from recbole_marn.errors import InputError
from recbole_marn.quick_start import build_config

from recbole.data import create_dataset, data_preparation  # isort: skip

MODELS = ["LR", "FM", "xDeepFM", "DIN", "DIEN", "MARN"]
PARTS = ["train", "valid", "test"]

Row = collections.namedtuple("Row", "user item time label history")


def build(settings):
    """Loaders of the three parts by name."""
    config = build_config(config_dict=settings)
    return dict(zip(PARTS, data_preparation(config, create_dataset(config)), strict=True))


def delivered(loader):
    """The interactions of a loader's batches in an epoch, in order."""
    loader.set_epoch(0)
    return [batch if loader.part == "train" else batch[0] for batch in loader]


def histories(interaction, model):
    """Item ids of each row's history, as the model sees them; None for a model that sees none."""
    if model == "MARN":
        batch = interaction.batch
        item = batch.item[batch.entity_item[batch.token]].split(batch.length.tolist())
        return [item[sequence].tolist() for sequence in batch.row_sequence.tolist()]
    if model in ("DIN", "DIEN"):
        length = interaction["item_length"].tolist()
        lists = interaction["item_id_list"].tolist()
        assert all(not any(row[n:]) for row, n in zip(lists, length, strict=True)), "padding lies behind"
        return [row[:n] for row, n in zip(lists, length, strict=True)]
    return None


def token_rows(loader, model):
    """Every row of a loader in its order, by token."""
    token = loader._dataset.field2id_token
    rows = []
    for interaction in delivered(loader):
        history = histories(interaction, model) or [None] * len(interaction)
        columns = [interaction[field].tolist() for field in ("user_id", "item_id", "timestamp", "label")]
        rows += [
            Row(token["user_id"][user], token["item_id"][item], time, label,
                None if past is None else tuple(token["item_id"][past]))
            for user, item, time, label, past in zip(*columns, history, strict=True)
        ]  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def loaders(data_path):
    return {model: build(tiny.settings(data_path, model)) for model in MODELS}


@pytest.fixture(scope="module")
def rows(loaders):
    """model -> part -> rows."""
    return {model: {part: token_rows(loader, model) for part, loader in parts.items()} for model, parts in loaders.items()}


@pytest.fixture(scope="module")
def events(data_path):
    """user -> events (time, item, kind), oldest first."""
    by_user = collections.defaultdict(list)
    for user, item, time, kind in tiny.read_events(data_path):
        by_user[user].append((time, item, kind))
    return {user: sorted(seen) for user, seen in by_user.items()}


# --------------------------------------------------------------------------------------------- the same rows
@pytest.mark.parametrize("part", PARTS)
def test_every_model_gets_the_same_rows_token_for_token(rows, part):
    reference = rows["MARN"][part]
    assert len(reference) > 50
    for model in MODELS:
        assert [row[:4] for row in rows[model][part]] == [row[:4] for row in reference], model
    for model in ("DIN", "DIEN"):
        assert [row.history for row in rows[model][part]] == [row.history for row in reference], model


def test_the_fingerprint_is_the_same_for_every_model(loaders):
    assert len({parts["test"]._dataset.split_sha256 for parts in loaders.values()}) == 1


# ---------------------------------------------------------------------------------------------- against the file
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
        token = loader._dataset.field2id_token
        for interaction in delivered(loader):
            for user, length, items in zip(
                token["user_id"][interaction["user_id"].numpy()], interaction["item_length"].tolist(),
                interaction["neg_item_id_list"].tolist(), strict=True,
            ):  # fmt: skip
                beside = set(token["item_id"][items[:length]])
                assert "[PAD]" not in beside
                assert not beside & {item for _, item, _ in events[user]}


# ------------------------------------------------------------------------------------------- what a batch carries
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


# ---------------------------------------------------------------------------------------------------- statistics
def training_events(rows, events):
    """(item, time) of the events of the training part: all but those of validation and test rows."""
    held_out = {(row.user, row.item) for part in ("valid", "test") for row in rows["MARN"][part] if row.label == 1}
    return [(item, time) for user, seen in events.items() for time, item, _ in seen if (user, item) not in held_out]


def test_training_rows_see_counts_from_strictly_before_their_time(loaders, rows, events):
    dataset = loaders["MARN"]["train"]._dataset
    bins = dataset.features.at_time.bins[0]
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
    dataset = loaders["MARN"][part]._dataset
    bins = dataset.features.at_time.bins[0]
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
    assert before["test"]._dataset.split_sha256 != after["test"]._dataset.split_sha256
    old, new = before["train"]._dataset, after["train"]._dataset
    assert by_token(old, old.item_table.statistic) == by_token(new, new.item_table.statistic)
    np.testing.assert_equal(old.features.at_time.bins[0].edges, new.features.at_time.bins[0].edges)
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
    old, new = loaders["MARN"]["train"]._dataset, build(tiny.settings(tmp_path))["train"]._dataset
    assert old.split_sha256 != new.split_sha256
    assert by_token(old, old.protocol.counts.snapshot()) == by_token(new, new.protocol.counts.snapshot())


def by_token(dataset, values):
    return {token: np.asarray(value).tolist() for token, value in zip(dataset.field2id_token["item_id"], values, strict=True)}


# --------------------------------------------------------------------------------------------------------- items
def test_each_item_has_its_own_vector_words_and_price(loaders, data_path):
    dataset = loaders["MARN"]["train"]._dataset
    table, token_id = dataset.item_table, dataset.field2token_id["item_id"]
    ids = (data_path / "tiny/image.ids").read_text().split()
    vectors = np.load(data_path / "tiny/image.npy")
    image, title = table.modalities["image"], table.modalities["title"]
    words = dataset.field2id_token["title"]
    price = dataset.item_numbers["price"]
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
    dataset = loaders["MARN"]["train"]._dataset
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
    dataset = build(tiny.settings(tmp_path, modalities=modalities))["train"]._dataset
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
    dataset = build(tiny.settings(tmp_path))["train"]._dataset
    assert dataset.notes[0] == (
        f"events: {number} of {len(events)} left out by filters or for want of a line in .item or .user"
    )


def test_the_notes_say_what_is_missing(loaders):
    assert loaders["MARN"]["train"]._dataset.notes == [
        "users: 4 with a single event have no row (their event still counts)",
        "image: 3 of 25 items have no vector and are masked",
        "title: 1 of 25 items have no words",
    ]


def test_models_of_recbole_see_the_id_fields_and_nothing_else(loaders):
    for model in ("LR", "FM", "xDeepFM", "DIN", "DIEN"):
        dataset = loaders[model]["train"]._dataset
        assert set(dataset.item_feat.columns) == {"item_id", "category"}
        assert dataset.user_feat is None or set(dataset.user_feat.columns) == {"user_id"}


def test_use_modalities_also_chooses_the_id_fields_of_recboles_models(settings):
    modalities = {"a": {"kind": "id", "fields": {"item_id": 4}}, "b": {"kind": "id", "fields": {"category": 4}}}
    dataset = build(settings("LR", modalities=modalities, use_modalities=["a"]))["train"]._dataset
    assert set(dataset.item_feat.columns) == {"item_id"}


# ------------------------------------------------------------------------------------------------------- repeats
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
    dataset = build(tiny.settings(repeated, repeats="first"))["train"]._dataset
    assert "events: 2 that repeat a (user, item) pair were left out" in dataset.notes
    assert dataset.split_sha256 == loaders["MARN"]["train"]._dataset.split_sha256


def test_repeated_events_can_be_kept(repeated, loaders):
    dataset = build(tiny.settings(repeated, repeats="keep"))["train"]._dataset
    assert dataset.protocol.events.n_events == loaders["MARN"]["train"]._dataset.protocol.events.n_events + 2


# -------------------------------------------------------------------------------------------------- the fingerprint
def sha(settings):
    return build(settings)["train"]._dataset.split_sha256


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
    assert sha(settings("LR", **changed)) != loaders["LR"]["train"]._dataset.split_sha256


@pytest.mark.parametrize("changed", [{"seed": 1}, {"train_batch_size": 8}, {"learning_rate": 0.5}, {"embedding_size": 3}])
def test_the_fingerprint_does_not_change_with_the_training(settings, loaders, changed):
    assert sha(settings("LR", **changed)) == loaders["LR"]["train"]._dataset.split_sha256


def test_the_fingerprint_changes_with_one_time(tmp_path, data_path, loaders):
    events = tiny.read_events(data_path)
    user, item, time, kind = events[3]
    events[3] = (user, item, time + 1, kind)
    tiny.write_dataset(tmp_path, events=events)
    assert sha(tiny.settings(tmp_path, "LR")) != loaders["LR"]["train"]._dataset.split_sha256


# --------------------------------------------------------------------------------------------- loaders and negatives
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
    assert len(orders[0]) == loader._dataset.rows.n_rows


def test_training_negatives_are_fixed_unless_asked(settings):
    loader = build(settings("LR"))["train"]
    before = loader._dataset.rows.negatives.copy()
    loader.set_epoch(1)
    np.testing.assert_array_equal(loader._dataset.rows.negatives, before)


def test_training_negatives_can_be_drawn_anew_every_epoch(settings):
    parts = build(settings(resample_negatives=True))
    loader, valid = parts["train"], parts["valid"]._dataset.rows.negatives.copy()
    dataset = loader._dataset
    drawn = {}
    for epoch in (0, 1, 2, 1):
        loader.set_epoch(epoch)
        assert epoch not in drawn or (drawn[epoch] == dataset.rows.negatives).all()
        drawn[epoch] = dataset.rows.negatives.copy()
        user = dataset.protocol.events.user[dataset.rows.rows.position]
        touched = set(zip(dataset.protocol.events.user.tolist(), dataset.protocol.events.item.tolist(), strict=True))
        assert not touched & set(zip(user.tolist(), drawn[epoch][:, 0].tolist(), strict=True))
    assert (drawn[0] != drawn[1]).any() and (drawn[1] != drawn[2]).any()
    assert dataset.rows.at_time is not None, "still with statistics at the row's time"
    np.testing.assert_array_equal(parts["valid"]._dataset.rows.negatives, valid)


def test_the_test_positives_against_other_negatives(loaders):
    dataset = loaders["MARN"]["test"]._dataset
    other = dataset.test_part("popularity")
    np.testing.assert_array_equal(other.rows.rows.position, dataset.rows.rows.position)
    assert (other.rows.negatives != dataset.rows.negatives).any()
    counts = dataset.protocol.counts.snapshot()
    assert (counts[other.rows.negatives] > 0).all()
    np.testing.assert_array_equal(dataset.test_part("uniform").rows.negatives, dataset.rows.negatives)


def test_released_negatives_exist_by_the_time_of_their_row(tmp_path, data_path):
    events = tiny.read_events(data_path)
    first = collections.defaultdict(lambda: 1e9)
    for _, item, time, _ in events:
        first[item] = min(first[item], time)
    tiny.write_dataset(tmp_path, events=events)
    header = ["item_id:token", "release:float"]
    # An item comes an hour before its first event; one nobody touched never comes.
    tiny.write_table(tmp_path / "tiny/tiny.item", header, [(token, first[token] - 3600) for token in tiny.item_tokens(25)])
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
    assert any("rows whose item had never been seen were left out" in note for note in parts["train"]._dataset.notes)


def test_the_time_split_holds_back_later_days(settings):
    parts = build(settings(split="time", split_times=[3600.0 * 60, 3600.0 * 80]))
    times = {part: [row.time for row in token_rows(loader, "MARN")] for part, loader in parts.items()}
    assert max(times["train"]) < 3600 * 60 <= min(times["valid"])
    assert max(times["valid"]) < 3600 * 80 <= min(times["test"])
    history = {item for row in token_rows(parts["test"], "MARN") for item in row.history}
    assert history, "what was held out before a row is part of its history"


# -------------------------------------------------------------------------------------------------------- errors
def test_too_few_items_for_the_negatives(settings):
    with pytest.raises(InputError, match="Expected at least 20 items to draw negatives from for every row"):
        build(settings("LR", eval_negatives=20))


def test_a_data_set_of_users_with_one_event(tmp_path):
    tiny.write_dataset(tmp_path, most_events=1)
    with pytest.raises(InputError, match="Expected rows in the train part. Got none of 30 events."):
        build(tiny.settings(tmp_path))
