"""AUC by lambda0 from records: which belong together, and what is left out."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from scipy import stats

from recbole_marn.analysis.context import Context
from recbole_marn.analysis.sections.convergence import convergence
from recbole_marn.analysis.sensitivity import Setting, sensitivity
from recbole_marn.analysis.subject import load_subject
from recbole_marn.quick_start import run


@pytest.fixture(scope="module")
def records(data_path, tmp_path_factory):
    """Two values of lambda0 with two seeds each; one run of another width, of another model, and of other rows."""
    folder = tmp_path_factory.mktemp("saved")

    def trained(model="MARN", **changed):
        given = tiny.settings(data_path, model, epochs=1, checkpoint_dir=str(folder), **changed)
        return run(model, "tiny", config_dict=given)

    runs = [trained(lambda0=value, seed=seed) for value in (0.0, 0.5) for seed in (1, 2)]
    trained(lambda0=0.5, width=4)
    trained("NAML")
    trained(lambda0=0.5, sample_seed=9)
    return folder, runs


def test_runs_that_differ_in_lambda0_and_seed_alone_are_one_curve(records):
    folder, runs = records
    subject, notes = load_subject(runs[0]["checkpoint"], "test"), []
    found = sensitivity([folder, folder], subject, notes)
    assert [len(setting.test) for setting in found] == [2, 2], "a run that is found twice counts once"
    assert [setting.lambda0 for setting in found] == [0.0, 0.5]
    for setting, own in zip(found, (runs[:2], runs[2:]), strict=True):
        auc = [json.loads(Path(r["record"]).read_text())["metrics"]["test"]["AUC"] for r in own]
        assert sorted(setting.test) == pytest.approx(sorted(auc))
    assert any(note.startswith("1 records that differ in more") for note in notes)


def test_a_gap_is_of_the_seeds_that_both_have():
    one, other = Setting(0.5, [3, 1, 2], test=[0.7, 0.8, 0.6]), Setting(0.0, [1, 4, 3], test=[0.5, 0.1, 0.9])
    assert one.gap(other) == pytest.approx([0.3, -0.2])
    assert len(one.gap(Setting(0.0))) == 0


def test_the_section_draws_means_over_seeds(records):
    folder, runs = records
    subject = load_subject(runs[0]["checkpoint"], "test")
    section = convergence(Context(subject, records=[folder]))
    table = next(table for table in section.tables if table.name == "lambda0")
    mean = np.mean([json.loads(Path(r["record"]).read_text())["metrics"]["test"]["AUC"] for r in runs[2:]])
    assert table.rows[1][:2] == [0.5, 2] and table.rows[1][3] == pytest.approx(mean)
    by_seed = {
        value: {r["seed"]: json.loads(Path(r["record"]).read_text())["metrics"]["test"]["AUC"] for r in of}
        for value, of in ((0.0, runs[:2]), (0.5, runs[2:]))
    }
    gaps = [by_seed[0.5][seed] - by_seed[0.0][seed] for seed in (1, 2)]
    low, high = stats.t.interval(0.95, 1, np.mean(gaps), stats.sem(gaps))
    assert table.rows[1][7:] == pytest.approx([np.mean(gaps), low, high]) and table.rows[0][7] == 0
    assert {"lambda0", "lambda0_gaps"} <= {figure.name for figure in section.figures}


def test_records_of_others_say_nothing_and_that_is_said(records):
    folder, runs = records
    subject = load_subject(runs[0]["checkpoint"], "test")
    other = dataclasses.replace(subject, part=dataclasses.replace(subject.part, split_sha256="0" * 64))
    notes = []
    assert sensitivity([folder], other, notes) == []
    assert notes == ["None of 7 records is of this model on these rows: nothing to say of lambda0."]
    notes = []
    assert sensitivity([], subject, notes) == [] and "No --records were given" in notes[0]


def test_an_altered_record_is_told(records, tmp_path):
    folder, runs = records
    for path in folder.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text())
    altered = tmp_path / Path(runs[0]["record"]).name
    altered.write_text(altered.read_text().replace('"AUC": 0.', '"AUC": 0.9', 1))
    (tmp_path / "of-nobody.json").write_text("{}")
    subject, notes = load_subject(runs[0]["checkpoint"], "test"), []
    assert [len(setting.test) for setting in sensitivity([tmp_path], subject, notes)] == [1, 2]
    assert f"Left out, because they were altered after they were written: {altered.name}." in notes
