"""Click logs in their official layouts: MIND and OBD."""

import csv
import gzip

import pytest
from prepare.raw_files import read_back

from recbole_marn.errors import InputError
from recbole_marn.prepare.datasets.mind import _seconds
from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.report import render
from recbole_marn.prepare.sources import Options

# --- MIND ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mind(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "behaviors.tsv").write_text(
        "1\tU1\t11/12/2019 2:14:46 PM\tN5 N1 N5\tN1-0 N2-1\n"
        "2\tU1\t11/13/2019 12:00:01 AM\tN5 N1 N5 N2\tN3-0 N2-0\n"
        "3\tU2\t11/11/2019 12:30:00 PM\t\tN2-1\n"
    )
    (raw / "news.tsv").write_text(
        'N1\tnews\tworld\tThe "quoted\tAn abstract\turl\t[]\t[]\nN2\tsports\tsoccer\tA goal\t\t\t[]\t[]\n'
        "N9\tnews\tx\tNever shown\t\t\t[]\t[]\n"
    )
    return raw


def test_mind_rows_histories_and_news(tmp_path, mind):
    record = prepare("mind", mind, tmp_path / "out", Options())
    files, settings = read_back(tmp_path / "out" / "mind", "mind")
    assert [tuple(row.values()) for row in files["inter"]] == [
        ("U1", "N1", "1573568086", "0", "1"), ("U1", "N2", "1573568086", "1", "1"),
        ("U1", "N3", "1573603201", "0", "2"), ("U1", "N2", "1573603201", "0", "2"),
        ("U2", "N2", "1573475400", "1", "3"),
    ]  # fmt: skip
    # the first impression's history, oldest first: a later one would hold the click on N2 that row 2 is to predict
    assert [tuple(row.values()) for row in files["behaviours"]] == [("U1", "N5"), ("U1", "N1"), ("U1", "N5")]
    assert list(files["behaviours"][0]) == ["user_id", "item_id"], "no times inside"
    items = {row["item_id"]: row for row in files["item"]}
    assert list(items) == ["N1", "N2", "N3", "N5"]
    assert items["N1"] == {"item_id": "N1", "category": "news", "subcategory": "world", "title": "the quoted"}
    assert items["N5"]["title"] == ""
    assert record["counts"] == {
        "users": 2, "items": 3, "exposures": 5, "clicks": 2, "requests": 3, "behaviours": 3
    }  # fmt: skip
    assert any("1 impressions have another history" in note for note in record["notes"])
    assert settings["label"] == {"field": "label"} and settings["request"] == {"field": "request_id"}
    assert settings["behaviours"] == {"file": "mind.behaviours"} and settings["behaviour"] == {
        "kind": None,
        "time": None,
    }
    assert "position" not in settings and "context" not in settings
    assert "click rate: 40.000%" in render(record) and "without a click: 1; all clicked: 1" in render(record)


def test_mind_in_two_folders_keeps_impressions_apart(tmp_path, mind):
    for folder in ("MINDsmall_train", "MINDsmall_dev"):
        (mind / folder).mkdir()
        for name in ("behaviors.tsv", "news.tsv"):
            (mind / folder / name).write_bytes((mind / name).read_bytes())
    for name in ("behaviors.tsv", "news.tsv"):
        (mind / name).unlink()
    record = prepare("mind", mind, tmp_path / "out", Options())
    files, _ = read_back(tmp_path / "out" / "mind", "mind")
    assert {name: count["lines"] for name, count in record["read"].items() if name.endswith("behaviors.tsv")} == {
        "MINDsmall_train/behaviors.tsv": 3, "MINDsmall_dev/behaviors.tsv": 3
    }  # fmt: skip
    assert record["counts"]["requests"] == 6 and record["checks"]["shown_twice"] == 0
    assert {row["split"] for row in files["inter"]} == {"MINDsmall_train", "MINDsmall_dev"}
    assert files["inter"][0]["request_id"] == "MINDsmall_dev-1"


def test_a_zipped_copy_beside_its_file_is_not_read_again(tmp_path, mind):
    (mind / "behaviors.tsv.gz").write_bytes(gzip.compress((mind / "behaviors.tsv").read_bytes()))
    assert prepare("mind", mind, tmp_path / "out", Options())["counts"]["exposures"] == 5
    (mind / "behaviors.tsv").unlink()
    assert prepare("mind", mind, tmp_path / "zipped", Options())["counts"]["exposures"] == 5


@pytest.mark.parametrize("name", ["behaviors.tsv", "news.tsv"])
def test_lines_that_are_no_text_are_counted(tmp_path, mind, name):
    with open(mind / name, "ab") as file:
        file.write("9\tU9\tcaf\xe9\tGr\xfc\xdfe\t\n".encode("latin-1"))
    with pytest.raises(InputError, match="1 x not utf-8.*first in line 4"):
        prepare("mind", mind, tmp_path / "out", Options())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("4\tU3\t2019-11-12\t\tN1-0", "time is not such as"), ("4\tU3\t13/01/2019 1:00:00 AM\t\tN1-0", "time is not"),
        ("4\tU3\t11/12/2019 2:14:46 PM\t\tN1-2", "items shown are not"),
        ("4\tU3\t11/12/2019 2:14:46 PM\tN1", "not imp"),
        ("4\t\t11/12/2019 2:14:46 PM\t\tN1-0", "missing id"), ("4\tU3\t11/12/2019 2:14:46 PM\t\t", "items shown are"),
    ],
)  # fmt: skip
def test_odd_impressions_are_counted(tmp_path, mind, line, reason):
    with open(mind / "behaviors.tsv", "a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=f"1 x {reason}.*first in line 4"):
        prepare("mind", mind, tmp_path / "out", Options())


def test_impressions_without_labels_are_left_out_with_a_note(tmp_path, mind):
    with open(mind / "behaviors.tsv", "a") as file:
        file.write("4\tU3\t11/12/2019 2:14:46 PM\tN1\tN1 N2\n")
    record = prepare("mind", mind, tmp_path / "out", Options())
    assert record["counts"]["exposures"] == 5 and "1 impressions have no labels and are left out" in record["notes"]


def test_a_part_without_any_label_is_told(tmp_path, mind):
    (mind / "behaviors.tsv").write_text("4\tU3\t11/12/2019 2:14:46 PM\tN1\tN1 N2\n")
    with pytest.raises(InputError, match="shown with -0 or -1 in .*behaviors.tsv. Got 1 impressions without labels"):
        prepare("mind", mind, tmp_path / "out", Options())


def test_titles_that_are_cut_are_counted(tmp_path, mind):
    record = prepare("mind", mind, tmp_path / "out", Options(title_words=1))
    titles = [line.split("\t")[3] for line in (mind / "news.tsv").read_text().splitlines()]
    cut = sum(len(title.split()) > 1 for title in titles)
    assert cut and f"{cut} titles were cut to 1 words" in record["notes"]


def test_the_american_clock():
    assert _seconds("11/9/2019 12:00:00 AM") == 1573257600 and _seconds("11/9/2019 12:00:00 PM") == 1573300800
    assert _seconds("11/9/2019 13:00:00 PM") is None and _seconds("2/30/2019 1:00:00 PM") is None


# --- OBD -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def obd(tmp_path):
    for policy in ("random", "bts"):
        place = tmp_path / "raw" / policy / "all"
        place.mkdir(parents=True)
        names = ["", "timestamp", "item_id", "position", "click", "propensity_score"]
        names += [f"user_feature_{n}" for n in range(4)] + [f"user-item_affinity_{n}" for n in range(3)]
        rows = [[k, f"2019-11-24 00:00:{k:02d}.5+00:00", k % 3, k % 3 + 1, int(k == 4), 0.25, *"abcd", 1, 2.5, 3]
                for k in range(6)]  # fmt: skip
        with open(place / "all.csv", "w", newline="") as file:
            csv.writer(file).writerows([names, *rows])
        with open(place / "item_context.csv", "w", newline="") as file:
            rows = [["", "item_id", *(f"item_feature_{n}" for n in range(4))]]
            csv.writer(file).writerows(rows + [[n, n, -0.5, "x", "y", "z"] for n in range(3)])
    return tmp_path / "raw"


def test_obd_has_position_propensity_and_no_users(tmp_path, obd):
    record = prepare("obd", obd, tmp_path / "out", Options())
    files, settings = read_back(tmp_path / "out" / "obd", "obd")
    row = files["inter"][4]
    assert (row["timestamp"], row["label"], row["position"], row["affinity"]) == ("1574553604.5", "1", "2", "2.5")
    assert (row["policy"], row["propensity_score"], row["user_feature_3"]) == ("random", "0.25", "d")
    assert len({row["user_id"] for row in files["inter"]}) == 12 and record["counts"]["users"] == 0
    assert "behaviours" not in files and "user" not in files and len(files["item"]) == 3
    assert files["item"][0]["item_feature_0"] == "-0.5"
    assert list(settings["context"]["fields"]) == [
        "position", *(f"user_feature_{n}" for n in range(4)), "affinity"
    ], "what the policy did is no feature"  # fmt: skip
    assert settings["position"] == {"field": "position", "at_serving": 1} and "request" not in settings
    assert any("no histories" in note for note in record["notes"])


def test_obd_of_one_policy(tmp_path, obd):
    (obd / "bts" / "all" / "all.csv").unlink()
    assert prepare("obd", obd, tmp_path / "out", Options())["counts"]["exposures"] == 6
    (obd / "random" / "all" / "all.csv").unlink()
    with pytest.raises(InputError, match="open_bandit_dataset.zip"):
        prepare("obd", obd, tmp_path / "again", Options())
