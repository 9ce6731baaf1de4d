"""Tables show what the records say, the same in every format, in one file that needs no other."""

import csv
import dataclasses
import html
import io
import json
import math
import re
import threading
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import fake_runs
import numpy as np
import pytest

from recbole_marn.cli import main
from recbole_marn.errors import InputError, printable
from recbole_marn.evaluation.evidence import pack, unpack
from recbole_marn.evaluation.record import read_record, read_records, sealed_text
from recbole_marn.files import sha256
from recbole_marn.leaderboard.board import Board, p_value, rows_of_records, seconds_per_epoch, spread
from recbole_marn.leaderboard.formats import FORMATS, markdown_text, parts_of_line, unmarked
from recbole_marn.leaderboard.page import leader
from recbole_marn.leaderboard.records import Folders
from recbole_marn.leaderboard.render import LeaderboardRequest, render
from recbole_marn.leaderboard.statistics import TableRow
from recbole_marn.leaderboard.verify import verify
from recbole_marn.plots.svg import Curve, Interval, Point, curves_plot, interval_plot, scatter_plot


def test_a_mean_is_the_same_on_every_python():
    """`sum` of ten .1 is 1 from Python 3.12 on, and less before."""
    assert seconds_per_epoch(TableRow("DIN", ({"seconds_per_epoch": 0.1},) * 10)) == 0.1
    assert math.isnan(seconds_per_epoch(TableRow("DIN", ({"seconds_per_epoch": None},))))


def cells_of(suffix, shown):
    """(table, row, column) -> what a format shows there."""
    cells = {}
    for line in FORMATS[suffix](shown).splitlines():
        _, keys, texts = parts_of_line(line)
        cells |= {tuple(key): text for key, text in zip(keys, texts, strict=True)}
    return cells


def board(out):
    folders = Folders(out, "tiny")
    return Board(rows_of_records(read_records(folders.records)), read_record(folders.statistics, "statistics"))


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
    cells = cells_of("md", shown)
    for column, metric, part in [("UAUC uniform", "UAUC", "test"), ("UAUC matched", "UAUC", "test_matched"),
                                 ("UAUC popularity", "UAUC", "test_popularity"), ("AUC", "AUC", "test"),
                                 ("LogLoss", "LogLoss", "test"), ("ECE", "ECE", "test")]:  # fmt: skip
        found = values(finished, "LR", metric, part)
        deviation = "" if metric == "ECE" else f" ± {np.std(found, ddof=1):.4f}"
        assert cells["results", "LR", column].strip("*") == f"{np.mean(found):.4f}{deviation}"
    assert cells["results", "LR", "Parameters"] == "3,000" and cells["results", "LR", "s/epoch"] == "1.50"


def test_every_format_shows_the_same_cells(finished, shown):
    """As readers of each format read them: without its marks, and by a parser that is not ours."""
    markdown = {key: text.strip("*") for key, text in cells_of("md", shown).items()}
    assert markdown == {key: html.unescape(text) for key, text in cells_of("html", shown).items()}
    latex = cells_of("tex", shown)
    assert {key[0] for key in latex} == {key[0] for key in markdown} - {"statistics", "hyper-parameters"}
    for key, text in latex.items():
        clean = re.sub(r"\\textbf\{(.*)\}", r"\1", text).replace(r"$\pm$", "±").replace("$<$", "<")
        assert clean.replace(r"\%", "%").replace("--", "–") == markdown[key]
    line = next(csv.DictReader(io.StringIO((finished / "tiny.csv").read_text())))
    assert line["row"] == "MARN"
    assert float(line["AUC uniform"]) == pytest.approx(np.mean(values(finished, "MARN", "AUC")), rel=1e-7)
    rows = re.findall("<tr>(<td.*?)</tr>", (finished / "tiny.html").read_text())
    first = [html.unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall("<td.*?</td>", rows[0])]
    assert first == ["1MARN", *(markdown["results", "MARN", name] for name in shown.results.columns[1:])]


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
        render(LeaderboardRequest("tiny", out=results, resamples=50, show_progress=False))


def test_intervals_that_cannot_be_made_again_are_kept(results):
    file = Folders(results, "tiny").statistics
    render(LeaderboardRequest("tiny", out=results, show_progress=False))
    assert json.loads(file.read_bytes())["resamples"] == 50, "the table's own number is the default"
    fake_runs.forget_evidence(results)
    before = file.read_bytes()
    next(Folders(results, "tiny").scores.glob("DIN-*.npz")).unlink()
    with pytest.raises(InputError, match="no scores of DIN on this machine"):
        render(LeaderboardRequest("tiny", out=results, resamples=60, show_progress=False))
    assert file.read_bytes() == before


def test_a_row_named_as_others_are_told_apart_keeps_its_own_statistics(results):
    """`MARN` of two commands is told apart by the name that a grid gave to a third row."""
    for seed in (2020, 2021):
        for row, more in (("MARN", {"lambda0": 0.02}), ("MARN", {"lambda0": 0.05}),
                          ("MARN (lambda0=0.02)", {"lambda0": 0.02, "width": 9})):  # fmt: skip
            fake_runs.write_run(results, "MARN", seed, row=row, **more)
        (Folders(results, "tiny").records / f"{fake_runs.record_of('MARN', seed)['run']}.json").unlink()
    render(LeaderboardRequest("tiny", out=results, show_progress=False))
    folders = Folders(results, "tiny")
    rows = rows_of_records(read_records(folders.records))
    labels = {row.label for row in rows}
    assert {"MARN (lambda0=0.02) (width=9)", "MARN (lambda0=0.02) (width=default)", "MARN (lambda0=0.05)"} < labels
    statistics = read_record(folders.statistics, "statistics")
    for row in rows:
        assert statistics["intervals"][row.label]["of"] == row.sources
        auc = [test["difference"] for test in statistics["tests"]
               if (test["row"], test["metric"], test["against"]) == (row.label, "AUC", "baseline")]  # fmt: skip
        din = next(row for row in rows if row.label == "DIN")
        wanted = np.mean(row.values("AUC")) - np.mean(din.values("AUC"))
        assert auc == ([] if row is din else [pytest.approx(wanted)])


def test_evidence_packed_anew_makes_intervals_and_tests_anew(results):
    """The scores are the same: what is kept goes by the evidence it is computed of."""
    folders = Folders(results, "tiny")
    for path in folders.records.glob("LR-*.json"):
        record = read_record(path)
        file = folders.evidence / record["evidence"]["file"]
        parts = unpack(file.read_bytes())
        users = parts["test"].clusters["user"]
        fewer = replace(users, loss=users.loss / 2)
        parts["test"] = replace(parts["test"], clusters={"user": fewer})
        file.write_bytes(pack(parts))
        record["evidence"]["sha256"] = sha256(file)
        path.write_text(sealed_text(record))
    before = read_record(folders.statistics, "statistics")["intervals"]
    render(LeaderboardRequest("tiny", out=results, show_progress=False))
    after = read_record(folders.statistics, "statistics")["intervals"]
    assert after["LR"]["LogLoss test"] == pytest.approx([end / 2 for end in before["LR"]["LogLoss test"]], rel=1e-3)
    assert after["DIN"] == before["DIN"]


def test_another_baseline_is_in_the_command_of_the_table(results):
    render(LeaderboardRequest("tiny", out=results, baseline="LR", show_progress=False))
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
    broken = Board(rows_of_records(read_records(folders.records)), statistics)
    cells = {(row[0].text, name): cell.text for row in broken.evidence[0].rows
             for name, cell in zip(broken.evidence[0].columns, row, strict=True)}  # fmt: skip
    assert cells["LR", "p best"] == "undefined" and cells["LR", "Δ best"] == "–" and cells["LR", "RelaImpr"] == "–"
    assert cells["MARN", "p best"] == "itself"
    for write in FORMATS.values():
        assert "nan" not in unmarked(write(broken)).lower().replace("nanum", "")


def test_runs_without_other_samplings_leave_dashes(results):
    folders = Folders(results, "tiny")
    records = read_records(folders.records)
    for record in records:
        if record["row"] == "LR":
            record["metrics"].pop("test_matched")
    statistics = read_record(folders.statistics, "statistics")
    statistics["tests"] = [t for t in statistics["tests"] if t["part"] != "test_matched" or "LR" != t["row"]]
    shown = Board(rows_of_records(records), statistics)
    row = next(row for row in shown.results.rows if row[0].text == "LR")
    assert row[shown.results.columns.index("UAUC matched")].text == "–"


def test_rendering_needs_no_scores(results):
    before = {suffix: (results / f"tiny.{suffix}").read_bytes() for suffix in FORMATS}
    for file in Folders(results, "tiny").scores.glob("*.npz"):
        file.unlink()
    for suffix in FORMATS:
        (results / f"tiny.{suffix}").unlink()
    line = render(LeaderboardRequest("tiny", out=results, resamples=50, show_progress=False))
    assert {suffix: (results / f"tiny.{suffix}").read_bytes() for suffix in FORMATS} == before
    assert line["without_scores"] == []


def test_a_row_whose_scores_are_elsewhere_has_no_interval(results):
    record = fake_runs.write_run(results, "DIN", 2020, row="DIN wide", width=9)
    fake_runs.forget_evidence(results)
    (Folders(results, "tiny").scores / f"{record.stem}.scores.npz").unlink()
    line = render(LeaderboardRequest("tiny", out=results, resamples=50, show_progress=False))
    assert line["without_scores"] == ["DIN wide"] and line["rows"] == 5
    shown = board(results)
    row = next(row for row in shown.evidence[0].rows if row[0].text == "DIN wide")
    assert [cell.text for cell in row[2:]] == ["–"] * 8 and row[1].text.startswith("0.")


def test_the_page_is_self_contained_and_well_formed(finished):
    text = (finished / "tiny.html").read_text()
    assert not re.search(r"https?:|src=|href=|@import|url\(", text)
    for picture in re.findall(r"<svg.*?</svg>", text, re.S):
        ElementTree.fromstring(picture)
    assert text.count("<svg") == 4 and text.count("<button>") > 40
    assert 'name="viewport"' in text and "pre-wrap" in text


def test_the_page_says_who_leads_and_names_the_points(results, shown):
    text = html.unescape((results / "tiny.html").read_text())
    low, high = shown.statistics["intervals"]["MARN"]["UAUC test"]
    assert f"95 % interval {low:.4f} to {high:.4f}) leads by UAUC" in text
    assert f"before DIN ({np.mean(values(results, 'DIN', 'UAUC')):.4f}" in text and "Over users p " in text
    assert [f'<li value="{at}">{row}</li>' in text for at, row in enumerate(("MARN", "DIN", "LR"), 1)] == [True] * 3


@pytest.mark.parametrize(
    ("p", "over_seeds", "told"),
    [
        (0.01, [-0.02, -0.01], "p 0.0100; over seeds the lead is +0.0100 to +0.0200 (95 % interval). So it is decided"),
        (0.01, [-0.02, 0.01], "over seeds the lead is -0.0100 to +0.0200 (95 % interval). So it is not decided; its"),
        (0.2, [-0.02, -0.01], "p 0.2000; over seeds the lead is +0.0100 to +0.0200 (95 % interval). So it is not"),
        (None, [-0.02, -0.01], "p undefined; over seeds the lead is +0.0100 to +0.0200 (95 % interval). So it is not"),
        (0.01, [None, None], "over seeds the lead is unknown, for want of seeds. So it is not decided; its lead"),
    ],
)  # fmt: skip
def test_a_lead_is_decided_over_users_and_over_seeds(shown, p, over_seeds, told):
    first, second = (row.label for row in shown.rows[:2])
    test = {"row": second, "reference": first, "metric": "UAUC", "part": "test", "against": "best",
            "p_holm": p, "over_seeds": over_seeds}  # fmt: skip
    assert told in leader(dataclasses.replace(shown, statistics={**shown.statistics, "tests": [test]}))


def test_a_page_names_the_best_row_that_is_surely_behind(shown):
    first, *others = (row.label for row in shown.rows)
    tests = [{"row": label, "reference": first, "metric": "UAUC", "part": "test", "against": "best", "p_holm": p,
              "over_seeds": [-0.02, -0.01]} for label, p in zip(others, (0.2, 0.01), strict=False)]  # fmt: skip
    told = leader(dataclasses.replace(shown, statistics={**shown.statistics, "tests": tests}))
    assert told.endswith(f"its lead over 1 of {len(others)} rows is, the best of them {others[1]}.")


# A name of a row -> what must not be in a file of the format.
HOSTILE = {
    "<script>alert(1)</script>": {"md": "<script", "html": "<script>alert"},
    "[x](javascript:alert(1))": {"md": "[x](javascript"},
    "![x](http://a)": {"md": "](http"},
    "<b>&amp;\"x' | y": {"md": "<b>", "html": "<b>"},
    "a\x1b[31mred\u202eder\x00": {"md": "\x1b", "csv": "\x1b", "tex": "\x1b", "html": "\x1b"},
    "line\n```\n# heading": {"md": "\n# heading", "csv": "\n# heading", "tex": "\n# heading"},
    "\x02t\x1fr\x1fc\x03x\x04": {"md": "\x03", "csv": "\x02", "tex": "\x04", "html": "\x1f"},
    "\ud800 lone": {"md": "\ud800"},
    "=1+1": {"csv": "\n=1+1"},
    "+cmd|' /C calc'!A0": {"csv": "\n+cmd"},
    "-2": {"csv": "\n-2,"},
    "@A1": {"csv": "\n@A1"},
    '@SUM(1,"2")': {"csv": '\n"@SUM', "tex": "\n@SUM(1,%"},
    r"\input{/etc/passwd} $x$ %": {"tex": r"\input{/"},
}


def test_names_are_shown_and_not_obeyed(results):
    for width, name in enumerate(HOSTILE, start=3):
        fake_runs.write_run(results, "LR", 2020, row=name, width=width)
    render(LeaderboardRequest("tiny", out=results, resamples=50, baseline="LR", show_progress=False))
    for name, files in HOSTILE.items():
        for suffix, forbidden in files.items():
            assert forbidden not in (results / f"tiny.{suffix}").read_text(), (name, suffix)
    shown = board(results)
    cells = cells_of("html", shown)
    labels = [row.label for row in shown.rows if row.label not in fake_runs.SKILL]
    assert len(labels) == len(HOSTILE)
    assert all(cells["results", printable(label), "AUC"].startswith("0.") for label in labels)
    lines = list(csv.reader(io.StringIO((results / "tiny.csv").read_text())))
    assert len({len(line) for line in lines}) == 1 and len(lines) == 5 + len(HOSTILE)
    assert {printable(name) for name in HOSTILE} <= {line[0].removeprefix("'") for line in lines}
    assert verify(results, "tiny").problems == []


def test_the_command_of_a_table_cannot_leave_its_place(results):
    file = Folders(results, "tiny").statistics
    hostile = "recbole-marn\n```\n<script>x</script>"
    statistics = {**json.loads(file.read_text()), "command": hostile}
    shown = Board(rows_of_records(read_records(Folders(results, "tiny").records)), statistics)
    markdown, page, latex = (unmarked(FORMATS[suffix](shown)) for suffix in ("md", "html", "tex"))
    assert markdown.count("```") == 4 and "<script>x" not in page
    assert latex.splitlines()[0].endswith("</script>") and latex.splitlines()[1].startswith("% needs")


def test_markdown_says_what_the_text_says():
    """By a reader that is not ours."""
    markdown = pytest.importorskip("markdown")
    for text in ["a*b*c", "`x`", "[x](y)", "<i>", "&lt;", "p < 0.0001", "\\", "a_b"]:
        shown = markdown.markdown(markdown_text(text))
        assert html.unescape(re.sub("</?p>", "", shown)) == text and "<a" not in shown and "<em" not in shown


def test_a_bar_ends_no_cell_of_markdown(results):
    fake_runs.write_run(results, "LR", 2020, row="a|b", width=3)
    render(LeaderboardRequest("tiny", out=results, resamples=50, show_progress=False))
    lines = [line for line in (results / "tiny.md").read_text().splitlines() if line.startswith("| ")]
    cells = [re.split(r"(?<!\\)\|", line) for line in lines]
    number = {row[1].strip(" *"): len(row) for row in cells}
    assert number[r"a\|b"] == number["LR"]


def test_latex_escapes_what_latex_reads_itself(results):
    fake_runs.write_run(results, "LR", 2020, row="a_b 50% & {c}", width=3)
    render(LeaderboardRequest("tiny", out=results, resamples=50, show_progress=False))
    text = unmarked(FORMATS["tex"](board(results)))
    assert r"a\_b 50\% \& \{c\}" in text
    assert cells_of("tex", board(results))["results", "a_b 50% & {c}", "AUC"].startswith("0.")
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 5


def test_tuned_rows_say_what_was_searched(results):
    shown = board(results)
    records = [dict(record) for record in read_records(Folders(results, "tiny").records)]
    for record in records:
        record["tuned"] = {"trials": 3, "space": {"learning_rate": [0.1, 0.2]}, "chosen": "x", "compared": []}
    text = unmarked(FORMATS["md"](Board(rows_of_records(records), shown.statistics)))
    assert "| LR | as shared | 3 trials: learning_rate in [0.1, 0.2] |" in text
    assert "at most 3 trials per model on validation" in text


# -------------------------------------------------------------------------------------------------- plots
def drawn(plot):
    return ElementTree.fromstring(plot.inline())


def numbers(picture, tag, name):
    return [
        float(element.get(name))
        for element in drawn(picture).iter(tag)
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
    text = FORMATS["html"](dataclasses.replace(shown, statistics={**shown.statistics, "intervals": intervals}))
    assert "DIN: 0." in FORMATS["html"](shown) and "DIN: 0." not in text
    numbers_left = {str(number) for number, row in enumerate(shown.rows, start=1) if row.label != "DIN"}
    assert set(re.findall(r'<text[^>]*class="number"[^>]*>(\d+)<', text)) == numbers_left
    assert '<i class="n">2</i>' in text, "the tables leave nothing out"


def test_nothing_to_draw_is_said(shown):
    assert scatter_plot([], "t", "x", "y") is None
    assert interval_plot([Interval("a", math.nan, math.nan, math.nan)], "t", "x") is None
    assert curves_plot([Curve("a", (), True)], "t", "y") is None
    chance = {row.label: {"AUC test": [0.4, 0.6]} for row in shown.rows}
    text = FORMATS["html"](dataclasses.replace(shown, statistics={**shown.statistics, "intervals": chance}))
    assert text.count("There is nothing to draw.") == 4


@pytest.mark.parametrize("value", [0.5, 0.8123, 1.0])
def test_a_single_value_still_has_an_axis(value):
    drawn(interval_plot([Interval("a", value, math.nan, math.nan)], "t", "AUC"))
    drawn(scatter_plot([Point(1, "a", 3, value)], "t", "x", "y"))
    drawn(curves_plot([Curve("a", (value,), True)], "t", "y"))


def test_numbers_on_a_plot_do_not_sit_on_each_other():
    points = [Point(index, "p", 10.0, 0.5) for index in range(1, 7)] + [Point(9, "far", 1000.0, 0.9)]
    root = drawn(scatter_plot(points, "t", "x", "y"))
    places = [(float(e.get("x")), float(e.get("y"))) for e in root.iter("text") if e.get("class") == "number"]
    assert len(set(places)) == len(places)


def test_tables_are_made_by_one_command_at_a_time(results):
    """A command that waits for another's tables finds the records that have come meanwhile."""
    with Folders(results, "tiny").lock:
        arguments = ["leaderboard", "--dataset=tiny", "--render_only", f"--out={results}"]
        waiting = threading.Thread(target=main, args=(arguments,))
        waiting.start()
        waiting.join(2)
        assert waiting.is_alive()
        fake_runs.write_run(results, "LR", 2022)
    waiting.join()
    assert verify(results, "tiny").problems == []
