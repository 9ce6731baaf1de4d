"""Values, times and containers of tables that others made: read as meant, or refused with line and value."""

import gzip
import json
import os
import re
import zipfile
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest
from prepare.foreign import START, events, parquet
from prepare.raw_files import vectors

from recbole_marn.errors import InputError
from recbole_marn.prepare.report import render
from recbole_marn.prepare.times import Clock

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


def test_sequences_of_another_length_in_the_events_are_refused(shop):
    lines = events(more=(",size", lambda k: ",1 2 3" if k % 10 else ",1 2"))
    with pytest.raises(InputError, match="1 x size has not 3 numbers, as most have"):
        shop(lines, columns={"size": "size:float_seq"})


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
    assert "1 of the vectors or photos cannot be used, and count as missing (the first of 'i7')" in render(record)


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
        ("2020-02-30", "auto", "ISO 8601"), ("21.09.2020", "auto", "ISO 8601"),
        ("2020-09-21 12:00 PST", "auto", "ISO 8601"),
        ("2020-W39-1", "auto", "ISO 8601"), ("2020-09", "auto", "ISO 8601"), ("", "auto", "missing"),
        (None, "auto", "missing"),
        ("nan", "auto", "missing"), (float("inf"), "auto", "neither unix time"), (True, "auto", "1990"),
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
        (b"", "a header and rows in .*. Got none"), (b"\n\n", "a header and rows in .*. Got none"),
        (b"user_id,item_id,timestamp\n", "at least one row in events events.csv. Got none. The file is empty or ends"),
        (events().replace("\n", "\r").encode(), "end in a line feed .* Got carriage returns alone"),
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
    twice = '{"user_id": "u1", "item_id": 3, "timestamp": 1600000000, "user_id": "u2"}'
    for line in ('{"user_id": "u1"', twice):
        with pytest.raises(InputError, match=r"1 x no JSON object with each name once \(first in line 61\)"):
            shop(f"{text}{line}\n", described)


def test_a_column_of_json_lines_that_comes_late_is_told(shop):
    lines = [{"user_id": f"u{k % 99}", "item_id": k % 10, "timestamp": START + k} for k in range(10_001)]
    text = "".join(map("{}\n".format, map(json.dumps, [*lines, lines[0] | {"title": "Shoe"}])))
    told = "1 x a column that the first 10,000 records lack is not read (first in line 10,002: 'title')"
    assert shop(text)[0]["skipped"] == {"events events.csv": told}


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
