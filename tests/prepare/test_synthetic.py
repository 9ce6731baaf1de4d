"""amazon-clothing-synthetic: byte for byte what is committed, and true to its own truth."""

import json
from pathlib import Path

import numpy as np
import pytest
from prepare.raw_files import atomic, vectors

from recbole_marn.files import sha256
from recbole_marn.prepare.atomic import write_inter, write_item
from recbole_marn.prepare.datasets import synthetic
from recbole_marn.prepare.pipeline import prepare

COMMITTED = Path(__file__).parents[2] / "dataset_atomic" / synthetic.NAME


@pytest.fixture(scope="module")
def truth():
    return json.loads((COMMITTED / f"{synthetic.NAME}.truth.json").read_text("utf-8"))


@pytest.mark.slow
def test_it_is_made_again_byte_for_byte(tmp_path):
    prepare(synthetic.NAME, tmp_path / "raw", tmp_path)
    made = tmp_path / synthetic.NAME
    assert {path.name for path in made.iterdir()} == {path.name for path in COMMITTED.iterdir()}
    for path in made.iterdir():
        assert path.read_bytes() == (COMMITTED / path.name).read_bytes(), path.name


def test_no_committed_file_was_changed_by_hand():
    record = json.loads((COMMITTED / f"{synthetic.NAME}.prepare.json").read_text("utf-8"))
    hashes = {path.name: sha256(path) for path in COMMITTED.iterdir() if not path.name.endswith(".prepare.json")}
    assert hashes == {entry["name"]: entry["sha256"] for entry in record["files"]}
    assert sum(path.stat().st_size for path in COMMITTED.iterdir()) < 4_000_000


def test_the_generator_still_makes_the_committed_items_and_the_first_users(tmp_path):
    """The slow test makes all of it again; users are drawn one after the other, so the first are the same."""
    world, events = synthetic.make_world(users=60)
    table, images = synthetic.make_items(world)
    write_inter(tmp_path / "first.inter", events)
    committed = (COMMITTED / f"{synthetic.NAME}.inter").read_text("utf-8").splitlines()
    assert len(events) > 1000 and len(events.users) == 60
    first = [line for line in committed[1:] if line.split("\t")[0] in set(events.users)]
    assert (tmp_path / "first.inter").read_text("utf-8").splitlines() == [committed[0], *first]

    tokens = [
        line.split("\t")[0] for line in (COMMITTED / f"{synthetic.NAME}.item").read_text("utf-8").splitlines()[1:]
    ]
    write_item(tmp_path / "all.item", tokens, table)
    images.write(tokens, tmp_path, "image")
    for name, path in (("all.item", f"{synthetic.NAME}.item"), ("image.npy", "image.npy"), ("image.ids", "image.ids")):
        assert (tmp_path / name).read_bytes() == (COMMITTED / path).read_bytes(), path


def test_it_says_that_it_is_synthetic_and_nothing_of_the_machine(truth):
    record = json.loads((COMMITTED / f"{synthetic.NAME}.prepare.json").read_text("utf-8"))
    assert any("SYNTHETIC" in note for note in record["notes"]) and truth["synthetic"] is True
    assert record["command"] == f"recbole-marn prepare {synthetic.NAME} --out dataset_atomic"
    assert "versions" not in record and record["sources"] == []


def test_it_has_amazons_schema_all_modalities_and_behaviours():
    header, items = atomic(COMMITTED / f"{synthetic.NAME}.item")
    assert header == ["item_id:token", "category:token", "brand:token", "title:token_seq", "price:float"]
    assert all(len(row["item_id"]) == 10 for row in items)
    for name in ("title", "price"):
        assert 0.8 < np.mean([row[name] != "" for row in items]) < 1, f"some {name} are missing, as in a shop"
    assert 0.9 < len(vectors(COMMITTED)) / len(items) < 1
    _, events = atomic(COMMITTED / f"{synthetic.NAME}.inter")
    behaviors = [row["behavior_type"] for row in events]
    assert behaviors.count("click") > behaviors.count("cart") > 0.1 * len(events) and behaviors.count("buy") > 0
    times = [float(row["timestamp"]) for row in events]
    assert times == sorted(times) and 1500 < len({row["user_id"] for row in events}) <= 2500


def test_importance_differs_by_category_and_each_modality_leads_somewhere(truth):
    table = np.array([[row[m] for m in synthetic.MODALITIES] for row in truth["importance"].values()])
    assert np.allclose(table.sum(axis=1), 1) and (np.diff(np.sort(table), axis=1) > 0.05).all(), "clear ranks"
    assert np.bincount(table.argmax(axis=1)).tolist() == [3, 3, 3, 3]
    assert len({tuple(row) for row in table}) == len(table)


def test_what_a_modality_is_worth_ranks_as_the_truth(truth):
    """Who knows all factors but one loses most where that one matters most, against the others of the category."""
    leaders, rankings = 0, []
    for category, row in truth["importance"].items():
        oracle = truth["oracle_auc"][category]
        loss = {m: oracle["all"] - oracle[f"without {m}"] for m in synthetic.MODALITIES}
        leaders += max(loss, key=loss.get) == max(row, key=row.get)
        rankings.append(np.corrcoef([loss[m] for m in row], [row[m] for m in row])[0, 1])
    assert leaders == 12 and min(rankings) > 0.8


def test_cold_items_are_sold_late_if_at_all(truth):
    _, events = atomic(COMMITTED / f"{synthetic.NAME}.inter")
    from_then = synthetic.START + synthetic.COLD_FROM * 86_400 * synthetic.DAYS
    cold = set(truth["cold_items"])
    assert len(cold) > 100
    sold = [float(row["timestamp"]) for row in events if row["item_id"] in cold]
    assert sold and min(sold) >= from_then - 1


def test_image_and_title_share_a_factor_and_hide_the_others():
    """Linear read-out of each factor from what a modality shows: R2 near one where it is in it, near zero elsewhere."""
    world = synthetic.World(np.random.RandomState(2021))
    pictures = synthetic._images(world, np.random.RandomState(2022))
    centred = pictures - np.stack([pictures[world.category == k].mean(axis=0) for k in range(12)])[world.category]

    def explained(name):
        target = world.factors[name]
        found, *_ = np.linalg.lstsq(centred, target, rcond=None)
        return 1 - ((target - centred @ found) ** 2).sum() / ((target - target.mean(axis=0)) ** 2).sum()

    assert explained("image") > 0.6 and explained("shared") > 0.85, "photos of some categories show little"
    assert explained("title") < 0.15 and explained("ids") < 0.15
    titles = [synthetic._title(world, item, np.random.RandomState(item)).split() for item in range(300)]
    assert {len(title) for title in titles} == {3, 4, 5}, (
        "shared words and the noun always, own words where they matter"
    )
    assert titles[0][-1] == synthetic.CATEGORIES[world.category[0]][1]


def test_what_matters_little_is_shown_little(truth):
    _, items = atomic(COMMITTED / f"{synthetic.NAME}.item")
    branded, spread = {}, {}
    for category, row in truth["importance"].items():
        own = [item for item in items if item["category"] == category]
        branded[category] = np.mean([item["brand"] != "" for item in own])
        spread[category] = np.std(np.log([float(item["price"]) for item in own if item["price"]]))
        assert abs(branded[category] - truth["shown"][str(row["ids"])]) < 0.15
    by_truth = [row["statistic"] for row in truth["importance"].values()]
    assert np.corrcoef(list(spread.values()), by_truth)[0, 1] > 0.8
