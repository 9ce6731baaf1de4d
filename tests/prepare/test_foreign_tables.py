"""Tables as people really have them: quotation marks, ids, columns, values, times, containers. Nothing goes unsaid."""

import gzip
import json
import os
import re
import zipfile
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest
from prepare.raw_files import atomic, vectors

from recbole_marn.errors import InputError
from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.report import render
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.times import Clock
from recbole_marn.prepare.tokens import identifier

USERS, ITEMS, START = 6, 10, 1_600_000_000


def events(item=lambda i: f"i{i}", time=lambda t: t, sep=",", more=("", lambda k: "")):
    lines = [sep.join(["user_id", "item_id", "timestamp"]) + more[0]]
    for k in range(USERS * ITEMS):
        cells = [f"u{k % USERS}", str(item(k % ITEMS)), str(time(START + 3600 * k))]
        lines.append(sep.join(cells) + more[1](k))
    return "\n".join(lines) + "\n"


@pytest.fixture
def shop(tmp_path):
    """A function that prepares texts, bytes or files as events and items, and reads back what was made of them."""

    def make(events_=None, items=None, **options):
        paths = {}
        for role, content in (("events", events() if events_ is None else events_), ("items", items)):
            if isinstance(content, (str, bytes)):
                paths[role] = tmp_path / f"{role}.csv"
                paths[role].write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
            elif content is not None:
                paths[role] = content
        out = tmp_path / f"out{len(os.listdir(tmp_path))}"
        record = prepare("custom", tmp_path, out, Options(**paths, **options), name="shop")
        rows = {row["item_id"]: row for row in atomic(out / "shop" / "shop.item")[1]}
        record["header"] = atomic(out / "shop" / "shop.item")[0]
        return record, atomic(out / "shop" / "shop.inter")[1], rows, out / "shop"

    return make


def parquet(path, **columns):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


# --- quotation marks -------------------------------------------------------------------------------------------------


def test_quotation_marks_in_tab_separated_text_are_text(shop):
    titles = ['"Heroes', "plain", '7" single', '"whole"', '"do""ubled"', 'end"', '"', '""', "'t'", 'a "b" c']
    items = "item_id\ttitle\n" + "".join(f"i{n}\t{title}\n" for n, title in enumerate(titles))
    record, _, rows, _ = shop(None, items)
    assert [rows[f"i{n}"]["title"] for n in range(10)] == [
        "heroes", "plain", "7 single", "whole", "do ubled", "end", "", "", "t", "a b c"
    ]  # fmt: skip
    assert record["read"]["items.csv"] == {"lines": 10, "skipped": 0, "inside_fields": 0}


@pytest.mark.parametrize("mark", ['"', '""', '"""'])
def test_an_event_with_a_stray_mark_is_an_event(shop, mark):
    text = events(sep="\t").replace("u3\ti3\t", f"{mark}u3\ti3\t", 1)
    record, inter, _, _ = shop(text)
    assert len(inter) == USERS * ITEMS == record["read"]["events.csv"]["lines"]


def test_a_field_over_several_lines_is_counted(shop):
    items = "item_id,title,price\n" + "".join(f'i{n},"Shoe ""{n}""\nred",{n + 1}\n' for n in range(10))
    record, _, rows, _ = shop(None, items)
    assert rows["i4"]["title"] == "shoe 4 red" and rows["i4"]["price"] == "5"
    assert record["read"]["items.csv"] == {"lines": 20, "skipped": 0, "inside_fields": 10}
    assert "20 lines, 10 of them inside fields" in render(record)


def test_two_stray_marks_do_not_swallow_the_rows_between_them(shop):
    lines = [f"i{n},c{n},Shoe {n}" for n in range(10)]
    lines[2], lines[6] = 'i2,c2,"Shoe 2', 'i6,c6,Shoe 6"'
    text = "item_id,category,title\n" + "\n".join(lines) + "\n"
    with pytest.raises(InputError, match=r"5 x quotation mark over several rows \(first in line 4\)"):
        shop(None, text)
    record, _, rows, _ = shop(None, text, max_skipped=0.5)
    assert rows["i1"]["title"] == "shoe 1" and rows["i3"]["title"] == ""
    assert record["read"]["items.csv"] == {"lines": 10, "skipped": 5, "inside_fields": 0}


# --- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "token"),
    [
        ("1.0", "1"), ("45.00", "45"), (45.0, "45"), (Decimal("45.00"), "45"), (Decimal("4.5E+3"), "4500"), (7, "7"),
        (b"i1", "i1"), ("b'i1'", "i1"), ('b"i1"', "i1"), (b"\xff\x00", "ff00"), ("\ufeffi1", "i1"), ("i\u200b1", "i1"),
        ("\u00a0i1\t", "i1"), ("i\u200d1\u2060", "i1"), ("1e+05", "100000"), ("cafe\u0301", "caf\u00e9"),
        ("-3.0", "-3"),
        # left as they are
        ("00017", "00017"), ("1.5", "1.5"), ("1.10", "1.10"), ("I1", "I1"), ("12e4", "12e4"), ("v1.0", "v1.0"),
        # no id
        (None, ""), (float("nan"), ""), ("NA", ""), ("1.23457E+11", ""), (1.2e17, ""), ("\u200b", ""),
    ],
)  # fmt: skip
def test_one_spelling_of_ids(value, token):
    assert identifier(value) == token
    assert identifier(token) == token


@pytest.mark.parametrize(
    "spell",
    [
        lambda n: f"{n}.0", lambda n: f"{n}.00", lambda n: f"\u200b{n}", lambda n: f" {n} ", lambda n: f"b'{n}'",
        lambda n: f"\ufeff{n}",
    ],
)  # fmt: skip
def test_ids_of_both_tables_meet(shop, spell):
    items = "item_id,category\n" + "".join(f"{spell(n)},c{n}\n" for n in range(10))
    record, _, rows, _ = shop(events(item=str), items)
    assert record["coverage"]["category"]["items"] == 1.0 and rows["3"]["category"] == "c3"


def test_typed_ids_of_parquet_meet_those_of_csv(shop, tmp_path):
    numbers = [Decimal(n).quantize(Decimal("1.00")) for n in range(10)]
    for name, ids in {
        "decimal": numbers,
        "float": [float(n) for n in range(10)],
        "bytes": [b"%d" % n for n in range(10)],
    }.items():
        items = parquet(tmp_path / f"{name}.parquet", item_id=ids, category=[f"c{n}" for n in range(10)])
        record, _, rows, _ = shop(events(item=str), items)
        assert record["coverage"]["category"]["items"] == 1.0 and rows["3"]["category"] == "c3", name


@pytest.mark.parametrize("spell", [lambda n: f"I{n}", lambda n: f"sku-{n}", lambda n: f"0{n}"])
def test_tables_that_do_not_meet_are_refused_with_an_id_of_each(shop, spell):
    items = "item_id,category\n" + "".join(f"{spell(n)},c{n}\n" for n in range(10))
    with pytest.raises(InputError, match=f"0 of 10 .*'i0' of the one, '{spell(0)}' of the other"):
        shop(None, items)


def test_hardly_meeting_is_refused_and_half_meeting_is_told(shop):
    def items(known):
        return "item_id,category\n" + "".join(f"{'i' if n < known else 'x'}{n},c\n" for n in range(100))

    text = events(item=lambda i: f"i{i}") + "".join(f"u0,j{n},{START}\n" for n in range(90))
    with pytest.raises(InputError, match=r"3 of 100 \(3.00%\): 'i3' of the one, 'x3' of the other.*--min-matched"):
        shop(text, items(3))
    record = shop(text, items(3), min_matched=0.01)[0]
    assert any("only 3 of 100 ids" in note for note in record["notes"])
    # a table of five items that are all known is no accident, however many items there are
    shop(text, "item_id,category\n" + "".join(f"i{n},c\n" for n in range(5)))


def test_vectors_that_do_not_meet_are_refused(shop, tmp_path):
    np.save(tmp_path / "v.npy", np.ones((10, 2), np.float32))
    (tmp_path / "v.ids").write_text("".join(f"I{n}\n" for n in range(10)))
    with pytest.raises(InputError, match="'i0' of the one, 'I0' of the other"):
        shop(images=str(tmp_path / "v.npy"))
    (tmp_path / "v.ids").write_text("".join(f"\ufeff i{n}\u200b\n" for n in range(10)))
    assert shop(images=str(tmp_path / "v.npy"))[0]["coverage"]["image"]["items"] == 1.0


# --- columns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["item_id, category, title", "Item ID,Category,Title", "\ufeffitemId,CATEGORY\u200b,title ",
               "item_id:token,category:token,title:token_seq"],
)  # fmt: skip
def test_names_of_columns_are_matched_sensibly(shop, header):
    items = header + "\n" + "".join(f"i{n},c{n},Shoe {n}\n" for n in range(10))
    record, _, rows, _ = shop(None, items)
    assert rows["i3"] == {"item_id": "i3", "category": "c3", "title": "shoe 3"}
    assert set(record["columns"]["items items.csv"]["taken"]) == {"item_id", "category", "title"}


def test_what_is_not_taken_is_said(shop):
    items = "item_id,colour,Titel\n" + "".join(f"i{n},red,Shoe\n" for n in range(10))
    record = shop(None, items)[0]
    assert record["columns"]["items items.csv"]["not_taken"] == {"colour": "", "Titel": ""}
    assert "'colour' not taken" in render(record) and "'item_id' as item_id" in render(record)


@pytest.mark.parametrize("header", ["item_id,title,title", "item_id,title, title", '"item_id","title","title"'])
def test_a_doubled_column_is_refused(shop, header):
    with pytest.raises(InputError, match="each column once .*'title' more than once"):
        shop(None, header + "\n" + "i1,a,b\n" * 3)


def test_columns_that_read_alike_are_refused_unless_one_is_meant(shop):
    items = "item_id,Title,TITLE\n" + "".join(f"i{n},Shoe {n},x\n" for n in range(10))
    with pytest.raises(InputError, match="one column that reads as title .*'Title', 'TITLE'"):
        shop(None, items)
    assert shop(None, items, columns={"title": "Title"})[2]["i2"]["title"] == "shoe 2"


@pytest.mark.parametrize("role", ["brand", "items.brand", "events.brand", "season"])
def test_an_option_that_names_no_column_is_refused(shop, role):
    column = "nosuchcolumn:token" if role == "season" else "nosuchcolumn"
    items = "item_id,category\n" + "".join(f"i{n},c{n}\n" for n in range(10))
    with pytest.raises(InputError, match="the column 'nosuchcolumn' for (brand|season)"):
        shop(None, items, columns={role: column})


def test_items_described_in_the_events(shop):
    more = (",brand,Price,color", lambda k: f",acme,{9.5 + (k > 55)},{'' if k < 10 else 'red'}")
    record, _, rows, _ = shop(events(more=more), columns={"colour": "color:token"})
    assert rows["i3"] == {"item_id": "i3", "brand": "acme", "price": "9.5", "colour": "red"}
    assert (
        "price: taken from the events, the first value of each item; 4 items have another one later" in record["notes"]
    )
    # the table of items comes first, and what the events have is said
    items = "item_id,brand\n" + "".join(f"i{n},other\n" for n in range(10))
    record, _, rows, _ = shop(events(more=more), items)
    assert rows["i3"] == {"item_id": "i3", "brand": "other", "price": "9.5"}
    assert record["columns"]["events events.csv"]["not_taken"] == {"brand": "the table of items has it", "color": ""}


def test_further_columns_by_type(shop):
    items = "item_id;SEASON;weight;tags;size\n" + "".join(f"i{n};s{n % 4};{n}.5;new in|sale;1 {n}\n" for n in range(10))
    columns = {"season": "SEASON:token", "weight": "weight:float", "tags": "tags:token_seq", "size": "size:float_seq"}
    record, _, rows, _ = shop(None, items, columns=columns)
    assert record["header"] == ["item_id:token", "season:token", "weight:float", "tags:token_seq", "size:float_seq"]
    assert rows["i3"] == {
        "item_id": "i3", "season": "s3", "weight": "3.5", "tags": "new_in sale", "size": "1.0 3.0"
    }  # fmt: skip
    record, _, rows, _ = shop(None, items, columns={"category": "tags:token_seq", "brand": "SEASON"})
    assert record["header"] == ["item_id:token", "category:token_seq", "brand:token"]
    assert rows["i3"] == {"item_id": "i3", "category": "new_in sale", "brand": "s3"}
    with pytest.raises(InputError, match="'season'.*--column season=SEASON:token"):
        shop(None, items, columns={"season": "SEASON"})


def test_lists_and_structures_by_their_top_level_names(shop, tmp_path):
    ids = [f"i{n}" for n in range(10)]
    items = parquet(
        tmp_path / "i.parquet", item_id=ids, category=[["Shoes", "Red ones"]] * 10, price=[[1.0]] * 10,
        brand=[{"name": "acme"}] * 10, title=[["Red", "shoe"]] * 10, vector=[[1.0, 2.0]] * 10,
    )  # fmt: skip
    record, _, rows, _ = shop(None, items, columns={"vector": "vector:float_seq"})
    assert record["header"][1:] == ["vector:float_seq", "category:token_seq", "title:token_seq"]
    assert rows["i3"] == {"item_id": "i3", "vector": "1.0 2.0", "category": "Shoes Red_ones", "title": "red shoe"}
    assert record["columns"]["items i.parquet"]["not_taken"] == {
        "price": "holds a list, which price cannot be", "brand": "holds a structure, which brand cannot be",
    }  # fmt: skip
    for role, column in (("brand", "brand"), ("price", "price"), ("item_id", "category")):
        with pytest.raises(InputError, match=f"plain values for {role} .*the column '{column}', which holds a"):
            shop(None, items, columns={f"items.{role}": column})


def test_labels_are_not_taken_for_clicks(shop):
    for name in ("label", "Clicked", "is_click"):
        with pytest.raises(InputError, match=f"a table of clicks .*the column '{name}'"):
            shop(events(more=(f",{name}", lambda k: f",{k % 2}")))


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelled", ['"1,234.00"', "$5", '"3,50"', "5 EUR", "1_000"])
def test_a_price_that_is_no_number_is_refused_with_line_and_value(shop, spelled):
    shown = spelled.strip('"')
    items = "item_id,price\n" + "".join(f"i{n},{spelled if n % 2 else n + 1}\n" for n in range(10))
    with pytest.raises(InputError, match=re.escape(f"5 x price is no number (first in line 3: '{shown}')")):
        shop(None, items)
    record, _, rows, _ = shop(None, items, max_skipped=0.5)
    assert rows["i1"]["price"] == "" and rows["i2"]["price"] == "3"
    assert "5 x price is no number" in render(record)


def test_a_price_of_zero_is_told_and_not_refused(shop):
    items = "item_id,price\n" + "".join(f"i{n},{0 if n % 2 else 2}\n" for n in range(10))
    assert "5 x price is 0, taken as missing (first in line 3: '0')" in render(shop(None, items)[0])


def test_sequences_of_another_length_are_refused(shop):
    items = "item_id,size\n" + "".join(f"i{n},{'1 2 3' if n else '1 2'}\n" for n in range(10))
    with pytest.raises(InputError, match=r"1 x size has not 3 numbers, as most have \(first in line 2: \[1.0, 2.0\]\)"):
        shop(None, items, columns={"size": "size:float_seq"})
    items = "item_id,size\n" + "".join(f"i{n},{'1 2 3' if n else '1 b 3'}\n" for n in range(10))
    with pytest.raises(InputError, match="1 x size holds what is no number"):
        shop(None, items, columns={"size": "size:float_seq"})


@pytest.mark.parametrize("scale", [1e-9, 1e6, 1e-30, 1e30])
def test_vectors_that_float16_would_lose_are_kept(shop, tmp_path, scale):
    array = np.random.RandomState(0).randn(10, 5) * scale
    np.save(tmp_path / "v.npy", array)
    (tmp_path / "v.ids").write_text("".join(f"i{n}\n" for n in range(10)))
    record, _, _, folder = shop(images=str(tmp_path / "v.npy"))
    kept = vectors(folder, dtype=np.float32)
    np.testing.assert_allclose(kept["i4"], array[4], rtol=1e-6)
    assert any("float16 would lose 10 vectors (the first of 'i0')" in note for note in record["notes"])
    assert "10 x 5 float32" in render(record)


def test_one_huge_vector_among_ordinary_ones(shop, tmp_path):
    array = np.ones((10, 3), np.float32)
    array[7] = 1e5
    np.save(tmp_path / "v.npy", array)
    (tmp_path / "v.ids").write_text("".join(f"i{n}\n" for n in range(10)))
    record, _, _, folder = shop(images=str(tmp_path / "v.npy"))
    assert {token: row[0] for token, row in vectors(folder, dtype=np.float32).items()} == {
        f"i{n}": 1e5 if n == 7 else 1 for n in range(10)
    }
    array[7] = np.nan
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(InputError, match="1 of 10, the first of 'i7'"):
        shop(images=str(tmp_path / "v.npy"))
    record = shop(images=str(tmp_path / "v.npy"), max_skipped=0.2)[0]
    assert "1 vectors are unusable and taken as missing (the first of 'i7')" in render(record)


@pytest.mark.parametrize("kind", ["npz", "pt", "pickle"])
def test_another_file_than_npy_is_named(shop, tmp_path, kind):
    path = tmp_path / "v.npy"
    if kind == "npz":
        with open(path, "wb") as file:
            np.savez(file, a=np.ones((10, 2)))
    elif kind == "pt":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("archive/data.pkl", b"")
    else:
        path.write_bytes(b"\x80\x04N.")
    (tmp_path / "v.ids").write_text("".join(f"i{n}\n" for n in range(10)))
    with pytest.raises(InputError, match="archive of arrays|pickle"):
        shop(images=str(path))


# --- times -----------------------------------------------------------------------------------------------------------

NOON = 1_600_689_600.0  # 2020-09-21 12:00:00 UTC


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2020-09-21T12:00:00Z", NOON), ("2020-09-21 12:00:00 UTC", NOON), ("2020-09-21T21:00:00+0900", NOON),
        ("2020-09-21T21:00:00+09", NOON), ("2020-09-21T21:00:00.0+09:00", NOON), ("2020-09-21T12:00:00.5", NOON + 0.5),
        ("2020-09-21T12:00:00.12Z", NOON + 0.12), ("2020-09-21T12:00:00.123456789Z", NOON + 0.123456),
        ("2020-09-21T12:00:00,25", NOON + 0.25), ("2020-09-21T12", NOON), ("20200921T120000Z", NOON),
        ("2020-09-21 12:00:00 +00:00", NOON), ("2020-09-21", NOON - 43_200), ("20200921", NOON - 43_200),
        (20200921, NOON - 43_200), (20200921.0, NOON - 43_200), ("20200921120000", NOON), ("202009211200", NOON),
        ("1600689600", NOON), (1600689600, NOON), ("1.6006896e9", NOON), (date(2020, 9, 21), NOON - 43_200),
        (datetime(2020, 9, 21, 12), NOON), (datetime(2020, 9, 21, 21, tzinfo=timezone(timedelta(hours=9))), NOON),
    ],
)  # fmt: skip
def test_times_that_are_read(value, at):
    assert Clock().read(value) == (pytest.approx(at, abs=1e-6), "")


@pytest.mark.parametrize(
    ("value", "unit", "reason"),
    [
        ("0921", "auto", "leading zeros"), ("20201399", "auto", "eight digits is no date"), ("44095", "auto", "1990"),
        ("20200921", "s", "1990"), ("1600689600", "ms", "1990 .*--time-unit"), ("1600689600000", "us", "1990"),
        ("1600689600000", "auto", "2100 .*--time-unit ms"), ("1600689600000000", "ms", "2100"),
        ("2020", "auto", "1990"),
        ("0", "auto", "1990"), ("-1", "auto", "1990"), ("4000000000", "auto", "future"),
        ("2033-01-01", "auto", "future"),
        ("2020-02-30", "auto", "no ISO"), ("21.09.2020", "auto", "no ISO"), ("2020-09-21 12:00 PST", "auto", "no ISO"),
        ("2020-W39-1", "auto", "no ISO"), ("2020-09", "auto", "no ISO"), ("", "auto", "missing"),
        (None, "auto", "missing"),
        ("nan", "auto", "missing"), (float("inf"), "auto", "no unix time"), (True, "auto", "1990"),
    ],
)  # fmt: skip
def test_times_that_make_no_sense(value, unit, reason):
    at, why = Clock(unit).read(value)
    assert at is None and re.search(reason, why)


def test_the_report_has_the_first_and_the_last_date(shop):
    record, inter, _, _ = shop(events(time=lambda t: f"2020-09-{(t - START) // 36_000 + 10:02d}"))
    assert record["time"] == {"first": "2020-09-10", "last": "2020-09-15"}
    assert "time: 2020-09-10 to 2020-09-15" in render(record) and inter[0]["timestamp"] == "1599696000"


@pytest.mark.parametrize(("unit", "factor"), [("ms", 1), ("us", 1), ("us", 1000), ("s", 1000), ("ns", 1_000_000)])
def test_a_wrong_unit_is_refused_with_the_value(shop, unit, factor):
    with pytest.raises(InputError, match=f"60 x time is .*first in line 2: '{START * factor}'"):
        shop(events(time=lambda t: t * factor), time_unit=unit)


def test_times_without_a_calendar_are_taken_on_request(shop):
    with pytest.raises(InputError, match="--time-unit relative"):
        shop(events(time=lambda t: t - START))
    record = shop(events(time=lambda t: t - START), time_unit="relative")[0]
    assert record["time"] == {"first": 0.0, "last": 3600.0 * 59}


def test_any_number_of_behaviours(shop):
    record, inter, _, _ = shop(events(more=(",behavior_type", lambda k: f",b{k}")))
    assert [row["behavior_type"] for row in inter] == [f"b{k}" for k in range(60)]
    more = "".join(f"u1,i1,{START + k},c{k}\n" for k in range(200))
    inter = shop(events(more=(",behavior_type", lambda k: f",b{k}")) + more)[1]
    assert [row["behavior_type"] for row in inter] == [f"b{k}" for k in range(60)] + [f"c{k}" for k in range(200)]


# --- containers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"BZh91AY", "a bzip2 file"), (b"\xfd7zXZ\x00", "an xz file"), (b"\x28\xb5\x2f\xfd..", "a Zstandard file"),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"), (b"\0" * 257 + b"ustar", "a tar archive"),
        (events().encode("utf-16"), "UTF-16"), (events().encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (events().encode("utf-32"), "UTF-32"), (b"\0" * 5000, "zero bytes"), (b"SQLite format 3\0", "an SQLite"),
        (b"[{}]", "one JSON array"), (b"\x80\x04", "a Python pickle"), (b"ARROW1..", "Arrow"),
        (b"", "columns for user_id"),
        (events().partition("\n")[2].encode(), "'1600000000'.*has no header"),
    ],
)  # fmt: skip
def test_files_of_another_kind_are_named(shop, content, message):
    with pytest.raises(InputError, match=message):
        shop(content)
    if content:
        with pytest.raises(InputError, match=message):
            shop(gzip.compress(content))


def test_zip_and_excel_are_named(shop, tmp_path):
    for name, message in (("events.csv", "a ZIP archive. Unpack it"), ("[Content_Types].xml", "an Excel workbook")):
        with zipfile.ZipFile(tmp_path / "z", "w") as packed:
            packed.writestr(name, events())
        with pytest.raises(InputError, match=message):
            shop((tmp_path / "z").read_bytes())


@pytest.mark.parametrize("sep", [";", "|", "\t", ","])
def test_a_line_that_names_the_separator(shop, sep):
    assert len(shop(f"\ufeffsep={sep}\r\n" + events(sep=sep).replace("\n", "\r\n"))[1]) == 60


def test_gzip_under_any_name(shop):
    assert len(shop(gzip.compress(events().encode()))[1]) == 60


def test_json_lines(shop):
    lines = [{"user_id": f"u{k % 6}", "item_id": k % 10, "timestamp": START + k, "x": {"a": 1}} for k in range(60)]
    items = [{"item_id": n, "category": ["a", "b c"], "title": f"Shoe {n}", "price": n + 0.5} for n in range(10)]
    text, described = ("\n".join(map(json.dumps, rows)) + "\n" for rows in (lines, items))
    record, inter, rows, _ = shop(text, described)
    assert len(inter) == 60 and rows["3"] == {"item_id": "3", "category": "a b_c", "title": "shoe 3", "price": "3.5"}
    assert record["columns"]["events events.csv"]["not_taken"] == {"x": "holds a structure"}
    with pytest.raises(InputError, match=r"1 x no JSON object \(first in line 61\)"):
        shop(text + '{"user_id": "u1"\n', described)


def test_a_folder_of_parquet(shop, tmp_path):
    pytest.importorskip("pyarrow")
    folder = tmp_path / "events.parquet"
    for day in range(3):
        part = range(20 * day, 20 * day + 20)
        parquet(
            folder / f"behavior_type=b{day}" / "part-0.parquet", user_id=[f"u{k % 6}" for k in part],
            item_id=[k % 10 for k in part], timestamp=[START + k for k in part],
        )  # fmt: skip
    (folder / "_SUCCESS").touch()
    (folder / ".part-0.crc").write_bytes(b"PAR1")
    record, inter, _, _ = shop(folder)
    assert [row["behavior_type"] for row in inter] == ["b0"] * 20 + ["b1"] * 20 + ["b2"] * 20
    assert [source["name"] for source in record["sources"]] == ["part-0.parquet"] * 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="which is a folder"):
        shop(tmp_path / "empty")


def test_long_fields_are_read(shop):
    items = "item_id,title,text\n" + "".join(f"i{n},Shoe {n},{'x' * 300_000}\n" for n in range(10))
    assert shop(None, items)[2]["i9"]["title"] == "shoe 9"
    items = "item_id,title\n" + "".join(f"i{n},{'x' * (1_100_000 * (n == 3))}\n" for n in range(10))
    with pytest.raises(InputError, match=r"1 x field longer than 1,048,576 characters \(first in line 5\)"):
        shop(None, items)


def test_zero_bytes_in_a_line_are_counted(shop):
    with pytest.raises(InputError, match=r"1 x zero bytes \(first in line 62\)"):
        shop(events() + "u1,i\0001,1600000000\n")


def test_files_that_never_end_are_refused(shop, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(InputError, match="a pipe or a device"):
            shop(type(tmp_path)(path))
        with pytest.raises(InputError, match="a pipe or a device|no file"):
            shop(images=str(path), image_ids=tmp_path / "pipe")
