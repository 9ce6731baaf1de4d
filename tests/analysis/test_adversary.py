import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from recbole_marn.analysis import adversary
from recbole_marn.analysis.adversary import probe_accuracy, scores_without_invariant
from recbole_marn.errors import InputError
from recbole_marn.layers.invariant_codes import BalancedCodes
from recbole_marn.layers.normalisation import ModalityWhitening
from recbole_marn.quick_start import build_config, prepare_run


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


def test_a_probe_keeps_blas_on_one_thread(monkeypatch):
    def fit(self, x, y):
        seen.extend(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
        return fitted(self, x, y)

    seen, fitted = [], LogisticRegression.fit
    monkeypatch.setattr(LogisticRegression, "fit", fit)
    with threadpool_limits(2, user_api="blas"):
        probe_accuracy(*vectors(0.0))
        after = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    assert seen and set(seen) == {1} and set(after) == {2}


def test_only_an_mlp_finds_a_difference_of_spread():
    x, present = vectors(0.0)
    x[:, 1] *= 0.2
    x[:, 2] *= 5.0
    assert probe_accuracy(x, present, hidden=32) > probe_accuracy(x, present) + 0.2


# docs/adversary-derivation.md states these two limits and says why; here they are measured.
def catalogue(n=2_000):
    """c of two modalities by one affine map and ReLU: inputs in general position, and inputs of 20 distinct values."""
    generator = torch.Generator().manual_seed(3)
    e = torch.randn(n, 2, 8, generator=generator)
    e[:, 1] = e[:20, 1].repeat(n // 20, 1)
    weight = torch.randn(8, 8, generator=generator) / 8**0.5
    return (e @ weight + 0.3).relu(), torch.ones(n, 2, dtype=torch.bool)


def test_equal_means_leave_a_linear_probe_nothing_and_an_mlp_everything():
    c, present = catalogue()
    white = ModalityWhitening(n_modalities=2, width=8)(c)
    logits = torch.zeros(2, 8, requires_grad=True)  # the constant probe is stationary, and the loss is convex
    loss = sum(torch.nn.functional.cross_entropy(white[:, m] @ logits.t(), torch.full((2_000,), m)) for m in (0, 1))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.abs().max() < 1e-5
    assert probe_accuracy(white, present) == pytest.approx(0.5, abs=0.06)
    assert probe_accuracy(white, present, hidden=64) > 0.9


def test_balanced_codes_leave_no_probe_anything():
    c, present = catalogue()
    white = ModalityWhitening(n_modalities=2, width=8)(c)
    torch.manual_seed(0)
    codes = BalancedCodes(n_modalities=2, n_codes=4, width=8)
    for _ in range(300):
        codes(white)
    coded = codes.eval()(white).detach()
    assert coded.std(0).min() > 0.1
    assert probe_accuracy(coded, present) == pytest.approx(0.5, abs=0.06)
    assert probe_accuracy(coded, present, hidden=64) == pytest.approx(0.5, abs=0.06)


def test_rows_are_drawn_as_often_as_they_occur():
    """Two values a modality, told apart by the rare one alone."""
    x, present = torch.zeros(1_000, 2, 1), torch.ones(1_000, 2, dtype=torch.bool)
    x[500:, 1] = 1.0
    count = torch.ones(1_000)
    assert probe_accuracy(x, present, count=count) == pytest.approx(0.75, abs=0.05)
    count[500:] = 0.0
    assert probe_accuracy(x, present, count=count) == pytest.approx(0.5, abs=0.05)


def test_deleting_c_changes_scores_and_is_undone(settings):
    parts = prepare_run(build_config("MARN", "tiny", config_dict=settings(lambda0=0.0)), quiet=True)
    before = parts.trainer.scores(parts.valid)["score"]
    during = scores_without_invariant(parts.model, parts.trainer, parts.valid)["score"]
    after = parts.trainer.scores(parts.valid)["score"]
    assert abs(before - during).max() > 0
    assert (before == after).all()


def test_a_report_has_every_number_a_modality(settings, blunt_probes):
    parts = prepare_run(build_config("MARN", "tiny", config_dict=settings()), quiet=True)
    batch = next(iter(parts.train)).batch
    report = adversary.adversary_report(parts.model, parts.trainer, parts.valid, batch)
    names = set(parts.model.encoder.names)
    for number in ("degree", "|c|", "attention norm", "D0 accuracy", "D1 accuracy"):
        assert set(report[number]) == names
    assert report["chance"] == 0.25 and 0 <= report["probe c"]["linear"] <= 1
    assert report["UAUC"] != report["UAUC without c"]


@pytest.mark.parametrize("changed", [{"adversary": "none"}, {"adversary": "branch"}, {"use_modalities": ["ids"]}])
def test_a_model_without_a_game_is_told_so(settings, changed):
    parts = prepare_run(build_config("MARN", "tiny", config_dict=settings(**changed)), quiet=True)
    assert not adversary.has_adversary(parts.model)
    with pytest.raises(InputError, match="Expected a MARN with discriminators and two modalities"):
        adversary.check_adversary(parts.model)


def test_the_linear_probe_is_scikit_learns():
    """Cross-validated accuracy of a pipeline of scikit-learn's on the same vectors."""
    x, present = vectors(0.7)
    features, target = x.transpose(0, 1).reshape(-1, 8).numpy(), np.repeat(np.arange(3), 400)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    expected = cross_val_score(pipeline, features, target, cv=KFold(5, shuffle=True, random_state=0)).mean()
    assert 0.5 < expected < 0.95
    assert probe_accuracy(x, present) == pytest.approx(expected, abs=0.04)


def test_the_mlp_probe_is_scikit_learns():
    """Of vectors that differ in spread alone, where a linear probe is at chance; trained by Adam, two folds."""
    x, present = vectors(0.0)
    x[:, 1] *= 0.5
    x[:, 2] *= 2.0
    features, target = x.transpose(0, 1).reshape(-1, 8).numpy(), np.repeat(np.arange(3), 400)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((32,), alpha=0.1, tol=1e-3, max_iter=500, random_state=0))
    expected = cross_val_score(pipeline, features, target, cv=KFold(2, shuffle=True, random_state=0)).mean()
    assert 0.6 < expected < 0.95
    assert probe_accuracy(x, present, hidden=32) == pytest.approx(expected, abs=0.06)
    assert probe_accuracy(x, present) < expected - 0.15
