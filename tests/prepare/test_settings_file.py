"""The settings that `prepare` writes beside a data set, or why it writes none."""

import numpy as np
import pytest
import yaml

from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.report import render
from recbole_marn.prepare.settings_file import _modalities
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import RawItems

START = 1_599_955_200  # midnight
RANDOM = {"split": "random", "split_ratios": [0.6, 0.2, 0.2]}


def settings_of(folder):
    return yaml.safe_load((folder / f"{folder.name}.yaml").read_text("utf-8"))


def test_settings_of_a_log_name_a_split_that_has_clicks_in_every_part(tmp_path):
    """A day ahead where there are enough; shares that leave some clicks to every part where there are few."""
    day_ahead = {"split": "time"}
    many = RANDOM | {"split_ratios": [0.8, 0.1, 0.1]}
    for days, clicks, split in ((4, 50, day_ahead), (1, 400, many), (4, 8, RANDOM)):
        rows = ["user_id,item_id,timestamp,label"]
        for n in range(8 * clicks):
            rows.append(f"u{n % 9},i{n % 7},{START + 86400 * (n // 8 % days) + n},{int(n % 8 == 0)}")
        (tmp_path / "shown.csv").write_text("\n".join(rows) + "\n")
        options = Options(exposures=tmp_path / "shown.csv", images="none")
        prepare("custom", tmp_path, tmp_path, options, name="feed", overwrite=True)
        settings = settings_of(tmp_path / "feed")
        assert {key: value for key, value in settings.items() if key.startswith("split")} == split


@pytest.mark.parametrize(("places", "first"), [("123", 1), ("012", 0), (["", "10", "2"], 2), (["top", "side", ""], 1)])
def test_scores_are_served_at_the_first_place(tmp_path, places, first):
    rows = [f"u{n % 9},i{n % 7},{START + n},{int(n % 4 == 0)},{places[n % 3]}" for n in range(60)]
    (tmp_path / "shown.csv").write_text("\n".join(["user_id,item_id,timestamp,label,position", *rows]) + "\n")
    prepare("custom", tmp_path, tmp_path, Options(exposures=tmp_path / "shown.csv", images="none"), name="feed")
    assert settings_of(tmp_path / "feed")["position"] == {"field": "position", "at_serving": first}


def test_settings_of_clicks_are_of_what_was_written(tmp_path):
    """No photos are named where none were given; tags are ids, a title is a text."""
    events = [f"u{n % 5},i{n % 7},{START + n},view" for n in range(60)]
    (tmp_path / "orders.csv").write_text("\n".join(["user_id,item_id,timestamp,behavior_type", *events]) + "\n")
    items = [f"i{n},thing {n},a|b,{n},s{n % 2}" for n in range(7)]
    (tmp_path / "items.csv").write_text("\n".join(["item_id,title,TAGS,price,SEASON", *items]) + "\n")
    columns = {"tags": "TAGS:token_seq", "season": "SEASON:token"}
    options = Options(events=tmp_path / "orders.csv", items=tmp_path / "items.csv", columns=columns, images="none")
    record = prepare("custom", tmp_path, tmp_path, options, name="shop")
    assert settings_of(tmp_path / "shop") == {
        "repeats": "first",
        "split": "leave_last",
        "behaviour": {"kind": "behavior_type", "time": "timestamp"},
        "modalities": {
            "ids": {"kind": "id", "fields": {"item_id": 32, "tags": 16, "season": 16}},
            "title": {"kind": "text", "field": "title"},
            "statistic": {"kind": "statistic", "fields": ["train_interactions", "price"]},
        },
        "load_col": {
            "inter": ["user_id", "item_id", "timestamp", "behavior_type"],
            "item": ["item_id", "tags", "season", "title", "price"],
        },
        "normalize_all": False,
    }
    assert "samples" not in render(record)


def test_vectors_that_were_asked_for_are_read(tmp_path):
    """Those of words by the titles; and a column called as a modality is one beside it."""
    events = [f"u{n % 5},i{n % 7},{START + n}" for n in range(60)]
    (tmp_path / "orders.csv").write_text("\n".join(["user_id,item_id,timestamp", *events]) + "\n")
    items = [f"i{n},thing {n},1 {n},2 {n}" for n in range(7)]
    (tmp_path / "items.csv").write_text("\n".join(["item_id,title,image,statistic", *items]) + "\n")
    (tmp_path / "w.txt").write_text("thing 1 2\n")
    np.save(tmp_path / "photos.npy", np.ones((7, 3), np.float32))
    (tmp_path / "photos.ids").write_text("".join(f"i{n}\n" for n in range(7)))
    options = Options(
        events=tmp_path / "orders.csv", items=tmp_path / "items.csv", images=str(tmp_path / "photos.npy"),
        columns={"image": "image:float_seq", "statistic": "statistic:float_seq"}, word_vectors=str(tmp_path / "w.txt"),
    )  # fmt: skip
    prepare("custom", tmp_path, tmp_path, options, name="shop")
    assert settings_of(tmp_path / "shop")["modalities"] == {
        "ids": {"kind": "id", "fields": {"item_id": 32}},
        "image": {"kind": "vector", "file": "image.npy", "ids": "image.ids"},
        "image_column": {"kind": "vector", "field": "image"},
        "title": {"kind": "text", "field": "title", "word_vectors": "words.npy"},
        "statistic_column": {"kind": "vector", "field": "statistic"},
        "statistic": {"kind": "statistic", "fields": ["train_interactions"]},
    }
    titles = RawItems(("title",), types={"title": "token_seq"})
    assert _modalities(titles, ["title"], False) | {"ids": None, "statistic": None} == {
        "ids": None,
        "title": {"kind": "vector", "file": "title.npy", "ids": "title.ids"},
        "title_column": {"kind": "text", "field": "title"},
        "statistic": None,
    }


def test_ratings_of_ml_1m_with_all_features(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "ratings.dat").write_text("1::10::5::978300760\n1::20::3::978302109\n2::10::2::978301968\n")
    movies = "10::Misérables, Les (1995)::Drama|Film-Noir\n20::No Year::Comedy\n"
    (raw / "movies.dat").write_bytes(movies.encode("latin-1"))
    (raw / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")
    record = prepare("ml-1m-labels", raw, tmp_path, Options(), download=False)
    folder = tmp_path / "ml-1m-labels"
    assert record["counts"]["clicks"] == 1 and record["published"]["exposures"] == 1000209
    assert (folder / "ml-1m-labels.inter").read_text().splitlines()[1:] == [
        "1\t10\t978300760\t1\t5", "1\t20\t978302109\t0\t3", "2\t10\t978301968\t0\t2",
    ]  # fmt: skip
    assert (folder / "ml-1m-labels.item").read_text().splitlines() == [
        "item_id:token\trelease_year:token\tgenre:token_seq", "10\t1995\tDrama Film-Noir", "20\t\tComedy",
    ]  # fmt: skip
    assert (folder / "ml-1m-labels.user").read_text().splitlines()[1:] == ["1\tF\t1\t10", "2\tM\t56\t16"]
    assert not (folder / "ml-1m-labels.yaml").exists()  # the package has settings of that name
