"""Tables of click logs: metrics of a log and of its requests, curves of reliability, intervals by users or requests."""

import json
import os

import fake_runs
import numpy as np
import pytest

from recbole_marn.errors import InputError
from recbole_marn.evaluation.bootstrap import bootstrap_over_clusters
from recbole_marn.evaluation.record import read_record, read_records, sealed_text
from recbole_marn.evaluation.reliability import reliability_curve
from recbole_marn.evaluation.scores import load_scores, measured
from recbole_marn.leaderboard.board import rows_of_records
from recbole_marn.leaderboard.measures import OF_CLICKS, OF_LOG, OF_REQUESTS, measures_of
from recbole_marn.leaderboard.publish import publish
from recbole_marn.leaderboard.records import Folders
from recbole_marn.leaderboard.render import LeaderboardRequest, render
from recbole_marn.leaderboard.verify import verify

LOG = {"label": {"field": "label"}, "request": {"field": "request_id"}}
USERS, REQUESTS, SHOWN = 30, 3, 4


def columns(run, model, part):
    rows = fake_runs.numbers_of(part)
    user = np.repeat(np.arange(USERS), REQUESTS * SHOWN)
    label = (rows.random(len(user)) < 0.2).astype(float)
    logit = fake_runs.SKILL[model] * label + fake_runs.numbers_of(run + part).normal(size=len(user)) - 1.5
    score = (1 / (1 + np.exp(-logit))).astype(np.float32)
    return {"user": user, "item": rows.integers(1, 50, len(user)), "label": label, "score": score,
            "request": np.arange(len(user)) // SHOWN}  # fmt: skip


def write_run(out, model, seed):
    record = fake_runs.record_of(model, seed, **LOG)
    folders = Folders(out, "tiny")
    folders.prepare()
    folder = folders.unfinished / record["run"]
    folder.mkdir(parents=True)
    parts = {part: columns(record["run"], model, part) for part in ("valid", "test")}
    flat = {f"{part}_{name}": values for part, found in parts.items() for name, values in found.items()}
    np.savez_compressed(folder / "own.scores.npz", **flat)
    own = fake_runs.own_record(record["run"], model, seed, folder / "own.scores.npz", parts)
    metrics, data = measured(parts, log=True)
    own |= {"metrics": metrics, "data": own["data"] | data}
    (folder / "own.json").write_text(sealed_text(own))
    there = os.getcwd()
    try:
        publish({"record": record, "out": str(out), "dataset": "tiny"}, folder, {"record": str(folder / "own.json")})
    finally:
        os.chdir(there)


@pytest.fixture
def results(tmp_path):
    for model in ("MARN", "DIN", "Popularity"):
        for seed in (2020, 2021):
            write_run(tmp_path, model, seed)
    return tmp_path


def draw(out, **options):
    request = LeaderboardRequest("tiny", out=out, resamples=50, show_progress=False, **options)
    return render(request, rows_of_records(read_records(Folders(out, "tiny").records)))


def test_tables_have_the_metrics_of_a_log_and_no_negatives(results):
    draw(results)
    text = (results / "tiny.md").read_text()
    for title in ("GAUC", "request AUC", "MRR", "nDCG@5", "nDCG@10", "NE", "ECE", "Pred./obs."):
        assert f"| {title} |" in text
    assert "popularity" not in text and "matched" not in text and "Negatives per click" not in text
    assert "drawn" not in text.split("## Evaluation Results")[1].split("###")[0]
    page = (results / "tiny.html").read_text()
    assert "predicted click rate" in page and "Reliability" in page


def test_rows_are_ordered_by_auc(results):
    draw(results)
    order = [line.split(",")[0] for line in (results / "tiny.csv").read_text().splitlines()[1:]]
    records = read_records(Folders(results, "tiny").records)
    auc = {m: np.mean([r["metrics"]["test"]["AUC"] for r in records if r["model"] == m]) for m in order}
    assert order == sorted(order, key=auc.get, reverse=True)


@pytest.mark.parametrize("unit", ["user", "request"])
def test_verify_recomputes_every_number(results, unit):
    draw(results, unit=unit)
    folders = Folders(results, "tiny")
    report = verify(results, "tiny")
    assert report.problems == [] and report.from_scores == 6
    statistics = read_record(folders.statistics, "statistics")
    assert statistics["unit"] == unit
    assert f"p, over {unit}s: DeLong's test, rows clustered by {unit};" in (results / "tiny.md").read_text()
    assert "p, over users: Student's test" in (results / "tiny.md").read_text()
    assert f" Over {unit}s p " in (results / "tiny.html").read_text()
    first = min(folders.scores.glob("MARN-*2020*"))
    other = min(folders.scores.glob("MARN-*2021*"))
    one, two = (load_scores(path, "test")["test"] for path in (first, other))
    table = np.stack([one["score"], two["score"]])
    for name, cluster, group, metric in (
        ("UAUC", "user", None, "UAUC"), ("NE", unit, None, "NE"),
        ("request AUC", unit, "request", "UAUC"), ("nDCG@5", unit, "request", "nDCG@5"),
    ):  # fmt: skip
        drawn = bootstrap_over_clusters(
            one[cluster], one["label"], table, metric, 50, group=None if group is None else one[group]
        )
        ends = np.quantile(drawn.samples.mean(axis=1), [0.025, 0.975])
        np.testing.assert_allclose(statistics["intervals"]["MARN"][f"{name} test"], ends, atol=1e-7)
    curve = reliability_curve(one["label"], one["score"], 10)
    np.testing.assert_allclose(statistics["reliability"]["MARN"]["observed"], curve.observed)


@pytest.mark.parametrize("key", ["NE", "MRR", "requests without a click"])
def test_an_altered_metric_of_a_log_is_named(results, key):
    draw(results)
    path = min(Folders(results, "tiny").records.glob("DIN-*.json"))
    record = json.loads(path.read_text())
    record["metrics"]["test"][key] += 0.25
    path.write_text(sealed_text(record))
    assert any(f"{key} of test is" in problem for problem in verify(results, "tiny").problems)


def test_an_altered_curve_is_named(results):
    draw(results)
    path = Folders(results, "tiny").statistics
    statistics = json.loads(path.read_text())
    statistics["reliability"]["DIN"]["observed"][2] += 0.1
    path.write_text(sealed_text(statistics))
    assert any("reliability of DIN, observed of bin 3" in problem for problem in verify(results, "tiny").problems)


def test_requests_as_the_unit_need_requests(tmp_path):
    fake_runs.write_run(tmp_path, "DIN", 2020)
    with pytest.raises(InputError, match="rows with requests"):
        draw(tmp_path, unit="request")


def test_which_measures_a_table_has():
    log = {"settings": {"label": {"field": "x"}}, "metrics": {"test": {"MRR": 1}}}
    bare = {"settings": {"label": {"field": "x"}}, "metrics": {"test": {}}}
    clicks = {"settings": {"label": None}, "metrics": {"test": {}}}
    assert measures_of([log, log]) is OF_REQUESTS
    assert measures_of([log, bare]) is OF_LOG
    assert measures_of([clicks]) is measures_of([log, clicks]) is OF_CLICKS
