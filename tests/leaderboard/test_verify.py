"""Every tampering is found, and named."""

import json
import shutil
import time

import fake_runs
import numpy as np
import pytest
from tampering import change, first_record, problems, tamper

from recbole_marn.cli import main
from recbole_marn.evaluation.evidence import pack, unpack
from recbole_marn.evaluation.record import read_record, read_records, sealed_text
from recbole_marn.files import sha256
from recbole_marn.leaderboard.board import Board, rows_of_records
from recbole_marn.leaderboard.formats import FORMATS, parts_of_line, unmarked
from recbole_marn.leaderboard.records import Folders
from recbole_marn.leaderboard.render import LeaderboardRequest, render
from recbole_marn.leaderboard.verify import verify


def test_an_untouched_folder_holds(results):
    report = verify(results, "tiny")
    assert report.problems == []
    assert (report.records, report.from_scores, report.absent) == (8, 8, [])
    # 4 rows: 12 columns of results, 8 of each of 4 tables of tests, 3 of hyper-parameters; and 10 data set statistics.
    markdown = 4 * (12 + 4 * 8 + 3) + 2 * 10
    assert report.cells > 3 * markdown


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_changed_cell_is_named(results, suffix):
    path, folders = results / f"tiny.{suffix}", Folders(results, "tiny")
    board = Board(rows_of_records(read_records(folders.records)), read_record(folders.statistics, "statistics"))
    lines = FORMATS[suffix](board).split("\n")
    changed = 0
    for number, line in enumerate(lines):
        around, keys, texts = parts_of_line(line)
        for at, (key, text) in enumerate(zip(keys, texts, strict=True)):
            if not changed and key[1] == "LR" and key[2].startswith("UAUC") and "0." in text:
                changed, said, cell = number, text, key
                texts[at] = "0.9999"
                lines[number] = around[0] + "".join(f"{one}{two}" for one, two in zip(texts, around[1:], strict=True))
    path.write_text("\n".join(map(unmarked, lines)))
    table, row, column = cell
    assert problems(results) == [
        f"{path}: cell '{column}' of row 'LR' ({table}) says '0.9999', the records say '{said}'."
    ]


def test_several_changed_cells_and_rows_are_each_named(results):
    path = results / "tiny.md"
    lines = path.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("| DIN | 0."))
    cells = lines[at].split(" | ")
    cells[1], cells[4] = "0.1111", "0.2222"
    lines[at] = " | ".join(cells)
    lines.insert(at + 1, "| Winner | 0.99 |")
    path.write_text("\n".join(lines) + "\n")
    found = problems(results)
    assert [problem.split(": ")[1].split(",")[0] for problem in found[:2]] == [
        "cell 'UAUC uniform' of row 'DIN' (results) says '0.1111'", "cell 'AUC' of row 'DIN' (results) says '0.2222'"
    ]  # fmt: skip
    assert len(found) == 3 and "reads '| Winner | 0.99 |', the records say nothing" in found[2]


def test_a_table_of_another_length_takes_no_time(results):
    """A file cannot make the comparison long."""
    (results / "tiny.md").write_text("\n" * 1_000_000 + "x" * 1_000_000)
    started = time.perf_counter()
    assert problems(results)
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(("old", "new"), [("| DIN |", "| DEN |"), ("**", "")])
def test_a_changed_name_or_mark_in_the_markdown_is_found(results, old, new):
    change(results / "tiny.md", old, new)
    assert any("tiny.md" in problem for problem in problems(results))


@pytest.mark.parametrize(
    ("suffix", "old", "new"),
    [
        ("md", "split bbbbbbbbbbbb", "split cccccccccccc"),
        ("html", 'cx="', 'cx="1'),
        ("tex", "centering", "raggedright"),
    ],
)
def test_text_outside_the_cells_is_found_by_its_line(results, suffix, old, new):
    change(results / f"tiny.{suffix}", old, new)
    found = problems(results)
    assert len(found) == 1 and f"tiny.{suffix}: line " in found[0]


def test_a_removed_row_is_found(results):
    path = results / "tiny.csv"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("DIN,")))
    assert any("row 'DIN' (csv) says nothing" in problem for problem in problems(results))


def test_a_missing_table_is_found(results):
    (results / "tiny.tex").unlink()
    assert problems(results) == [f"{results / 'tiny.tex'}: the table is missing."]


@pytest.mark.parametrize("resealed", [False, True])
def test_a_changed_metric_of_a_record_is_named(results, resealed):
    """Also where the forger has sealed the record anew."""
    path = first_record(results)
    tamper(path, resealed, lambda record: record["metrics"]["test"].update(AUC=0.99))
    found = problems(results)
    assert any(f"Record {path.stem}: AUC of test is 0.99, its scores give 0." in problem for problem in found)
    assert resealed or any(str(path) in problem and "was altered" in problem for problem in found)


def test_a_changed_metric_is_found_without_the_scores(results):
    path = first_record(results)
    for file in Folders(results, "tiny").scores.glob("*.npz"):
        file.unlink()
    tamper(path, True, lambda record: record["metrics"]["test"].update(AUC=0.99))
    found = problems(results)
    assert any(f"Record {path.stem}: is not the one the tables were made from" in problem for problem in found)
    assert any("cell 'AUC' of row 'DIN'" in problem for problem in found)


@pytest.mark.parametrize("key", ["parameters", "seconds_per_epoch"])
def test_a_number_that_scores_cannot_tell_is_found(results, key):
    path = first_record(results)
    tamper(path, False, lambda record: record.update({key: 1}))
    assert any(str(path) in problem and "the record was altered" in problem for problem in problems(results))


def test_changed_settings_do_not_fit_the_name(results):
    path = first_record(results)
    tamper(path, True, lambda record: record["settings"].update(learning_rate=0.5))
    assert any(f"Record {path.stem}: its settings are those of DIN-tiny-2020-" in p for p in problems(results))


def test_a_changed_score_file_is_named(results):
    path = min(Folders(results, "tiny").scores.glob("DIN-*.npz"))
    with np.load(path) as file:
        content = dict(file)
    content["test_score"][0] += 0.001
    np.savez_compressed(path, **content)
    found = problems(results)
    assert len(found) == 1 and str(path) in found[0] and "the score file was altered" in found[0]


def test_a_score_file_forged_with_its_record_is_found(results):
    """Record and digest of the scores agree; the metrics, the statistics and the tables do not."""
    record = first_record(results)
    path = Folders(results, "tiny").scores / f"{record.stem}.scores.npz"
    with np.load(path) as file:
        content = dict(file)
    content["test_score"] = content["test_score"][::-1].copy()
    np.savez_compressed(path, **content)
    tamper(record, True, lambda content: content["scores"].update(sha256=sha256(path)))
    found = problems(results)
    assert any(f"Record {record.stem}: UAUC of test is" in problem for problem in found)
    assert any("is not the one the tables were made from" in problem for problem in found)


def test_a_changed_statistic_is_named(results):
    path = Folders(results, "tiny").statistics

    def edit(statistics):
        test = next(t for t in statistics["tests"] if (t["metric"], t["part"], t["row"]) == ("UAUC", "test", "LR"))
        test["p_holm"] = 0.5

    tamper(path, True, edit)
    found = problems(results)
    assert any("p_holm of UAUC test of LR against the best (MARN) is 0.5, recomputed" in problem for problem in found)


@pytest.mark.parametrize(("moved", "named"), [(0.005, False), (0.1, True)])
def test_a_drawn_p_value_may_differ_by_the_error_of_its_draws(results, moved, named):
    """Another version of numpy may draw other signs."""
    path = Folders(results, "tiny").statistics

    def edit(statistics):
        test = next(t for t in statistics["tests"] if (t["metric"], t["part"], t["row"]) == ("UAUC", "test", "LR"))
        test["p_sign_flip"] += moved if test["p_sign_flip"] < 0.5 else -moved

    tamper(path, True, edit)
    assert any("p_sign_flip of UAUC test of LR" in problem for problem in problems(results)) == named


def test_a_forged_interval_or_test_is_recomputed(results):
    path = Folders(results, "tiny").statistics

    def edit(statistics):
        statistics["intervals"]["LR"]["AUC test"][0] = 0.1
        next(t for t in statistics["tests"] if t["metric"] == "AUC" and t["row"] == "LR")["z"] = 9.0

    tamper(path, True, edit)
    found = problems(results)
    assert any("the low end of AUC test of LR is 0.1, recomputed" in problem for problem in found)
    assert any("z of AUC test of LR against the best (MARN) is 9.0, recomputed" in problem for problem in found)


def test_a_removed_record_is_named(results):
    path = first_record(results)
    path.unlink()
    assert any(problem == f"Record {path.stem}: is missing." for problem in problems(results))


def test_a_record_that_came_later_is_named(results):

    record = fake_runs.write_run(results, "DIN", 2029)
    assert any(f"Record {record.stem}: is not the one" in problem for problem in problems(results))


def test_without_scores_the_evidence_speaks_and_it_says_so(results, capsys):
    for file in Folders(results, "tiny").scores.glob("*.npz"):
        file.unlink()
    report = verify(results, "tiny")
    assert report.problems == [] and (report.from_scores, report.from_evidence, report.absent) == (0, 8, [])
    assert main(["verify", str(results)]) == 0
    assert "0 recomputed from their scores, 8 from their evidence, 0 taken from the record" in capsys.readouterr().out


def test_without_either_the_records_speak_and_it_says_so(results, capsys):
    fake_runs.forget_evidence(results)
    render(LeaderboardRequest("tiny", out=results, show_progress=False))
    for file in Folders(results, "tiny").scores.glob("*.npz"):
        file.unlink()
    report = verify(results, "tiny")
    assert report.problems == [] and report.from_evidence == 0 and len(report.absent) == 8
    assert main(["verify", str(results)]) == 0
    assert "0 from their evidence, 8 taken from the record, whose scores are not" in capsys.readouterr().out


def test_some_scores_absent(results):
    min(Folders(results, "tiny").scores.glob("DIN-*.npz")).unlink()
    report = verify(results, "tiny")
    assert report.problems == [] and (report.from_scores, report.from_evidence) == (7, 1)


def test_one_forged_sum_is_found(results):
    """Evidence, its digest, the record's own digest and the tables' agree; the metrics or the scores do not."""
    folders, path = Folders(results, "tiny"), first_record(results)
    evidence = folders.evidence / f"{path.stem}.npz.xz"
    parts = unpack(evidence.read_bytes())
    parts["test"].clusters["user"].doubled_wins[3] -= 1
    evidence.write_bytes(pack(parts))
    tamper(path, True, lambda record: record["evidence"].update(sha256=sha256(evidence)))
    assert any("its evidence is not that of its scores" in problem for problem in problems(results))
    (folders.scores / f"{path.stem}.scores.npz").unlink()
    assert any(f"Record {path.stem}: UAUC of test is" in problem for problem in problems(results))


def test_the_command_names_the_cell_and_ends_with_2(results, capsys):
    change(results / "tiny.csv", "MARN,2,", "MARN,3,")
    assert main(["verify", str(results)]) == 2
    captured = capsys.readouterr()
    assert "cell 'seeds' of row 'MARN' (csv) says '3', the records say '2'." in captured.err
    assert "1 problems" in captured.out


def test_folders_of_results_inside_are_checked_too(results, capsys):
    shutil.copytree(results, results / "converged")
    change(results / "converged" / "tiny.csv", "MARN,2,", "MARN,3,")
    assert main(["verify", str(results)]) == 2
    told = capsys.readouterr()
    assert "tiny: " in told.out.splitlines()[0] and "0 problems" in told.out.splitlines()[0]
    assert told.out.splitlines()[1].startswith("converged/tiny: ") and "1 problems" in told.out.splitlines()[1]
    shutil.rmtree(results / "records")
    assert main(["verify", str(results)]) == 2
    assert capsys.readouterr().out.startswith("converged/tiny: ")
    (results / "earlier").mkdir()
    shutil.move(results / "converged", results / "earlier" / "2020-03")
    assert main(["verify", str(results)]) == 2
    assert capsys.readouterr().out.startswith("earlier/2020-03/tiny: ")


def test_a_data_set_that_is_not_there(results, capsys):
    assert main(["verify", str(results), "--dataset=tinny"]) == 2
    assert "Got 'tinny'. There are tiny." in capsys.readouterr().err


def test_a_folder_without_records(tmp_path, capsys):
    assert main(["verify", str(tmp_path)]) == 2
    assert "Expected a results folder with records/<dataset>/" in capsys.readouterr().err


def test_a_chosen_trial_must_be_the_best(results):
    folders = Folders(results, "tiny")
    trial = {"leaderboard": "trial", "format": 1, "valid_score_bigger": True, "data": {"files": {}},
             "settings": {"model": "DIN", "dataset": "tiny", "seed": 2020}}  # fmt: skip
    for name, score in (("a", 0.7), ("b", 0.8)):
        (folders.trials / f"{name}.json").write_text(sealed_text({**trial, "run": name, "best_valid_score": score}))
    path = first_record(results)
    tuned = {"trials": 2, "space": {}, "compared": ["a", "b"], "chosen": "a"}
    tamper(path, True, lambda record: record.update(tuned=tuned))
    assert any(
        f"Record {path.stem}: trial a is not the best of its search." in problem for problem in problems(results)
    )
    assert any("Trial a: its settings are those of DIN-tiny-" in problem for problem in problems(results))
    said = {"chosen": "b", "trials": 3, "best_valid_score": 0.9}
    tamper(path, True, lambda record: record.update(tuned=tuned | said))
    for told in ("trials of its search is 3, not 2", "best_valid_score of its search is 0.9, not 0.8"):
        assert any(f"Record {path.stem}: {told}" in problem for problem in problems(results))
    (folders.trials / "b.json").unlink()
    assert any(f"Record {path.stem}: a trial of its search is missing" in problem for problem in problems(results))


def test_a_search_must_have_chosen_the_settings_that_were_trained(results):
    """The chosen trial is the best of its search, and of another rate than the record."""
    path = first_record(results)
    record = json.loads(path.read_text())
    trials = Folders(results, "tiny").trials
    trials.mkdir(exist_ok=True)
    settings = {**record["settings"], "learning_rate": 0.5}
    trial = {"leaderboard": "trial", "format": record["format"], "run": "other", "settings": settings,
             "best_valid_score": 0.9, "valid_score_bigger": True, "data": {"files": {}}}  # fmt: skip
    (trials / "other.json").write_text(sealed_text(trial))
    tamper(path, True, lambda record: record.update(tuned={"chosen": "other", "compared": ["other"]}))
    assert any("its settings are not those of trial other" in problem for problem in problems(results))


@pytest.mark.parametrize(
    "edit",
    [
        lambda record: record.pop("scores"),
        lambda record: record["settings"].pop("model"),
        lambda record: record.update(parameters=None),
        lambda record: record.update(data=None),
    ],
)
def test_an_altered_file_may_lack_anything(results, edit):
    tamper(first_record(results), False, edit)
    assert problems(results)


def test_statistics_without_a_baseline_and_a_table_that_is_no_text(results):
    tamper(Folders(results, "tiny").statistics, False, lambda statistics: statistics.pop("baseline"))
    (results / "tiny.csv").write_bytes(b"\xff\xfe")
    assert problems(results)


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda record: record.update(model="MARN"), "its model is 'MARN', 'DIN' in its settings"),
        (lambda record: record.update(seed=2029), "its seed is 2029, 2020 in its settings"),
        (lambda record: record["metrics"].pop("test_matched"), "no metrics of test_matched, of which it has evidence"),
        (lambda record: record["data"].update(test_rows=9), "9 rows of test, its evidence is of 200"),
        (lambda record: record["data"]["users_scored"].update(test=9), "9 users of test, its evidence is of 40"),
        (lambda record: record["history"][1].update(valid_score=0.99), "the best UAUC of its learning curve is 0.99"),
    ],
    ids=["model", "seed", "a part left out", "rows", "users", "learning curve"],
)
@pytest.mark.parametrize("scores", [True, False])
def test_a_record_that_contradicts_itself_is_named(results, edit, named, scores):
    """Sealed anew, and the tables made of it: nothing else shows it."""
    tamper(first_record(results), True, edit)
    render(LeaderboardRequest("tiny", out=results, show_progress=False))
    if not scores:
        for file in Folders(results, "tiny").scores.glob("*.npz"):
            file.unlink()
    assert named in problems(results)[0]


@pytest.mark.parametrize("key", ["confidence", "dataset"])
def test_another_confidence_or_data_set_on_the_page_is_named(results, key):
    folders = Folders(results, "tiny")
    tamper(folders.statistics, True, lambda statistics: statistics.update({key: {"confidence": 0.8}.get(key, "huge")}))
    board = Board(rows_of_records(read_records(folders.records)), read_record(folders.statistics, "statistics"))
    for suffix, marked in FORMATS.items():
        folders.table(suffix).write_text(unmarked(marked(board)))
    found = problems(results)
    assert len(found) == 1 and f"{key} is" in found[0]


@pytest.mark.parametrize("folder", [True, False])
def test_tables_without_records_do_not_hold(results, folder, capsys):
    folders = Folders(results, "tiny")
    shutil.copytree(folders.records, folders.records.with_name("other"))
    shutil.rmtree(folders.records)
    if folder:
        folders.records.mkdir()
    assert main(["verify", str(results), "--dataset=tiny"]) == 2
    assert "there are no records" in capsys.readouterr().err
