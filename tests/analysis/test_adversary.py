import json

import pytest
import torch

from recbole_marn import cli
from recbole_marn.analysis.adversary import probe_accuracy, without_invariant
from recbole_marn.quick_start import build_config, load_run, prepare_run, run


def vectors(shift):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 3, 8, generator=generator)
    x[:, 1] += shift
    x[:, 2] -= shift
    return x, torch.ones(400, 3, dtype=torch.bool)


def test_probe_is_at_chance_on_equal_distributions_and_right_on_shifted_ones():
    assert probe_accuracy(*vectors(0.0)) == pytest.approx(1 / 3, abs=0.08)
    assert probe_accuracy(*vectors(3.0)) > 0.95
    assert probe_accuracy(*vectors(3.0), hidden=16) > 0.95


def test_only_an_mlp_finds_a_difference_of_spread():
    x, present = vectors(0.0)
    x[:, 1] *= 0.2
    x[:, 2] *= 5.0
    assert probe_accuracy(x, present, hidden=32) > probe_accuracy(x, present) + 0.2


def test_deleting_c_changes_scores_and_is_undone(settings):
    parts = prepare_run(build_config("MARN", "tiny", config_dict=settings(lambda0=0.0)), quiet=True)
    before = parts.trainer.scores(parts.valid)["score"]
    with without_invariant(parts.model):
        during = parts.trainer.scores(parts.valid)["score"]
    after = parts.trainer.scores(parts.valid)["score"]
    assert abs(before - during).max() > 0
    assert (before == after).all()


def test_analyze_prints_a_table_and_ends_in_json(settings, capsys):
    path = run("MARN", "tiny", config_dict=settings(epochs=1))["checkpoint"]
    assert cli.main(["analyze", path]) == 0
    report = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert set(report["degree"]) == set(load_run(path).model.encoder.names)
    assert 0 <= report["probe c"]["linear"] <= 1
    assert report["UAUC"] != report["UAUC without c"]


def test_analyze_refuses_a_model_without_invariant_branch(settings, capsys):
    path = run("MARN", "tiny", config_dict=settings(epochs=1, adversary="none"))["checkpoint"]
    assert cli.main(["analyze", path]) == 2
    assert "Expected a MARN with an invariant branch" in capsys.readouterr().err
