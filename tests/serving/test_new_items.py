"""Items that training never saw, and known ones described anew: what is read of them, and what is told."""

import numpy as np
import pandas as pd
import pytest
import tiny

import recbole_marn
from recbole_marn.errors import InputError
from recbole_marn.serving.histories import History
from recbole_marn.serving.scorer import load_scorer

RAW = {  # cells of a catalogue, and what `prepare` writes of them
    "brand": (' The "Red"  Co ', "The Red Co"),
    "tags": ("['d e']", "d_e"),  # one tag an item, so that training never saw a longer list
    "look": ("[0.5, -1, 2]", "0.5 -1 2"),
}


def described(served, items, names=None):
    """Columns and vectors of items as the data set has them."""
    rows = [served.items[item] for item in items]
    columns = {"item_id": names or items} | {
        field: [row[field] or None for row in rows] for field in ("category", "title", "price")
    }
    place = {item: row for row, item in enumerate(served.vector_ids)}
    vectors = np.full((len(items), served.vectors.shape[1]), np.nan, dtype=np.float32)
    for row, item in enumerate(items):
        if item in place:
            vectors[row] = served.vectors[place[item]]
    return columns, vectors


@pytest.mark.parametrize("model", ["MARN", "MARNPlus", "MultimodalxDeepFM", "MMSS"])
def test_a_known_item_described_again_is_the_same(serve, model):
    """Category, words, price in its bin, photo, training interactions: all codes are those of training."""
    served = serve(model)
    scorer = served.scorer()
    before = scorer.item_vectors()
    columns, vectors = described(served, scorer.items)
    assert None in columns["title"] and None in columns["price"] and np.isnan(vectors).any(), "nothing is missing"
    added = scorer.add_items(columns, {"image": vectors})
    assert (added.added, added.replaced, added.unknown, added.not_read, added.not_given) == (0, len(before), {}, [], [])
    np.testing.assert_allclose(scorer.item_vectors(), before, atol=1e-6)


def test_a_new_item_is_what_its_content_is(serve):
    """Without ids and statistics, a copy of an item under another name is that item."""
    served = serve("MARN", use_modalities=["image", "title"])
    scorer = served.scorer()
    items = scorer.items[:9]
    columns, vectors = described(served, items, [f"copy of {item}" for item in items])
    added = scorer.add_items(pd.DataFrame(columns), vectors)  # the model's only vectors need no name
    assert added.added == 9 and added.not_read == ["category", "price"]
    np.testing.assert_allclose(scorer.item_vectors(columns["item_id"]), scorer.item_vectors(items), atol=1e-6)
    assert scorer.items[-9:] == columns["item_id"]
    row = {"timestamp": [1e6]}
    history = [History([items[0], f"copy of {items[1]}"], [1e5, 2e5], ["view", "buy"])]
    same = [History([items[0], items[1]], [1e5, 2e5], ["view", "buy"])]
    assert scorer.score(row | {"item_id": [f"copy of {items[2]}"]}, history) == pytest.approx(
        scorer.score(row | {"item_id": [items[2]]}, same), abs=1e-6
    )


def test_cells_of_a_catalogue_are_read_as_prepare_reads_them(tmp_path):
    """They were values that training never saw, and vectors in a column were not read."""
    folder = tiny.write_dataset(tmp_path)
    header, *lines = (folder / "tiny.item").read_text().splitlines()
    written = [[*line.split("\t"), *(cells if row % 2 else ("other", "x", "1 1 1"))]
               for row, line in enumerate(lines) if (cells := [known for _, known in RAW.values()])]  # fmt: skip
    columns = [*header.split("\t"), "brand:token", "tags:token_seq", "look:float_seq"]
    tiny.write_table(folder / "tiny.item", columns, written)
    modalities = {
        "ids": {"kind": "id", "fields": {"brand": 3, "tags": 3}}, "look": {"kind": "vector", "field": "look"},
    }  # fmt: skip
    settings = tiny.settings(tmp_path, modalities=modalities, epochs=1, checkpoint_dir=str(tmp_path / "saved"))
    scorer = load_scorer(recbole_marn.run(config_dict=settings)["checkpoint"])
    items = scorer.items
    told = scorer.add_items({"item_id": ["new"], **{name: [cell] for name, (cell, _) in RAW.items()}})
    assert (told.unknown, told.unreadable, told.without, told.not_read) == ({}, {}, {}, [])
    like = [line[0] for row, line in enumerate(written) if row % 2 and line[0] in items][0]
    np.testing.assert_allclose(scorer.item_vectors(["new"]), scorer.item_vectors([like]), atol=1e-6)
    told = scorer.add_items({"item_id": ["a", "b", "c"], "look": ["1 2", "0.5 x 2", [1e300, 0, 0]]})
    assert told.unreadable == {"look": 3} and told.without == {"look": 3}


def test_cells_that_look_like_nothing_are_what_training_has(tmp_path):
    """In an atomic file `NA` and `None` are text; described again, such an item lost its category, tag and title."""
    folder = tiny.write_dataset(tmp_path)
    header, *lines = [line.split("\t") for line in (folder / "tiny.item").read_text().splitlines()]
    words = ("NA", "None", "nan", "sofa")
    written = [[line[0], words[row % 4], words[row % 3], line[3], words[row % 4]] for row, line in enumerate(lines)]
    tiny.write_table(folder / "tiny.item", [*header, "tags:token_seq"], written)
    ids = {"kind": "id", "fields": {"category": 3, "tags": 3}}
    modalities = {"ids": ids, "title": tiny.MODALITIES["title"]}
    settings = tiny.settings(tmp_path, modalities=modalities, epochs=1, checkpoint_dir=str(tmp_path / "saved"))
    scorer = load_scorer(recbole_marn.run(config_dict=settings)["checkpoint"])
    before, columns = scorer.item_vectors(), dict(zip(["item_id", "category", "title", "price", "tags"],
                                                      map(list, zip(*written, strict=True)), strict=True))  # fmt: skip
    scorer.add_items(columns)
    np.testing.assert_allclose(scorer.item_vectors(), before, atol=1e-6)
    told = scorer.add_items({"item_id": ["none"], "category": [None], "tags": ["N/A"], "title": [float("nan")]})
    assert told.unknown == {} and told.without == {"title": 1}


def test_what_one_item_says_by_now_is_not_said_of_those_beside_it(serve):
    """A service adds several requests' items at once where a worker starts: an empty cell took a count away."""
    served = serve()
    alone, together = served.scorer(), served.scorer()
    items = [alone.items[0], "new"]
    columns, vectors = described(served, [alone.items[0], alone.items[1]], items)
    alone.add_items(columns, vectors)
    columns |= {"item_id": [*items, "shown by now"], "train_interactions": [None, "", 3]}
    columns |= {name: [*columns[name], columns[name][0]] for name in ("category", "title", "price")}
    told = together.add_items(columns, np.concatenate([vectors, vectors[:1]]))
    assert told.unreadable == {} and "statistic" not in told.without
    np.testing.assert_allclose(together.item_vectors(items), alone.item_vectors(items), atol=1e-6)
    assert np.abs(together.item_vectors(["shown by now"]) - together.item_vectors(items[:1])).max() > 1e-4


def test_an_unknown_item_is_an_item_without_content(scorer):
    row = {"user_id": ["u"], "timestamp": [1e6]}
    unknown = scorer.score(row | {"item_id": ["nobody knows"]})
    assert not scorer.knows(["nobody knows"])[0]
    scorer.add_items({"item_id": ["nobody knows"]})
    assert scorer.knows(["nobody knows"])[0]
    np.testing.assert_allclose(scorer.score(row | {"item_id": ["nobody knows"]}), unknown, atol=1e-6)
    scorer.add_items({"item_id": ["nobody knows"], "title": ["red house"]})
    assert abs(scorer.score(row | {"item_id": ["nobody knows"]}) - unknown) > 1e-6


def test_what_is_not_known_of_new_items_is_told(scorer):
    added = scorer.add_items(
        {
            "item_id": ["a", "b", 3],
            "title": ["Red sofa", "the River's house", None],
            "category": ["toy", "sofa", "book"],
            "price": [3.5, "cheap", None],
            "colour": [1, 2, 3],
        },
        {"image": np.array([[1.0] * 6, [np.nan] * 6, [2.0] * 6])},
    )
    assert added.added == 3
    assert added.unknown == {"category": 1, "title": 2}  # sofa; sofa, the
    assert added.unreadable == {"price": 1}
    assert added.without == {"image": 1, "title": 1}
    assert added.not_read == ["colour"]
    assert scorer.knows(["3", 3, 3.0]).all()


@pytest.mark.parametrize("price", [0, "0.00", -1])
def test_a_price_of_0_is_a_missing_price(scorer, price):
    scorer.add_items({"item_id": ["missing"], "title": ["Red house"], "price": [None]})
    added = scorer.add_items({"item_id": ["free"], "title": ["Red house"], "price": [price]})
    assert added.unreadable == {"price": 1}
    np.testing.assert_array_equal(scorer.item_vectors(["free"]), scorer.item_vectors(["missing"]))


@pytest.mark.parametrize(
    ("items", "vectors", "text"),
    [
        ({"title": ["x"]}, None, "without item_id"),
        ({"item_id": ["a", "a"]}, None, "Expected each item once"),
        ({"item_id": ["a", None]}, None, "Got none in row 1."),
        ({"item_id": ["a"]}, np.zeros((1, 5)), "Expected vectors of modality 'image' of shape (1, 6). Got (1, 5)."),
        ({"item_id": ["a"]}, np.full((1, 6), 1e5), "numbers up to 65504 in vectors of modality 'image'. Got 100000."),
        ({"item_id": ["a"]}, {"photo": np.zeros((1, 6))}, "Expected vectors of a modality of the model (image)."),
        (["a"], None, "Expected items as a data frame or a mapping of columns. Got list."),
    ],
)
def test_items_that_cannot_be_added(scorer, items, vectors, text):
    before = scorer.items
    with pytest.raises(InputError) as error:
        scorer.add_items(items, vectors)
    assert text in str(error.value)
    assert scorer.items == before
