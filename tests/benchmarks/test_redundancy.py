"""The study of planted redundancy: that what is planted is there, and that table and map say what the runs do."""

import json

import numpy as np
import pytest
from recbole_marn.benchmarks import redundancy
from recbole_marn.benchmarks.redundancy_map import QUESTIONS, read_lines, write_map
from recbole_marn.benchmarks.redundant_data import Point, RedundantData, Sizes

from recbole_marn.errors import InputError
from recbole_marn.evaluation.metrics import uauc

SMALL = Sizes(
    users=60, items=120, training_clicks=5, validation_clicks=1, test_clicks=4, eval_negatives=5, factors=3, width=8
)


def vectors(point):
    """Both modalities of all items, side by side."""
    tables = RedundantData(point, sizes=SMALL).item_table.modalities
    return [tables[name].matrix for name in ("vector 1", "vector 2")]


@pytest.mark.parametrize(("share", "rank"), [(1.0, 3), (0.0, 6)])
def test_modalities_show_the_same_or_nothing_in_common(share, rank):
    first, second = vectors(Point(share, (0.0, 0.0)))
    assert np.linalg.matrix_rank(first, tol=1e-3) == np.linalg.matrix_rank(second, tol=1e-3) == 3
    assert np.linalg.matrix_rank(np.hstack([first, second]), tol=1e-3) == rank


def test_noise_is_of_its_own_modality():
    clean, noisy = vectors(Point(0.5, (0.0, 0.0))), vectors(Point(0.5, (0.0, 2.0)))
    assert np.array_equal(clean[0], noisy[0])
    assert np.std(noisy[1] - clean[1]) == pytest.approx(2.0, rel=0.1)
    assert np.std(clean[0]) == pytest.approx(1.0, rel=0.25)


def test_cold_items_come_with_the_test_part():
    data = RedundantData(Point(0.5, (1.0, 1.0), 0.5), sizes=SMALL)
    assert data.cold.sum() == 60
    for name in ("train", "valid"):
        rows = data.protocol.labelled(name)
        assert not data.cold[rows.columns(np.arange(rows.n_rows))["item"]].any()
    rows = data.part("test")
    found = rows.columns(np.arange(rows.n_rows))
    for label in (0, 1):
        assert data.cold[found["item"][found["label"] == label]].mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_taste_tells_clicks_at_every_share(share):
    data = RedundantData(Point(share), sizes=SMALL)
    rows = data.part("test")
    found = rows.columns(np.arange(rows.n_rows))
    liking = data.taste()
    assert liking.std() == pytest.approx(1.0, abs=0.25)
    assert uauc(found["user"], found["label"], liking[found["user"] - 1, found["item"] - 1]) > 0.8


def test_forms_differ_in_training_and_nowhere_else():
    """The game must reach the model: with lambda at zero throughout, it and the branch without it are the same."""
    data = RedundantData(Point(), sizes=SMALL)
    found = {form: redundancy.run_form("MARNPlus", form, data, 1, 3) for form in ("branch", "DDMA", "DDMA x10")}
    assert len({run["test"]["all"] for run in found.values()}) == 3
    again = redundancy.run_form("MARNPlus", "DDMA", data, 1, 3)
    assert {**again, "cpu_seconds": 0} == {**found["DDMA"], "cpu_seconds": 0}
    assert set(again["test"]) == {"all", "warm"}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(redundancy, "RedundantData", lambda point, seed: RedundantData(point, seed=seed, sizes=SMALL))


def test_a_run_goes_on_where_it_was_stopped(small, tmp_path):
    file = tmp_path / "deep" / "runs.jsonl"
    command = ["run", "--forms", "CONC", "MAF", "--epochs", "1", "--out", str(file), "--seeds"]
    redundancy.main([*command, "1"])
    whole = file.read_text()
    file.write_text(whole.splitlines()[0] + "\n" + whole.splitlines()[1][:40])  # killed while it wrote
    redundancy.main([*command, "2"])
    lines = read_lines([file])
    assert [(line["form"], line["seed"]) for line in lines] == [
        ("CONC", 2020), ("MAF", 2020), ("CONC", 2021), ("MAF", 2021),
    ]  # fmt: skip
    assert file.read_text().startswith(whole.splitlines()[0])
    assert lines[1]["test"] == json.loads(whole.splitlines()[1])["test"]


def test_a_job_a_point(capsys):
    redundancy.main(["jobs", "--out", "there", "--python", "python3"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(set(lines)) == 18
    assert lines[-1].endswith("--share 0.9 --noise 2 2 --cold 0.5 --seeds 5 --out there/MARNPlus-0.9-2-2-0.5.jsonl")


def fake(share, form, seed, uauc):
    point = {"share": share, "noise": [1.0, 2.0], "cold": 0.0}
    return {"model": "MARNPlus", "point": point, "form": form, "seed": seed, "test": {"all": uauc}, "cpu_seconds": 36}


def test_the_table_says_what_the_runs_do(tmp_path):
    """DDMA is ahead of the branch by .02 at one point, .01 at the other, each seed a little off: .015 in the mean."""
    lines = []
    for share, lead in ((0.1, 0.02), (0.9, 0.01)):
        for seed, off in enumerate((-0.001, 0.0, 0.001)):
            lines += [fake(share, "branch", seed, 0.7 + off), fake(share, "DDMA", seed, 0.7 + lead)]
    write_map(lines, tmp_path)
    page = (tmp_path / "redundancy.md").read_text()
    # Student's interval by hand: 4.3027 * .001 / sqrt(3)
    assert "| the game: DDMA − branch | +0.0150 | +0.0125 to +0.0175 | 0.001 | 2 of 2 | 0 |" in page
    assert "| 0.1 | 1, 2 | 0 | 0.7000 ± 0.0010 | **0.7200 ± 0.0000** |" in page
    assert "12 runs, 0.1 CPU hours" in page
    assert sum(question in page for question in QUESTIONS) == 1  # the others are of forms that were not run
    assert (tmp_path / "redundancy-MARNPlus.svg").read_text().count("DDMA") == 1


def test_a_gap_in_the_grid_is_named(tmp_path):
    lines = [fake(0.1, form, seed, 0.7) for form in ("branch", "DDMA") for seed in (1, 2)]
    with pytest.raises(InputError, match="1 missing.*'DDMA', 2"):
        write_map(lines[:-1], tmp_path)


@pytest.mark.parametrize("wrong", [{"share": 1.1}, {"cold": 0.95}, {"noise": ()}, {"noise": (-1.0,)}])
def test_a_point_that_cannot_be(wrong):
    with pytest.raises(InputError, match="a share from 0 to 1"):
        Point(**wrong)
