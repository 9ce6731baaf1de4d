"""What comes with a log's rows, or beside them, is read whole, or the run says what it leaves."""

import numpy as np
import planted_log
import pytest
import tiny
from planted_log import LONGEST
from token_rows import PARTS, build, token_rows

from recbole_marn.errors import InputError

ROWS = planted_log.exposures()
SEEN = planted_log.behaviours()
TYPED = {"kind": "kind", "time": "timestamp", "size": 2, "bins": [3]}
BESIDE = {"behaviours": {"file": "log.behaviours"}, "behaviour": TYPED}
PURCHASES = {
    "ids": {"kind": "id", "fields": {"item_id": 4}},
    "statistic": {"kind": "statistic", "fields": ["purchases"], "bins": [3], "size": 2},
}


def write_given(folder, *, items="001 002 003", times="10 20 30", kinds="view view buy", time_type="float_seq"):
    """Rows with lists of items, times and types."""
    target = planted_log.write(folder, ROWS, SEEN)
    header = ["user_id:token", "item_id:token", "timestamp:float", "label:float", "request_id:token", "part:token"]
    header += ["item_id_list:token_seq", f"timestamp_list:{time_type}", "kind_list:token_seq"]
    lines = [(r.user, r.item, r.time, r.label, r.request, r.part, items, times, kinds) for r in ROWS]
    tiny.write_table(target / "log.inter", header, lines)


def given(folder, **more):
    return planted_log.settings(folder, **{"histories": "given", "context": None, "behaviour": TYPED, **more})


def write_marked(folder, kinds):
    """Rows and, by their type, behaviours."""
    target = planted_log.write(folder, ROWS)
    header = "user_id:token item_id:token timestamp:float label:float request_id:token part:token kind:token".split()
    lines = [(r.user, r.item, r.time, r.label, r.request, r.part, "shown") for r in ROWS]
    lines += [(b.user, b.item, b.time, "", "", "", b.kind) for b in SEEN if b.kind in kinds]
    tiny.write_table(target / "log.inter", header, lines)


def test_types_given_with_the_row(tmp_path):
    write_given(tmp_path, kinds="view cart buy")
    loaders = build(given(tmp_path))
    for part in (loaders[name].part for name in PARTS):
        batch = part.batch(np.arange(len(part))).batch
        item = batch.item[batch.entity_item[batch.token]].numpy()
        kinds = dict(zip(("001", "002", "003"), ("view", "cart", "buy"), strict=True))
        expected = [kinds[token] for token in part.field2id_token["item_id"][item]]
        assert part.source.behaviour_types[batch.behaviour].tolist() == expected and expected


@pytest.mark.parametrize(
    ("files", "settings", "text"),
    [
        ({"time_type": "token_seq"}, {}, "column timestamp_list:float_seq in log.inter. Got timestamp_list:token_seq"),
        ({}, {"behaviour": TYPED | {"kind": "sort"}}, "column sort_list:token_seq in log.inter"),
        ({"kinds": "view"}, {}, "histories in item_id_list as long as kind_list says"),
        ({}, {"behaviours": {"file": "log.behaviours"}}, "'behaviours' to be left out with histories: given"),
        ({}, {"repeats": "first"}, "'repeats' to be left out with histories: given"),
        ({}, {"modalities": PURCHASES}, "for statistics of purchases. Got histories: given"),
    ],
)
def test_given_histories_are_read_as_they_are_meant_or_not_at_all(tmp_path, files, settings, text):
    """Times read as tokens were numbers of tokens, all of them before the rows."""
    write_given(tmp_path, **files)
    with pytest.raises(InputError, match=text):
        build(given(tmp_path, **settings))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"behaviours": {"file": "log.behaviours", "row_types": ["view"]}}, "Leave row_types out"),
        (
            {
                "behaviours": {"file": "log.behaviours", "purchase_types": ["order"]},
                "modalities": PURCHASES,
                "split": "time",
            },
            "types of behaviours among .*. Got order. Correct behaviours: {purchase_types: ...}",
        ),
        (
            {"modalities": PURCHASES, "split": "time", "behaviour": {"time": "timestamp"}},
            "a type of behaviours among purchase, .*, for statistics of purchases. Got types none",
        ),
        (
            {"modalities": PURCHASES, "split": "random"},
            "statistics_until: row for the statistic purchases, unless split: time",
        ),
    ],
)
def test_what_behaviours_of_a_file_cannot_be(tmp_path, settings, text):
    planted_log.write(tmp_path, ROWS, SEEN)
    with pytest.raises(InputError, match=text):
        build(planted_log.settings(tmp_path, **BESIDE | settings))


def test_behaviours_of_other_users_alone(tmp_path):
    planted_log.write(tmp_path, ROWS, [b._replace(user=f"U{b.user}") for b in SEEN])
    told = rf"behaviours of users of the log in log.behaviours. Got none \('{ROWS[0].user}' there and 'U{SEEN[0].user}'"
    with pytest.raises(InputError, match=told):
        build(planted_log.settings(tmp_path, **BESIDE))


def test_a_file_of_behaviours_that_ends_after_its_header(tmp_path):
    planted_log.write(tmp_path, ROWS, [])
    with pytest.raises(InputError, match="Expected behaviours in .*log.behaviours. Got none. Write one a line"):
        build(planted_log.settings(tmp_path, **BESIDE))


def test_lines_that_are_neither_rows_nor_behaviours_are_counted(tmp_path):
    write_marked(tmp_path, ("view", "cart"))
    behaviours = {"types": ["view"], "row_types": ["shown"]}
    part = build(planted_log.settings(tmp_path, behaviours=behaviours, context=None, behaviour=TYPED))["train"].part
    number = sum(b.kind == "cart" for b in SEEN)
    assert f"log.inter: {number} lines of other types were left out" in part.notes
    assert part.protocol.events.n_events == sum(b.kind == "view" for b in SEEN)


# -------------------------------------------------------------------------------------------------------- files
def write_files(folder, rows=ROWS):
    target = planted_log.write(folder, rows)
    header = (target / "log.inter").read_text().splitlines()[0].split("\t")
    for part in PARTS:
        tiny.write_table(target / f"log.{part}.inter", header, [row for row in rows if row.part == part])
    return target


def test_rows_of_files_stay_whatever_the_file_of_items_describes(tmp_path):
    """As with RecBole's benchmark_filename: its filters would have left half of them out."""
    target = write_files(tmp_path)
    items = (target / "log.item").read_text().splitlines()
    (target / "log.item").write_text("\n".join(items[:9]) + "\n")
    loaders = build(planted_log.settings(tmp_path, split="files", split_files=PARTS))
    for part in PARTS:
        found = sorted((r.user, r.item, r.time) for r in token_rows(loaders[part], "MARN"))
        assert found == sorted((r.user, r.item, r.time) for r in ROWS if r.part == part)


def test_one_file_is_no_two_parts(tmp_path):
    write_files(tmp_path)
    with pytest.raises(InputError, match="split_files of training, validation and test .* each another"):
        build(planted_log.settings(tmp_path, split="files", split_files=["train", "test", "test"], request=None))


# --------------------------------------------------------------------------------------------------- leave_last
def test_users_too_short_for_all_parts_are_counted(tmp_path):
    """Requests by user: u0 has 5, u1 has 3, u2 and u3 have 2, u4 has 1."""
    counts, rows = {"u0": 5, "u1": 3, "u2": 2, "u3": 2, "u4": 1}, []
    for user, number in counts.items():
        for request in range(number):
            rows += [
                planted_log.Exposure(user, f"{i + 1:03d}", 3600.0 * request, i, f"{user}{request}", "d0", i + 1, "")
                for i in range(2)
            ]
    planted_log.write(tmp_path, rows)
    loaders = build(planted_log.settings(tmp_path, split="leave_last", context=None))
    assert (
        "leave_last: of 5 users 3 with one or two requests are in training alone, and 1 with three have no request in"
        " validation"
    ) in loaders["train"].part.notes
    users = [{row.user for row in token_rows(loaders[part], "MARN")} for part in PARTS]
    assert users == [set(counts), {"u0"}, {"u0", "u1"}]
    assert len(token_rows(loaders["train"], "MARN")) == 2 * (3 + 2 + 2 + 2 + 1) and LONGEST == 4
