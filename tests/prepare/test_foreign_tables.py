"""Tables as people really have them: quotation marks, ids, columns, values, times, containers. Nothing goes unsaid."""

from decimal import Decimal

import numpy as np
import pytest
from prepare.foreign import ITEMS, START, USERS, events, parquet

from recbole_marn.errors import InputError
from recbole_marn.prepare.report import render
from recbole_marn.prepare.tables import Numbering
from recbole_marn.prepare.tokens import identifier

# --- quotation marks -------------------------------------------------------------------------------------------------


def test_quotation_marks_in_tab_separated_text_are_text(shop):
    titles = ['"Heroes', "plain", '7" single', '"whole"', '"do""ubled"', 'end"', '"', '""', "'t'", 'a "b" c']
    items = "item_id\ttitle\n" + "".join(f"i{n}\t{title}\n" for n, title in enumerate(titles))
    record, _, rows, _ = shop(None, items)
    assert [rows[f"i{n}"]["title"] for n in range(10)] == [
        "heroes", "plain", "7 single", "whole", "do ubled", "end", "", "", "t", "a b c"
    ]  # fmt: skip
    assert record["read"]["items items.csv"] == {"lines": 10, "skipped": 0, "inside_fields": 0}


@pytest.mark.parametrize("mark", ['"', '""', '"""'])
def test_an_event_with_a_stray_mark_is_an_event(shop, mark):
    text = events(sep="\t").replace("u3\ti3\t", f"{mark}u3\ti3\t", 1)
    record, inter, _, _ = shop(text)
    assert len(inter) == USERS * ITEMS == record["read"]["events events.csv"]["lines"]


def test_a_field_over_several_lines_is_counted(shop):
    items = "item_id,title,price\n" + "".join(f'i{n},"Shoe ""{n}""\nred",{n + 1}\n' for n in range(10))
    record, _, rows, _ = shop(None, items)
    assert rows["i4"]["title"] == "shoe 4 red" and rows["i4"]["price"] == "5"
    assert record["read"]["items items.csv"] == {"lines": 20, "skipped": 0, "inside_fields": 10}
    assert "20 lines, 10 of them inside fields" in render(record)


def test_two_stray_marks_do_not_swallow_the_rows_between_them(shop):
    lines = [f"i{n},c{n},Shoe {n}" for n in range(10)]
    lines[2], lines[6] = 'i2,c2,"Shoe 2', 'i6,c6,Shoe 6"'
    text = "item_id,category,title\n" + "\n".join(lines) + "\n"
    with pytest.raises(InputError, match=r"5 x quotation mark over several rows \(first in line 4\)"):
        shop(None, text)
    record, _, rows, _ = shop(None, text, max_skipped=0.5)
    assert rows["i1"]["title"] == "shoe 1" and rows["i3"]["title"] == ""
    assert record["read"]["items items.csv"] == {"lines": 10, "skipped": 5, "inside_fields": 0}


# --- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "token"),
    [
        ("1.0", "1"), ("45.00", "45"), (45.0, "45"), (Decimal("45.00"), "45"), (Decimal("4.5E+3"), "4500"), (7, "7"),
        (b"i1", "i1"), ("b'i1'", "i1"), ('b"i1"', "i1"), (b"\xff\x00", "ff00"), ("\ufeffi1", "i1"), ("i\u200b1", "i1"),
        ("\u00a0i1\t", "i1"), ("i\u200d1\u2060", "i1"), ("1e+05", "100000"), ("cafe\u0301", "caf\u00e9"),
        ("-3.0", "-3"), (True, "True"),
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


@pytest.mark.parametrize("ids", [[True, 1, 1.0, "1"], [1, True, "1", "True"]])
def test_true_of_json_and_1_are_two_ids_in_any_order(ids):
    """To a dictionary of Python they are one."""
    numbering = Numbering()
    numbers = [numbering.number(value) for value in ids]
    assert [numbering.tokens[number] for number in numbers] == [identifier(value) for value in ids]
    assert sorted(numbering.tokens) == ["1", "True"]


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


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"category": "catagory"}, "Check --column, or leave it out. Did you mean 'category'?"),
        ({"item_id": "sku"}, "Say what it is called there: --column items.item_id=YOUR_COLUMN."),
        ({"titel": "name"}, "--column titel=name:token (token, float, token_seq, float_seq). Did you mean 'title'?"),
        ({"hue": "name:tokn"}, "--column hue=name:token (token, float, token_seq, float_seq). Did you mean 'token'?"),
        ({"hue": "the name"}, "--column 'hue=the name:token' ("),
    ],
)
def test_what_to_do_about_a_misspelled_option(shop, columns, told):
    items = "number,category,name\n" + "".join(f"i{n},c{n},x\n" for n in range(10))
    table = events().replace("item_id", "sku", 1) if "item_id" in columns else events()
    with pytest.raises(InputError) as error:
        shop(table, items if "item_id" in columns else items.replace("number", "item_id"), columns=columns)
    assert told in str(error.value)


def test_items_without_a_description_are_told(shop):
    items = "item_id,category\n" + "".join(f"i{n},c{n}\n" for n in range(9))
    assert "the items of the events: 1 of 10 are not in the table of items" in shop(None, items)[0]["notes"]


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


def test_a_type_makes_no_field_of_an_item_of_an_id_or_a_time(shop):
    items = "item_id,category\n" + "".join(f"i{n},c{n}\n" for n in range(10))
    typed = {"user_id": "user_id:token", "item_id": "item_id:token", "timestamp": "timestamp:float"}
    _, inter, rows, _ = shop(None, items, columns=typed)
    assert rows["i3"] == {"item_id": "i3", "category": "c3"}
    assert inter == shop(None, items)[1]
    with pytest.raises(InputError, match="plain values for item_id .*--column item_id=item_id:token_seq"):
        shop(None, items, columns={"item_id": "item_id:token_seq"})


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
