"""Atomic files are read as they are written: nothing is quoting, no line gets lost, and damage is named."""

import gzip
import zipfile

import numpy as np
import pandas as pd
import pytest
import tiny
from token_rows import build

from recbole_marn.data.atomic import read_atomic
from recbole_marn.errors import InputError

HEADER = "item_id:token\ttitle:token_seq\tprice:float\tsound:float_seq\n"
LINES = "a\tred house\t1.5\t1 2.5\nb\t\t\t\nc\tnight\t2e3\t-1\n"


def read(tmp_path, content, encoding="utf-8", keep=lambda field: True, separator="\t"):
    path = tmp_path / "shop.item"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_atomic(path, separator=separator, list_separator=" ", encoding=encoding, keep=keep)


def error_of(tmp_path, content, **options):
    with pytest.raises(InputError) as error:
        read(tmp_path, content, **options)
    return str(error.value)


def columns(table):
    return {field: table.frame[field].tolist() for field in table.frame}


def check(table):
    assert table.frame["item_id"].tolist() == ["a", "b", "c"]
    assert [list(words) for words in table.frame["title"]] == [["red", "house"], [], ["night"]]
    np.testing.assert_array_equal(table.frame["price"], [1.5, np.nan, 2000])
    assert [entry.tolist() for entry in table.frame["sound"]] == [[1, 2.5], [], [-1]]
    assert table.frame["price"].dtype == np.float64
    assert list(table.header.values()) == ["token", "token_seq", "float", "float_seq"]


@pytest.mark.parametrize(
    "content",
    [
        HEADER + LINES,
        HEADER + LINES.replace("\n", "\n\n"),
        (HEADER + LINES).replace("\n", "\r\n"),
        "\ufeff" + HEADER + LINES,
    ],
    ids=["plain", "blank lines", "windows", "byte order mark"],
)
def test_the_same_table_however_lines_end_and_files_begin(tmp_path, content):
    check(read(tmp_path, content))


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "gbk", "utf-8-sig", "UTF8"])
def test_other_encodings(tmp_path, encoding):
    check(read(tmp_path, (HEADER + LINES).encode(encoding), encoding=encoding))


def test_quotation_marks_are_text(tmp_path):
    lines = 'a\t"red house\t1\t\nb\t12" vinyl "live"\t2\t\n"c"\t""\t3\t\nd\tit\'s\t4\t\n'
    table = read(tmp_path, HEADER + lines)
    assert table.frame["item_id"].tolist() == ["a", "b", '"c"', "d"]
    assert [" ".join(words) for words in table.frame["title"]] == ['"red house', '12" vinyl "live"', '""', "it's"]
    assert table.frame["price"].tolist() == [1, 2, 3, 4]


def test_an_item_may_be_called_na(tmp_path):
    names = ["NA", "null", "None", "nan", "N/A", "#N/A", "-", "1e5", "001"]
    table = read(tmp_path, "item_id:token\tprice:float\n" + "".join(f"{name}\tNA\n" for name in names))
    assert table.frame["item_id"].tolist() == names
    assert table.frame["price"].isna().all()


def test_an_empty_token_is_missing(tmp_path):
    table = read(tmp_path, "item_id:token\tbrand:token\na\t\n\tx\n")
    assert table.frame["brand"].isna().tolist() == [True, False] and table.frame["item_id"].isna().tolist() == [
        False,
        True,
    ]


def test_odd_characters_stay_in_their_cell(tmp_path):
    """Line separators of Unicode, a lone carriage return and a no-break space end no line and no cell."""
    odd = "a\u2028b\x85c\x0bd\re\u00a0f\\"
    assert read(tmp_path, f"item_id:token\tprice:float\n{odd}\t1\n").frame["item_id"].tolist() == [odd]


def test_numbers_are_read_to_the_last_digit(tmp_path):
    numbers = [0.1 + 0.2, 1 / 3, 1.7976931348623157e308, 5e-324, 881250949.123456]
    table = read(tmp_path, "price:float\n" + "".join(f"{number!r}\n" for number in numbers))
    assert table.frame["price"].tolist() == numbers


def test_some_columns(tmp_path):
    table = read(tmp_path, HEADER + LINES, keep=lambda field: field in ("price", "item_id"))
    assert list(table.frame) == ["item_id", "price"] and len(table.header) == 4


def test_no_lines(tmp_path):
    for content in (HEADER, HEADER[:-1]):
        table = read(tmp_path, content)
        assert len(table.frame) == 0 and list(table.frame) == list(table.header)
        assert table.frame["price"].dtype == np.float64


def test_it_reads_what_pandas_reads_where_nothing_is_odd(tmp_path, data_path):
    path = data_path / "tiny/tiny.inter"
    table = read_atomic(path, separator="\t", list_separator=" ", encoding="utf-8", keep=lambda field: True)
    plain = pd.read_csv(path, sep="\t", dtype={"timestamp:float": float}, keep_default_na=False, converters={1: str})
    plain.columns = list(table.header)
    pd.testing.assert_frame_equal(table.frame, plain)


# ------------------------------------------------------------------------------------------------------------- damage
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            HEADER + LINES + "d\tcut off",
            "Expected 4 columns in every line of {path}, as in its header. Got 2 in line 5.",
        ),
        (HEADER + "a\tb\tc\t1\t2\n" + LINES, "Got 5 in line 2."),
        (HEADER + "a\tb\n" + LINES + "c\n", "Got 2 in line 2 and 1 more."),
        (HEADER + "a\tb\0\t1\t2\n", "Expected text in {path}. Got a NUL byte in line 2."),
        (HEADER + LINES + "\0" * 512, "Got a NUL byte in line 5."),
        (
            HEADER + "a\tb\t1,5\t\nb\tb\t$2\t\n",
            "Expected numbers in price of {path}. Got '1,5', one of 2 that are none.",
        ),
        (HEADER + "a\tb\t1\t1 x\n", "Expected lists of numbers in sound of {path}. Got 'could not convert"),
        ("item_id\tprice:float\n", "Expected a header of name:type columns in {path}"),
        ("item_id:token,price:float\na,1\n", "Got 'item_id:token,price:float'"),
        ('"item_id:token"\t"price:float"\n', "Got '\"item_id:token\"'"),
        ("a:token\ta:float\n", "Expected each column of {path} once. Got 'a' twice."),
        ("", "Got ''. Write each column as e.g. item_id:token"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path, content, text):
    assert text.format(path=tmp_path / "shop.item") in error_of(tmp_path, content)


def test_another_encoding_is_named(tmp_path):
    content = (HEADER + "a\t\u7ea2\u8272\t1\t\n").encode("gbk")
    text = error_of(tmp_path, content)
    assert "in the encoding utf-8. Got bytes b'\\xba' in line 2. Set the key 'encoding' to that of the file" in text
    assert read(tmp_path, content, encoding="gbk").frame["title"][0].tolist() == ["\u7ea2\u8272"]
    assert "Got a file saved as UTF-16." in error_of(tmp_path, (HEADER + LINES).encode("utf-16"))
    assert "Expected an 'encoding' that Python knows. Got 'utf-9'." in error_of(tmp_path, HEADER, encoding="utf-9")


def test_containers_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("shop.item", HEADER + LINES)
    assert "Got a ZIP archive." in error_of(tmp_path, (tmp_path / "x.zip").read_bytes())
    assert "Got a gzip file." in error_of(tmp_path, gzip.compress((HEADER + LINES).encode()))


def test_a_last_line_without_end_is_said(tmp_path):
    assert read(tmp_path, HEADER + LINES).notes == []
    (note,) = read(tmp_path, (HEADER + LINES)[:-1]).notes
    assert note.startswith("shop.item: its last line has no line end; if the file was cut")


# -------------------------------------------------------------------------------------------------- through a data set
def test_quotes_in_events_and_titles_lose_nothing(tmp_path, loaders):
    folder = tiny.write_dataset(tmp_path)
    inter = folder / "tiny.inter"
    inter.write_text(inter.read_text().replace("u0\t", '"u0\t').replace("u3\t", 'u3"\t'))
    item = folder / "tiny.item"
    item.write_text(item.read_text().replace("red", '"red').replace("blue", 'blue"'))
    part = build(tiny.settings(tmp_path))["train"].part
    assert part.protocol.events.n_events == loaders["MARN"]["train"].part.protocol.events.n_events
    assert {'"u0', 'u3"'} <= set(part.field2token_id["user_id"])
    assert {'"red', 'blue"'} <= set(part.field2token_id["title"])


def test_repeated_lines_of_an_item_are_counted(tmp_path):
    file = tiny.write_dataset(tmp_path) / "tiny.item"
    file.write_text(file.read_text() + "005\ttoy\tred\t1\n")
    assert (
        "tiny.item: 1 lines that repeat a item_id were left out" in build(tiny.settings(tmp_path))["train"].part.notes
    )
