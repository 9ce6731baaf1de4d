"""Items by an export's tower are what the model makes of them; what a modality does is what its absence does."""

import dataclasses
import json

import numpy as np
import pytest
import tiny
import torch
from cases import OUR_MODELS, prepared

from recbole_marn.errors import InputError
from recbole_marn.registry import model_class
from recbole_marn.serving.exported import IDS, SHOWN, ExportedScorer
from recbole_marn.serving.histories import History
from recbole_marn.serving.item_tower import ItemSide
from recbole_marn.serving.laid import Laid

TOWERS = [(name, {}) for name in OUR_MODELS if model_class(name).makes_item_vectors] + [
    ("MARN", {"modality_norm": "batch", "invariant_norm": "batch"}),
    ("MARN", {"invariant_norm": "whiten", "invariant_codes": 8, "invariant_pooling": "mean"}),
    ("MARN", {"attention_normalise": True}),
]


@pytest.mark.parametrize(("name", "changed"), TOWERS, ids=str)
def test_the_item_side_of_a_model_is_its_item_vectors(settings, name, changed):
    model = prepared(name, settings, **changed).model.eval()
    encoder, item = model.encoder, torch.arange(1, model.encoder.n_items)
    with torch.no_grad():
        cells = encoder.snapshot(item)
        expected, content = model.represent(cells).vector, {}
        for modality in encoder.names:
            if modality in encoder.statistic_columns:
                content[modality] = encoder.frozen["statistic"][item][:, encoder.statistic_columns[modality]]
            elif f"{modality}_matrix" in encoder.frozen._buffers:
                row = encoder.frozen[f"{modality}_row"][item]
                content[modality] = encoder.frozen[f"{modality}_matrix"][row].float()
            else:
                lookup = "words" if f"{modality}_words" in encoder.frozen._buffers else "codes"
                content[modality] = encoder.frozen[f"{modality}_{lookup}"][item]
        found = ItemSide(model)(cells.present, content)
    assert torch.allclose(found, expected, atol=1e-6)


def test_vectors_laid_over_others():
    some = np.arange(12, dtype=np.float32).reshape(3, 4)
    without = np.zeros((3, 2, 4), dtype=np.float32)
    laid = Laid.nothing(2, 4).over(np.array([9, 2, 5]), some, without)
    laid = laid.over(np.array([5]), 100 * some[:1] + 1, without[:1] + 1)
    here, row = laid.rows(np.array([0, 5, 9, 3, 2, 10]))
    assert here.tolist() == [False, True, True, False, True, False]
    np.testing.assert_array_equal(laid.vectors[row], [100 * some[0] + 1, some[0], some[1]])
    assert laid.without[row][:, 0, 0].tolist() == [1, 0, 0]


# ---------------------------------------------------------------------------------------- with ONNX Runtime
NEW = {"item_id": ["new", "003", "bare"], "title": ["red house never-seen", "old river", ""],
       "category": ["toy", "nothing known", ""], "price": ["12.5", "", "x"], "of no use": ["a", "b", "c"]}  # fmt: skip
PHOTOS = [[0.1, -0.2, 0.3, 0.5, 1.0, 2.0], None, None]


@pytest.fixture
def opened(exported):
    from recbole_marn.serving.exported_items import ItemTower

    served, folder = exported()
    scorer = ExportedScorer(folder)
    return served, scorer, ItemTower(folder, scorer)


def encoded(tower):
    fields = {name: values for name, values in NEW.items() if name != "item_id"}
    return tower.encode(NEW["item_id"], fields, {"image": PHOTOS})


def test_items_that_are_added_get_the_vectors_that_the_model_gives_them(opened):
    served, scorer, tower = opened
    found, model = encoded(tower), served.scorer()
    told = model.add_items(NEW, {"image": np.array([PHOTOS[0], [np.nan] * 6, [np.nan] * 6], dtype=np.float32)})
    np.testing.assert_allclose(found.vectors, model.item_vectors(NEW["item_id"]), atol=1e-6)
    assert found.described.told(new=2) == told
    assert told.unknown == {"title": 2, "category": 1} and told.unreadable == {"price": 1}
    known = scorer.with_items(NEW["item_id"], found.vectors, found.without)
    history = History(["003", "new"], [1e5, 2e5], ["view", "buy"])
    for scores in (known, model):
        assert set(scores.items) == {*scorer.items, "new", "bare"}
    np.testing.assert_allclose(
        known.score_request(history, ["new", "003", "004"], time=3e5),
        model.score_request(history, ["new", "003", "004"], time=3e5), atol=1e-6,
    )  # fmt: skip
    assert not scorer.knows(["new"]).any() and scorer.item_vectors(["003"])[0].tolist() != found.vectors[1].tolist()


def test_the_tower_is_compared_with_the_model(exported):
    _, folder = exported()
    assert 0 <= json.loads((folder / "manifest.json").read_text())["parity"]["tower"] < 1e-5


def test_vectors_without_a_modality_are_those_of_an_item_that_lacks_it(opened):
    served, scorer, tower = opened
    model = served.scorer()
    modalities = model.model.encoder.names
    assert scorer.modalities == tower.modalities == modalities
    history, items = History(["003", "004"], [1e5, 2e5], ["view", "buy"]), ["001", "002", "025"]
    found = scorer.without_modalities(history, items, time=3e5)
    row = np.array([scorer.items.index(item) + 1 for item in items])
    for index in range(len(modalities)):
        cells = model.model.encoder.snapshot(torch.from_numpy(row))
        had, present = cells.present[:, index].numpy(), cells.present.clone()
        present[:, index] = False
        less = dataclasses.replace(cells, present=present)
        with torch.no_grad():
            vectors = model.model.represent(less).vector.numpy()
        without = np.empty((3, len(modalities), vectors.shape[1]))
        expected = scorer.with_items(items, vectors, without).score_request(History([]), items, time=3e5)
        bare = scorer.without_modalities(History([]), items, time=3e5)[:, index]
        np.testing.assert_allclose(bare[had], expected[had], atol=1e-4)  # half precision
        assert np.isnan(found[~had, index]).all() and np.isfinite(found[had, index]).all()
    assert np.isnan(found).any()  # 002 has no title, 025 no photo


def test_of_an_added_item_the_modalities_are_known_too(opened):
    _, scorer, tower = opened
    found = encoded(tower)
    known = scorer.with_items(NEW["item_id"], found.vectors, found.without)
    why = known.without_modalities(History([]), ["new", "bare"], time=3e5)
    has = dict(zip(known.modalities, np.isfinite(why).T.tolist(), strict=True))
    assert has == {"ids": [True, True], "image": [True, False], "title": [True, False], "statistic": [True, True]}


LISTS = {
    "ids": {"kind": "id", "fields": {"item_id": 4, "title": 3, "category": 3}},
    "image": tiny.MODALITIES["image"],
}
RARE = {"ids": {"kind": "id", "fields": {"item_id": 4}}}


@pytest.mark.parametrize(("changed", "unknown"), [
    ({"modalities": LISTS}, {"title": 1}),
    ({"modalities": RARE, "id_min_count": 4}, {}),
    ({"modalities": LISTS, "id_min_count": 4}, {"title": 1}),
])  # fmt: skip
def test_lists_and_rare_items_are_exported(exported, changed, unknown):
    """Scores of the run, and items described anew: tags in another order, a new item as the rare ones are."""
    from recbole_marn.serving.exported_items import ItemTower

    served, folder = exported("MARN", **changed)
    scorer, model = ExportedScorer(folder), served.scorer()
    np.testing.assert_allclose(scorer.score(served.rows, served.histories), served.expected, rtol=0, atol=1e-6)
    tower = ItemTower(folder, scorer)
    ids = tower.codes.table.modalities["ids"]
    expected = model.catalogue.table.modalities["ids"]
    assert (ids.bags, ids.shared, ids.new) == (expected.bags, expected.shared, expected.new)
    items = [*scorer.items[:5], "new"]
    lists = "title" in changed["modalities"]["ids"]["fields"]
    titles = [served.items[item]["title"].split()[::-1] for item in items[:-1]] + [["house", "red", "never-seen"]]
    categories = [served.items[item]["category"] for item in items[:-1]] + ["toy"]
    fields = {"title": [" ".join(title) for title in titles], "category": categories} if lists else {}
    found = tower.encode(items, fields, {})
    told = model.add_items({"item_id": items, **fields})
    assert found.described.told(new=1) == told and told.unknown == unknown
    np.testing.assert_allclose(found.vectors, model.item_vectors(items), rtol=0, atol=1e-6)
    if "image" not in changed["modalities"]:
        np.testing.assert_allclose(found.vectors[:5], scorer.item_vectors(items[:5]), rtol=0, atol=1e-6)
        table = served.run.train.part.item_table.modalities["ids"]
        rare = np.flatnonzero(table.codes[:, 0] == 1)[0] - 1
        np.testing.assert_allclose(found.vectors[5], scorer.item_vectors()[rare], rtol=0, atol=1e-6)


def test_people_see_every_word_of_a_list_and_the_field_after_it(exported):
    served, folder = exported("MARN", modalities=LISTS)
    ids = (folder / IDS).read_text().split()
    shown = [json.loads(line)["about"] for line in (folder / SHOWN).read_text().splitlines()]
    fields = ("title", "category")
    expected = [{field: served.items[item][field] for field in fields} for item in ids]
    assert shown == expected


@pytest.mark.parametrize(("vectors", "told"), [
    ({"image": [[1.0, 2.0]]}, "6 numbers in a vector"),
    ({"sound": [[1.0]]}, "vectors of a modality of the model"),
    ({"sound": [[]]}, "vectors of a modality of the model"), ({"title": [[1.0]]}, "vectors of a modality"),
    ({"image": [[1e5] * 6]}, "up to 65504"),  # would be infinite, and with it no photo
])  # fmt: skip
def test_vectors_that_do_not_fit_are_told(opened, vectors, told):
    with pytest.raises(InputError, match=told):
        opened[2].encode(["new"], {}, vectors)
