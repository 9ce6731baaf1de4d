"""`recbole-marn predict`: answers for a file, whole or not at all."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tiny

from recbole_marn.cli import main
from recbole_marn.quick_start import run
from recbole_marn.serving import tables
from recbole_marn.serving.histories import History

RUNS = ("MARN", "MARNPlus", "MultimodalDIN", "NAML")


def read(name):
    with open(name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def told(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def files(served, write_csv):
    write_csv("rows.csv", served.rows)
    write_csv("behaviours.csv", served.behaviours())
    return ["predict", served.path, "--rows", "rows.csv", "--behaviours", "behaviours.csv", "--inclusive"]


@pytest.mark.parametrize("model", RUNS)
@pytest.mark.parametrize("chunk", [7, 65_536])
def test_scores_are_those_of_the_record(serve, model, chunk, write_csv, capsys, monkeypatch):
    monkeypatch.setattr(tables, "CHUNK", chunk)
    served = serve(model)
    write_csv("rows.csv", served.rows)
    write_csv("behaviours.csv", served.behaviours())
    capsys.readouterr()
    assert main(["predict", served.path, "--rows", "rows.csv", "--behaviours", "behaviours.csv", "--inclusive",
                 "--out", "scores.csv"]) == 0  # fmt: skip
    found = read("scores.csv")
    record = json.loads(Path(served.result["record"]).read_text())
    scores = np.load(Path(served.path).with_name(record["scores"]["file"]))
    assert np.abs(scores["test_score"] - [float(row["probability"]) for row in found]).max() <= 1e-6
    assert [row["item_id"] for row in found] == served.rows["item_id"]
    assert list(found[0]) == ["user_id", "item_id", "timestamp", "probability"]
    line = told(capsys)
    assert (line["rows"], line["unknown_users"], line["unknown_items"]) == (len(found), 0, 0)


def test_parquet_in_and_out(served, files, capsys):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table(served.rows), "rows.parquet")
    assert main([*files[:3], "rows.parquet", *files[4:], "--out", "scores.parquet"]) == 0
    found = pq.read_table("scores.parquet").to_pydict()
    np.testing.assert_allclose(found["probability"], served.expected, rtol=0, atol=1e-6)
    assert found["user_id"] == served.rows["user_id"]


ODD = "id,item_id,note,timestamp,user_id,probability\n007,001, a b ,086400.00,a,.5\n1.50,2.0,,86400.0,b,\n"


@pytest.mark.parametrize("chunk", [1, 65_536])
def test_every_column_of_the_rows_is_there_as_it_was(served, capsys, monkeypatch, chunk):
    """Times and ids, too, which the model reads in its own spelling."""
    monkeypatch.setattr(tables, "CHUNK", chunk)
    Path("rows.csv").write_text(ODD)
    assert main(["predict", served.path, "--rows", "rows.csv", "--out", "scores.csv"]) == 0
    line = told(capsys)
    assert line["columns_not_used"] == ["id", "note", "probability"] and line["columns_replaced"] == ["probability"]
    header, *lines = Path("scores.csv").read_text().splitlines()
    assert header == "id,item_id,note,timestamp,user_id,probability"
    assert [text.rpartition(",")[0] for text in lines] == [
        "007,001, a b ,086400.00,a", "1.50,2.0,,86400.0,b"
    ]  # fmt: skip
    assert main(["predict", served.path, "--rows", "rows.csv", "--top", "2", "--out", "top.csv"]) == 0
    assert told(capsys)["columns_replaced"] == ["item_id", "probability"]
    header, *lines = Path("top.csv").read_text().splitlines()
    assert header == "id,note,timestamp,user_id,rank,item_id,probability"
    assert [text.split(",")[:5] for text in lines[1:3]] == [
        ["007", " a b ", "086400.00", "a", "2"], ["1.50", "", "86400.0", "b", "1"]
    ]  # fmt: skip


def test_columns_have_names_of_their_own(served, files, write_csv, capsys):
    assert main([*files, "--out", "expected.csv"]) == 0
    rows = {"who": served.rows["user_id"], "sku": served.rows["item_id"], "ts": served.rows["timestamp"]}
    write_csv("rows.csv", rows | {"item_id": ["004"] * len(rows["ts"])})
    past = served.behaviours()
    past["done"], past["what"] = past.pop("item_id"), past.pop("kind")
    write_csv("behaviours.csv", past)
    renamed = ["user_id=who", "rows.item_id=sku", "timestamp=ts", "kind=what", "behaviours.item_id=done"]
    capsys.readouterr()
    columns = [word for name in renamed for word in ("--column", name)]
    assert main([*files, *columns, "--out", "scores.csv"]) == 0
    assert told(capsys)["columns_not_used"] == ["item_id"]
    assert list(read("scores.csv")[0]) == ["who", "sku", "ts", "item_id", "probability"]
    assert [row["probability"] for row in read("scores.csv")] == [row["probability"] for row in read("expected.csv")]
    assert main([*files, *columns, "--column", "rows.colour=c", "--out", "s.csv"]) == 2
    assert "NAME one that the model reads (user_id, item_id" in capsys.readouterr().err
    assert main([*files, *columns, "--column", "price=cost", "--out", "s.csv"]) == 2
    assert "the column 'cost' for price in rows.csv or behaviours.csv" in capsys.readouterr().err


def test_columns_of_parquet_keep_their_types(served, monkeypatch, write_csv):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(tables, "CHUNK", 1)
    rows = pa.table({"user_id": [1, 2], "item_id": ["001", "002"], "timestamp": [86400, 86400], "late": [None, 3]})
    rows = rows.append_column("tags", pa.array([None, ["a"]], pa.list_(pa.string())))
    pq.write_table(rows, "rows.parquet")
    assert main(["predict", served.path, "--rows", "rows.parquet", "--out", "scores.parquet"]) == 0
    found = pq.read_table("scores.parquet")
    assert found.drop_columns("probability").equals(rows)
    assert main(["predict", served.path, "--rows", "rows.parquet", "--out", "scores.csv"]) == 0
    assert [row["tags"] for row in read("scores.csv")] == ["", '["a"]']
    write_csv("rows.csv", {"user_id": ["1"], "item_id": ["001"], "timestamp": [86400], "late": [""]})
    assert main(["predict", served.path, "--rows", "rows.csv", "--out", "text.parquet"]) == 0
    assert pq.read_table("text.parquet").to_pylist()[0]["late"] == ""


def test_digits_of_a_date_are_one_where_training_is_of_unix_seconds(write_csv):
    """As to `prepare`; where times count from an unknown start they are numbers."""
    file = Path(write_csv("rows.csv", {"user_id": "abc", "timestamp": ["20231115", "20231115103000", "1700000000"]}))
    found = tables.ReadTable(file, "--rows", ["user_id"], "timestamp", unix=True).whole()["timestamp"]
    assert found.tolist() == [1_700_006_400, 1_700_044_200, 1_700_000_000]
    found = tables.ReadTable(file, "--rows", ["user_id"], "timestamp").whole()["timestamp"]
    assert found.tolist() == [20231115, 20231115103000, 1_700_000_000]


def test_ids_of_training_are_taken_as_they_are_spelled_there(write_csv):
    """Atomic files of one's own may call an item what `prepare` would not."""
    odd = ['a"b', "NA", "5.0", "x  y"]
    file = Path(write_csv("rows.csv", {"item_id": [*odd, "6.0"]}))
    found = tables.ReadTable(file, "--candidates", ["item_id"], known={"item_id": set(odd)}).whole()["item_id"]
    assert found.tolist() == [*odd, "6"]
    tsv = Path("rows.tsv")
    tsv.write_text("item_id\tn\n5.0\t1\n")
    assert tables.ReadTable(tsv, "--candidates", ["item_id"]).whole()["item_id"].tolist() == ["5"]


def test_an_item_is_found_by_the_spelling_of_its_file(tmp_path, write_csv, capsys):
    """Of a data set that `prepare` did not write."""
    folder = tmp_path / "data"
    for file in tiny.write_dataset(folder).iterdir():
        if file.suffix != ".npy":
            file.write_text(file.read_text().replace("004", "4.0"))
    trained = run(config_dict=tiny.settings(folder, checkpoint_dir=str(tmp_path), epochs=1))
    write_csv("rows.csv", {"user_id": ["a"], "item_id": ["4.0"], "timestamp": [1e5]})
    capsys.readouterr()
    assert main(["predict", trained["checkpoint"], "--rows", "rows.csv", "--out", "scores.csv"]) == 0
    assert told(capsys)["unknown_items"] == 0


def test_rows_without_a_history_are_counted(served, write_csv, capsys):
    write_csv("rows.csv", {"user_id": ["a", "a", "b"], "item_id": ["004"] * 3, "timestamp": [1e5, 2e5, 2e5]})
    write_csv("behaviours.csv", {"user_id": ["a"], "item_id": ["003"], "timestamp": [1.5e5], "kind": ["view"]})
    assert main(["predict", served.path, "--rows", "rows.csv", "--behaviours", "behaviours.csv", "--out", "s.csv"]) == 0
    line = told(capsys)
    assert (line["unknown_users"], line["rows_without_history"], line["rows_with_later_behaviours"]) == (1, 2, 1)


def test_new_items_and_users(served, scorer, write_csv, capsys):
    write_csv("rows.csv", {"user_id": ["a", "b"], "item_id": ["new", "newer"], "timestamp": [1e6, 1e6], "shop": [1, 2]})
    behaviours = {"user_id": ["a", "a"], "item_id": ["003", "gone"], "timestamp": [1e5, 2e5], "kind": ["view"] * 2}
    write_csv("behaviours.csv", behaviours)
    items = {"item_id": ["new", "newer"], "title": ["Red house", "sofa"], "price": [2, ""], "size": [1, 2]}
    write_csv("items.csv", items)
    np.save("photos.npy", np.arange(12, dtype=np.float32).reshape(2, 6))
    Path("photos.ids").write_text("newer\nother\n")
    assert main(["predict", served.path, "--rows", "rows.csv", "--behaviours", "behaviours.csv", "--items", "items.csv",
                 "--vectors", "photos.npy", "--out", "scores.csv"]) == 0  # fmt: skip
    line = told(capsys)
    assert line["items"] == {
        "added": 2, "replaced": 0, "unknown": {"title": 1}, "unreadable": {}, "without": {"image": 1, "title": 1},
        "not_read": ["size"], "not_given": ["category"],
    }  # fmt: skip
    assert line["vectors_of_other_items_not_used"] == 1 and line["columns_not_used"] == ["shop"]
    assert line["unknown_users"] == 1 and line["behaviours_with_unknown_items_left_out"] == 1
    scorer.add_items(
        {"item_id": ["new", "newer"], "title": ["Red house", "sofa"], "price": [2, None]},
        np.array([[np.nan] * 6, np.arange(6.0)]),
    )
    expected = scorer.score(
        {"item_id": ["new", "newer"], "timestamp": [1e6, 1e6]}, [History(["003"], [1e5], ["view"]), History([])]
    )
    np.testing.assert_allclose([float(row["probability"]) for row in read("scores.csv")], expected, atol=1e-6)


def test_behaviours_of_a_type_that_training_never_saw_are_counted(served, write_csv, capsys):
    write_csv("rows.csv", {"user_id": ["a"], "item_id": ["004"], "timestamp": [1e6]})
    behaviours = {"user_id": ["a", "a"], "item_id": ["003", "005"], "timestamp": [1e5, 2e5], "kind": ["stroll", "view"]}
    write_csv("behaviours.csv", behaviours)
    assert main(["predict", served.path, "--rows", "rows.csv", "--behaviours", "behaviours.csv", "--out", "s.csv"]) == 0
    assert told(capsys)["behaviours_of_unknown_type"] == 1


def test_the_likeliest_items_of_every_row(served, scorer, write_csv, capsys):
    write_csv("rows.csv", {"user_id": ["a", "new"], "timestamp": [1e6, 1e6]})
    write_csv("behaviours.csv", {"user_id": ["a"], "item_id": ["003"], "timestamp": [1e5], "kind": ["view"]})
    given = ["predict", served.path, "--rows", "rows.csv", "--behaviours", "behaviours.csv", "--out", "top.csv"]
    assert main([*given, "--top", "3"]) == 0
    history = History(["003"], [1e5], ["view"])
    assert [row["item_id"] for row in read("top.csv")[:3]] == scorer.top(history, 3, time=1e6).items
    assert [row["rank"] for row in read("top.csv")] == ["1", "2", "3"] * 2
    write_csv("some.csv", {"item_id": ["003", "004"]})
    assert main([*given, "--top", "3", "--candidates", "some.csv", "--unseen"]) == 0
    assert [(row["user_id"], row["item_id"]) for row in read("top.csv") if row["user_id"] == "a"] == [("a", "004")]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"rows.csv": "user_id,item_id\na,001\n"}, "without timestamp"),
        ({"rows.csv": "user_id,item_id,timestamp\na,001,5\nb,,6\n"}, "none in line 3"),
        ({"rows.csv": "user_id,item_id,timestamp\na,001,5\nb,001,soon\n"}, "in line 3"),
        ({"rows.csv": "user_id,item_id,timestamp\na,001,5,7\n"}, "not 3 columns"),
        ({"rows.csv": "user_id,item_id,timestamp\n"}, "at least one row"),
        ({"behaviours.csv": "user_id,item_id,timestamp\na,001,5\n"}, "without kind"),
        ({"--out": "scores.txt"}, "--out to end in .csv or .parquet"),
        ({"--out": "rows.csv"}, "another file than those"),
        ({"--candidates": "rows.csv"}, "Expected --top with --candidates."),
        ({"--top": "0"}, "--top of at least 1"),
        ({"--vector-ids": "rows.csv"}, "Expected --vectors FILE"),
        ({"--vectors": "no.npy"}, "no file no.npy"),
        ({"--rows": "no.csv"}, "no.csv"),
        ({"--stored-vectors": "image"}, "MODALITY=FILE"),
        ({"--column": "item_id"}, "Expected --column ROLE=COLUMN. Got 'item_id'"),
        ({"--column": "request_id=shop"}, "A column that the model does not read needs no --column"),
        ({"--column": "users.user_id=who"}, "a table of rows, behaviours, items, candidates."),
    ],
)
def test_bad_input_leaves_no_answers(files, capsys, change, text):
    options = {"--out": "scores.csv"}
    for name, value in change.items():
        if name.startswith("--"):
            options[name] = value
        else:
            Path(name).write_text(value)
    before = sorted(path.name for path in Path().iterdir())
    assert main([*files, *(word for option in options.items() for word in option)]) == 2
    assert text in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == before


def test_vectors_of_another_model(files, serve, capsys):
    np.save("other.npy", np.zeros((1, 7), dtype=np.float32))
    Path("other.ids").write_text("new\n")
    given = ["--vectors", "other.npy", "--vector-ids", "other.ids", "--out", "scores.csv"]
    assert main([*files, *given]) == 2
    told = capsys.readouterr().err
    assert "6" in told and "7" in told
    blind = serve("MARN", use_modalities=["ids", "title"])
    assert main([*[blind.path if word.endswith(".pth") else word for word in files], *given]) == 2
    assert "a model that reads vectors, for --vectors. Got one that reads none" in capsys.readouterr().err
    assert not Path("scores.csv").exists()


def test_vectors_of_several_modalities(serve, write_csv, capsys):
    """One alone could be given, and the others of a new item were missing."""
    names = ("image", "sound")
    modalities = {name: {"kind": "vector", "file": "image.npy", "ids": "image.ids"} for name in names}
    served = serve("MARN", modalities=modalities)
    rows = {"user_id": ["a", "b"], "item_id": ["new", "newer"], "timestamp": [1e6] * 2}
    write_csv("rows.csv", rows)
    vectors = {name: np.full((1, 6), at + 1.0, dtype=np.float32) for at, name in enumerate(names)}
    given = ["predict", served.path, "--rows", "rows.csv", "--out", "scores.csv"]
    for name, item in zip(names, rows["item_id"], strict=True):
        np.save(f"{name}.npy", vectors[name])
        Path(f"{name}.ids").write_text(f"{item}\n")
    own = [word for name in names for word in ("--vectors", f"{name}={name}.npy")]
    assert main([*given, *own, "--vector-ids", "sound=sound.ids"]) == 0
    assert told(capsys)["items"]["without"] == {"image": 1, "sound": 1}
    scorer, none = served.scorer(), np.full((1, 6), np.nan)
    scorer.add_items({"item_id": rows["item_id"]}, {"image": np.concatenate([vectors["image"], none]),
                                                    "sound": np.concatenate([none, vectors["sound"]])})  # fmt: skip
    found = [float(row["probability"]) for row in read("scores.csv")]
    np.testing.assert_allclose(found, scorer.score(rows), atol=1e-6)
    for wrong, text in (
        (["--vectors", "image.npy"], "MODALITY=FILE with one of image, sound"),
        (["--vectors", "smell=image.npy"], "'smell'"), (["--vector-ids", "sound=sound.ids"], "ids of sound alone"),
        ([*own, "--vectors", "image=sound.npy"], "--vectors once a modality"),
    ):  # fmt: skip
        assert main([*given, *wrong]) == 2
        assert text in capsys.readouterr().err


def test_what_breaks_off_half_way_leaves_no_answers(files, capsys, monkeypatch):
    monkeypatch.setattr(tables, "CHUNK", 5)
    with open("rows.csv", "a") as file:
        file.write("x,001,\n")
    assert main([*files, "--out", "scores.csv"]) == 2
    assert not list(Path().glob("*scores*"))
