"""Standings over data sets: against cases by hand, from records, and on pages that `verify` checks."""

import json
import shutil
from argparse import Namespace

import fake_runs
import numpy as np
import pytest
from tampering import change, tamper

from recbole_marn.errors import InputError
from recbole_marn.evaluation.record import read_records, run_name_of, sealed_text
from recbole_marn.leaderboard import across_page, verify
from recbole_marn.leaderboard.across import Standings, Task, standings_of
from recbole_marn.leaderboard.records import Folders
from recbole_marn.leaderboard.render import LeaderboardRequest, render


def standings(scores):
    scores = np.array(scores)
    names = tuple("ABCDEFGH"[: len(scores)])
    tasks = tuple(Task("data", f"part {t}", "UAUC", "uniform") for t in range(scores.shape[1]))
    return Standings(names, tasks, scores, {}, {}, {}, {}, {})


def test_ranks_wins_and_improvability_by_hand():
    found = standings([[0.9, 0.6], [0.8, 0.8], [0.8, 0.5]])
    assert found.ranks.tolist() == [[1, 2], [2.5, 1], [2.5, 3]]
    assert found.mean_rank.tolist() == [1.5, 1.75, 2.75]
    # A wins both on the first task and one on the second; B has a tie, which is half a win.
    assert found.win_rate.tolist() == [3 / 4, 2.5 / 4, 0.5 / 4]
    # Errors .1 .4, .2 .2, .2 .5; the best of each task makes .1 and .2.
    assert found.improvability == pytest.approx([(0 + 0.5) / 2, (0.5 + 0) / 2, (0.5 + 0.6) / 2])


def test_nobody_improves_on_a_row_without_errors():
    assert standings([[1.0, 1.0], [0.5, 1.0]]).improvability.tolist() == [0.0, 0.5]


def test_the_critical_difference_is_that_of_the_paper():
    """Demšar (JMLR 2006), section 3.2.4: four classifiers on 14 data sets."""
    assert standings(np.zeros((4, 14))).critical_difference == pytest.approx(1.25, abs=0.005)


def test_friedmans_test_by_its_formula():
    """12 N / (k (k + 1)) (sum of squared mean ranks - k (k + 1)^2 / 4), chi-squared, of two degrees exp(-x / 2)."""
    scores = np.array([[0.9, 0.8, 0.7, 0.9], [0.8, 0.7, 0.8, 0.6], [0.7, 0.6, 0.6, 0.5]])
    found = standings(scores)
    statistic = 12 * 4 / 12 * ((found.mean_rank**2).sum() - 3 * 16 / 4)
    assert found.friedman == pytest.approx(np.exp(-statistic / 2))
    assert np.isnan(standings([[0.9, 0.8], [0.8, 0.7]]).friedman)  # two rows: there is no such test


def test_wilcoxon_against_the_leader_after_holm():
    """Six tasks of one sign: 2 / 2^6, the least there is, times the two tests; a level row has p = 1."""
    base = np.linspace(0.5, 0.9, 6)
    found = standings([base, base, base - np.linspace(0.01, 0.06, 6)])
    assert np.isnan(found.against_leader[0])
    assert found.against_leader[1:] == pytest.approx([1.0, 2 * 2 / 2**6])


# ------------------------------------------------------------------------------------------------ records
@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two data sets: one has a row that the other lacks, and in one a search has chosen among two rows of a name."""
    out = tmp_path_factory.mktemp("two")
    for seed in (2020, 2021):
        for model in ("MARN", "DIN", "LR"):
            fake_runs.write_run(out, model, seed, dataset="one")
        for model in ("MARN", "DIN", "LR", "Popularity"):
            fake_runs.write_run(out, model, seed, dataset="two")
    tried = [fake_runs.settings_of("DIN", 2020, "two", learning_rate=rate) for rate in (0.001, 0.1)]
    names = [run_name_of(settings) for settings in tried]
    for seed in (2020, 2021):
        path = fake_runs.write_run(out, "DIN", seed, dataset="two", learning_rate=0.1)
        tuned = {"trials": 2, "space": {"learning_rate": [0.1]}, "chosen": names[1], "compared": names}
        path.write_text(sealed_text({**json.loads(path.read_text()), "tuned": tuned}))
    for name, settings, score in zip(names, tried, (0.61, 0.64), strict=True):
        trial = {"leaderboard": "trial", "format": 1, "run": name, "valid_score_bigger": True,
                 "best_valid_score": score, "settings": settings, "data": {"files": {}}}  # fmt: skip
        (Folders(out, "two").trials / f"{name}.json").write_text(sealed_text(trial))
    return out


@pytest.fixture
def page(two, tmp_path, capsys):
    """The folder with the pages, to tamper with."""
    out = tmp_path / "results"
    shutil.copytree(two, out)
    assert across_page.main(Namespace(out=out, datasets=None)) == 0
    assert json.loads(capsys.readouterr().out)["datasets"] == ["one", "two"]
    return out


def of(out, *datasets):
    folders = [Folders(out, dataset) for dataset in datasets]
    return standings_of(
        {folder.dataset: read_records(folder.records) for folder in folders},
        {folder.dataset: read_records(folder.trials, "trial") for folder in folders},
    )


def test_rows_that_both_have_the_tuned_one_of_two(two):
    found = of(two, "one", "two")
    assert sorted(found.names) == ["DIN", "LR", "MARN"] and found.names[0] == "MARN"
    assert [(task.dataset, task.sampling) for task in found.tasks] == [
        (dataset, sampling) for dataset in ("one", "two") for sampling in ("uniform", "popularity", "matched")
    ]
    assert found.left_out["one"] == ()
    assert sorted(found.left_out["two"]) == ["DIN (learning_rate=0.001)", "Popularity"]
    values = [
        record["metrics"]["test_matched"]["UAUC"]
        for record in read_records(Folders(two, "two").records)
        if record["settings"]["learning_rate"] == 0.1
    ]
    assert found.scores[found.names.index("DIN"), -1] == pytest.approx(np.mean(values))
    assert found.validation == {"one": {}, "two": {"DIN": (0.61, 0.64)}}


def test_what_is_not_compared_alike_is_told(two, page, tmp_path):
    """One seed of a row, a part that a row was not scored on, and rows of another split, copied there."""
    folder = Folders(page, "one").records
    first, second = sorted(folder.glob("LR-*.json"))
    second.unlink()
    tamper(first, True, lambda content: content["metrics"].pop("test_matched"))
    found = of(page, "one", "two")
    assert [task.part for task in found.tasks if task.dataset == "one"] == ["test", "test_popularity"]
    across_page.main(Namespace(out=page, datasets=None))
    text = (page / "across.md").read_text()
    assert "Left out, because not every row was scored on it, of one: matched." in text
    assert "Seeds of a row of one: 2; of LR 1." in text and "Seeds of a row of two" not in text
    shutil.copy(fake_runs.write_run(tmp_path / "other", "NAML", 2020, dataset="one", split="time"), folder)
    with pytest.raises(InputError, match="the same split. Got 'leave_last' in .* and 'time' in NAML"):
        of(page, "one", "two")
    assert any("the same split" in problem for problem in verify.verify_across(page).problems)


def test_a_row_of_one_data_set_takes_no_task_from_the_others(page):
    record = next(Folders(page, "two").records.glob("Popularity-*.json"))
    tamper(record, True, lambda content: content["metrics"].pop("test_matched"))
    assert len(of(page, "one", "two").tasks) == 6


def test_one_data_set_is_no_comparison(two, tmp_path):
    with pytest.raises(InputError, match="at least two data sets.*Got one"):
        of(two, "one")
    fake_runs.write_run(tmp_path, "Popularity", 2020, dataset="other")
    shutil.copytree(Folders(two, "one").records, Folders(tmp_path, "one").records)
    with pytest.raises(InputError, match="at least two rows that every data set has.*none in one, other"):
        of(tmp_path, "one", "other")


# --------------------------------------------------------------------------------------------------- page
def test_the_page_says_who_leads_and_what_was_left_out(page):
    text = (page / "across.md").read_text()
    assert "recbole-marn across . --datasets=one,two" in text
    assert text.count("MARN has the best mean rank (") == 1
    rate = text.split(" and wins ")[1].split(" of its comparisons")[0]
    assert f"| **{rate}** |" in text, "the sentence has the digits of the table"
    assert "of two: " in text and "Popularity" in text.split("Left out")[1]
    assert "| DIN | 0.6100 | 0.6400 | +0.0300 |" in text
    assert "6 tasks and 2 tests allow no value below 0.0625" in text
    html = (page / "across.html").read_text()
    assert html.count("<svg") == 1 and html.count("http") == 0


def test_verify_finds_what_was_altered(page):
    assert verify.verify_across(page).problems == []
    change(page / "across.md", f"{of(page, 'one', 'two').scores[0, 0]:.4f}", "0.9999")
    problems = verify.verify_across(page).problems
    assert len(problems) == 1 and "across.md: cell " in problems[0] and "says '" in problems[0]
    (page / "across.html").unlink()
    assert any("across.html: the table is missing" in problem for problem in verify.verify_across(page).problems)


def test_verify_finds_an_altered_record_and_an_altered_list(page):
    record = min(Folders(page, "one").records.glob("MARN-*.json"))
    tamper(record, True, lambda content: content["metrics"]["test"].update(UAUC=0.99))
    assert any("row 'MARN'" in problem for problem in verify.verify_across(page).problems)
    change(page / "records" / "across.json", '"two"', '"three"')
    assert any("digest" in problem or "altered" in problem for problem in verify.verify_across(page).problems)


def test_verify_of_a_folder_without_pages(two, page, capsys):
    assert verify.verify_across(two) is None
    (page / "records" / "across.json").unlink()  # the pages are there, and nobody knows of what
    assert any("across.json" in problem for problem in verify.verify_across(page).problems)


def test_the_command_verifies_the_pages_too(page, capsys):
    for dataset in ("one", "two"):
        render(LeaderboardRequest(dataset, out=page, resamples=20, show_progress=False))
    arguments = Namespace(out=page, dataset=None)
    assert verify.main(arguments) == 0
    assert "across data sets: " in capsys.readouterr().out
    change(page / "across.md", "MARN has the best mean rank", "DIN has the best mean rank")
    assert verify.main(arguments) == 2
    assert "across.md: line" in capsys.readouterr().err
