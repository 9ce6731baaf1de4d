"""Data of one's own: CSV and Parquet, with columns of any name."""

import time
from datetime import date, datetime, timezone

import numpy as np
import pytest
from prepare.raw_files import atomic, vectors

from recbole_marn.errors import InputError
from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.sources import Options


def made(tmp_path, **options):
    record = prepare("custom", tmp_path, tmp_path / "out", Options(**options), name="shop")
    folder = tmp_path / "out" / "shop"
    return record, atomic(folder / "shop.inter")[1], atomic(folder / "shop.item")[1], folder


@pytest.fixture(autouse=True)
def zone_of_the_machine(monkeypatch):
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def csvs(tmp_path):
    events, items = tmp_path / "events.csv", tmp_path / "items.csv"
    events.write_text(
        "customer;sku;ts;action\nanna;00017;2024-01-31;view\nanna;4;2024-01-31T12:00:00+02:00;cart\n"
        "bert;00017;2024-02-01 06:30:00;view\n",
        encoding="utf-8-sig",
    )
    items.write_text('id,name,kind,cost\n00017,"Red ""dress"",\nlong",Dresses,19.5\n4,Blue,,n/a\n99,Unsold,X,1\n')
    columns = {"user_id": "customer", "events.item_id": "sku", "timestamp": "ts", "behavior_type": "action",
               "items.item_id": "id", "title": "name", "category": "kind", "price": "cost"}  # fmt: skip
    return {"events": events, "items": items, "columns": columns}


def test_csv_with_columns_of_other_names(tmp_path, csvs, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")  # a time without a zone is UTC wherever the machine stands
    time.tzset()
    record, inter, items, _ = made(tmp_path, **csvs)
    assert [tuple(row.values()) for row in inter] == [
        ("anna", "00017", "1706659200", "view"),
        ("anna", "4", "1706695200", "cart"),
        ("bert", "00017", "1706769000", "view"),
    ]
    assert items == [
        {"item_id": "00017", "category": "Dresses", "title": "red dress long", "price": "19.5"},
        {"item_id": "4", "category": "", "title": "blue", "price": ""},
    ]
    assert record["dataset"] == "shop"


@pytest.mark.parametrize("price", ["", "nan", "inf", "-3", "0", "free", "1,5"])
def test_a_price_that_is_none_is_missing(tmp_path, csvs, price):
    csvs["items"].write_text(f'id,name,kind,cost\n00017,Red,Dresses,"{price}"\n4,Blue,,2\n')
    _, _, items, _ = made(tmp_path, **csvs, max_skipped=0.5)
    assert [row["price"] for row in items] == ["", "2"]


def test_events_alone_are_enough(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("user_id\titem_id\ttimestamp\trating\na\tx\t1700000000\t0.5\n")
    _, inter, items, _ = made(tmp_path, events=path)
    assert inter == [{"user_id": "a", "item_id": "x", "timestamp": "1700000000", "rating": "0.5"}]
    assert items == [{"item_id": "x"}]


def test_parquet_keeps_types(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    moment = datetime(2024, 1, 31, 12, tzinfo=timezone.utc)
    parquet.write_table(
        pa.table({"user_id": [1.0, 2.0, None], "item_id": ["x", "y", "y"], "timestamp": [moment, moment, moment]}),
        tmp_path / "e.parquet",
    )
    parquet.write_table(
        pa.table(
            {"item_id": ["x", "y"], "price": [1.25, None], "title": ["A b", None], "made": [date(2020, 1, 1)] * 2}
        ),
        tmp_path / "i.parquet",
    )
    record, inter, items, _ = made(
        tmp_path, events=tmp_path / "e.parquet", items=tmp_path / "i.parquet", max_skipped=0.5
    )
    assert [row["user_id"] for row in inter] == ["1", "2"], "numbers with a missing one among them come as floats"
    assert inter[0]["timestamp"] == "1706702400"
    assert [tuple(row.values()) for row in items] == [("x", "a b", "1.25"), ("y", "", "")]
    assert "1 x missing id" in record["skipped"]["events e.parquet"]

    whole = (tmp_path / "e.parquet").read_bytes()
    (tmp_path / "e.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="a Parquet file"):
        made(tmp_path / "again", events=tmp_path / "e.parquet")


@pytest.mark.parametrize(
    ("number", "unit", "expected"),
    [
        ("1700000000123", "ms", "1700000000.123"),
        ("1700000000000000", "us", "1700000000"),
        ("1e9", "auto", "1000000000"),
    ],
)
def test_units_of_time(tmp_path, number, unit, expected):
    path = tmp_path / "e.csv"
    path.write_text(f"user_id,item_id,timestamp\na,x,{number}\n")
    _, inter, _, _ = made(tmp_path, events=path, time_unit=unit)
    assert inter[0]["timestamp"] == expected


@pytest.mark.parametrize(
    ("text", "what"),
    [("1700000000000", "--time-unit ms"), *((one, "ISO 8601") for one in ("yesterday", "inf", "9999-99-99", "1e400"))],
)
def test_a_time_that_is_none_is_explained(tmp_path, text, what):
    path = tmp_path / "e.csv"
    path.write_text(f"user_id,item_id,timestamp\na,x,{text}\n")
    with pytest.raises(InputError, match=what):
        made(tmp_path, events=path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"events": None}, "--events FILE"),
        ({"events": "absent.csv"}, "does not exist"),
        ({"columns": {}}, "columns for user_id, item_id, timestamp"),
        ({"columns": {"user_id": "nobody"}}, "column 'nobody' for user_id"),
    ],
)
def test_what_is_missing_is_named(tmp_path, csvs, change, message):
    if change.get("events"):
        change["events"] = tmp_path / change["events"]
    with pytest.raises(InputError, match=message):
        made(tmp_path, **csvs | change)


def test_bytes_that_are_no_text_are_counted(tmp_path):
    path = tmp_path / "e.csv"
    path.write_bytes(b"user_id,item_id,timestamp\na,x,1700000000\n\xff\xfe,x,1700000000\n")
    record, inter, _, _ = made(tmp_path, events=path, max_skipped=0.5)
    assert len(inter) == 1 and "1 x not utf-8 (first in line 3: " in record["skipped"]["events e.csv"]


def test_an_unclosed_quotation_mark_costs_the_lines_it_swallows(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text('user_id,item_id,timestamp\na,x,1700000000\n"a,x,1700000000\n' + "b,y,1700000000\n" * 3)
    record, inter, _, _ = made(tmp_path, events=path, max_skipped=1.0)
    assert len(inter) == 1 and "4 x broken quotation marks (first in line 3)" in record["skipped"]["events e.csv"]


def test_an_array_as_images(tmp_path, csvs):
    np.save(tmp_path / "v.npy", np.ones((2, 3), np.float64))
    (tmp_path / "v.ids").write_text("4\n99\n")
    record, _, _, folder = made(tmp_path, **csvs, images=str(tmp_path / "v.npy"))
    assert list(vectors(folder)) == ["4"] and {"v.npy", "v.ids"} <= {source["name"] for source in record["sources"]}
    with pytest.raises(InputError, match="absent.ids, which does not exist"):
        made(tmp_path / "2", **csvs, images=str(tmp_path / "v.npy"), image_ids=tmp_path / "absent.ids")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".x", "/tmp/x"])
def test_the_name_is_a_plain_one(tmp_path, csvs, name):
    with pytest.raises(InputError, match="plain name|--name"):
        prepare("custom", tmp_path, tmp_path / "out", Options(**csvs), name=name or ".")


@pytest.mark.parametrize(
    "name", ["ml-100k", "hm", "taobao", "amazon-clothing", "amazon-clothing-synthetic", "sample", "url"]
)
def test_the_name_of_a_known_data_set_is_refused(tmp_path, csvs, name):
    with pytest.raises(InputError, match=f"a name of your own .*'{name}'.*--name my-{name}"):
        prepare("custom", tmp_path, tmp_path / "out", Options(**csvs), name=name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [False, True])
def test_items_nobody_ever_clicked_are_told_with_their_share(tmp_path, csvs, kept):
    record, _, items, _ = made(tmp_path, **csvs, keep_unseen_items=kept)
    assert any("1 items of the catalogue (33.3%) have no event" in note for note in record["notes"])
    assert (len(items) == 3) is kept is any("popularity scores far too well" in note for note in record["notes"])
