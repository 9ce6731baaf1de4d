import json
from xml.etree import ElementTree

import pytest

from recbole_marn import cli
from recbole_marn.analysis import adversary
from recbole_marn.analysis.curves import curves_picture, curves_table
from recbole_marn.quick_start import build_config, prepare_run, run


@pytest.fixture(autouse=True)
def _small_probes(monkeypatch):
    """How sharp the probes are is the matter of test_adversary.py."""
    monkeypatch.setattr(adversary, "PROBED", 40)


def report(step, **changed):
    probe = {"linear": 0.5, "mlp": 0.75}
    per_modality = {"ids": 0.25, "image": 0.75}
    return {
        "step": step, "chance": 0.5, "probe c": probe, "probe s": probe, "D1 accuracy": per_modality,
        "degree": per_modality, "|c|": per_modality, "attention norm": per_modality,
        "UAUC": 0.625, "UAUC without c": 0.6, **changed,
    }  # fmt: skip


def test_the_table_has_a_column_a_report_and_means_over_modalities():
    rows = {line[:17].strip(): line[17:].split() for line in curves_table([report(0), report(40)]).splitlines()}
    assert rows["step"] == ["0", "40"]
    assert rows["D1 on c"] == ["0.500", "0.500"] and rows["D0 on c"] == ["-", "-"], "there is no D0"
    assert rows["MLP probe on c"] == ["0.750", "0.750"]
    assert rows["w image"] == ["0.750", "0.750"]
    assert rows["c deleted"] == ["0.600", "0.600"]


def test_the_picture_draws_each_curve_at_its_steps(monkeypatch):
    drawn = {}
    with monkeypatch.context() as watched:
        pyplot = pytest.importorskip("matplotlib.pyplot", reason="pictures need matplotlib")
        watched.setattr(pyplot.Axes, "plot", lambda place, at, values, label, **stroke: drawn.update({label: at}))
        watched.setattr(pyplot.Axes, "legend", lambda *args, **more: None)
        text = curves_picture([report(0), report(30), report(40)])
    assert {"D1 on c", "linear probe on s", "c deleted", "ids"} <= set(drawn) and "D0 on c" not in drawn
    assert drawn["c deleted"] == [0, 30, 40]
    assert "training step" in text and ElementTree.fromstring(text).tag.endswith("svg")
    assert curves_picture([report(0), report(30)]) == curves_picture([report(0), report(30)]), "the same file"


def test_reports_every_few_steps_change_nothing_of_the_run(settings):
    histories = []
    for probe_every in (None, 2):
        parts = prepare_run(build_config(config_dict=settings(dropout=0.3, probe_every=probe_every)), quiet=True)
        parts.trainer.fit(parts.train, parts.valid, verbose=False, saved=False)
        histories.append(parts.trainer.history)
    plain, probed = histories
    steps = [probe["step"] for epoch in probed for probe in epoch["probes"]]
    assert steps == list(range(0, 2 * len(parts.train), 2))
    assert not any("probes" in epoch for epoch in plain)
    for before, after in zip(plain, probed, strict=True):
        assert before["losses"] == after["losses"] and before["valid_score"] == after["valid_score"]
    # The discriminators as they stand before the first step have seen nothing.
    assert probed[0]["probes"][0]["degree"] == pytest.approx(dict.fromkeys(parts.model.encoder.names, 0.75), abs=0.1)


@pytest.mark.parametrize("ending", ["record", "checkpoint"])
def test_analyze_draws_the_curves_of_a_run(settings, capsys, ending):
    path = run("MARN", "tiny", config_dict=settings(epochs=1, probe_every=3))[ending]
    assert cli.main(["analyze", path, "--report", "curves"]) == 0
    printed = capsys.readouterr().out.strip().splitlines()
    result = json.loads(printed[-1])
    assert [probe["step"] for probe in result["probes"]] == [int(step) for step in printed[0].split()[1:]]
    ElementTree.parse(result["picture"])


def test_a_run_without_reports_is_refused(settings, capsys, tmp_path):
    path = run("MARN", "tiny", config_dict=settings(epochs=1))["record"]
    assert cli.main(["analyze", path, "--report", "curves"]) == 2
    assert "Train with --probe_every=STEPS" in capsys.readouterr().err
    assert cli.main(["analyze", str(tmp_path / "none.json"), "--report", "curves"]) == 2


def test_reports_on_a_model_without_adversary_are_refused_before_the_first_step(settings, capsys):
    arguments = {**settings("NAML", epochs=1), "probe_every": 2}
    assert cli.main(["run", *(f"--{key}={value}" for key, value in arguments.items())]) == 2
    assert "Expected a MARN with an invariant branch" in capsys.readouterr().err
