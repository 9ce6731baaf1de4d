"""Tables show what the records say, the same in every format, in one file that needs no other."""

import csv
import dataclasses
import io
import json
import math
import re
import xml.etree.ElementTree as ElementTree

import fake_runs
import numpy as np
import pytest

from recbole_marn.errors import InputError
from recbole_marn.leaderboard.board import board_of, p_value, rows_of_records, spread
from recbole_marn.leaderboard.build import Request, render
from recbole_marn.leaderboard.page import page
from recbole_marn.leaderboard.records import Folders, read_record, read_records
from recbole_marn.leaderboard.render import FORMATS
from recbole_marn.leaderboard.svg import Curve, Interval, Point, curves_plot, interval_plot, scatter_plot
from recbole_marn.leaderboard.texts import cells_of_latex, cells_of_markdown, latex, markdown


def board(out):
    folders = Folders(out, "tiny")
    return board_of(read_records(folders.records), read_record(folders.statistics, "statistics"))


@pytest.fixture(scope="module")
def shown(finished):
    return board(finished)


def values(finished, model, metric, part="test"):
    records = [record for record in read_records(Folders(finished, "tiny").records) if record["row"] == model]
    return [record["metrics"][part][metric] for record in records]


def test_headings_are_those_of_the_recbole_family(finished):
    text = (finished / "tiny.md").read_text()
    headings = [line for line in text.splitlines() if re.match("##? ", line)]
    assert headings == ["# tiny", "## Experimental Setting", "## Dataset Statistics", "## Evaluation Results",
                        "## Hyper-parameters"]  # fmt: skip
    assert "recbole-marn leaderboard --dataset=tiny --seeds=5 --resamples=50\n" in text.split("## ")[0]


def test_cells_are_the_means_over_seeds(finished, shown):
    cells = cells_of_markdown((finished / "tiny.md").read_text(), shown.tables)
    for column, metric, part in [("UAUC uniform", "UAUC", "test"), ("UAUC matched", "UAUC", "test_matched"),
                                 ("UAUC popularity", "UAUC", "test_popularity"), ("AUC", "AUC", "test"),
                                 ("LogLoss", "LogLoss", "test"), ("ECE", "ECE", "test")]:  # fmt: skip
        found = values(finished, "LR", metric, part)
        deviation = "" if metric == "ECE" else f" ± {np.std(found, ddof=1):.4f}"
        assert cells["results", "LR", column].strip("*") == f"{np.mean(found):.4f}{deviation}"
    assert cells["results", "LR", "Parameters"] == "3,000" and cells["results", "LR", "s/epoch"] == "1.50"


def test_every_format_shows_the_same_cells(finished, shown):
    read = {suffix: FORMATS[suffix][1]((finished / f"tiny.{suffix}").read_text(), shown.tables) for suffix in FORMATS}
    plain = {key: text.strip("*") for key, text in read["md"].items()}
    names = {**{f"**{label}**": label for label in ("MARN",)}}
    plain = {(t, names.get(r, r), c): text for (t, r, c), text in plain.items()}
    assert plain == read["html"]
    for table, row, column in read["tex"]:
        tex = read["tex"][table, row, column]
        clean = re.sub(r"\\textbf\{(.*)\}", r"\1", tex).replace(r"$\pm$", "±").replace("$<$", "<").replace(r"\%", "%")
        clean = clean.replace("--", "–")
        assert clean == plain[table, row, column.replace(r"$\Delta$", "Δ").replace(r"\%", "%")]
    line = next(csv.DictReader(io.StringIO((finished / "tiny.csv").read_text())))
    assert line["row"] == "MARN"
    assert float(line["AUC uniform"]) == pytest.approx(np.mean(values(finished, "MARN", "AUC")), rel=1e-7)


def test_best_cells_are_marked(shown):
    names = shown.results.columns
    marked = {name: [row[0].text for row in shown.results.rows if row[at].best] for at, name in enumerate(names)}
    assert marked["UAUC uniform"] == ["MARN"]
    loss = {row.label: np.mean([r["metrics"]["test"]["LogLoss"] for r in row.records]) for row in shown.rows}
    assert marked["LogLoss"] == [min(loss, key=loss.get)]
    assert marked["Parameters"] == [] and marked["Model"] == []


def test_rows_are_in_order_of_uauc(shown):
    means = [np.mean([r["metrics"]["test"]["UAUC"] for r in row.records]) for row in shown.rows]
    assert means == sorted(means, reverse=True)
    assert all([record["seed"] for record in row.records] == [2020, 2021] for row in shown.rows)


def test_rows_of_one_name_are_told_apart(results):
    fake_runs.write_run(results, "LR", 2020, learning_rate=0.1)
    labels = [row.label for row in rows_of_records(read_records(Folders(results, "tiny").records))]
    assert {"LR (learning_rate=0.001)", "LR (learning_rate=0.1)"} <= set(labels) and "LR" not in labels


def test_labels_are_unique_whatever_sets_rows_apart(results):
    """Four settings, the first two of which agree in the first three keys that differ; a default is no difference."""
    first = {"a": 1, "b": 1, "c": 1}
    for settings in (first, {**first, "d": 1}, {"a": 2, "b": 2, "c": 2, "adagrad_init": 0.1}):
        fake_runs.write_run(results, "LR", 2020, **settings)
    labels = [row.label for row in rows_of_records(read_records(Folders(results, "tiny").records))]
    assert len(set(labels)) == len(labels) == 7 and not any("adagrad_init" in label for label in labels)


def test_two_records_of_the_same_settings_and_seed(results):
    """One is from before `adagrad_init` existed, the other has it at its default: they are one run, not two seeds."""
    fake_runs.write_run(results, "LR", 2020, adagrad_init=0.1)
    with pytest.raises(InputError, match="would count as two seeds"):
        render(Request("tiny", out=results, resamples=50, show_progress=False))


def test_intervals_that_cannot_be_made_again_are_kept(results):
    file = Folders(results, "tiny").statistics
    before = file.read_bytes()
    render(Request("tiny", out=results, show_progress=False))
    assert json.loads(file.read_bytes())["resamples"] == 50, "the table's own number is the default"
    next(Folders(results, "tiny").scores.glob("DIN-*.npz")).unlink()
    with pytest.raises(InputError, match="no scores of DIN on this machine"):
        render(Request("tiny", out=results, resamples=60, show_progress=False))
    assert file.read_bytes() == before


def test_another_baseline_is_in_the_command_of_the_table(results):
    render(Request("tiny", out=results, baseline="LR", show_progress=False))
    text = (results / "tiny.md").read_text()
    assert "leaderboard --dataset=tiny --seeds=5 --resamples=50 --baseline=LR\n" in text


def test_undefined_numbers_are_written_out():
    assert p_value(None) == p_value(math.nan) == "undefined"
    assert p_value(0.0) == "< 0.0001" and p_value(0.04217) == "0.0422"
    assert spread(math.nan, math.nan) == "–" and spread(0.5, math.nan) == "0.5000"


def test_degenerate_tests_are_shown_as_undefined(results):
    folders = Folders(results, "tiny")
    statistics = read_record(folders.statistics, "statistics")
    for test in statistics["tests"]:
        test.update(p=None, p_holm=None, difference=None, relative_improvement=None)
    broken = board_of(read_records(folders.records), statistics)
    cells = {(row[0].text, name): cell.text for row in broken.evidence[0].rows
             for name, cell in zip(broken.evidence[0].columns, row, strict=True)}  # fmt: skip
    assert cells["LR", "p best"] == "undefined" and cells["LR", "Δ best"] == "–" and cells["LR", "RelaImpr"] == "–"
    assert cells["MARN", "p best"] == "itself"
    for write, _ in FORMATS.values():
        assert "nan" not in write(broken).lower().replace("nanum", "")


def test_runs_without_other_samplings_leave_dashes(results):
    folders = Folders(results, "tiny")
    records = read_records(folders.records)
    for record in records:
        if record["row"] == "LR":
            record["metrics"].pop("test_matched")
    statistics = read_record(folders.statistics, "statistics")
    statistics["tests"] = [t for t in statistics["tests"] if t["part"] != "test_matched" or "LR" != t["row"]]
    shown = board_of(records, statistics)
    row = next(row for row in shown.results.rows if row[0].text == "LR")
    assert row[shown.results.columns.index("UAUC matched")].text == "–"


def test_rendering_needs_no_scores(results):
    before = {suffix: (results / f"tiny.{suffix}").read_bytes() for suffix in FORMATS}
    for file in Folders(results, "tiny").scores.glob("*.npz"):
        file.unlink()
    for suffix in FORMATS:
        (results / f"tiny.{suffix}").unlink()
    line = render(Request("tiny", out=results, resamples=50, show_progress=False))
    assert {suffix: (results / f"tiny.{suffix}").read_bytes() for suffix in FORMATS} == before
    assert line["without_scores"] == []


def test_a_row_whose_scores_are_elsewhere_has_no_interval(results):
    record = fake_runs.write_run(results, "DIN", 2020, row="DIN wide", width=9)
    (Folders(results, "tiny").scores / f"{record.stem}.scores.npz").unlink()
    line = render(Request("tiny", out=results, resamples=50, show_progress=False))
    assert line["without_scores"] == ["DIN wide"] and line["rows"] == 5
    shown = board(results)
    row = next(row for row in shown.evidence[0].rows if row[0].text == "DIN wide")
    assert [cell.text for cell in row[2:]] == ["–"] * 6 and row[1].text.startswith("0.")


def test_the_page_is_self_contained_and_well_formed(finished):
    text = (finished / "tiny.html").read_text()
    assert not re.search(r"https?:|src=|href=|@import|url\(", text)
    for picture in re.findall(r"<svg.*?</svg>", text, re.S):
        ElementTree.fromstring(picture)
    assert text.count("<svg") == 4 and text.count("<button>") > 40
    assert 'name="viewport"' in text


def test_the_page_escapes_names(results):
    fake_runs.write_run(results, "LR", 2020, row='<b>&"x" | y', width=3)
    render(Request("tiny", out=results, resamples=50, show_progress=False))
    shown = board(results)
    for suffix, (write, read) in FORMATS.items():
        text = write(shown)
        if suffix == "html":
            assert "<b>&" not in text
        if suffix != "tex":
            assert any("y" in row and "x" in row for _, row, _ in read(text, shown.tables)), suffix


def test_latex_escapes_what_latex_reads_itself(results):
    fake_runs.write_run(results, "LR", 2020, row="a_b 50% & {c}", width=3)
    render(Request("tiny", out=results, resamples=50, show_progress=False))
    text = latex(board(results))
    assert r"a\_b 50\% \& \{c\}" in text
    row = ("results", r"a\_b 50\% \& \{c\}", "AUC")
    assert cells_of_latex(text, ())[row].startswith("0.")
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 5


def test_tuned_rows_say_what_was_searched(results):
    shown = board(results)
    records = [dict(record) for record in read_records(Folders(results, "tiny").records)]
    for record in records:
        record["tuned"] = {"trials": 3, "space": {"learning_rate": [0.1, 0.2]}, "chosen": "x", "compared": []}
    text = markdown(board_of(records, shown.statistics))
    assert "| LR | as shared | 3 trials: learning_rate in [0.1, 0.2] |" in text
    assert "at most 3 trials a model on validation" in text


# -------------------------------------------------------------------------------------------------- plots
def numbers(picture, tag, name):
    return [
        float(element.get(name))
        for element in ElementTree.fromstring(picture).iter(tag)
        if element.get("class") in ("dot", "whisker")
    ]


def test_intervals_are_drawn_to_scale():
    picture = interval_plot([Interval("a", 0.5, 0.4, 0.6), Interval("b", 0.7, 0.7, 0.7)], "t", "AUC")
    a, b = numbers(picture, "circle", "cx")
    (low, same), (high, _) = numbers(picture, "line", "x1"), numbers(picture, "line", "x2")
    assert high - a == pytest.approx(a - low, abs=0.2) and b - a == pytest.approx(2 * (high - a), abs=0.3)
    assert same == b


def test_scatter_is_logarithmic_across():
    points = [Point(1, "a", 10, 0.5), Point(2, "b", 100, 0.6), Point(3, "c", 1000, 0.7), Point(4, "gone", 0, 0.9)]
    picture = scatter_plot(points, "t", "x", "y")
    x, y = numbers(picture, "circle", "cx"), numbers(picture, "circle", "cy")
    assert len(x) == 3 and x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
    assert y[0] - y[1] == pytest.approx(y[1] - y[2], abs=0.2) and y[0] > y[1]


def test_a_row_at_chance_is_not_drawn_and_the_others_keep_their_numbers(shown):
    intervals = {**shown.statistics["intervals"], "DIN": {"AUC test": [0.49, 0.52]}}
    text = page(dataclasses.replace(shown, statistics={**shown.statistics, "intervals": intervals}))
    assert "DIN: 0." in page(shown) and "DIN: 0." not in text
    numbers_left = {str(number) for number, row in enumerate(shown.rows, start=1) if row.label != "DIN"}
    assert set(re.findall(r'<text[^>]*class="number"[^>]*>(\d+)<', text)) == numbers_left
    assert 'data-cell="results|DIN|AUC"' in text, "the tables leave nothing out"


def test_nothing_to_draw_is_said():
    assert "nothing to draw" in scatter_plot([], "t", "x", "y")
    assert "nothing to draw" in interval_plot([Interval("a", math.nan, math.nan, math.nan)], "t", "x")
    assert "nothing to draw" in curves_plot([Curve("a", (), True)], "t", "y")


@pytest.mark.parametrize("value", [0.5, 0.8123, 1.0])
def test_a_single_value_still_has_an_axis(value):
    ElementTree.fromstring(interval_plot([Interval("a", value, math.nan, math.nan)], "t", "AUC"))
    ElementTree.fromstring(scatter_plot([Point(1, "a", 3, value)], "t", "x", "y"))
    ElementTree.fromstring(curves_plot([Curve("a", (value,), True)], "t", "y"))


def test_numbers_on_a_plot_do_not_sit_on_each_other():
    points = [Point(index, "p", 10.0, 0.5) for index in range(1, 7)] + [Point(9, "far", 1000.0, 0.9)]
    root = ElementTree.fromstring(scatter_plot(points, "t", "x", "y"))
    places = [(float(e.get("x")), float(e.get("y"))) for e in root.iter("text") if e.get("class") == "number"]
    assert len(set(places)) == len(places)


def test_the_same_records_give_the_same_bytes(shown):
    assert page(shown) == page(shown)
    assert json.dumps(shown.shared)
