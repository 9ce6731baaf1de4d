"""What the user asked for is done, or refused."""

import numpy as np
import pytest
from prepare.raw_files import vectors

from recbole_marn.errors import InputError
from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.sources import Options


@pytest.fixture
def log(tmp_path):
    (tmp_path / "shown.csv").write_text("user_id,item_id,timestamp,label\n" + "a,1,1700000000,1\nb,2,1700000001,0\n")
    (tmp_path / "items.csv").write_text("item_id,title\n1,Red belt\n2,Blue belt\n")
    return {"exposures": tmp_path / "shown.csv", "items": tmp_path / "items.csv"}


def test_a_log_gets_word_vectors(tmp_path, log):
    (tmp_path / "w.txt").write_text("red 1 2\nbelt 3 4\n")
    options = Options(**log, word_vectors=str(tmp_path / "w.txt"))
    record = prepare("custom", tmp_path, tmp_path / "out", options, name="feed")
    assert set(vectors(tmp_path / "out" / "feed", "words")) == {"red", "belt"}
    assert record["vectors"]["words"] == {"encoder": "w.txt", "count": 2, "width": 2, "missing": 1}


def test_a_log_is_no_table_for_min_interactions(tmp_path, log):
    with pytest.raises(InputError, match="--min-interactions with a table of clicks"):
        prepare("custom", tmp_path, tmp_path / "out", Options(**log, min_interactions=5), name="feed")


def test_official_files_have_a_unit_of_their_own(tmp_path):
    with pytest.raises(InputError, match="--time-unit with `custom` only. Got ml-1m"):
        prepare("ml-1m", tmp_path, tmp_path / "out", Options(time_unit="ms"), download=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_ids": "photos.ids"}, "--images ARRAY with --image-ids"),
        ({"encoder": "vgg16"}, "photos for --encoder. Got none"),
        ({"encoder_weights": "w.pt", "images": "none"}, "photos for --encoder-weights"),
        ({"encoder": "vgg16", "images": "photos.npy"}, "photos for --encoder"),
    ],
)
def test_what_is_said_of_photos_wants_photos(tmp_path, log, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    np.save("photos.npy", np.ones((2, 3), np.float32))
    (tmp_path / "photos.ids").write_text("1\n2\n")
    with pytest.raises(InputError, match=message):
        prepare("custom", tmp_path, tmp_path / "out", Options(**log, **options), name="feed")


def test_the_length_of_titles_wants_titles(tmp_path, log):
    prepare("custom", tmp_path, tmp_path / "out", Options(**log, title_words=1), name="feed")
    log["items"].write_text("item_id,category\n1,belt\n2,belt\n")
    with pytest.raises(InputError, match="titles or lists of the items for --title-words. Got none"):
        prepare("custom", tmp_path, tmp_path / "out", Options(**log, title_words=1), name="bare")
