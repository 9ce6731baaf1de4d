"""The columnar twin of an atomic file says what its text says, or there is none."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from recbole_marn.data import twin, twin_table
from recbole_marn.data.atomic import read_atomic
from recbole_marn.errors import InputError

pytest.importorskip("pyarrow")

HEADER = "user_id:token\titem_id:token\ttimestamp:float\tkind:token\n"
LINES = "u2\ti1\t5\tbuy\nu1\ti2\t7\tview\nu2\ti1\t6\t\nu3\té 漢\t7\tview\n"


def both(path, **options):
    """What the text's reader and the twin's make of a file; an error of the first is returned."""
    options = {"separator": "\t", "encoding": "utf-8", "keep": lambda field: True} | options
    coded = twin_table.read_columns(path, whole="timestamp", **options)
    try:
        return read_atomic(path, list_separator=" ", **options), coded
    except InputError as error:
        return error, coded


def check_equal(text, coded):
    assert coded.header == text.header and coded.notes == text.notes
    assert list(coded.frame) == list(text.frame) and len(coded.frame) == len(text.frame)
    for field in text.frame:
        ours, column = coded.frame[field], text.frame[field]
        if text.header[field] == "token":
            assert ours.astype(object).where(ours.notna(), None).tolist() == column.where(column.notna(), None).tolist()
            words = pd.unique(column.dropna()).tolist()
            assert ours.cat.categories.tolist() == words, "numbered by first appearance"
        else:
            ours = ours.to_numpy(dtype=np.float64)
            assert ours.tobytes() == np.where(np.isnan(column), ours, column).tobytes(), "to the last bit"
            assert (np.isnan(ours) == column.isna()).all()


@pytest.mark.parametrize(
    "content",
    [
        HEADER + LINES,
        (HEADER + LINES)[:-1],
        "\ufeff" + HEADER + LINES,
        (HEADER + LINES).replace("\n", "\r\n"),
        (HEADER + LINES).replace("\n", "\n\n"),
        HEADER + '"a\t12" \t0.1\t"\n \t i \t-0\t,\nNA\tnull\t-1e-3\tNaN\n',
        HEADER + "a\tb\t\tc\n" * 3,
        HEADER + "".join(f"u{n}\ti{n % 40_000}\t{n}.5\tk{n % 200}\n" for n in range(80_000)),
    ],
    ids=["plain", "no last line end", "mark", "windows", "blank lines", "odd tokens", "no number", "wide codes"],
)
def test_a_twin_has_the_columns_of_its_text(tmp_path, content):
    path = tmp_path / "shop.inter"
    path.write_bytes(content.encode())
    text, coded = both(path)
    assert coded is not None and not isinstance(text, InputError)
    check_equal(text, coded)


PLAIN = 'ab0 é漢"\'\\,;#\xa0\ufeff'
CELLS = st.text(PLAIN, max_size=4)
CELLS = st.one_of(*[CELLS] * 20, st.text(PLAIN + "\r\n\t\0", max_size=4))
NUMBERS = st.sampled_from(["1", "1.5", "-0", "", "nan", "NA", " 2", "1e999", "inf", "x", "1_0", "+3", "٣", "True"])
NUMBERS = st.one_of(NUMBERS, *[st.integers(-(2**33), 2**33).map(str)] * 15, *[st.floats(-1e9, 1e9).map(repr)] * 4)


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, NUMBERS, CELLS), max_size=6),
    end=st.sampled_from([*["\n", "\r\n", "\n\n"] * 3, "\r"]),
    last=st.booleans(),
    block=st.sampled_from([1 << 24, 64]),
)
@example(rows=[("\ufeff\n", "", "1", "")], end="\n", last=False, block=1 << 24)
def test_whatever_the_file_the_twin_agrees_with_the_text_or_there_is_none(tmp_path_factory, rows, end, last, block):
    path = tmp_path_factory.mktemp("twin") / "shop.inter"
    lines = [HEADER[:-1], *("\t".join(row) for row in rows)]
    path.write_bytes((end.join(lines) + (end if last else "")).encode("utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twin, "BLOCK", block)
        text, coded = both(path)
    event(f"coded: {coded is not None}")
    if coded is not None:
        assert not isinstance(text, InputError), "the twin accepts what the text refuses"
        check_equal(text, coded)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("user_id:token\ttags:token_seq\nu\ta b\n", {}),
        ("user_id:token\nu\n", {}),
        (HEADER, {}),
        (HEADER + "u\ti\t1\n", {}),
        (HEADER + "u\ti\tone\tk\n", {}),
        (HEADER + LINES, {"encoding": "latin-1"}),
        (HEADER + f"{'x' * 5000}\ti\t1\tk\n", {}),
    ],
    ids=["lists", "one column", "no lines", "few cells", "no number", "encoding", "long token"],
)
def test_other_files_are_left_to_the_text(tmp_path, content, options):
    path = tmp_path / "shop.inter"
    path.write_bytes(content.encode())
    assert both(path, **options)[1] is None
    assert not list(tmp_path.glob("*arrow*"))


def test_columns_that_are_not_wanted_are_left_out(tmp_path):
    path = tmp_path / "shop.inter"
    path.write_text(HEADER + LINES)
    check_equal(*both(path, keep=lambda field: field != "kind"))


# ----------------------------------------------------------------------------------------------- whose twin it is
def written(tmp_path, content=HEADER + LINES):
    path = tmp_path / "shop.inter"
    path.write_text(content)
    assert both(path)[1] is not None
    return path, path.with_name("shop.inter.arrow")


def test_a_twin_is_built_once(tmp_path, monkeypatch):
    path, place = written(tmp_path)
    monkeypatch.setattr(twin_table, "build_twin", lambda *arguments: pytest.fail("built again"))
    before = place.stat().st_mtime_ns
    check_equal(*both(path))
    assert place.stat().st_mtime_ns == before


def test_a_text_that_was_changed_is_noticed_even_at_the_same_size(tmp_path):
    path, place = written(tmp_path)
    path.write_text((HEADER + LINES).replace("u1", "u9"))
    text, coded = both(path)
    assert "has changed since shop.inter.arrow was built" in coded.notes[0]
    assert coded.frame["user_id"].tolist() == text.frame["user_id"].tolist() == ["u2", "u9", "u2", "u3"]
    assert both(path)[1].notes == [], "built anew, once"


def test_a_text_older_than_its_twin_is_no_excuse(tmp_path):
    path, place = written(tmp_path)
    path.write_text((HEADER + LINES).replace("u1", "u9"))
    os.utime(path, ns=(1, 1))
    assert both(path)[1].frame["user_id"].tolist() == ["u2", "u9", "u2", "u3"]


def test_a_copy_with_another_time_keeps_its_twin(tmp_path, monkeypatch):
    path, place = written(tmp_path)
    os.utime(path)
    monkeypatch.setattr(twin_table, "build_twin", lambda *arguments: pytest.fail("built again"))
    check_equal(*both(path))


@pytest.mark.parametrize("left", [0, 100, -1])
def test_half_a_twin_is_no_twin(tmp_path, left):
    path, place = written(tmp_path)
    whole = place.read_bytes()
    place.write_bytes(whole[:left])
    check_equal(*both(path))
    assert place.read_bytes() == whole


def test_a_damaged_twin_is_no_twin(tmp_path):
    """A single bit of a word's end could end the process, and one of a number could change it."""
    content = HEADER + "".join(f"u{n % 90}\ti{n % 140}\t{n}.5\t{'' if n % 9 else 'view'}\n" for n in range(300))
    path, place = written(tmp_path, content)
    batch, _ = twin.open_twin(place, path, "\t")
    whole, columns, said = place.read_bytes(), batch.to_pydict(), twin.about(batch)
    taken, draw = 0, np.random.default_rng(0)
    for position in draw.integers(0, len(whole), 400).tolist():
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(draw.integers(8))
        copy = tmp_path / f"{position}.arrow"  # not in place: what is mapped stays
        copy.write_bytes(damaged)
        found, _ = twin.open_twin(copy, path, "\t")
        if found is not None:  # the bit was one of padding
            assert found.to_pydict() == columns and twin.about(found) == said
            taken += 1
    assert taken < 120, "most of the bits of a small file are no padding"


def test_a_twin_of_somebody_else_is_not_taken(tmp_path):
    import pyarrow as pa

    path, place = written(tmp_path)
    table = pa.table({"user_id": ["x"]})
    with pa.OSFile(str(place), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    check_equal(*both(path))


def test_another_separator_is_another_file(tmp_path):
    path = tmp_path / "shop.inter"
    path.write_text((HEADER + LINES).replace("\t", ";"))
    check_equal(*both(path, separator=";"))


def test_a_folder_that_may_not_be_written_to_has_its_twin_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "shop.inter"
    path.write_text(HEADER + LINES)
    aside = twin.write_aside

    def refuse(place, write):
        if Path(place).parent == folder:
            raise PermissionError(13, "Permission denied", str(place))
        aside(place, write)

    monkeypatch.setattr(twin, "write_aside", refuse)  # the tests may run as root, whom no permission stops
    check_equal(*both(path))
    assert [left.name for left in folder.iterdir()] == ["shop.inter"]
    assert len(list((tmp_path / "cache" / "recbole_marn").iterdir())) == 1
    monkeypatch.setattr(twin_table, "build_twin", lambda *arguments: pytest.fail("built again"))
    check_equal(*both(path))


def test_without_any_place_for_a_twin_the_text_is_read(tmp_path, monkeypatch):
    path = tmp_path / "shop.inter"
    path.write_text(HEADER + LINES)

    def refuse(place, write):
        raise OSError(28, "No space left on device", str(place))

    monkeypatch.setattr(twin, "write_aside", refuse)
    assert both(path)[1] is None


def test_without_pyarrow_there_is_no_twin(tmp_path, monkeypatch):
    path = tmp_path / "shop.inter"
    path.write_text(HEADER + LINES)
    monkeypatch.setattr(twin, "arrow", lambda: None)
    assert not twin.build_twin(path, tmp_path / "shop.inter.arrow", "\t")
    assert twin.open_twin(path, path, "\t") == (None, "absent")


WRITER = """
import sys, time
from pathlib import Path
import pyarrow as pa
from recbole_marn.data import twin, twin_table

def slowly(descriptor):
    print("half", flush=True)
    time.sleep(600)

twin.os.fsync = slowly  # everything but the end is in the temporary file by then
twin.build_twin(Path(sys.argv[1]), Path(sys.argv[1] + ".arrow"), "\\t")
"""


def test_kill_in_the_middle_of_writing_leaves_nothing_that_is_taken_for_a_twin(tmp_path):
    path = tmp_path / "shop.inter"
    path.write_text(HEADER + LINES)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "half\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    left = [file.name for file in tmp_path.iterdir() if file != path]
    assert len(left) == 1 and left[0].endswith(".part")
    time.sleep(0.01)
    check_equal(*both(path))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["shop.inter", "shop.inter.arrow"]
