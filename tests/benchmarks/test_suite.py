"""The contract of `recbole-marn bench`: which gates, in which form; what they measure is not tested here."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from recbole_marn.benchmarks import OURS, breakdown, growth, log_step, suite, timing
from recbole_marn.benchmarks.gates import Gate, gates_table, ratio_gate
from recbole_marn.benchmarks.picture import log_log_picture
from recbole_marn.benchmarks.synthetic import SyntheticData
from recbole_marn.benchmarks.timing import Ratio, Timings, paired

from recbole_marn import cli

pytestmark = pytest.mark.thorough


def last_json(capsys):
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_every_gate_that_needs_no_file_is_measured(shape, sizes, capsys):
    gates = suite.run_gates(suite.QUICK, sizes, shape=shape)
    names = [gate.name for gate in gates]
    assert len(names) == len(set(names)) == 10
    assert [gate.goal for gate in gates] == [1e-5, 30, 2, 0.45, 4, 0.75, 6, 5, 600, 40]
    assert all(gate.value > 0 for gate in gates[1:])
    table = gates_table(gates)
    assert all(name in table for name in names)


def test_quick_leaves_out_the_large_batch(bench, sizes):
    names = [gate.name for gate in suite.step_gates(bench, sizes, quick=True)]
    assert len(names) == 5 and not any(f"conv1d / MARN step, batch {sizes.large}" in name for name in names)


@pytest.mark.parametrize(("value", "at_most", "ok"), [(2.0, False, True), (1.9, False, False), (2.1, True, False)])
def test_a_gate_knows_its_direction(value, at_most, ok):
    gate = Gate("speed", value, 2.0, at_most)
    assert gate.ok == ok
    assert gate.as_json() == {"name": "speed", "value": value, "goal": 2.0, "ok": ok}
    assert (">=", "<=")[at_most] in gates_table([gate]) and ("NOT MET" in gates_table([gate])) != ok


@pytest.mark.parametrize(("value", "code"), [(3.0, 0), (1.0, 1)])
def test_the_last_line_is_json_and_the_exit_code_tells(monkeypatch, capsys, value, code):
    asked = []

    def measure(groups, sizes, quick):
        asked.append((tuple(groups), sizes.rounds, quick))
        return [ratio_gate("speed", Ratio(value, 0.5, 4.0), 2.0)]

    monkeypatch.setattr(suite, "run_gates", measure)
    assert cli.main(["bench", "--only", "memory", "steps", "--rounds", "7"]) == code
    assert last_json(capsys) == {"gates": [{"name": "speed", "value": value, "goal": 2.0, "ok": code == 0}]}
    assert cli.main(["bench", "--quick"]) == code and cli.main(["bench"]) == code
    assert asked == [(("memory", "steps"), 7, False), (suite.QUICK, 3, True), (OURS, 5, False)]


def test_tables_come_with_the_gates_or_without(monkeypatch, capsys):
    monkeypatch.setattr(growth, "growth_tables", lambda quick, out: {"batch": []})
    monkeypatch.setattr(breakdown, "breakdown_tables", lambda quick: {"64": {}})
    assert cli.main(["bench", "--growth", "--breakdown"]) == 0
    assert last_json(capsys) == {"gates": [], "growth": {"batch": []}, "breakdown": {"64": {}}}


def test_unknown_group_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["bench", "--only", "speed"])
    assert "steps" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------- timing
def test_variants_take_turns_and_each_is_measured_by_the_cpu_clock(monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(timing.time, "process_time", lambda: now[0])

    def variant(name, seconds):
        def run():
            calls.append(name)
            now[0] += seconds

        return run

    times = paired({"a": variant("a", 3.0), "b": variant("b", 1.0)}, rounds=3, warm_up=1)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert times.seconds == {"a": [3.0] * 3, "b": [1.0] * 3}
    assert times.ratio("a", "b", per=2) == Ratio(6.0, 6.0, 6.0)


def test_ratio_is_the_median_over_rounds_not_of_medians():
    times = Timings({"slow": [2.0, 30.0, 4.0], "fast": [1.0, 10.0, 4.0]})
    assert times.ratio("slow", "fast").median == 2.0
    assert times.median("slow") == 4.0
    assert Timings({"slow": [2.0], "fast": [1.0]}).ratio("slow", "fast") == Ratio(2.0, 2.0, 2.0)


# ----------------------------------------------------------------------------------------------- tables
def test_both_breakdowns_have_the_same_parts_and_they_run(bench):
    row = bench.rows(8, 1)[0]
    parts = breakdown.marn_parts(bench, row)
    others = breakdown.naive_parts(bench, bench.unique, row)
    assert list(parts) == list(others) and list(parts)[-1] == "whole step"
    for run in (*parts.values(), *others.values()):
        run()
    table = breakdown.parts_table({"MARN": dict.fromkeys(parts, 1.5), "naive": dict.fromkeys(parts, 2.5)})
    assert table.count("1.50") == table.count("2.50") == len(parts)


def test_arithmetic_of_a_step_is_counted():
    layer, x = torch.nn.Linear(3, 5), torch.randn(7, 3)
    assert breakdown.step_flops(lambda: layer(x).sum().backward()) == 2 * (2 * 7 * 3 * 5)


def test_growth_measures_and_draws(bench, monkeypatch, tmp_path, capsys):
    shape = bench.data.shape
    monkeypatch.setattr(growth, "CLOTHING", shape)
    monkeypatch.setattr(growth, "ROWS", 8)
    monkeypatch.setattr(growth, "GROWTH", {"batch": (4, 8), "history": (2, 4), "catalogue": (60, 90), "width": (8, 16)})
    result = growth.growth_tables(out=tmp_path)
    assert {what: [point["size"] for point in points] for what, points in result.items()} == {
        what: list(sizes) for what, sizes in growth.GROWTH.items()
    }
    assert "exponent" in capsys.readouterr().out
    picture = ElementTree.parse(tmp_path / "growth.svg").getroot()
    assert sum(1 for _ in picture.iter("{http://www.w3.org/2000/svg}circle")) == 8


def test_histories_of_the_growth_table_are_full(bench, monkeypatch):
    monkeypatch.setattr(growth, "CLOTHING", bench.data.shape)
    monkeypatch.setattr(growth, "ROWS", 8)
    point, longer = growth.measure("history", (3, 6), rounds=1)
    assert (point.tokens, longer.tokens) == (4 * 3, 4 * 6)


def test_a_proportional_line_lies_on_its_dashes():
    picture = log_log_picture([("batch", [(2, 10.0), (20, 100.0)])], title="t", y_axis="y")
    dashed, line = (
        element.get("points") for element in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}polyline")
    )
    assert dashed == line
    with pytest.raises(ValueError, match="positive"):
        log_log_picture([("batch", [(1, 0.0)])], title="t", y_axis="y")


def test_a_step_on_a_log_is_measured_beside_one_on_clicks(shape):
    gate = log_step.step_gate(shape, 2, width=8, batch=32)
    assert gate.at_most and gate.goal == 1 and gate.value > 0 and "32 rows" in gate.name
    data = SyntheticData(shape)
    log = log_step.logged(data)
    size = np.diff(log.requests.first)
    assert (size % log_step.SLATE == 0).all() and log.n_rows % log_step.SLATE == 0
    assert set(np.unique(log.requests.item)) <= set(range(1, shape.items + 1))
    start, length = log.windows(np.arange(log.n_groups))
    before = data.protocol.events.time[start + length - 1][length > 0]
    assert length.max() > 0 and (before < log.requests.time[length > 0]).all()
