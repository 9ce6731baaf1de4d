"""A data set is the same to the last number whether its files are read as text or by columns."""

import dataclasses

import numpy as np
import pytest
import tiny
from same_parts import check_same_parts

from recbole_marn.data.ctr_dataset import CTRDataset
from recbole_marn.data.loader import build_loaders
from recbole_marn.errors import InputError
from recbole_marn.quick_start import build_config

pytest.importorskip("pyarrow")

NAMES = ["ana", "Ana", "é", "漢字", "NA", "007", "7", '"q"', " b", "[x]", "u v"]


def data_of(folder, columnar, **changed):
    config = build_config(config_dict=tiny.settings(folder, columnar_from_mb=columnar, **changed))
    dataset = CTRDataset(config)
    return dataset, build_loaders(config, dataset)


def check_equal(folder, **changed):
    """Ids, tokens, rows, negatives, notes, item table, and every batch. Returns the data set read by columns."""
    (text, by_text), (coded, by_columns) = data_of(folder, None, **changed), data_of(folder, 0, **changed)
    assert coded._is_coded and not text._is_coded
    assert set(text.field2id_token) == set(coded.field2id_token)
    for field, tokens in text.field2id_token.items():
        assert coded.field2id_token[field].tolist() == tokens.tolist(), field
        assert coded.field2token_id[field] == text.field2token_id[field]
    assert coded.notes == text.notes
    assert (coded.user_num, coded.item_num, coded.behaviour_cardinality) == (
        text.user_num, text.item_num, text.behaviour_cardinality)  # fmt: skip
    for field in dataclasses.fields(text.events):
        np.testing.assert_array_equal(getattr(coded.events, field.name), getattr(text.events, field.name))
    check_same_parts(by_text, by_columns)
    return coded


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Unsorted events, repeats, equal times, odd tokens, an empty kind, a further column, and a file of users."""
    folder = tmp_path_factory.mktemp("columns")
    target = tiny.write_dataset(folder)
    events = tiny.read_events(folder)
    rng = np.random.default_rng(3)
    renamed = {f"u{number}": name for number, name in enumerate(NAMES)}
    events = [(renamed.get(user, user), item, time, kind) for user, item, time, kind in events]
    events += [events[index] for index in rng.integers(0, len(events), 40)]  # the very same line again
    events += [
        (events[index][0], events[index][1], float(rng.integers(0, 96)) * 3600 + 0.25, "buy")
        for index in rng.integers(0, len(events), 40)
    ]
    order = rng.permutation(len(events))
    rows = [(*events[index][:3], "" if n % 17 == 0 else events[index][3], n % 5) for n, index in enumerate(order)]
    header = ["user_id:token", "item_id:token", "timestamp:float", "kind:token", "rating:float"]
    tiny.write_table(target / "tiny.inter", header, rows)
    users = sorted({row[0] for row in rows})
    tiny.write_table(target / "tiny.user", ["user_id:token", "age:float"], [(u, n) for n, u in enumerate(users[:-3])])
    return folder


ALL = {"load_col": None, "repeats": "keep"}
CASES = {
    "first": {"repeats": "first"},
    "keep": {"repeats": "keep"},
    "few rows": {"repeats": "first", "train_last": 1},
    "time": {"repeats": "keep", "split": "time"},
    "released": {"repeats": "first", "negatives_from": "released", "eval_negatives": 2},
    "matched": {"repeats": "first", "train_sampling": "matched", "eval_sampling": "popularity"},
    "numbers": ALL | {"val_interval": {"rating": "[1,3]"}},
    "tokens": ALL | {"val_interval": {"kind": ["buy"]}},
    "core": ALL | {"user_inter_num_interval": "[4,inf)", "item_inter_num_interval": "[3,inf)"},
    "duplicates": ALL | {"rm_dup_inter": "last"},
    "known users": ALL | {"filter_inter_by_user_or_item": True},
    "no kind": {"repeats": "first", "behaviour": None},
}


@pytest.mark.parametrize("name", CASES)
def test_every_number_is_the_same(folder, name):
    check_equal(folder, **CASES[name])


@pytest.mark.parametrize("model", ["DIN", "LR"])
def test_models_of_recbole_get_the_same(folder, model):
    check_equal(folder, model=model, repeats="first")


def test_items_and_users_without_lists_are_read_by_columns_too(folder, tmp_path):
    for file in (folder / "tiny").iterdir():
        if not file.name.endswith(".arrow"):
            (tmp_path / "tiny").mkdir(exist_ok=True)
            (tmp_path / "tiny" / file.name).write_bytes(file.read_bytes())
    items = tiny.read_items(folder)
    rows = [(token, row["category"], row["price"]) for token, row in items.items() if token != "003"]
    header = ["item_id:token", "category:token", "price:float"]
    tiny.write_table(tmp_path / "tiny" / "tiny.item", header, [*rows, ("new", "", 3.5)])
    check_equal(tmp_path, repeats="first", use_modalities=["ids", "image", "statistic"])
    assert (tmp_path / "tiny" / "tiny.item.arrow").is_file() and (tmp_path / "tiny" / "tiny.user.arrow").is_file()


def test_lines_without_a_user_or_an_item_are_left_out(tmp_path):
    target = tiny.write_dataset(tmp_path)
    events = tiny.read_events(tmp_path)
    events = [("", *event[1:]) if n == 3 else event for n, event in enumerate(events)]
    events = [(event[0], "", *event[2:]) if n in (8, 9) else event for n, event in enumerate(events)]
    tiny.write_table(target / "tiny.inter", ["user_id:token", "item_id:token", "timestamp:float", "kind:token"], events)
    dataset = check_equal(tmp_path, repeats="keep")
    assert dataset.events.n_events == len(events) - 3
    assert "tiny.inter: 3 lines without user_id or item_id were left out" in dataset.notes


def test_columns_that_nobody_reads_are_not_missed(folder):
    check_equal(folder, repeats="first", load_col={"inter": ["user_id", "item_id", "timestamp"]}, behaviour=None,
                use_modalities=["ids"], modalities={"ids": {"kind": "id", "fields": {"item_id": 4}}})  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {"repeats": None},
        {"TIME_FIELD": "when"},
        {"val_interval": {"rating": "[1,9"}},
        {"val_interval": {"rating": "[7,9]"}},
        {"behaviour": {"kind": "rating"}},
        {"split": "time", "split_times": [1e9, 2e9]},
    ],
)
def test_the_same_complaints(folder, changed):
    messages = []
    for columnar in (None, 0):
        with pytest.raises(InputError) as error:
            data_of(folder, columnar, **(ALL | changed))
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_labels_by_any_name_are_noticed(tmp_path):
    target = tiny.write_dataset(tmp_path)
    rows = [(*event[:3], number % 2) for number, event in enumerate(tiny.read_events(tmp_path))]
    header = ["user_id:token", "item_id:token", "timestamp:float", "label:float"]
    tiny.write_table(target / "tiny.inter", header, rows)
    messages = []
    for columnar in (None, 0):
        with pytest.raises(InputError, match="nothing but clicks") as error:
            data_of(tmp_path, columnar, behaviour=None)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_without_pyarrow_the_text_is_read_and_it_is_said(folder, monkeypatch):
    for module in ("columnar_dataset", "twin", "twin_table"):
        monkeypatch.setattr(f"recbole_marn.data.{module}.arrow", lambda: None)
    dataset, _ = data_of(folder, 0, repeats="first")
    assert not dataset._is_coded
    assert sum("for want of pyarrow" in note for note in dataset.notes) == 3  # .inter, .item and .user


def test_small_files_get_no_twin(data_path, tmp_path):
    tiny.write_dataset(tmp_path)
    config = build_config(config_dict=tiny.settings(tmp_path))
    assert config["columnar_from_mb"] == 32 and not CTRDataset(config)._is_coded
    assert not list((tmp_path / "tiny").glob("*.arrow"))
