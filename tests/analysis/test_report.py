"""The command from end to end: sections, files, bad input, and that nothing is half written."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import planted_log
import pytest
import tiny
from PIL import Image

from recbole_marn import cli
from recbole_marn.analysis import adversary, report
from recbole_marn.analysis.sections import cases, separation
from recbole_marn.analysis.subject import load_subject
from recbole_marn.errors import InputError
from recbole_marn.quick_start import run
from recbole_marn.training import checkpoint


@pytest.fixture(scope="module", autouse=True)
def _small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adversary, "PROBED", 40)
        patch.setattr(adversary, "MLP_STEPS", 5)
        patch.setattr(separation, "DRAWN", 8)
        patch.setattr(separation, "POINTS", 30)
        yield


@pytest.fixture(scope="module")
def runs(_small, data_path, tmp_path_factory):
    """Checkpoints of a MARN with reports on its adversary, and of two others on the same rows."""
    folder = str(tmp_path_factory.mktemp("saved"))
    given = {"epochs": 2, "checkpoint_dir": folder}
    models = {"MARN": {"probe_every": 3}, "BaseModelIDs": {}, "DIN": {}}
    return {
        name: run(name, "tiny", config_dict=tiny.settings(data_path, name, **given, **more))
        for name, more in models.items()
    }


def analyzed(capsys, *arguments, code=0):
    assert cli.main(["analyze", *map(str, arguments)]) == code
    told = capsys.readouterr()
    return told.err if code else json.loads(told.out.strip().splitlines()[-1])


class Page(HTMLParser):
    """What a page loads from elsewhere, and its open elements."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.ids = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.loaded += [value for key, value in given.items() if key in ("src", "srcset", "data") and value]
        self.loaded += [given["href"]] if tag in ("link", "image") and "href" in given else []
        self.ids += [given["id"]] if "id" in given and tag == "section" else []


@pytest.mark.thorough
def test_every_section_comes_with_numbers_and_pictures(runs, capsys, tmp_path, pdf):
    out = tmp_path / "out"
    told = analyzed(
        capsys, runs["MARN"]["checkpoint"], "--against", runs["BaseModelIDs"]["checkpoint"], runs["DIN"]["checkpoint"],
        "--out", out, "--part", "test",
    )  # fmt: skip
    made = {name for name, what in told["sections"].items() if what == "made"}
    assert made >= set(report.SECTIONS) - {"cold"} and told["against"] == ["BaseModelIDs", "DIN"]
    text = (out / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.ids == list(report.SECTIONS)
    assert not [value for value in page.loaded if not value.startswith("data:")], "the page needs no other file"
    assert "url(http" not in text and "@import" not in text
    for section in made:
        pictures = [path for path in out.glob(f"{section}.*.svg")]
        assert pictures or section == "cases"
        for path in pictures:
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
            assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert list(out.glob(f"{section}.*.csv"))
    for path in out.glob("*.csv"):
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        assert len(rows) > 1 and {len(row) for row in rows} == {len(rows[0])}, path.name
    assert len(list(out.iterdir())) == told["files"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], "nothing is left beside it"
    assert (out / "separation.training_1.svg").exists(), "probe_every kept reports"


def test_the_same_command_gives_the_same_files(runs, capsys, tmp_path, pdf):
    for name in ("a", "b"):
        wanted = ["--sections", "attention,cases", "--out", tmp_path / name]
        analyzed(capsys, runs["MARN"]["checkpoint"], *wanted)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in set(files) - {"report.html"}:  # which names the command
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_a_checkpoint_is_read_once(runs, monkeypatch):
    read, load = [], checkpoint.load
    monkeypatch.setattr(checkpoint, "load", lambda path, **how: read.append(path) or load(path, **how))
    found = load_subject(runs["MARN"]["checkpoint"], "test")
    assert read == [runs["MARN"]["checkpoint"]]
    assert [epoch["epoch"] for epoch in found.history] == [0, 1] and found.kept in (1, 2)


def test_one_section_can_be_asked_for(runs, capsys, tmp_path):
    told = analyzed(capsys, runs["MARN"]["checkpoint"], "--out", tmp_path / "o", "--sections", "cases")
    assert told["sections"] == {"cases": "made"}
    assert {path.name.split(".")[0] for path in (tmp_path / "o").iterdir()} == {"report", "models", "cases"}


def test_a_model_without_the_parts_is_told_so_and_the_other_sections_come(runs, capsys, tmp_path):
    wanted = "popularity,attention,separation,calibration,cases"
    told = analyzed(capsys, runs["DIN"]["checkpoint"], "--out", tmp_path / "o", "--sections", wanted)
    for name in ("attention", "separation"):
        assert told["sections"][name].startswith("Expected a"), told["sections"][name]
    for name in ("popularity", "calibration", "cases"):
        assert told["sections"][name] == "made"
    text = (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    assert text.count("This section cannot be made.") == sum(what != "made" for what in told["sections"].values())


def test_where_no_section_can_be_made_nothing_is_written(runs, capsys, tmp_path):
    err = analyzed(
        capsys, runs["DIN"]["checkpoint"], "--out", tmp_path / "o", "--sections", "attention,separation", code=2
    )
    assert "a section that can be made" in err and "attention: Expected" in err
    assert not (tmp_path / "o").exists()


def test_a_model_on_other_rows_is_left_out_and_that_is_said(runs, capsys, tmp_path, data_path):
    other = run("MARN", "tiny", config_dict=tiny.settings(data_path, epochs=1, sample_seed=3))["checkpoint"]
    told = analyzed(
        capsys, runs["MARN"]["checkpoint"], "--against", other, "--out", tmp_path / "o", "--sections", "popularity"
    )
    assert told["against"] == []
    assert any("is left out: it is of other rows" in note for note in told["notes"])
    assert "is left out: it is of other rows" in (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    assert not (tmp_path / "o" / "popularity.gaps.csv").exists()


def test_two_runs_of_a_model_have_names_of_their_own(runs, capsys, tmp_path, data_path):
    twin = run("MARN", "tiny", config_dict=tiny.settings(data_path, epochs=1, seed=7))["checkpoint"]
    told = analyzed(
        capsys, runs["MARN"]["checkpoint"], "--against", twin, "--out", tmp_path / "o", "--sections", "popularity"
    )
    assert told["against"] == [f"MARN {Path(twin).stem}"]
    err = analyzed(
        capsys, runs["MARN"]["checkpoint"], "--against", twin, twin, "--out", tmp_path / "p", code=2
    )
    assert "each checkpoint once" in err


def test_an_untrained_model_is_told_so(runs, capsys, tmp_path, monkeypatch):
    content = checkpoint.load(runs["MARN"]["checkpoint"])
    untrained = Path(runs["MARN"]["checkpoint"]).with_name("untrained.pth")
    checkpoint.save(untrained, content | {"history": []})
    told = analyzed(capsys, untrained, "--out", tmp_path / "o", "--sections", "convergence,cases")
    assert told["sections"]["convergence"].startswith("Expected a trained model")
    assert any("no finished epoch behind it" in note for note in told["notes"])
    text = (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    assert "no finished epoch behind it" in text


def test_a_model_at_chance_is_told_so(runs, capsys, tmp_path):
    """Twelve test clicks tell nobody from chance."""
    told = analyzed(capsys, runs["MARN"]["checkpoint"], "--out", tmp_path / "o", "--sections", "cases")
    assert any("no better than chance does" in note for note in told["notes"])


def test_a_category_of_one_item_is_told_so(capsys, tmp_path):
    folder = tiny.write_dataset(tmp_path, name="lonely")
    items = folder / "lonely.item"
    lines = items.read_text(encoding="utf-8").splitlines()
    fields = lines[5].split("\t")
    lines[5] = "\t".join([fields[0], "<b>unique</b>", *fields[2:]])
    items.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = run("MARN", "lonely", config_dict=tiny.settings(tmp_path, dataset="lonely", epochs=1))["checkpoint"]
    told = analyzed(capsys, path, "--out", tmp_path / "o", "--sections", "attention,cases")
    assert set(told["sections"].values()) == {"made"}
    text = (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    assert "Categories of one item" in text and "&lt;b&gt;unique" in text and "<b>unique" not in text


def test_every_section_but_the_games_comes_for_a_log(capsys, tmp_path):
    planted_log.write(tmp_path, planted_log.exposures(n_requests=200))
    given = planted_log.settings(tmp_path, epochs=1)
    path = run(config_dict=given)["checkpoint"]
    wanted = "popularity,attention,cases"
    told = analyzed(capsys, path, "--out", tmp_path / "o", "--sections", wanted)
    assert set(told["sections"].values()) == {"made"}
    with open(tmp_path / "o" / "attention.worth.csv", encoding="utf-8") as file:
        rows = {(row["measure"], row["modality"]): float(row["accuracy"]) for row in csv.DictReader(file)}
    shapley = sum(value for (measure, _), value in rows.items() if measure == "Shapley")
    assert shapley == pytest.approx(rows["accuracy with all", ""] - rows["accuracy with none", ""], abs=1e-6)


def test_photos_are_small_pictures_in_the_page(runs, capsys, tmp_path):
    photos = tmp_path / "photos" / "deep"
    photos.mkdir(parents=True)
    for token in tiny.item_tokens(25):
        Image.new("RGB", (900, 300), "red").save(photos / f"{token}.png")
    (photos / "001.png").write_text("no picture")
    analyzed(
        capsys, runs["MARN"]["checkpoint"], "--out", tmp_path / "o", "--sections", "cases", "--photos", photos.parent
    )
    text = (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    found = re.findall(r'src="(data:image/jpeg;base64,[^"]*)"', text)
    assert len(found) > 20 and all(len(one) < 4_000 for one in found)
    assert "photos could not be read" in text


def test_users_whose_photos_are_shown_come_first(runs, capsys, tmp_path, monkeypatch):
    for name, value in {"USERS": 3, "HISTORY": 1, "RANKED": 1, "PHOTOS": 2}.items():
        monkeypatch.setattr(cases, name, value)
    photos = tmp_path / "photos"
    photos.mkdir()
    for token in tiny.item_tokens(25)[::2]:
        Image.new("RGB", (9, 3), "red").save(photos / f"{token}.png")
    analyzed(capsys, runs["MARN"]["checkpoint"], "--out", tmp_path / "o", "--sections", "cases", "--photos", photos)
    text = (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    shown = [one.count("data:image/jpeg") for one in text.split('class="case"')[1:]]
    assert len(shown) == 3 and min(shown) >= 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sections", "poplarity"], "Did you mean 'popularity'?"),
        (["--sections", ","], "at least one of --sections"),
        (["--pairs", "0"], "--pairs of 1 or more"),
        (["--against", "nowhere.pth"], "nowhere.pth, which does not exist"),
        (["--photos", "nowhere", "--sections", "cases"], "a folder of photos"),
        (["--field", "categroy", "--sections", "attention"], "Did you mean 'category'?"),
        (["--field", "categroy", "--sections", "attention,calibration"], "Did you mean 'category'?"),
        (["--photos", "nowhere", "--sections", "cold"], "the section cases for --photos, which no other reads. Got"),
        (["--records", "nowhere", "--sections", "cold"], "the section convergence for --records"),
        (["--pairs", "5", "--sections", "cases"], "the section cold for --pairs"),
        (["--records", "nowhere", "--sections", "convergence"], "records of runs in nowhere"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(runs, capsys, tmp_path, arguments, said):
    assert said in analyzed(capsys, runs["MARN"]["checkpoint"], "--out", tmp_path / "o", *arguments, code=2)
    assert not (tmp_path / "o").exists()


def test_a_folder_with_files_is_replaced_only_when_asked(runs, capsys, tmp_path):
    out = tmp_path / "o"
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    given = [runs["MARN"]["checkpoint"], "--out", out, "--sections", "cases"]
    assert "pass --overwrite" in analyzed(capsys, *given, code=2)
    assert "a folder of other files" in analyzed(capsys, *given, "--overwrite", code=2)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "report.html").write_text("of another run")
    analyzed(capsys, *given, "--overwrite")
    assert "of another run" not in (out / "report.html").read_text()
    assert not (out / "mine.txt").exists() and (out / "report.html").exists()


def test_a_report_that_fails_leaves_nothing_behind(runs, capsys, tmp_path, monkeypatch):
    def broken(table):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "_csv", broken)
    analyzed(capsys, runs["MARN"]["checkpoint"], "--out", tmp_path / "o", "--sections", "cases", code=2)
    assert not (tmp_path / "o").exists()


def test_a_fault_of_ours_is_no_missing_section(runs, tmp_path, monkeypatch):
    def broken(context):
        raise ZeroDivisionError

    monkeypatch.setitem(report.SECTIONS, "cases", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["analyze", runs["MARN"]["checkpoint"], "--out", str(tmp_path / "o"), "--sections", "cases"])


def test_without_matplotlib_the_extra_is_named(runs, capsys, tmp_path, monkeypatch):
    from recbole_marn.plots import style

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(style.importlib, "import_module", missing)
    with pytest.raises(InputError, match="plots"):
        style.matplotlib()
