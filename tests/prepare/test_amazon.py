"""Amazon's official formats, record by record, against what was written into them."""

import json
import warnings

import numpy as np
import pytest
from prepare.raw_files import ASINS, CLOTHING, META, REVIEWS, amazon_2014, atomic, review, vectors, write_gzip

from recbole_marn.errors import InputError
from recbole_marn.prepare import download
from recbole_marn.prepare.datasets.amazon import category_of
from recbole_marn.prepare.datasets.amazon_records import first_asin, parse_record
from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.sources import Options

ANY_SHARE = Options(max_skipped=1.0)


def made(tmp_path, raw, dataset="amazon-clothing", **options):
    record = prepare(dataset, raw, tmp_path / "out", Options(**options), download=False)
    folder = tmp_path / "out" / dataset
    return record, atomic(folder / f"{dataset}.inter"), atomic(folder / f"{dataset}.item"), folder


def test_2014_becomes_the_fields_of_the_paper(tmp_path):
    record, (inter_head, inter), (item_head, items), folder = made(tmp_path, amazon_2014(tmp_path / "raw"))
    assert inter_head == ["user_id:token", "item_id:token", "timestamp:float", "rating:float"]
    assert [tuple(row.values()) for row in inter[:2]] == [
        ("U1", ASINS[0], "1388534400", "5"), ("U1", ASINS[1], "1388620800", "4"),
    ]  # fmt: skip
    assert inter[3]["rating"] == "2.5"
    assert item_head == [
        "item_id:token",
        "category:token",
        "brand:token",
        "shop:token",
        "title:token_seq",
        "price:float",
    ]
    rows = {row["item_id"]: row for row in items}
    assert list(rows) == list(ASINS), "one row an item, in the order of the events; none for an item never reviewed"
    assert rows[ASINS[0]] == {
        "item_id": ASINS[0], "category": "Dresses", "brand": "Acme", "shop": "", "title": "women dress belt 38",
        "price": "19.99",
    }  # fmt: skip
    assert rows[ASINS[1]]["title"] == "it new été" and rows[ASINS[1]]["category"] == "Shoes"
    assert rows[ASINS[2]]["price"] == "", "a price of nothing is a missing one"
    assert rows[ASINS[3]] == {"item_id": ASINS[3]} | dict.fromkeys(("category", "brand", "shop", "title", "price"), "")
    kept = vectors(folder)
    assert list(kept) == list(ASINS[:3]) and (kept[ASINS[2]] == np.float16(0.5)).all()
    assert record["counts"] == {
        "users": 3, "items": 4, "categories": 2, "events": 6, "distinct_pairs": 6, "samples": 6,
    }  # fmt: skip
    assert record["published"]["users"] == 39_387 and record["coverage"]["image"]["items"] == 0.75
    assert record["coverage"]["image"]["events"] == pytest.approx(5 / 6)


def test_the_sidecar_names_every_source_with_its_hash(tmp_path):
    raw = amazon_2014(tmp_path / "raw")
    _, _, _, folder = made(tmp_path, raw)
    record = json.loads((folder / "amazon-clothing.prepare.json").read_text("utf-8"))
    assert {source["name"] for source in record["sources"]} == {path.name for path in raw.iterdir()}
    assert all(len(source["sha256"]) == 64 and source["bytes"] > 0 for source in record["sources"])
    assert record["vectors"]["image"] | {"missing": 1, "width": 4096, "count": 3} == record["vectors"]["image"]
    assert record["format"] == 1 and set(record["versions"]) == {"recbole_marn", "python", "numpy"}


def test_2018_and_2023_by_the_same_command(tmp_path):
    raw = tmp_path / "2018"
    raw.mkdir()
    write_gzip(raw / "Luxury_Beauty_5.json.gz", [json.dumps(r) for r in REVIEWS])
    records = [
        {"category": ["Beauty", "Skin Care"], "title": "Cream", "brand": "B", "price": "$1,012.99", "asin": ASINS[0]},
        {"category": [], "title": "Soap", "price": "$5.00 - $7.00", "asin": ASINS[1]},
        {"title": ".a-box-inner{x}", "price": ".a-section.a-spacing", "asin": ASINS[2]},
    ]
    write_gzip(raw / "meta_Luxury_Beauty.json.gz", [json.dumps(r) for r in records])
    record, (_, inter), (_, items), _ = made(tmp_path, raw, "amazon-luxury-beauty")
    assert len(inter) == 6 and record["published"] == {}
    assert [row["price"] for row in items] == ["1012.99", "5", "", ""]
    assert [row["category"] for row in items][:2] == ["Skin Care", ""]

    raw = tmp_path / "2023"
    raw.mkdir()
    reviews = [
        {"user_id": "A", "parent_asin": ASINS[0], "asin": "child", "rating": 4.0, "timestamp": 1_588_615_855_070},
        {"user_id": "A", "parent_asin": ASINS[1], "asin": "child", "rating": 4.0, "timestamp": 1_588_615_856_070},
    ]
    (raw / "All_Beauty.jsonl").write_text("\n".join(map(json.dumps, reviews)))
    meta = [
        {"main_category": "All Beauty", "title": "Wig", "price": 8.5, "store": "Shop X", "categories": ["Hair", "Wigs"],
         "details": {"Brand": "Hairy"}, "parent_asin": ASINS[0]},
        {"title": None, "price": "None", "store": None, "categories": [], "details": {}, "parent_asin": ASINS[1]},
    ]  # fmt: skip
    (raw / "meta_All_Beauty.jsonl").write_text("\n".join(map(json.dumps, meta)))
    _, (_, inter), (_, items), _ = made(tmp_path, raw, "amazon-all-beauty")
    assert [row["timestamp"] for row in inter] == ["1588615855.07", "1588615856.07"], "milliseconds become seconds"
    assert items[0] | {"brand": "Hairy", "shop": "Shop X", "category": "Wigs", "price": "8.5"} == items[0]
    assert items[1]["title"] == items[1]["price"] == items[1]["shop"] == ""


def test_editions_are_not_mixed(tmp_path):
    raw = amazon_2014(tmp_path / "raw")
    write_gzip(raw / f"{CLOTHING}_5.json.gz", [json.dumps(REVIEWS[0])])
    with pytest.raises(InputError, match="one edition"):
        made(tmp_path, raw)


def test_categories_are_found_by_their_beginning(tmp_path):
    assert category_of("amazon-clothing", tmp_path) == CLOTHING
    assert category_of("amazon-electronics", tmp_path) == "Electronics"
    assert category_of("amazon-home-kitchen", tmp_path) == category_of("amazon-home-and-kitchen", tmp_path)
    with pytest.raises(InputError, match="begins with 'to'"):
        category_of("amazon-to", tmp_path)
    (tmp_path / "Toys_2.jsonl.gz").touch()
    assert category_of("amazon-toys", tmp_path) == "Toys_2", "a file at hand goes before a name of 2014"


def test_five_core_is_found_by_repeated_removal(tmp_path):
    # C goes for its one review; then the third item has one left and goes; then D has one left and goes
    pairs = [(user, asin) for user in "AB" for asin in ASINS[:2]]
    pairs += [("C", ASINS[2]), ("D", ASINS[2]), ("D", ASINS[0])]
    reviews = [review(user, asin, 1_400_000_000) for user, asin in pairs]
    record, (_, inter), _, _ = made(
        tmp_path, amazon_2014(tmp_path / "raw", reviews=reviews), min_interactions=2, max_skipped=1.0
    )
    assert {row["user_id"] for row in inter} == {"A", "B"} and record["counts"]["events"] == 4


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"reviewerID": "U9", "asin": "B0000', "no record"),
        ("[1, 2]", "no record"),
        (b"\xff\xfe{}", "no record"),
        (json.dumps({"reviewerID": "U9", "asin": ASINS[0]}), "no reviewerID, asin, overall or unixReviewTime"),
        (json.dumps(review("U9", ASINS[0], 1_388_534_400_000)), "time not between"),
        (json.dumps(review("U9", ASINS[0], -5)), "time not between"),
        (json.dumps(review("U9", ASINS[0], "soon")), "time or rating is no number"),
        (json.dumps(review("U9", ASINS[0], 1_388_534_400, float("nan"))), "rating is no number"),
        (json.dumps(review("", ASINS[0], 1_388_534_400)), "missing id"),
        (json.dumps(review("nan", ASINS[0], 1_388_534_400)), "missing id"),
        (json.dumps(review("U9", None, 1_388_534_400)), "missing id"),
    ],
)
def test_an_unusable_review_is_counted_and_too_many_stop(tmp_path, line, reason):
    raw = amazon_2014(tmp_path / "raw", reviews=[*REVIEWS, line])
    record, (_, inter), _, _ = made(tmp_path, raw, max_skipped=0.2)
    assert len(inter) == len(REVIEWS)
    assert f"1 x {reason}" in record["skipped"][f"reviews_{CLOTHING}_5.json.gz"]
    with pytest.raises(InputError, match=r"at most 1.00% unusable lines.*1 of 7 \(14.29%\).*line 7"):
        prepare("amazon-clothing", raw, tmp_path / "again", Options(), download=False)
    assert not list((tmp_path / "again").glob("*")) if (tmp_path / "again").exists() else True


def test_metadata_is_parsed_as_text_and_never_run(tmp_path):
    ran = tmp_path / "ran"
    evil = f"{{'asin': '{ASINS[0]}', 'title': open({str(ran)!r}, 'w').write('x')}}"
    record, *_ = made(tmp_path, amazon_2014(tmp_path / "raw", meta=[evil, *META[1:]]), max_skipped=1.0)
    assert not ran.exists() and "no record" in record["skipped"][f"meta_{CLOTHING}.json.gz"]


@pytest.mark.parametrize("price", ["nan", "float('nan')", "inf", "-3.0", "None", "''", "'free'", "[1]", "1e999"])
def test_prices_that_are_none_are_missing(tmp_path, price):
    meta = [f"{{'asin': '{ASINS[0]}', 'price': {price}, 'categories': [['C']]}}", *META[1:]]
    _, _, (_, items), _ = made(tmp_path, amazon_2014(tmp_path / "raw", meta=meta), max_skipped=1.0)
    assert items[0]["price"] == ""


def test_a_record_is_json_or_a_python_literal():
    expected = {"a": 'it\'s "x" é', "b": [None, True, False], "c": 1.5, "d": "None of 'em"}
    assert parse_record(json.dumps(expected).encode()) == expected
    assert parse_record(repr(expected).encode()) == expected
    assert parse_record(b"""{'a': 'say "x"', "b": "it's"}""") == {"a": 'say "x"', "b": "it's"}
    assert parse_record(rb"""{u'a': 'it\'s "x" \xe9', "b": "d\u00e9j\N{LATIN SMALL LETTER A WITH GRAVE}\/"}""") == {
        "a": "it's \"x\" é", "b": "déjà\\/",
    }  # fmt: skip
    for text in (b"{'a': 1+1}", b"{'a': b.c}", b"{'a': [1}", b"{'a': 'x", b"{'a'", b"", b"1", b"{'a': {'b'}}"):
        assert parse_record(text) is None, text


@pytest.mark.parametrize(
    "line", [b"{'a': " + mark * 100_000 for mark in (b"-", b"1+", b"(", b"[", b"{'a': ", b"not ", b"'\\", b'"\\')]
)
def test_hostile_records_cost_little(line):
    assert parse_record(line) is None


def test_the_asin_is_read_without_parsing():
    assert first_asin(b"{'asin': 'B000000001', 'title': oops") == "B000000001"
    assert first_asin(b'{"asin": "B000000001"}') == "B000000001"
    assert first_asin(b"{'title': \"'asin': 'B000000001'\"}") is None


def test_a_long_title_is_cut_and_an_empty_one_is_missing(tmp_path):
    meta = [{"asin": ASINS[0], "title": "word " * 10_000}, {"asin": ASINS[1], "title": " -- "}, *META[2:]]
    record, _, (_, items), _ = made(tmp_path, amazon_2014(tmp_path / "raw", meta=meta))
    assert items[0]["title"].split() == ["word"] * 64 and items[1]["title"] == ""
    assert "1 titles were cut to 64 words" in record["notes"]


def test_an_asin_described_twice_keeps_its_first_description(tmp_path):
    raw = amazon_2014(tmp_path / "raw", meta=[*META, META[0] | {"title": "other"}])
    record, _, (_, items), _ = made(tmp_path, raw)
    assert items[0]["title"] == "women dress belt 38"
    assert any("1 items are described twice" in note for note in record["notes"])


def test_odd_vectors_are_missing_not_kept(tmp_path):
    features = {ASINS[0]: np.full(4096, np.nan), ASINS[1]: np.full(4096, 1e6), ASINS[2]: np.ones(4096)}
    raw = amazon_2014(tmp_path / "raw", features=features)
    with pytest.raises(InputError, match="at most 1.00% unusable vectors of image. Got 1 of 3, the first of 'B00"):
        made(tmp_path, raw)
    record, _, _, folder = made(tmp_path, raw, max_skipped=0.5)
    assert list(vectors(folder, dtype=np.float32)) == [ASINS[1], ASINS[2]]
    assert record["vectors"]["image"]["unusable"] == 1, "NaN; what float16 cannot hold is kept as float32"


def test_a_duplicated_vector_counts_once(tmp_path):
    raw = amazon_2014(tmp_path / "raw")
    path = raw / f"image_features_{CLOTHING}.b"
    path.write_bytes(path.read_bytes() + ASINS[0].encode() + np.full(4096, 9, "<f4").tobytes())
    record, _, _, folder = made(tmp_path, raw)
    assert record["vectors"]["image"]["duplicates"] == 1 and vectors(folder)[ASINS[0]][0] == 0


def test_a_feature_file_with_another_record_length_is_refused(tmp_path):
    raw = amazon_2014(tmp_path / "raw")
    path = raw / f"image_features_{CLOTHING}.b"
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with pytest.raises(InputError, match="3 records and 16,387 bytes more"):
        made(tmp_path, raw)
    path.write_bytes(b"AB" + whole)
    with pytest.raises(InputError, match="whole records|first ASIN"):
        made(tmp_path, raw)
    path.write_bytes(b"AB" + whole[:-2])
    with pytest.raises(InputError, match="ten letters and digits"):
        made(tmp_path, raw, max_skipped=0.0)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="at least one row in image_features_.*Got none. The file is empty"):
        made(tmp_path, raw)
    path.write_bytes(b"ZZZZZZZZZZ" + whole[10:16_394])
    with pytest.raises(InputError, match="none of such an item"):
        made(tmp_path, raw)
    assert not (tmp_path / "out" / "amazon-clothing").exists()


@pytest.mark.parametrize("kind", ["reviews", "meta"])
def test_a_truncated_gzip_is_refused(tmp_path, kind):
    raw = amazon_2014(tmp_path / "raw")
    path = next(raw.glob(f"{kind}_*"))
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match="whole gzip file"):
        made(tmp_path, raw)
    assert not (tmp_path / "out").exists()


def test_an_uncompressed_file_under_a_gzip_name_is_read(tmp_path):
    raw = amazon_2014(tmp_path / "raw")
    path = raw / f"reviews_{CLOTHING}_5.json.gz"
    path.unlink()
    path.write_text("\n".join(map(json.dumps, REVIEWS)))
    assert made(tmp_path, raw)[0]["counts"]["events"] == 6


def test_a_missing_file_says_what_to_put_where(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(InputError, match=rf"reviews_{CLOTHING}_5.json.gz.*in .*raw.*mcauley.*image_features.*optional"):
        made(tmp_path, tmp_path / "raw")


def test_no_warning_escapes_from_odd_backslashes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_record(rb"{'a': 'c:\d\q'}") == {"a": r"c:\d\q"}


def later_edition(raw, year):
    """A few lines of 2018 or 2023 under the official names."""
    raw.mkdir()
    keys = {2018: ("reviewerID", "asin", "overall", "unixReviewTime"),
            2023: ("user_id", "parent_asin", "rating", "timestamp")}[year]  # fmt: skip
    time = 1_388_534_400 * (1 if year == 2018 else 1000)
    reviews = [dict(zip(keys, (f"U{n % 2}", ASINS[n % 3], 5.0, time), strict=True)) for n in range(6)]
    meta = [{("asin" if year == 2018 else "parent_asin"): asin, "title": "A b", "category": ["X"]} for asin in ASINS]
    suffix = "_5.json.gz" if year == 2018 else ".jsonl.gz"
    write_gzip(raw / f"{CLOTHING}{suffix}", [json.dumps(record) for record in reviews])
    write_gzip(raw / f"meta_{CLOTHING}.json{'l' if year == 2023 else ''}.gz", [json.dumps(record) for record in meta])
    return raw


@pytest.mark.parametrize("year", [2018, 2023])
def test_nothing_is_fetched_for_an_edition_nobody_asked_for(tmp_path, monkeypatch, year):
    def fetch(file, target):
        raise AssertionError(f"{file.url} was fetched")

    monkeypatch.setattr(download, "fetch", fetch)
    raw = later_edition(tmp_path / "raw", year)
    record = prepare("amazon-clothing", raw, tmp_path / "out")
    assert any(f"edition {year}" in note for note in record["notes"]) and record["published"] == {}
    # metadata alone say which edition is wanted, and its reviews are asked for by name
    next(raw.glob(f"{CLOTHING}*")).unlink()
    with pytest.raises(InputError, match=f"the file {CLOTHING}.*(5.json|jsonl).gz .*Files: {CLOTHING}"):
        prepare("amazon-clothing", raw, tmp_path / "again")


def test_of_2014_what_is_missing_is_fetched_and_reviews_of_all_cores_are_not_doubled(tmp_path, monkeypatch):
    fetched = []

    def fetch(file, target):
        fetched.append(file.name)
        raise OSError("no network")

    monkeypatch.setattr(download, "fetch", fetch)
    raw = amazon_2014(tmp_path / "raw")
    (raw / f"reviews_{CLOTHING}_5.json.gz").rename(raw / f"reviews_{CLOTHING}.json.gz")
    (raw / f"image_features_{CLOTHING}.b").unlink()
    prepare("amazon-clothing", raw, tmp_path / "out")
    assert fetched == [f"image_features_{CLOTHING}.b"], "optional, so it went on without"
    next(raw.glob("reviews_*")).unlink()
    with pytest.raises(InputError, match="or a network to download it"):
        prepare("amazon-clothing", raw, tmp_path / "again")
    assert fetched[1:] == [f"reviews_{CLOTHING}_5.json.gz"]


def test_metadata_of_another_category_are_refused(tmp_path):
    meta = [{"asin": f"B1{n:08d}", "title": "x", "categories": [["X"]]} for n in range(100)]
    with pytest.raises(InputError, match="0 of 4: '.*' was reviewed, 'B100000000' is described"):
        made(tmp_path, amazon_2014(tmp_path / "raw", meta=meta))


def test_prices_that_are_none_are_told(tmp_path):
    meta = [record | {"price": ".a-box-inner{background-color:#fff}"} for record in META]
    record = made(tmp_path, amazon_2014(tmp_path / "raw", meta=meta))[0]
    assert "3 x price is none (first in line 1: '.a-box-inner" in record["skipped"][f"meta_{CLOTHING}.json.gz"]
