"""Levels and AUC by loops, gaps, and levels that have nothing to compare."""

import dataclasses

import numpy as np
import planted_log
import pytest

from recbole_marn.analysis.context import Context
from recbole_marn.analysis.sections.calibration import calibration
from recbole_marn.analysis.sections.popularity import popularity
from recbole_marn.analysis.subject import Subject
from recbole_marn.quick_start import build_config, prepare_run


@pytest.fixture
def subject(settings):
    parts = prepare_run(build_config(config_dict=settings()), quiet=True)
    return Subject("MARN", parts, parts.test.part)


def slow_levels(count):
    """Level of each item but the padding: tenths of the items by how many are rarer."""
    counts = count[1:].tolist()
    return [None] + [10 * sum(other < own for other in counts) // len(counts) for own in counts]


def slow_auc(pairs):
    clicks, rest = ([score for label, score in pairs if label == wanted] for wanted in (1, 0))
    wins = [1.0 if c > r else 0.5 if c == r else 0.0 for c in clicks for r in rest]
    return np.mean(wins) if wins else None


@pytest.mark.parametrize("kind", ["clicks", "log"])
def test_levels_and_their_auc_are_those_of_loops(subject, tmp_path, kind):
    if kind == "log":
        planted_log.write(tmp_path / "data", planted_log.exposures(n_requests=200))
        parts = prepare_run(build_config(config_dict=planted_log.settings(tmp_path / "data")), quiet=True)
        subject = Subject("MARN", parts, parts.test.part)
    context = Context(subject)
    protocol, count = subject.part.protocol, np.zeros(subject.part.item_num, dtype=int)
    if kind == "log":
        for item, part in zip(protocol.requests.item, protocol.part_of_row, strict=True):
            count[item] += part == 0
    else:
        for item, part in zip(protocol.events.item, protocol.part_of_event, strict=True):
            count[item] += part == 0
    level, columns = slow_levels(count), subject.columns
    table = popularity(context).tables[0]
    for row in table.rows:
        inside = [
            (int(label), float(score))
            for item, label, score in zip(columns["item"], columns["label"], columns["score"], strict=True)
            if level[item] == row[0] - 1
        ]
        assert row[1] == level.count(row[0] - 1)
        assert row[4:6] == [sum(label for label, _ in inside), sum(1 - label for label, _ in inside)]
        expected = slow_auc(inside)
        assert row[6] is None if expected is None else row[6] == pytest.approx(expected)
    assert sum(row[4] + row[5] for row in table.rows) == len(columns["label"])


def test_a_level_without_both_classes_is_said_so(subject):
    section = popularity(Context(subject))
    table = section.tables[0]
    lonely = [row for row in table.rows if 0 in row[4:6]]
    assert lonely, "tiny has 25 items and few test clicks"
    for row in lonely:
        assert row[6:] == [None, None, None]
        assert any(note.startswith(f"Level {row[0]} has no ") for note in section.notes)


def test_gaps_are_differences_and_a_model_has_none_to_itself(subject):
    reverse = dataclasses.replace(subject, label="reverse")
    reverse.__dict__["columns"] = subject.columns | {"score": 1 - subject.columns["score"]}
    section = popularity(Context(subject, [dataclasses.replace(subject, label="twin"), reverse]))
    levels = {row[0]: row for row in section.tables[0].rows}
    gaps = {(row[0], row[1]): row[2:] for row in section.tables[1].rows}
    for (level, label), (gap, low, high) in gaps.items():
        if label == "twin":
            assert (gap, low, high) == (0, 0, 0)
        else:
            assert gap == pytest.approx(2 * levels[level][6] - 1) and low <= high
    assert [figure.name for figure in section.figures] == ["levels", "gaps"]


def test_observed_and_predicted_rates_are_those_of_loops(subject):
    context = Context(subject)
    section = calibration(context)
    columns = subject.columns
    tables = {table.name: table for table in section.tables}
    part = subject.part
    category = part.field2id_token["category"][part.item_feat["category"].numpy()]
    for row in tables["by_category"].rows:
        inside = [i for i, item in enumerate(columns["item"]) if category[item] == row[0]]
        assert row[1] == len(inside)
        assert row[3] == pytest.approx(np.mean([columns["label"][i] for i in inside]))
        assert row[6] == pytest.approx(np.mean([columns["score"][i] for i in inside]), rel=1e-6)
    assert sum(row[1] for row in tables["by_level"].rows) == len(columns["label"])
    assert sum(row[5] for row in tables["curve"].rows) == len(columns["label"])
    assert any("Non-clicks were drawn, 1 per click in training and 3 in" in note for note in section.notes)


def test_without_categories_the_rest_of_calibration_comes(subject):
    section = calibration(Context(subject, field="colour"))
    assert "by_category" not in {table.name for table in section.tables}
    assert any("Nothing by category" in note and "'colour'" in note for note in section.notes)
