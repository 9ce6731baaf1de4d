"""Any bytes in any raw file: a clear error or a dataset that reads back, never a crash and never a half one."""

import csv
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prepare.raw_files import ASINS, CLOTHING, META, REVIEWS, amazon_2014, atomic, vectors, write_gzip

from recbole_marn.errors import InputError
from recbole_marn.prepare.datasets.amazon_records import parse_record
from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tokens import clean

pytestmark = pytest.mark.thorough

# The same examples every time, however slow the machine.
steady = settings(deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
quick = settings(steady, max_examples=20)
EVERYTHING = Options(max_skipped=1.0)


def check(dataset, raw, options=EVERYTHING, name=None):
    """Prepare; if that works, everything that was written must be readable and consistent."""
    with tempfile.TemporaryDirectory() as out:
        folder = Path(out) / (name or dataset)
        try:
            record = prepare(dataset, raw, Path(out), options, download=False, name=name)
        except InputError as error:
            assert not list(Path(out).iterdir()), "nothing half-written"
            assert str(error).startswith("Expected ")
            return None
        header, events = atomic(folder / f"{folder.name}.inter")
        _, items = atomic(folder / f"{folder.name}.item")
        tokens = {row["item_id"] for row in items}
        assert len(tokens) == len(items) == record["counts"]["items"] and len(events) == record["counts"]["events"] > 0
        for row in events:
            assert row["item_id"] in tokens and row["user_id"] == clean(row["user_id"]) != ""
            assert 0 <= float(row["timestamp"]) < 4_102_444_800 and math.isfinite(float(row.get("rating", 0)))
        for row in items:
            assert row.get("price", "") == "" or math.isfinite(float(row["price"]))
            assert len(row.get("title", "").split()) <= 64
        if (folder / "image.npy").exists():
            assert set(vectors(folder)) <= tokens and all(np.isfinite(row).all() for row in vectors(folder).values())
        json.loads((folder / f"{folder.name}.prepare.json").read_text("utf-8"))
        return record


texts = st.text(max_size=12) | st.sampled_from(
    ["NA", "\t", '"', "a\tb", "nan", "[PAD]", "\ud800", ASINS[0], "-1", "1e9"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**19), 10**19) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
REVIEW_KEYS = ["reviewerID", "asin", "overall", "unixReviewTime", "other"]
META_KEYS = ["asin", "title", "price", "brand", "categories", "category", "store", "details", "other"]


def changed(records, keys):
    """Good records with some entries replaced by anything."""
    return st.lists(
        st.tuples(st.sampled_from(records), st.dictionaries(st.sampled_from(keys), values, max_size=3)).map(
            lambda pair: pair[0] | pair[1]
        ),
        max_size=4,
    )


@quick
@given(reviews=changed(REVIEWS, REVIEW_KEYS), meta=changed(META, META_KEYS))
def test_records_with_any_values(reviews, meta):
    with tempfile.TemporaryDirectory() as raw:
        check("amazon-clothing", amazon_2014(Path(raw), reviews=[*REVIEWS, *reviews], meta=meta + META))


@quick
@given(lines=st.lists(st.binary(max_size=60), max_size=5), kind=st.sampled_from(["reviews", "meta"]))
def test_lines_of_any_bytes(lines, kind):
    good = {"reviews": [json.dumps(r) for r in REVIEWS], "meta": [repr(r) for r in META]}
    with tempfile.TemporaryDirectory() as raw:
        amazon_2014(Path(raw))
        suffix = "_5" if kind == "reviews" else ""
        write_gzip(Path(raw) / f"{kind}_{CLOTHING}{suffix}.json.gz", [*good[kind], *lines])
        assert check("amazon-clothing", Path(raw)) is not None, "good lines among odd ones are enough"


@quick
@given(cut=st.integers(0, 400), noise=st.binary(max_size=20), kind=st.sampled_from(["reviews", "meta", "image"]))
def test_files_cut_anywhere_and_overwritten(cut, noise, kind):
    with tempfile.TemporaryDirectory() as raw:
        amazon_2014(Path(raw))
        path = next(Path(raw).glob(f"{kind}*"))
        content = path.read_bytes()
        path.write_bytes(content[:cut] + noise)
        check("amazon-clothing", Path(raw), Options())


@quick
@given(content=st.binary(max_size=200) | texts.map(lambda text: text.encode("utf-8", "surrogatepass")))
@pytest.mark.parametrize(
    ("dataset", "good"),
    [
        ("ml-1m", {"ratings.dat": b"1::1::5::978300019\n", "movies.dat": b"1::A (1990)::X\n"}),
        ("hm", {"transactions_train.csv": b"t_dat,customer_id,article_id\n2018-09-20,a,1\n",
                "articles.csv": b"article_id,prod_name,product_type_name\n1,n,t\n"}),
        ("taobao", {"UserBehavior.csv": b"1,2,3,pv,1511544070\n"}),
    ],
)  # fmt: skip
def test_other_datasets_with_any_bytes(dataset, good, content):
    for spoilt in good:
        with tempfile.TemporaryDirectory() as raw:
            for name, lines in good.items():
                (Path(raw) / name).write_bytes(lines + (content if name == spoilt else b""))
            check(dataset, Path(raw))
            (Path(raw) / spoilt).write_bytes(content)
            check(dataset, Path(raw))


@quick
@given(rows=st.lists(st.tuples(texts, texts, values.map(str), texts), max_size=5))
def test_custom_events_with_any_fields(rows):
    with tempfile.TemporaryDirectory() as raw:
        path = Path(raw) / "e.csv"
        with open(path, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["user_id", "item_id", "timestamp", "behavior_type"])
            writer.writerow(["u", "i", "1700000000", "view"])
            writer.writerows(rows)
        check("custom", Path(raw), Options(max_skipped=1.0, events=path), name="c")


LOG = {"user_id": "u", "item_id": "i", "label": 0, "timestamp": 1_700_000_000, "position": 1, "request_id": "r"}
BEHAVIOUR = {"user_id": "u", "item_id": "i", "timestamp": 1_700_000_000, "behavior_type": "b"}


@quick
@given(log=changed([LOG], [*LOG, "device"]), behaviours=changed([BEHAVIOUR], list(BEHAVIOUR)))
def test_a_log_with_any_values(log, behaviours):
    with tempfile.TemporaryDirectory() as raw, tempfile.TemporaryDirectory() as out:
        paths = {"exposures": Path(raw, "log"), "behaviours": Path(raw, "behaviours")}
        rows = [LOG | {"device": "d"}, LOG | {"label": 1}, *log]
        paths["exposures"].write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths["behaviours"].write_text("".join(json.dumps(row) + "\n" for row in [BEHAVIOUR, *behaviours]))
        options = Options(max_skipped=1.0, **paths, columns={"exposures.device": "device:token"})
        try:
            record = prepare("custom", Path(raw), Path(out), options, name="log")
        except InputError as error:
            assert not list(Path(out).iterdir()) and str(error).startswith("Expected ")
            return
        _, events = atomic(Path(out) / "log" / "log.inter")
        assert len(events) == record["counts"]["exposures"] >= 2
        assert {row["label"] for row in events} == {"0", "1"} and all(
            row["user_id"] and row["item_id"] for row in events
        )


@settings(steady, max_examples=200)
@given(value=st.dictionaries(st.text(max_size=5), values, max_size=3))
def test_a_record_survives_its_spelling(value):
    """What `repr` and JSON write is read back; NaN is not equal to itself, so spellings are compared."""
    text = repr(value)
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError:
        return
    assert repr(parse_record(encoded)) == text
    assert json.dumps(parse_record(json.dumps(value).encode())) == json.dumps(value)


@settings(steady, max_examples=200)
@given(line=st.text("'\"\\{}[]:,uNone 1.-+\n", max_size=40).map(str.encode))
def test_near_records_do_not_crash(line):
    assert parse_record(line) is None or isinstance(parse_record(line), dict)
