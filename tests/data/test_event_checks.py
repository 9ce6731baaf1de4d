"""Lines that are no clicks, ids that do not meet, times that cannot be: refused by name, never taken for data."""

import shutil

import numpy as np
import pandas as pd
import pytest
import tiny
from token_rows import build

from recbole_marn.data import event_checks
from recbole_marn.errors import InputError

DAY = 86_400.0


@pytest.fixture
def folder(tmp_path, data_path):
    shutil.copytree(data_path / "tiny", tmp_path / "tiny")
    return tmp_path / "tiny"


def error_of(folder, **changed):
    with pytest.raises(InputError) as error:
        build(tiny.settings(folder.parent, **changed))
    return str(error.value)


def add_column(folder, header, value):
    first, *lines = (folder / "tiny.inter").read_text().splitlines()
    lines = [f"{line}\t{value(index)}" for index, line in enumerate(lines)]
    (folder / "tiny.inter").write_text("\n".join([f"{first}\t{header}", *lines]) + "\n")
    return len(lines)


# ------------------------------------------------------------------------------------------------------------- clicks
@pytest.mark.parametrize(
    "header",
    ["label:float", "label:token", "clicked:token", "click:float", "is_click:token", "isClicked:token", "Label:float"],
)
def test_a_column_of_labels_is_never_dropped(folder, header):
    number = add_column(folder, header, lambda index: index % 3 and 1)
    text = error_of(folder)
    name, kind = header.split(":")
    first = "0.0" if kind == "float" else "'0'"
    assert f"Got column '{name}' with {-(-number // 3)} of {number} other values (first {first})." in text
    columns = {"inter": ["user_id", "item_id", "timestamp", "kind"], "item": ["item_id", "category"]}
    ids = {"ids": tiny.MODALITIES["ids"]}
    assert "which load_col leaves out" in error_of(folder, modalities=ids, load_col=columns)


def test_labels_that_are_all_clicks_are_welcome(folder, loaders):
    add_column(folder, "label:float", lambda index: 1.0)
    part = build(tiny.settings(folder.parent))["train"].part
    assert part.split_sha256 == loaders["MARN"]["train"].part.split_sha256


def test_clicks_can_be_chosen_by_an_interval(folder):
    number = add_column(folder, "label:float", lambda index: index % 3 and 1)
    part = build(tiny.settings(folder.parent, val_interval={"label": "[1,1]"}))["train"].part
    assert part.protocol.events.n_events == number - -(-number // 3)


def test_a_column_that_is_none_of_clicks_can_be_left_out(folder, loaders):
    add_column(folder, "label:token", lambda index: index % 3)
    part = build(tiny.settings(folder.parent, unload_col={"inter": ["label"]}))["train"].part
    assert part.split_sha256 == loaders["MARN"]["train"].part.split_sha256
    assert "tiny.inter: column label was left out as unload_col says; every line is a click" in part.notes


@pytest.mark.parametrize("value", [{"rating": 4, "timestamp": 3}, 5])
def test_a_threshold_of_no_column_is_refused(settings, value):
    with pytest.raises(InputError, match="threshold of one column"):
        build(settings(threshold=value))


def test_a_log_does_not_take_the_keys_of_drawn_negatives(settings):
    """`tiny` says how many negatives are drawn."""
    with pytest.raises(InputError, match="Leave out eval_negatives: a log has its own negatives"):
        build(settings(threshold={"rating": 4}))


def test_a_log_has_histories_of_an_earlier_time_as_it_is(settings):
    with pytest.raises(InputError, match="Leave out histories: behaviours in a log's histories are always of an"):
        build(settings(threshold={"rating": 4}, histories="earlier"))


@pytest.mark.parametrize(
    ("key", "value"),
    [("request", {"field": "x"}), ("keep_negatives", 0.1), ("split_field", "x"), ("histories", "given")],
)
def test_clicks_alone_do_not_take_the_keys_of_a_log(settings, key, value):
    with pytest.raises(InputError, match=f"Leave out {key}: it needs the key label"):
        build(settings(**{key: value}))


@pytest.mark.parametrize("split", ["random", "field", "files"])
def test_clicks_alone_do_not_take_the_splits_of_a_log(settings, split):
    with pytest.raises(InputError, match="say what was clicked"):
        build(settings(split=split))


# ------------------------------------------------------------------------------------------------ keys without effect
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("normalize_field", ["timestamp"]), ("normalize_field", ["price"]), ("transform", "mask_itemseq"),
        ("numerical_features", ["price"]), ("discretization", {"price": {"method": "ED", "bucket": 5}}),
        ("preload_weight", {"item_id": "price"}),
    ],
)  # fmt: skip
def test_keys_of_recbole_that_would_do_nothing(settings, key, value):
    with pytest.raises(InputError, match=f"{key}.*(Leave out|remove)"):
        build(settings("LR", **{key: value}))


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"LIST_SUFFIX": ""}, "Expected 'LIST_SUFFIX' to have at least 1 character"),
        ({"ITEM_ID_FIELD": ""}, "Expected 'ITEM_ID_FIELD' to have at least 1 character"),
        ({"ITEM_ID_FIELD": 5}, "Expected 'ITEM_ID_FIELD' to be of type str"),
        ({"TIME_FIELD": None}, "Expected 'TIME_FIELD' to be of type str"),
        ({"USER_ID_FIELD": "item_id"}, "'item_id' twice"),
        ({"ITEM_LIST_LENGTH_FIELD": "item_id_list"}, "'item_id_list' twice"),
        ({"field_separator": "::"}, "Expected 'field_separator' to be one character"),
        ({"field_separator": " "}, "other than seq_separator"),
        ({"seq_separator": ""}, "Expected 'seq_separator' to have at least 1 character"),
        ({"load_col": 5}, "Expected 'load_col' to be a mapping"),
        ({"load_col": {"inter": 5}}, "load_col to map inter, user or item to lists of columns. Got {inter: 5}."),
        ({"unload_col": ["price"]}, "Expected 'unload_col' to be a mapping. Got ['price']"),
        ({"unload_col": {"items": ["price"]}}, "Got {items: ['price']}. Write e.g. {item: [item_id, price]}. Did you"),
        ({"unload_col": {"item": "price"}}, "Got {item: 'price'}."),
        ({"load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "unload_col": {"inter": ["kind"]}},
         "Expected one of load_col and unload_col for .inter. Got both."),
        ({"filter_inter_by_user_or_item": "maybe"}, "Expected 'filter_inter_by_user_or_item' to be of type bool"),
        ({"val_interval": {"kind": "[4,inf)"}}, "Check val_interval: an interval such as"),
        ({"val_interval": {"timestamp": "four"}}, "Expected intervals such as '[4,inf)' or '[1,2];(5,9]'. Got 'four'."),
        ({"val_interval": 5}, "Expected 'val_interval' to be a mapping"),
        ({"val_interval": {"timestamp": "[1e9,inf)"}}, "Check val_interval, user_inter_num_interval and"),
        ({"user_inter_num_interval": "[99,inf)"}, "which may leave no event"),
        ({"user_inter_num_interval": "many"}, "Expected intervals such as"),
        ({"user_inter_num_interval": "[3,inf"}, "Expected intervals such as"),
        ({"item_inter_num_interval": "[3,x)"}, "Expected intervals such as"),
        ({"alias_of_item_id": ["timestamp"]}, "Expected alias_of_item_id to name token columns. Got timestamp."),
        ({"alias_of_user_id": ["nobody"]}, "Expected alias_of_user_id to name token columns. Got nobody."),
        ({"alias_of_item_id": 5}, "Expected 'alias_of_item_id' to be a list"),
        ({"alias_of_user_id": ["item_id"]}, "Check alias_of_user_id and alias_of_item_id"),
        ({"rm_dup_inter": "maybe"}, "Expected 'rm_dup_inter' to be one of first, last"),
        ({"seq_len": {"title": "x"}}, "Expected 'seq_len' value of title to be of type int"),
        ({"seq_len": 5}, "Expected 'seq_len' to be a mapping"),
        ({"seq_len": {"price": 5}}, "Expected 'seq_len' to map list columns"),
        ({"additional_feat_suffix": ["inter"]}, "Got additional_feat_suffix=['inter']"),
        ({"encoding": 5}, "Expected 'encoding' to be of type str"),
        ({"encoding": "klingon"}, "Expected an 'encoding' that Python knows"),
    ],
)  # fmt: skip
def test_no_setting_of_the_data_is_a_traceback(settings, changed, text):
    with pytest.raises(InputError) as error:
        build(settings(**changed))
    assert text in str(error.value)


# ---------------------------------------------------------------------------------------------------------------- ids
@pytest.mark.parametrize(
    "spell",
    [lambda item: f"I{item}", lambda item: f"{float(item):.1f}", lambda item: str(int(item)), lambda item: f"{item} "],
)
def test_items_that_no_event_knows(folder, spell):
    header, *lines = (folder / "tiny.item").read_text().splitlines()
    lines = ["\t".join([spell(line.split("\t")[0]), *line.split("\t")[1:]]) for line in lines]
    (folder / "tiny.item").write_text("\n".join([header, *lines]) + "\n")
    text = error_of(folder)
    assert "Expected ids in tiny.item that occur in tiny.inter. Got 0 of 25 ids of tiny.inter ('" in text
    assert f"and {spell('001')!r} in tiny.item). Write ids the same way" in text


def test_few_ids_in_common_are_said():
    ids = pd.Series([f"i{index}" for index in range(10)])
    files = {"events_file": "a.inter", "table_file": "a.item"}
    assert event_checks.check_ids_meet(ids, ids[:5], **files) == []
    (note,) = event_checks.check_ids_meet(ids, ids[:4], **files)
    assert note == "a.item: only 40 % of the ids of a.inter are in it (e.g. 'i4' there and 'i0' in a.item)"
    assert event_checks.check_ids_meet(ids, pd.Series(dtype=object), **files) == []
    with pytest.raises(InputError, match=r"0 of 10 ids of a.inter \('i0' there and 'x' in a.item\)"):
        event_checks.check_ids_meet(ids, pd.Series(["x"]), **files)


# -------------------------------------------------------------------------------------------------------------- times
def times(values):
    event_checks.check_times(np.array(values, dtype=float), field="timestamp", file="a.inter")


@pytest.mark.parametrize(
    ("factor", "text"),
    [(1e3, "likely milliseconds: 2020-09-13 to 2020-09-14). Divide by 1,000."), (1e6, "likely microseconds"),
     (1e9, "likely nanoseconds"), (1e13, "Convert the times to seconds.")],
)  # fmt: skip
def test_other_units_than_seconds(factor, text):
    with pytest.raises(InputError) as error:
        times(np.array([1_600_000_000, 1_600_086_400]) * factor)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([20200921, 20200922, 20201001], "Got dates as numbers, e.g. 20200921, which would be in 1970."),
        ([1.0, np.nan], "Got 1 empty or infinite."),
        ([1.0, np.inf], "Got 1 empty or infinite."),
        ([-1.0, 5], "Got 1 before (first -1)."),
    ],
)
def test_times_that_cannot_be(values, text):
    with pytest.raises(InputError) as error:
        times(values)
    assert text in str(error.value)


@pytest.mark.parametrize(
    "values",
    [[0, 1, 2], [1e9, 1.6e9], [20200921, 20200999, 20201001], [4_102_444_799, 1], [20200921.5, 20200922, 20201001]],
)
def test_times_that_can_be(values):
    times(values)


def test_milliseconds_in_a_file(folder):
    lines = (folder / "tiny.inter").read_text().splitlines()
    rows = [line.split("\t") for line in lines[1:]]
    rows = [(user, item, 1000 * (1_600_000_000 + float(time)), kind) for user, item, time, kind in rows]
    tiny.write_table(folder / "tiny.inter", lines[0].split("\t"), rows)
    assert "(likely milliseconds: 2020-09-13 to 2020-09-17). Divide by 1,000." in error_of(folder, split="time")


# ------------------------------------------------------------------------------------------------------------- notes
def test_negatives_that_nobody_ever_clicked_are_counted(folder, loaders):
    """They flatter whoever knows popularity."""
    with open(folder / "tiny.item", "a") as file:
        file.writelines(f"x{index}\ttoy\tred\t1\n" for index in range(75))
    part = build(tiny.settings(folder.parent))["test"].part
    clicked = set(part.protocol.events.item.tolist())
    share = np.mean([item not in clicked for item in part.rows.negatives.ravel().tolist()])
    assert share > 0.5
    (note,) = [note for note in part.notes if note.startswith("test:") and "nobody ever clicked" in note]
    assert note.startswith(f"test: {100 * share:.0f} % of the negatives are items that nobody ever clicked")
    assert not [note for note in loaders["MARN"]["test"].part.notes if "nobody" in note]


def test_clicks_after_behaviours_of_their_very_time_are_counted(tmp_path):
    """Serving has none of these behaviours. The last two of each user's clicks are of one time, but for user 0."""
    tokens = tiny.item_tokens(5)
    events = [(f"u{user}", item, 3600.0 * hour, "view") for user in range(6)
              for item, hour in zip(tokens, [0, 1, 2, 3, 4 if user == 0 else 3], strict=True)]  # fmt: skip
    tiny.write_dataset(tmp_path, events=events)
    said = {histories: [note for note in build(tiny.settings(tmp_path, histories=histories))["test"].part.notes
                        if "very time" in note or "earlier time" in note]
            for histories in ("before", "earlier")}  # fmt: skip
    assert said["earlier"] == []
    assert [note.split(" in their")[0] for note in said["before"]] == [
        "test: 5 of 6 clicks have behaviours of their very time"
    ]


def test_clicks_without_a_behaviour_of_an_earlier_time_are_counted(tmp_path):
    """Each user's clicks are all of one time."""
    events = [(f"u{user}", item, 3600.0, "view") for user in range(6) for item in tiny.item_tokens(5)]
    tiny.write_dataset(tmp_path, events=events)
    part = build(tiny.settings(tmp_path, histories="earlier"))["test"].part
    assert "test: 6 of 6 clicks have no behaviour of an earlier time" in part.notes


def test_lists_are_cut_to_seq_len(settings):
    part = build(settings(seq_len={"title": 1}))["train"].part
    assert part.item_table.modalities["title"].words.shape[1] == 1
