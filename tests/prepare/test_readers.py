"""ml-1m, hm, taobao and ml-100k from files of a few lines, and what the shared pieces do to odd ones."""

import codecs
import gzip

import numpy as np
import pytest
from prepare.raw_files import atomic, vectors

from recbole_marn.errors import InputError
from recbole_marn.prepare.datasets import ml_100k
from recbole_marn.prepare.lines import LONGEST_LINE, Tally, read_lines
from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import EventBuilder
from recbole_marn.prepare.titles import title_words
from recbole_marn.prepare.tokens import clean


def made(tmp_path, dataset, raw, **options):
    record = prepare(dataset, raw, tmp_path / "out", Options(**options), download=False)
    folder = tmp_path / "out" / dataset
    return record, atomic(folder / f"{dataset}.inter")[1], atomic(folder / f"{dataset}.item")[1], folder


@pytest.fixture
def ml_1m(tmp_path):
    raw = tmp_path / "raw" / "ml-1m"  # one folder down, as the archive unpacks
    raw.mkdir(parents=True)
    (raw / "ratings.dat").write_text("1::10::5::978300019\n1::20::3::978300055\n2::10::4::978300060\n")
    movies = (
        "10::Misérables, Les (1995)::Drama|Musical\n20::2001: A Space Odyssey (1968)::Sci-Fi\n30::Unseen (2000)::War\n"
    )
    (raw / "movies.dat").write_bytes(movies.encode("latin-1"))
    return raw.parent


def test_ml_1m_keeps_every_rating_and_strips_the_year(tmp_path, ml_1m):
    record, inter, items, _ = made(tmp_path, "ml-1m", ml_1m)
    assert [tuple(row.values()) for row in inter] == [
        ("1", "10", "978300019", "5"), ("1", "20", "978300055", "3"), ("2", "10", "978300060", "4"),
    ]  # fmt: skip
    assert items == [
        {"item_id": "10", "category": "Drama", "title": "misérables les"},
        {"item_id": "20", "category": "Sci-Fi", "title": "2001 a space odyssey"},
    ]
    assert any("1 items of the catalogue (33.3%) have no event" in note for note in record["notes"])


def test_a_byte_order_mark_costs_no_line(tmp_path, ml_1m):
    (tmp_path / "taobao").mkdir()
    (tmp_path / "taobao" / "UserBehavior.csv").write_bytes(b"1,2268318,2520377,pv,1511544070\n")
    _, *expected, _ = made(tmp_path, "ml-1m", ml_1m)
    for name in ("ratings.dat", "movies.dat"):
        (file,) = ml_1m.rglob(name)
        file.write_bytes(codecs.BOM_UTF8 + file.read_bytes().decode("latin-1").encode())
    _, *found, _ = made(tmp_path / "marked", "ml-1m", ml_1m)
    assert found == expected
    file = tmp_path / "taobao" / "UserBehavior.csv"
    file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    assert [row["user_id"] for row in made(tmp_path, "taobao", tmp_path / "taobao")[1]] == ["1"]


def test_unseen_items_are_kept_on_request(tmp_path, ml_1m):
    record, _, items, _ = made(tmp_path, "ml-1m", ml_1m, keep_unseen_items=True)
    assert [row["item_id"] for row in items] == ["10", "20", "30"]
    assert record["coverage"]["title"]["items"] == 1.0 and record["counts"]["items"] == 3


def test_vectors_beside_the_raw_files_are_taken_by_id(tmp_path, ml_1m):
    np.save(ml_1m / "poster_vectors.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    (ml_1m / "poster_ids.txt").write_text("20\n30\n20\n")
    record, _, _, folder = made(tmp_path, "ml-1m", ml_1m)
    assert {token: row.tolist() for token, row in vectors(folder).items()} == {"20": [0, 1]}
    assert record["vectors"]["image"]["duplicates"] == 1 and record["coverage"]["image"]["events"] == pytest.approx(
        1 / 3
    )


@pytest.mark.parametrize(
    ("array", "ids", "message"),
    [
        (np.ones((2, 2)), "20\n", "as many ids as vectors"),
        (np.ones(2), "20\n10\n", "a matrix"),
        (np.ones((2, 2), int), "20\n10\n", "a matrix .* float16 or float32"),
        (np.array([{}], object), "20\n", "a whole .npy file"),
        (np.ones((1, 2)), "99\n", "0 of 1 .*'10' of the one, '99' of the other"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(tmp_path, ml_1m, array, ids, message):
    np.save(ml_1m / "poster_vectors.npy", array)
    (ml_1m / "poster_ids.txt").write_text(ids)
    with pytest.raises(InputError, match=message):
        made(tmp_path, "ml-1m", ml_1m)
    assert not (tmp_path / "out" / "ml-1m").exists()


@pytest.fixture
def hm(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "transactions_train.csv").write_text(
        "t_dat,customer_id,article_id,price,sales_channel_id\n"
        "2018-09-20,aa,0108775015,0.02,2\n2018-09-21,aa,108775044,0.02,2\n2018-09-20,bb,0108775015,0.03,1\n"
        "2018-09-22,bb,0108775015,0.03,1\n"
    )
    with gzip.open(raw / "articles.csv.gz", "wt") as file:
        file.write("article_id,product_code,prod_name,product_type_name,detail_desc\n")
        file.write('0108775015,108775,Strap top (1),Vest top,"Jersey, with ""straps"""\n')
        file.write("0108775044,108775,Strap top,Vest top,\n")
    return raw


def test_hm_has_days_leading_zeros_and_no_price(tmp_path, hm):
    record, inter, items, _ = made(tmp_path, "hm", hm)
    assert [row["timestamp"] for row in inter] == ["1537401600", "1537488000", "1537401600", "1537574400"]
    assert inter[1]["item_id"] == "0108775044", "a leading zero lost in a spreadsheet is put back"
    assert items[0] == {"item_id": "0108775015", "category": "Vest top", "title": "strap top 1"}
    assert record["counts"] | {"users": 2, "items": 2, "events": 4, "distinct_pairs": 3} == record["counts"]
    assert any(note.startswith("price left out") for note in record["notes"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2018-09-31,aa,0108775015,1,2", "no day between 1970 and 2100"),
        ("1969-12-31,aa,0108775015,1,2", "no day between 1970 and 2100"),
        ("2018-09-20,,0108775015,1,2", "missing id"),
        ("2018-09-20,aa", "not 5 columns"),
        ('2018-09-20,"aa"b,0108775015,1,2', "broken quotation marks"),
        ('2018-09-20,"aa', "broken quotation marks"),
    ],
)
def test_unusable_purchases_are_counted(tmp_path, hm, line, reason):
    with open(hm / "transactions_train.csv", "a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=r"1 of 5 \(20.00%\).*first in line 6"):  # the header is no record
        made(tmp_path / "strict", "hm", hm)
    record, inter, _, _ = made(tmp_path, "hm", hm, max_skipped=0.5)
    assert len(inter) == 4 and f"1 x {reason}" in record["skipped"]["transactions_train.csv"].replace("t_dat is ", "")


@pytest.mark.parametrize("content", [b"2018-09-20,aa,0108775015,0.02,2\n", b"\r\x00", b"", b"\xff" * 300_000])
def test_a_csv_without_its_columns_is_refused(tmp_path, hm, content):
    (hm / "transactions_train.csv").write_bytes(content)
    with pytest.raises(InputError, match="columns t_dat, customer_id, article_id|UTF-8 text"):
        made(tmp_path, "hm", hm)


def test_taobao_keeps_behaviours_and_drops_category_zero(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "UserBehavior.csv").write_text(
        "1,2268318,2520377,pv,1511544070\n1,2333346,0,buy,1511561733\n1,2576651,149192,pv,-1\n1,9,8,look,1511561733\n"
    )
    record, inter, items, _ = made(tmp_path, "taobao", raw, max_skipped=0.5)
    assert [row["behavior_type"] for row in inter] == ["pv", "buy"]
    assert [tuple(row.values()) for row in items] == [("2268318", "2520377"), ("2333346", "")]
    skipped = record["skipped"]["UserBehavior.csv"]
    assert (
        "time is no unix second" in skipped and "behaviour is none of pv, fav, cart, buy (first in line 4)" in skipped
    )


def test_ml_100k_comes_from_recboles_package(tmp_path):
    packaged = ml_100k._packaged("ml-100k.inter")
    (tmp_path / "ml-100k.inter").write_text("".join(packaged.read_text().splitlines(keepends=True)[:50]))
    record, inter, items, _ = made(tmp_path, "ml-100k", tmp_path)
    assert {path["name"] for path in record["sources"]} == {"ml-100k.inter", "ml-100k.item"}
    assert inter[0] == {"user_id": "196", "item_id": "242", "timestamp": "881250949", "rating": "3"}
    assert items[0] == {"item_id": "242", "movie_title": "Kolya", "release_year": "1996", "class": "Comedy"}


def test_lines_too_long_and_blank_ones(tmp_path):
    path = tmp_path / "long"
    with open(path, "wb") as file:
        file.write(b"a\n\n" + b"x" * (LONGEST_LINE + 10) + b"\r\nb\r\nlast")
    tally = Tally("long")
    assert list(read_lines(path, tally)) == [(1, b"a"), (4, b"b"), (5, b"last")]
    assert tally.read == 4 and tally.skipped == {"line longer than 16 MB": 1}


def test_a_tally_stops_above_its_share_and_not_at_it():
    tally = Tally("file", limit=0.5)
    tally.read = 2
    tally.skip("odd", 2)
    tally.check()
    tally.skip("odd", 3)
    with pytest.raises(InputError, match="2 x odd .first in line 2"):
        tally.check()


@pytest.mark.parametrize(
    ("raw", "token"),
    [(' a\t"b"\n c ', "a b c"), ("NA", ""), ("null", ""), ("[PAD]", ""), (7, "7"), ("a\ud800", "a"), ("\x00\x1f", "")],
)
def test_a_token_cannot_break_an_atomic_file(raw, token):
    assert clean(raw) == token


def test_two_spellings_of_one_token_are_one_user():
    events = EventBuilder()
    assert events.add("a", "x", 1.0) and events.add(" a ", "x\t", 2.0) and not events.add("", "x", 3.0)
    built = events.build()
    assert built.users == ["a"] and built.items == ["x"] and built.user.tolist() == [0, 0]


def test_who_has_no_event_is_none_of_the_users():
    events = EventBuilder()
    for user in ("lonely", " lonely ", True, 7, "7"):
        assert not events.add(user, "", 1.0)
    assert events.add(1, "x", 2.0) and not events.add(True, None, 3.0) and not events.add("", "nobody's", 3.0)
    assert events.add("lonely", "x", 4.0) and events.add(" lonely ", "x", 5.0) and events.add(1, "x", 6.0)
    built = events.build()
    assert built.users == ["1", "lonely"] and built.items == ["x"] and built.user.tolist() == [0, 1, 1, 0]


def test_select_numbers_anew_by_first_appearance():
    events = EventBuilder()
    for user, item in ("ax", "by", "cz", "bx"):
        events.add(user, item, 0.0, "pv", 1.0)
    kept = events.build().select(np.array([False, True, True, True]))
    assert (kept.users, kept.items) == (["b", "c"], ["y", "z", "x"])
    assert kept.user.tolist() == [0, 1, 0] and kept.item.tolist() == [0, 1, 2] and len(kept.behavior) == 3


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Women's A-line, 38&quot;", "women a line 38"), ("Don’t_stop", "don t stop"), ("", ""), ("...", ""),
        ("ÉTÉ 日本", "été 日本"), ("x" * 200_000, "x" * 100_000),
    ],
)  # fmt: skip
def test_title_words(title, words):
    assert title_words(title) == (words, False)
