"""Raw logs of plain numbers are read by columns to the very files that reading them line by line gives."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recbole_marn.prepare import blocks, pipeline
from recbole_marn.prepare.datasets import taobao
from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import EventBuilder

pytest.importorskip("pyarrow")
FILES = ("taobao.inter", "taobao.item", "taobao.histograms.svg")


def log_lines(number=3_000):
    rng = np.random.default_rng(5)
    item = rng.integers(0, 400, number)
    columns = zip(
        np.sort(rng.integers(0, 99, number)).tolist(), item.tolist(), (item % 7).tolist(),
        np.array(taobao.BEHAVIORS)[rng.integers(0, 4, number)].tolist(),
        rng.integers(1_511_539_200, 1_512_316_800, number).tolist(), strict=True,
    )  # fmt: skip
    return [",".join(map(str, row)) for row in columns]


def made(folder, raw, **options):
    record = prepare("taobao", raw, folder, Options(max_skipped=0.5, **options), download=False)
    return record, {name: (folder / "taobao" / name).read_bytes() for name in FILES}


def compare(tmp_path, monkeypatch, content, *, block=4_000):
    """Both ways; returns how many blocks were read by columns."""
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "UserBehavior.csv").write_bytes(content)
    monkeypatch.setattr(blocks, "BLOCK", block)
    found, original = [], taobao.read_columns

    def counted(*arguments):
        found.append(original(*arguments))
        return found[-1]

    monkeypatch.setattr(taobao, "read_columns", counted)
    monkeypatch.setattr("recbole_marn.prepare.atomic.MANY", 0)
    record, files = made(tmp_path / "columns", raw)
    monkeypatch.setattr(taobao, "read_columns", lambda *arguments: None)
    monkeypatch.setattr("recbole_marn.prepare.atomic.arrow", lambda: None)
    expected, same_files = made(tmp_path / "lines", raw)
    assert files == same_files and record == expected
    return sum(columns is not None for columns in found), len(found)


def test_a_plain_log(tmp_path, monkeypatch):
    by_columns, of = compare(tmp_path, monkeypatch, ("\n".join(log_lines()) + "\n").encode())
    assert by_columns == of > 15


def test_a_compressed_log(tmp_path, monkeypatch):
    by_columns, of = compare(tmp_path, monkeypatch, gzip.compress(("\n".join(log_lines()) + "\n").encode()))
    assert by_columns == of > 15


ODD = {
    "leading zero": "007,12,3,pv,1511539200",
    "another spelling": "1.0,12.0,3,pv,1511539200",
    "sign": "+7,12,3,pv,1511539200",
    "negative id": "-7,12,3,pv,1511539200",
    "letters": "u7,i12,c3,pv,1511539200",
    "blank": " 7,12,3,pv,1511539200",
    "blank inside": "7,1 2,3,pv,1511539200",
    "unknown behaviour": "7,12,3,look,1511539200",
    "late": "7,12,3,pv,9999999999",
    "early": "7,12,3,pv,-1",
    "no time": "7,12,3,pv,",
    "no id": ",12,3,pv,1511539200",
    "few cells": "7,12,3,pv",
    "many cells": "7,12,3,pv,1511539200,1",
    "quoted": '"7",12,3,pv,1511539200',
    "two lines in quotes": '7,12,3,"p\nv",1511539200',
    "blank line": "",
    "windows": "7,12,3,pv,1511539200\r",
    "huge id": f"7,{2**40},3,pv,1511539200",
    "beyond 64 bits": f"7,{2**70},3,pv,1511539200",
    "underscore": "7,1_2,3,pv,1511539200",
    "missing": "7,NA,3,pv,1511539200",
    "exponent": "7,1e+05,3,pv,1511539200",
}


@pytest.mark.parametrize("name", ODD)
def test_a_line_that_is_not_plain_is_read_as_before(tmp_path, monkeypatch, name):
    lines = log_lines(600)
    lines[300:300] = [ODD[name]] * 2
    by_columns, of = compare(tmp_path, monkeypatch, ("\n".join(lines) + "\n").encode())
    assert by_columns >= of - 2 > 0, "other blocks are read by columns"


def test_no_line_end_at_the_end(tmp_path, monkeypatch):
    compare(tmp_path, monkeypatch, "\n".join(log_lines(300)).encode())


def test_events_added_at_once_are_those_added_one_by_one():
    rng = np.random.default_rng(1)
    at_once, one_by_one = EventBuilder(), EventBuilder()
    for number in range(4):
        user, item = rng.integers(0, 20, 50), rng.integers(0, 30 * 4**number, 50)
        time, behavior = rng.integers(0, 9, 50).astype(float), np.sort(rng.integers(0, 2, 50))
        before = len(one_by_one._items.tokens)
        new = at_once.extend(user, item, time, behavior, ["pv", "buy"][: behavior.max() + 1])
        for row in zip(user, item, time, behavior, strict=True):
            one_by_one.add(str(row[0]), str(row[1]), row[2], ["pv", "buy"][row[3]])
        assert [str(value) for value in item[new]] == one_by_one._items.tokens[before:]
        for builder in (at_once, one_by_one):  # the two ways may take turns
            builder.add("x", "17", 3.0, "buy")
    ours, theirs = at_once.build(), one_by_one.build()
    assert (ours.users, ours.items, ours.behaviors) == (theirs.users, theirs.items, theirs.behaviors)
    for name in ("user", "item", "time", "behavior"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_large_logs_come_with_their_twin(tmp_path, monkeypatch):
    from recbole_marn.data.twin import open_twin

    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "UserBehavior.csv").write_text("\n".join(log_lines()) + "\n")
    made(tmp_path / "small", raw)
    assert not list((tmp_path / "small").rglob("*.arrow"))
    monkeypatch.setattr(pipeline, "COLUMNAR_FROM_MB", 0)
    record, _ = made(tmp_path / "large", raw)
    inter = tmp_path / "large" / "taobao" / "taobao.inter"
    assert open_twin(inter.with_name("taobao.inter.arrow"), inter, "\t")[1] == "fresh"
    assert "taobao.inter.arrow" in {file["name"] for file in record["files"]}


def test_the_generated_log_has_the_counts_and_the_layout_it_was_asked_for(tmp_path):
    script = Path(__file__).parents[2] / "benchmarks" / "taobao_log.py"
    command = [sys.executable, str(script), "--out", str(tmp_path), "--events", "20000", "--users", "300"]
    subprocess.run(command, check=True)
    lines = (tmp_path / "UserBehavior.csv").read_text().splitlines()
    assert all(re.fullmatch(r"\d+,\d+,\d+,(pv|cart|fav|buy),15(11|12)\d{6}", line) for line in lines)
    record, _ = made(tmp_path / "out", tmp_path)
    assert (record["counts"]["users"], record["counts"]["events"]) == (300, 20_000)
    assert record["counts"]["items"] == round(20_000 * 4_162_024 / 100_150_807)
    assert 0.1 < 1 - record["counts"]["distinct_pairs"] / 20_000 < 0.6
