"""What `probe_every` keeps, and the curves that are drawn of it."""

import pytest

from recbole_marn import cli
from recbole_marn.analysis.probes import panels_of
from recbole_marn.quick_start import build_config, prepare_run


def report(step, **changed):
    probe = {"linear": 0.5, "mlp": 0.75}
    per_modality = {"ids": 0.25, "image": 0.75}
    return {
        "step": step, "chance": 0.5, "probe c": probe, "probe s": probe, "D1 accuracy": per_modality,
        "degree": per_modality, "|c|": per_modality, "attention norm": per_modality,
        "UAUC": 0.625, "UAUC without c": 0.6, **changed,
    }  # fmt: skip


def test_curves_have_a_value_a_report_and_means_over_modalities():
    panels = {heading: (axis, of) for heading, axis, of in panels_of([report(0), report(40, UAUC=0.7)])}
    of_c = panels["Naming the modality from c"][1]
    assert of_c["D1 on c"] == [0.5, 0.5] and of_c["MLP probe on c"] == [0.75, 0.75]
    assert "D0 on c" not in of_c, "there is no D0"
    assert panels["Mean degree w"] == ("degree", {"ids": [0.25, 0.25], "image": [0.75, 0.75]})
    assert panels["Validation, with and without c"][1] == {"as trained": [0.625, 0.7], "c deleted": [0.6, 0.6]}


def test_reports_every_few_steps_change_nothing_of_the_run(settings, blunt_probes):
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


def test_reports_on_a_model_without_adversary_are_refused_before_the_first_step(settings, capsys):
    arguments = {**settings("NAML", epochs=1), "probe_every": 2}
    assert cli.main(["run", *(f"--{key}={value}" for key, value in arguments.items())]) == 2
    assert "Expected a MARN with discriminators" in capsys.readouterr().err
