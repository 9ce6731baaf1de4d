"""Click logs that are none, keys in RecBole's words, and keys that would do nothing."""

import numpy as np
import planted_log
import pytest
import tiny
from token_rows import PARTS, build, token_rows

from recbole_marn.errors import InputError
from recbole_marn.host.vocabulary import translate

ROWS = planted_log.exposures()
TOGETHER = sorted(ROWS, key=lambda row: row.request)
SEEN = planted_log.behaviours()
HEADER = ["user_id:token", "item_id:token", "timestamp:float", "label:float", "request_id:token", "device:token"]
HEADER += ["position:token", "part:token"]


# ---------------------------------------------------------------------------------------------- bad input
def with_column(rows, **changed):
    return [r._replace(**{name: value(r) for name, value in changed.items()}) for r in rows]


@pytest.mark.parametrize(
    ("rows", "settings", "text"),
    [
        (with_column(ROWS, label=lambda r: r.position), {}, "two values in label of log.inter.*at_least: 4"),
        (with_column(ROWS, label=lambda r: 2 * r.label - 1), {}, r"2 values \(-1, 1\).*at_least: 1}"),
        (with_column(ROWS, label=lambda r: ""), {}, "a value in every label"),
        (with_column(ROWS, label=lambda r: 1), {}, "rows with and without a click"),
        (with_column(ROWS, label=lambda r: int(r.part == "train" and r.label)), {}, "a click in the valid part"),
        ([ROWS[0]._replace(user="u13"), *ROWS[1:]], {}, "requests of one user"),
        ([ROWS[0]._replace(time=1.0), *ROWS[1:]], {}, "requests of one time"),
        ([*TOGETHER[:-1], TOGETHER[-1]._replace(user="u13")], {}, "requests of one user.*Got 1 that have.*first 'r9'"),
        ([ROWS[0]._replace(part="valid" if ROWS[0].part == "test" else "test"), *ROWS[1:]], {}, "requests of one part"),
        ([ROWS[0]._replace(part="dev"), *ROWS[1:]], {}, "the words train, valid and test in the split column part"),
        (with_column(ROWS, device=lambda r: f"d{r.label}"), {}, "known before the click.*of device alone"),
        (ROWS, {"split": "time", "split_times": [10.0, 1e9]}, "rows in the test part"),
        (ROWS, {"label": {"field": "clicked"}}, "column clicked of log.inter"),
        (ROWS, {"label": {"field": "device", "at_least": 2}}, "a column of numbers for label"),
        (ROWS, {"context": {"fields": {"divice": 2}}}, "Did you mean 'device'"),
        (ROWS, {"context": {"fields": {"label": 2}}}, "which is the label"),
        (ROWS, {"position": {"field": "place"}}, "position: a field of context"),
        (ROWS, {"split": "random", "split_unit": "row"}, "A request is never split"),
        (ROWS, {"behaviours": {"file": "none"}}, "no such file"),
        (ROWS, {"also_test": ["uniform"]}, "a log has its own negatives"),
        (ROWS, {"eval_args": {"split": {"LS": "valid_and_test"}}}, "LS and TS cut single rows"),
        (ROWS, {"eval_args": {"split": {"RS": [8, 1, 1]}}}, "which cuts whole requests"),
        (ROWS, {"eval_args": {"mode": "full"}}, "mode labeled"),
        (ROWS, {"eval_args": {"order": "TO", "group_by": None}}, "split in eval_args, for order. Got none"),
        (ROWS, {"eval_args": {"splits": {"RS": [8, 1, 1]}}}, "eval_args of split, order.* Got splits"),
    ],
)
def test_bad_input(tmp_path, rows, settings, text):
    planted_log.write(tmp_path, rows)
    with pytest.raises(InputError, match=text):
        build(planted_log.settings(tmp_path, **settings))


@pytest.mark.parametrize(
    ("file", "column", "settings", "text"),
    [
        ("item", "device:token", {}, "column device in one of the files of log. Got it in .inter and .item"),
        ("item", "user_id:token", {}, "column user_id in one of the files of log. Got it in .inter and .item"),
        ("user", "user_clicks:float", {"user": {"fields": {"user_clicks": 2}}}, "no column user_clicks in the files"),
        (
            "item",
            "clicks:float",
            {"modalities": {"counts": {"kind": "statistic", "fields": ["clicks"]}}},
            "no column clicks of the items",
        ),
    ],
)
def test_names_that_columns_cannot_have(tmp_path, file, column, settings, text):
    path = planted_log.write(tmp_path, ROWS) / f"log.{file}"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{header}\t{column}", *(f"{line}\t3" for line in lines)]) + "\n")
    with pytest.raises(InputError, match=text):
        build(planted_log.settings(tmp_path, **settings))


@pytest.mark.parametrize(("file", "column"), [("item", "label"), ("item", "item_length"), ("inter", "item_id_list")])
def test_columns_that_are_made_for_each_row(tmp_path, file, column):
    """RecBole's join wrote the item's column over the lengths of histories, and the run went on."""
    path = planted_log.write(tmp_path, ROWS) / f"log.{file}"
    header, *lines = path.read_text().replace("label:float", "clicked:float").splitlines()
    path.write_text("\n".join([f"{header}\t{column}:token", *(f"{line}\t1" for line in lines)]) + "\n")
    if file == "item":
        inter = path.with_suffix(".inter")
        inter.write_text(inter.read_text().replace("label:float", "clicked:float"))
    seen = {"context": {"fields": {column: 2}}} if file == "inter" else {}
    if file == "item":
        seen = {"modalities": {"ids": {"kind": "id", "fields": {"item_id": 4, column: 2}}}}
    given = planted_log.clean(planted_log.settings(tmp_path, "DIN", label={"field": "clicked"}, **seen), "DIN")
    with pytest.raises(InputError, match=f"no column {column} among those of .{file} that models see"):
        build(given)
    if column != "label":
        build(planted_log.settings(tmp_path, label={"field": "clicked"}, **seen))


def test_a_column_that_tells_the_label_may_be_allowed(tmp_path):
    planted_log.write(tmp_path, with_column(ROWS, device=lambda r: f"d{r.label}"))
    part = build(planted_log.settings(tmp_path, context={"fields": {"device": 2}, "allow": ["device"]}))["train"].part
    assert any("of device alone; it may" in note for note in part.notes)


def without_users(folder):
    """The log of ROWS without its column of users, its file of users and its behaviours."""
    target = planted_log.write(folder, ROWS)
    (target / "log.user").unlink()
    header = ["item_id:token", "timestamp:float", "label:float", "request_id:token", "device:token", "part:token"]
    lines = [(r.item, r.time, r.label, r.request, r.device, r.part) for r in ROWS]
    tiny.write_table(target / "log.inter", header, lines)
    return target


def anonymous(folder, **more):
    return planted_log.settings(
        folder, **{"user": None, "context": {"fields": {"device": 2}}, "behaviour": None, **more}
    )


def test_a_log_without_users(tmp_path):
    without_users(tmp_path)
    loaders = build(anonymous(tmp_path, request=None))
    part = loaders["train"].part
    assert "no column user_id: every row is a user of its own; there are no histories" in part.notes
    assert all(row.history == () for row in token_rows(loaders["train"], "MARN"))


def test_a_named_column_of_users_that_is_not_there(tmp_path):
    without_users(tmp_path)
    with pytest.raises(InputError, match="column customer in .inter, as USER_ID_FIELD says"):
        build(anonymous(tmp_path, USER_ID_FIELD="customer"))


def test_a_log_without_users_but_with_requests(tmp_path):
    without_users(tmp_path)
    loaders = build(anonymous(tmp_path))
    part = loaders["train"].part
    assert "no column user_id: every request is a user of its own; there are no histories" in part.notes
    kept = [row for name in ("train", "valid", "test") for row in token_rows(loaders[name], "MARN")]
    assert len(kept) == len(ROWS)
    assert all(row.history == () for row in kept)


@pytest.mark.parametrize("what", ["behaviours", "users"])
def test_nothing_is_joined_to_users_that_a_log_does_not_have(tmp_path, what):
    """Rows are numbered then, and users of another file may be numbers, too."""
    target = without_users(tmp_path)
    more = {}
    if what == "behaviours":
        tiny.write_table(target / "log.behaviours", ["user_id:token", "item_id:token"], [("3", "001")])
        more = {"behaviours": {"file": "log.behaviours"}}
    else:
        tiny.write_table(target / "log.user", ["user_id:token", "age:token"], [("3", "20")])
    with pytest.raises(InputError, match=f"user_id in .inter, for the {what} of log.*Got a log without users"):
        build(anonymous(tmp_path, request=None, **more))


def test_lists_shorter_than_the_file_says(tmp_path):
    target = planted_log.write(tmp_path, ROWS)
    header = (
        "user_id:token item_id:token timestamp:float label:float part:token item_id_list:token_seq item_length:float"
    )
    lines = [(r.user, r.item, r.time, r.label, r.part, "001 002", 3) for r in ROWS]
    tiny.write_table(target / "log.inter", header.split(), lines)
    with pytest.raises(InputError, match="histories in item_id_list as long as item_length says.*2 items, 3"):
        build(planted_log.settings(tmp_path, histories="given", request=None, context=None, behaviour=None))


# ------------------------------------------------------------------------------------------ RecBole's words
def test_benchmark_filename_is_split_files(tmp_path):
    target = planted_log.write(tmp_path, ROWS)
    header = [column.replace("label", "clicked") for column in HEADER[:7]]
    for part in PARTS:
        rows = [r[:7] for r in ROWS if r.part == part]
        tiny.write_table(target / f"log.{part}.inter", header, rows)
    (target / "log.inter").unlink()
    given = planted_log.settings(tmp_path, benchmark_filename=PARTS, LABEL_FIELD="clicked")
    for key in ("label", "split", "split_field"):
        del given[key]
    loaders = build(given)
    token = loaders["train"].part.field2id_token
    for part in PARTS:
        columns = [
            i[name]
            for name in ("user_id", "item_id", "timestamp", "clicked")
            for i in [loaders[part].part.batch(np.arange(len(loaders[part].part)))]
        ]
        found = sorted(
            (token["user_id"][u], token["item_id"][i], t, c)
            for u, i, t, c in zip(*(c.tolist() for c in columns), strict=True)
        )
        assert found == sorted((r.user, r.item, r.time, r.label) for r in ROWS if r.part == part)
    with pytest.raises(InputError, match="'val_interval' to be left out with split: files"):
        build(given | {"val_interval": {"timestamp": "[0,inf)"}})


@pytest.mark.parametrize("requests", [True, False])
def test_rows_that_stand_in_several_files_are_told(tmp_path, requests):
    """A user and time in two files are no fault; the item beside them makes a row that was trained on a test row."""
    target = planted_log.write(tmp_path, ROWS)
    again = [r for r in ROWS if r.part == "train"][:7]
    files = {part: [r for r in ROWS if r.part == part] for part in PARTS}
    other = next(i for i in tiny.item_tokens(15) if i not in {r.item for r in ROWS if r.time == again[0].time})
    files["test"] += [again[0]._replace(item=other, request="new")]
    files["test"] += [r._replace(request=f"x{r.request}") for r in again]
    for part, rows in files.items():
        tiny.write_table(target / f"log.{part}.inter", HEADER, rows)
    places = [{(r.user, r.item, r.time) for r in rows} for rows in files.values()]
    several = sum(sum(one in place for place in places) > 1 for one in set().union(*places))
    given = {"split": "files", "split_files": PARTS, "request": {"field": "request_id"} if requests else None}
    (told,) = (n for n in build(planted_log.settings(tmp_path, **given))["train"].part.notes if "in several parts" in n)
    assert told.startswith(f"{several} rows stand in several parts, by user, item and time") and several >= 7
    assert not any("in several parts" in n for n in build(planted_log.settings(tmp_path))["train"].part.notes)


def test_a_threshold_is_a_label(tmp_path):
    planted_log.write(tmp_path, with_column(ROWS, label=lambda r: 3 + 2 * r.label))
    given = planted_log.settings(tmp_path)
    sha256 = [
        build({key: value for key, value in given.items() if key != "label"} | changed)["train"].part.split_sha256
        for changed in ({"threshold": {"label": 4}}, {"label": {"field": "label", "at_least": 4}})
    ]
    assert sha256[0] == sha256[1]
    with pytest.raises(InputError, match="one of threshold and label"):
        build(given | {"threshold": {"label": 4}})
    with pytest.raises(InputError, match="one of LABEL_FIELD and label"):
        build(given | {"LABEL_FIELD": "position"})


@pytest.mark.parametrize("words", [("false", "true"), ("no", "yes"), ("0", "1")])
def test_labels_as_words(tmp_path, words):
    planted_log.write(tmp_path, ROWS)
    expected = token_rows(build(planted_log.settings(tmp_path))["train"], "MARN")
    target = planted_log.write(tmp_path / "words", with_column(ROWS, label=lambda r: words[r.label]))
    text = (target / "log.inter").read_text().replace("label:float", "label:token", 1)
    (target / "log.inter").write_text(text)
    assert token_rows(build(planted_log.settings(tmp_path / "words"))["train"], "MARN") == expected


def test_repeats_are_by_type(tmp_path):
    """A cart after a view of the same item stays."""
    seen = [b for b in SEEN for _ in range(2)]
    planted_log.write(tmp_path, ROWS, seen)
    behaviours = {"behaviours": {"file": "log.behaviours"}, "behaviour": {"kind": "kind", "time": "timestamp"}}
    part = build(planted_log.settings(tmp_path, repeats="first", **behaviours))["train"].part
    assert part.protocol.events.n_events == len({(b.user, b.item, b.kind) for b in SEEN})
    assert build(planted_log.settings(tmp_path, **behaviours))["train"].part.protocol.events.n_events == len(seen)
    with pytest.raises(InputError, match="each behaviour .user, item, type. once"):
        build(planted_log.settings(tmp_path, repeats="error", **behaviours))


@pytest.mark.parametrize(
    ("group_by", "ours"), [("user", "user"), ("User", "user"), ("none", "none"), ("None", "none"), (None, "none")]
)
def test_groups_of_a_split_in_capitals(group_by, ours):
    given = {"eval_args": {"split": {"RS": [8, 1, 1]}, "group_by": group_by}}
    translate(given, {"label": {"field": "label"}})
    assert given["split_group"] == ours


# ------------------------------------------------------------------------------------------------- said, not ignored
def test_a_position_at_serving_that_no_training_row_has(tmp_path):
    planted_log.write(tmp_path, ROWS)
    with pytest.raises(InputError, match=r"position: at_serving to be a position of training rows .* Got 99"):
        build(planted_log.settings(tmp_path, position={"field": "position", "at_serving": 99}))


def test_no_negatives_kept(tmp_path):
    planted_log.write(tmp_path, ROWS)
    with pytest.raises(InputError, match="'keep_negatives' to be between 1e-06 and 1. Got 0"):
        build(planted_log.settings(tmp_path, keep_negatives=0.0))
    with pytest.raises(InputError, match="the train part, of which keep_negatives: 1e-06 keeps"):
        build(planted_log.settings(tmp_path, keep_negatives=1e-6))


@pytest.mark.parametrize(
    ("given", "reads"),
    [
        ({"split_times": [1, 2]}, "split_times: split: time reads it, and this is split: field"),
        ({"split_ratios": [6, 2, 2]}, "split_ratios: split: random reads it"),
        ({"split": "time", "split_field": "part"}, "split_field: split: field reads it, and this is split: time"),
    ],
)
def test_keys_of_another_split(tmp_path, given, reads):
    planted_log.write(tmp_path, ROWS)
    with pytest.raises(InputError, match=f"Leave out {reads}"):
        build(planted_log.settings(tmp_path, **given))
