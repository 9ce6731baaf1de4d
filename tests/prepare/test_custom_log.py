"""A click log of one's own: exposures, behaviours, users and items in tables and lists."""

import json

import pytest
from prepare.foreign import parquet
from prepare.raw_files import read_back

from recbole_marn.errors import InputError
from recbole_marn.prepare.lines import Tally
from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tabular import open_table

START = 1_600_000_000


@pytest.fixture
def log(tmp_path):
    """A function that prepares a log of texts or files, with options, and reads back what was made of it."""

    def make(exposures, columns=None, **more):
        paths = {}
        for name, content in {"exposures": exposures, **more}.items():
            paths[name] = content
            if isinstance(content, str):
                paths[name] = tmp_path / f"{name}.txt"
                paths[name].write_text(content, encoding="utf-8")
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        record = prepare("custom", tmp_path, out, Options(**paths, columns=columns or {}), name="log")
        return (record, *read_back(out / "log", "log"))

    return make


EXPOSURES = "user_id,item_id,label,timestamp,request_id,position,device\n" + "".join(
    f"u{r % 4},i{(r + p) % 9},{int(p == r % 3)},{START + 60 * r},r{r},{p + 1},{'phone' if r % 2 else ''}\n"
    for r in range(12)
    for p in range(3)
)


def test_a_log_with_everything(log):
    behaviours = "user_id,item_id,timestamp,behavior_type\n" + "".join(
        f"u{n % 4},i{n % 9},{START - 1000 + n},{'cart' if n % 5 == 0 else 'view'}\n" for n in range(20)
    )
    users = "id,age,city,unused\n" + "".join(f"u{n},{20 + n},c{n % 2},x\n" for n in range(4))
    items = "item_id,category,season\n" + "".join(f"i{n},c{n % 2},s{n % 3}\n" for n in range(9))
    record, files, settings = log(
        EXPOSURES, behaviours=behaviours, users=users, items=items,
        columns={"exposures.device": "device:token", "users.user_id": "id", "age": "age:float",
                 "users.city": "city:token", "season": "season:token"},
    )  # fmt: skip
    assert files["inter"][3] == {
        "user_id": "u1", "item_id": "i1", "timestamp": str(START + 60), "label": "0", "request_id": "r1",
        "position": "1", "device": "phone",
    }  # fmt: skip
    assert files["inter"][0]["device"] == "" and len(files["inter"]) == 36
    assert files["behaviours"][5] == {
        "user_id": "u1", "item_id": "i5", "timestamp": str(START - 995), "behavior_type": "cart"
    }  # fmt: skip
    assert files["user"][1] == {"user_id": "u1", "age": "21", "city": "c1"}
    assert {row["item_id"]: row for row in files["item"]}["i4"] == {"item_id": "i4", "category": "c0", "season": "s1"}
    assert settings == settings | {
        "label": {"field": "label"}, "request": {"field": "request_id"}, "user": {"fields": {"age": 8, "city": 8}},
        "context": {"fields": {"position": 8, "device": 8}}, "position": {"field": "position", "at_serving": 1},
        "behaviours": {"file": "log.behaviours"}, "behaviour": {"kind": "behavior_type", "time": "timestamp"},
    }  # fmt: skip
    assert record["counts"] == {
        "users": 4, "items": 9, "exposures": 36, "clicks": 12, "requests": 12, "behaviours": 20
    }  # fmt: skip
    assert record["columns"]["users users.txt"]["not_taken"] == {"unused": ""}
    assert record["checks"] == {
        "two_users": 0, "two_times": 0, "shown_twice": 0, "without_click": 0, "all_clicked": 0
    }  # fmt: skip


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("labels", ["flags", "clicked", "one"])
def test_lists_that_were_shown(log, labels):
    rows = []
    for n in range(6):
        shown = [f"i{n}", f"i{n + 1}", f"i{n + 2}"]
        label = {"flags": [0, 1, 0], "clicked": [shown[1]], "one": shown[1]}[labels]
        rows.append({"user_id": n % 2, "item_id": shown, "label": label, "timestamp": START + n, "position": [1, 2, 3]})
    record, files, settings = log(jsonl(rows))
    assert [(row["item_id"], row["label"], row["position"], row["request_id"]) for row in files["inter"][3:6]] == [
        ("i1", "0", "1", "row-2"), ("i2", "1", "2", "row-2"), ("i3", "0", "3", "row-2")
    ]  # fmt: skip
    assert record["counts"]["requests"] == 6 and "request" in settings


@pytest.mark.parametrize(
    ("shown", "label", "read"),
    [
        ([0, 1], [0, 1], None),  # of the second item, or both were clicked
        (["i", "y", "n"], ["n", "y", "n"], None),
        ([1, 5], [1, 1], None),
        ([0], [0], None),
        ([0, 1], [False, True], "01"),
        ([0, 1], ["no", "yes"], "01"),
        ([0, 1], [1], "01"),
        ([0, 1], [], "00"),
        ([1, 7], [1, 0], "10"),  # 0 was not shown
        ([1], [1], "1"),  # the same either way
    ],
)
def test_labels_that_may_be_ids_are_refused(log, shown, label, read):
    rows = [{"user_id": "u", "item_id": [f"a{n}", f"b{n}"], "label": [n % 2, 1], "timestamp": START + n}
            for n in range(4)]  # fmt: skip
    row = {"user_id": "v", "item_id": shown, "label": label, "timestamp": START}
    if read is None:
        with pytest.raises(InputError, match=r"1 x labels are also ids of items shown; write them as true and false"):
            log(jsonl([*rows, row]))
    else:
        _, files, _ = log(jsonl([*rows, row]))
        assert "".join(one["label"] for one in files["inter"] if one["user_id"] == "v") == read


def test_lists_of_parquet_and_parallel_behaviours(log, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(
        pa.table(
            {"user_id": [1.0, 2.0], "item_id": [[1, 2], [3]], "label": [[2], []], "timestamp": [START, START + 1]}
        ),
        tmp_path / "e.parquet",
    )
    pq.write_table(
        pa.table(
            {
                "user_id": [1, 2],
                "item_id": [[7, 8], [9]],
                "timestamp": [[START - 9, START - 8], [START - 7]],
                "behavior_type": [["view", "buy"], ["view"]],
            }
        ),
        tmp_path / "b.parquet",
    )
    _, files, _ = log(tmp_path / "e.parquet", behaviours=tmp_path / "b.parquet")
    assert [(row["user_id"], row["item_id"], row["label"]) for row in files["inter"]] == [
        ("1", "1", "0"), ("1", "2", "1"), ("2", "3", "0")
    ]  # fmt: skip
    assert [tuple(row.values()) for row in files["behaviours"]] == [
        ("1", "7", str(START - 9), "view"), ("1", "8", str(START - 8), "buy"), ("2", "9", str(START - 7), "view")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"id": ["007"], "size": [None]}, "same columns"),
        ({"id": ["007"], "size": [None], "seen": [[1]]}, r"of one kind .* seen, plain in .*a.parquet and list in"),
    ],
)
def test_files_of_a_folder_of_parquet_that_do_not_fit_are_refused(tmp_path, second, told):
    parquet(tmp_path / "a.parquet", id=[7, 8], size=[1.5, 2.5], seen=[1, 2])
    parquet(tmp_path / "b.parquet", **second)
    with pytest.raises(InputError, match=told):
        open_table(tmp_path, "--events")


def test_each_file_of_a_folder_of_parquet_keeps_its_types(tmp_path):
    """The first file's would make numbers of the second's text, whose zeros in front are lost."""
    parquet(tmp_path / "a.parquet", id=[7, 8], size=[None, None])
    parquet(tmp_path / "b.parquet", id=["007"], size=[1.5])
    table = open_table(tmp_path, "--events")
    assert [values for _, values in table.rows(["id", "size"], Tally("events"))] == [[7, None], [8, None], ["007", 1.5]]


def test_lists_among_single_items(log):
    row = {"user_id": "u", "timestamp": START}
    rows = [row | {"item_id": "i1", "label": 0}, row | {"item_id": ["i2", "i3"], "label": [1, 0]},
            row | {"item_id": "i4", "label": 1}]  # fmt: skip
    _, files, _ = log(jsonl(rows))
    assert [row["request_id"] for row in files["inter"]] == ["single-0", "row-2", "row-2", "row-3"]


@pytest.mark.parametrize("request_id", [None, "", [1], {"a": 1}, 1e300])
def test_a_request_without_an_id_is_counted(log, request_id):
    rows = [{"user_id": "u", "item_id": f"i{n}", "label": n % 2, "timestamp": START, "request_id": n} for n in range(9)]
    with pytest.raises(InputError, match=r"1 x .*request id.*first in line 3"):
        log(jsonl([*rows[:2], rows[2] | {"request_id": request_id}, *rows[3:]]))


def test_text_that_is_a_list(log):
    exposures = "user_id;shown;clicked;timestamp\n" + f"u1;i1 i2 i3;i2 i3;{START}\nu2;i1 i4;;{START + 1}\n"
    behaviours = "user_id;history\nu1;i7,i8\nu2;['i9', 'i7']\n"
    columns = {"exposures.item_id": "shown:token_seq", "label": "clicked:token_seq",
               "behaviours.item_id": "history:token_seq"}  # fmt: skip
    _, files, _ = log(exposures, columns, behaviours=behaviours)
    assert [(row["item_id"], row["label"]) for row in files["inter"]] == [
        ("i1", "0"), ("i2", "1"), ("i3", "1"), ("i1", "0"), ("i4", "0")
    ]  # fmt: skip
    assert [row["item_id"] for row in files["behaviours"]] == ["i7", "i8", "i9", "i7"]


def test_behaviours_without_times_keep_their_order(log):
    behaviours = jsonl([{"user_id": f"u{n}", "item_id": ["i3", "i1", "i3"]} for n in range(4)])
    _, files, settings = log(EXPOSURES, behaviours=behaviours)
    assert [row["item_id"] for row in files["behaviours"][:3]] == ["i3", "i1", "i3"]
    assert list(files["behaviours"][0]) == ["user_id", "item_id"] and settings["behaviour"]["time"] is None


@pytest.mark.parametrize(
    ("spelled", "value"), [("1", 1), ("1.0", 1), ("True", 1), ("yes", 1), ("0", 0), ("0.0", 0), ("FALSE", 0), ("no", 0)]
)
def test_spellings_of_labels(log, spelled, value):
    rows = f"user_id,item_id,label,timestamp\nu1,i1,{spelled},{START}\nu1,i2,{1 - value},{START}\n"
    assert [row["label"] for row in log(rows)[1]["inter"]] == [str(value), str(1 - value)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace(",1,1600000000", ",2,1600000000"),
            "1 x label is neither 0 nor 1 .write 1 for a click, else 0. .first in line 2: '2'",
        ),
        (lambda text: text.replace(",1,16", ",0,16"), "exposures with and without a click. Got 0 clicks in 36"),
        (lambda text: text.replace(",0,16", ",1,16"), "36 clicks in 36"),
        (lambda text: text.replace("label", "x"), "columns for label"),
        (lambda text: text.replace("u1,i1,", "u1,,", 1), "1 x missing id"),
        (lambda text: text.replace(f"{START}", "20209999"), "time of eight digits is no date"),
    ],
)
def test_what_is_wrong_with_a_log_is_said(log, change, message):
    with pytest.raises(InputError, match=message):
        log(change(EXPOSURES))


def test_requests_that_are_none_are_counted(log):
    text = EXPOSURES.replace("u1,i1,", "u9,i1,", 1).replace(f"{START + 120},r2", f"{START + 121},r2", 1)
    text = text.replace("u3,i4,1", "u3,i3,1", 1)
    assert log(text)[0]["checks"] == {
        "two_users": 1, "two_times": 1, "shown_twice": 1, "without_click": 0, "all_clicked": 0
    }  # fmt: skip


def test_lines_skipped_are_told_of_each_of_two_files_of_one_name(log, tmp_path):
    for folder in ("shown", "done"):
        (tmp_path / folder).mkdir()
    (tmp_path / "shown" / "day.csv").write_text(EXPOSURES + f"u1,,0,{START},r1,1,\n")
    (tmp_path / "done" / "day.csv").write_text(f"user_id,item_id,timestamp\nu1,i1,{START}\nu2,i1,\n")
    files = {"exposures": tmp_path / "shown" / "day.csv", "behaviours": tmp_path / "done" / "day.csv"}
    out = tmp_path / "out"
    record = prepare("custom", tmp_path, out, Options(**files, columns={}, max_skipped=0.5), name="log")
    assert {name: count["skipped"] for name, count in record["read"].items()} == {
        "exposures day.csv": 1, "behaviours day.csv": 1
    }  # fmt: skip
    assert len(record["skipped"]) == 2


def test_a_log_without_users(log):
    text = "".join(line.partition(",")[2] for line in EXPOSURES.splitlines(keepends=True))
    record, files, _ = log(text)
    assert record["counts"]["users"] == 0 and any("no histories" in note for note in record["notes"])
    assert len({row["user_id"] for row in files["inter"]}) == 12, "those of a request belong together"


@pytest.mark.parametrize(
    ("more", "columns", "message"),
    [
        ({"users": "user_id,age\nx1,3\nx2,4\n"}, {}, "0 of 2 .*'u0' of the one, 'x1' of the other"),
        ({"items": "item_id,category\nx1,3\nx2,4\n"}, {}, "the items shown to be found in the table of items"),
        ({"behaviours": "user_id,item_id\nx1,i1\n"}, {}, "the users of the exposures to be found in"),
        ({}, {"users.age": "age:float"}, "the file --users"),
        ({}, {"exposures.tags": "device:token_seq"}, "token or float for tags"),
        ({}, {"exposures.hour": "nosuch:float"}, "the column 'nosuch' for hour"),
        ({"events": "user_id,item_id,timestamp\n"}, {}, "--events or --exposures"),
        ({}, {"exposures.price": "device:float"}, "a role of exposures. Got exposures.price. Give it a name"),
        ({}, {"category": "device"}, "a role of exposures. Got category"),
        ({}, {"exposures.user_clicks": "device:token"}, "exposures.user_clicks, as what is counted .* is called"),
        ({"items": "item_id,n\ni1,3\ni2,4\n"}, {"items.clicks": "n:float"}, "items.clicks, as what is counted"),
        (
            {"users": "user_id,os\nu1,x\n"},
            {"exposures.device": "device:token", "users.device": "os:token"},
            "users.device, as one of exposures is called. .*--column users.NAME=os:token",
        ),
    ],
)
def test_tables_and_options_that_do_not_fit(log, more, columns, message):
    with pytest.raises(InputError, match=message):
        log(EXPOSURES, columns, **more)


def test_lists_of_different_lengths_are_counted(log):
    rows = [{"user_id": "u1", "item_id": ["i1", "i2"], "timestamp": [START]}]
    with pytest.raises(InputError, match="1 x lists of different lengths"):
        log(EXPOSURES, behaviours=jsonl(rows))
    rows = [{"user_id": "u", "item_id": ["a", "b"], "label": label, "timestamp": START} for label in ([0, 1, 1], ["c"])]
    with pytest.raises(InputError, match="2 x labels do not fit the list shown"):
        log(jsonl(rows))


def test_clicked_items_in_text_need_a_type(log):
    """Two of three clicked: without the type the rows with several clicks were skipped, and nobody said why."""
    rows = f"user_id,shown,timestamp,chosen\nu1,a|b|c,{START},a|c\nu2,a|b|c,{START},b\n"
    columns = {"exposures.item_id": "shown:token_seq", "label": "chosen"}
    with pytest.raises(InputError, match="needs its type, --column label=COLUMN:token_seq"):
        log(rows, columns)
    record = log(rows, columns | {"label": "chosen:token_seq"})[0]
    assert (record["counts"]["exposures"], record["counts"]["clicks"]) == (6, 3)


def test_items_left_out_are_in_no_table(log):
    """Of five items that were never shown one was in the behaviours and stayed: four were told, as all there are."""
    items = "item_id,category\n" + "".join(f"{item},c\n" for item in ["i1", "i8", "n1", "n2", "n3", "n4", "n5"])
    behaviours = f"user_id,item_id,timestamp\nu1,n1,{START - 9}\nu1,i1,{START - 8}\n"
    for more, told in (
        ({}, "5 items of the catalogue (71.4%) were never shown"),
        ({"behaviours": behaviours}, "4 items of the catalogue (57.1%) are in neither exposures nor behaviours"),
    ):
        assert any(note.startswith(told) for note in log(EXPOSURES, items=items, **more)[0]["notes"])
