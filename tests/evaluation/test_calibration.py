import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from scipy.special import expit, logit

from recbole_marn.errors import InputError
from recbole_marn.evaluation.calibration import Calibration, fit_isotonic, fit_platt, kept_negatives
from recbole_marn.evaluation.metrics import log_loss, predicted_over_observed


def rows(seed, n=4000, slope=1.0, intercept=0.0):
    """Labels of known click rates, and the probabilities of a model whose logits are off by a line."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-2.5, 1.2, n)
    label = (rng.random(n) < expit(truth)).astype(int)
    return label, expit((truth - intercept) / slope), expit(truth)


# ---------------------------------------------------------------- sampling


@given(st.floats(0, 1), st.floats(1e-4, 1))
def test_kept_negatives_is_the_formula_and_is_undone(q, share):
    correction = kept_negatives(share)
    p = correction.apply([q])[0]
    assert p == pytest.approx(q / (q + (1 - q) / share), rel=1e-12, abs=1e-300)
    if p < 1:
        assert correction.inverse().apply([p])[0] == pytest.approx(q, rel=1e-9, abs=1e-300)


def test_both_ends_are_exact():
    correction = kept_negatives(0.1)
    assert correction.apply([0.0, 1.0]).tolist() == [0.0, 1.0]
    # Near 0 the odds are the probability; near 1 the odds against are what is left.
    assert correction.apply([1e-300])[0] == pytest.approx(1e-301, rel=1e-12, abs=0)
    tiny = 2.0**-50
    assert 1 - correction.apply([1 - tiny])[0] == pytest.approx(10 * tiny, rel=0.02, abs=0)
    assert kept_negatives(1).apply([0.25, 0.5]).tolist() == [0.25, 0.5]


def test_logits_keep_what_a_saturated_sigmoid_has_lost():
    got = kept_negatives(0.1).apply_to_logit([-800.0, 0.0, 30.0, np.inf, -np.inf])
    assert got[1] == pytest.approx(1 / 11)
    assert 1 - got[2] == pytest.approx(10 * math.exp(-30), rel=0.01)
    assert (got[0], got[3], got[4]) == (0.0, 1.0, 0.0)
    q = np.linspace(0.01, 0.99, 50)
    assert kept_negatives(0.3).apply_to_logit(logit(q)) == pytest.approx(kept_negatives(0.3).apply(q), rel=1e-12)


def test_a_log_that_lost_negatives_is_corrected():
    # Click rate by group, counted in the whole log and in what is left of it.
    rng = np.random.default_rng(3)
    group = rng.integers(0, 5, 400_000)
    label = rng.random(len(group)) < np.array([0.01, 0.02, 0.04, 0.1, 0.4])[group]
    kept = label | (rng.random(len(group)) < 0.1)
    thinned = np.array([label[kept & (group == one)].mean() for one in range(5)])
    whole = np.array([label[group == one].mean() for one in range(5)])
    assert kept_negatives(0.1).apply(thinned) == pytest.approx(whole, rel=0.05)
    assert thinned[0] > 5 * whole[0]


@pytest.mark.parametrize("share", [0, -0.1, 1.1, math.nan])
def test_shares_out_of_range_are_refused(share):
    with pytest.raises(InputError, match="share"):
        kept_negatives(share)


# ---------------------------------------------------------------- Platt


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, -2.0), (3.0, 1.0)])
def test_platt_finds_the_line_and_agrees_with_a_general_optimiser(slope, intercept):
    label, probability, _ = rows(0, 20_000, slope, intercept)
    got = fit_platt(label, probability)
    clicks = label.sum()
    target = np.where(label == 1, (clicks + 1) / (clicks + 2), 1 / (len(label) - clicks + 2))
    x = logit(probability)

    def loss(parameters):
        z = parameters[0] * x + parameters[1]
        return np.mean(np.logaddexp(0, z) - target * z)

    expected = optimize.minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15}).x
    assert (got.slope, got.intercept) == pytest.approx(tuple(expected), abs=1e-5)
    assert (got.slope, got.intercept) == pytest.approx((slope, intercept), rel=0.1, abs=0.15)
    assert got.apply(probability) == pytest.approx(expit(got.slope * x + got.intercept))


@pytest.mark.parametrize("fit", [fit_platt, fit_isotonic])
def test_calibration_on_validation_mends_the_next_day(fit):
    label, probability, _ = rows(1, 30_000, 0.6, -1.5)
    later, later_probability, truth = rows(2, 30_000, 0.6, -1.5)
    assert not 0.8 < predicted_over_observed(later, later_probability) < 1.25
    calibrated = fit(label, probability).apply(later_probability)
    assert predicted_over_observed(later, calibrated) == pytest.approx(1, abs=0.05)
    assert log_loss(later, calibrated) < log_loss(later, truth) + 0.002 < log_loss(later, later_probability)
    order = np.argsort(later_probability)
    assert np.all(np.diff(calibrated[order]) >= 0)


def test_platt_of_parted_classes_is_finite_and_of_saturated_scores_too():
    label = np.repeat([0, 1], 50)
    for probability in (np.where(label, 0.9, 0.1), label.astype(float), np.linspace(0.01, 0.99, 100)):
        got = fit_platt(label, probability)
        assert 0 < got.slope < 1e4
        p = got.apply(probability)
        assert np.all((p >= 0) & (p <= 1)) and p[:50].max() < 0.5 < p[50:].min()


@pytest.mark.parametrize("scores", ["constant", "wrong way round"])
def test_platt_of_useless_scores_is_the_click_rate(scores):
    label, probability, _ = rows(4)
    probability = np.full(len(label), 0.3) if scores == "constant" else 1 - probability
    got = fit_platt(label, probability)
    assert got.slope == 0
    assert got.apply([0.0, 0.3, 1.0]) == pytest.approx([label.mean()] * 3, rel=0.01)


# ---------------------------------------------------------------- isotonic


def pooled(label, probability):
    """Pool adjacent violators, the slow way: blocks merge until no rate is above its right neighbour's."""
    blocks = [[p, p, label[probability == p].sum(), np.sum(probability == p)] for p in np.unique(probability)]
    at = 0
    while at < len(blocks) - 1:
        (left, _, clicks, n), (_, right, more, m) = blocks[at], blocks[at + 1]
        if clicks / n >= more / m:
            blocks[at : at + 2] = [[left, right, clicks + more, n + m]]
            at = max(at - 1, 0)
        else:
            at += 1
    return blocks


@pytest.mark.parametrize("seed", range(3))
def test_isotonic_agrees_with_pooling_by_hand(seed):
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, 30, 300) / 30
    label = (rng.random(300) < probability).astype(int)
    got = fit_isotonic(label, probability)
    for left, right, clicks, n in pooled(label, probability):
        rate = np.clip(clicks / n, 1 / 302, 301 / 302)
        assert got.apply([left, right]) == pytest.approx([rate, rate])
    assert np.all(np.diff(got.apply(np.linspace(0, 1, 1000))) >= 0)


def test_isotonic_interpolates_between_steps_and_is_constant_outside():
    label, probability = np.repeat([0, 1, 0, 1], [10, 10, 5, 20]), np.repeat([0.2, 0.4, 0.6], [10, 15, 20])
    got = fit_isotonic(label, probability)
    low, high = 1 / 47, 46 / 47
    assert got.apply([0.0, 0.2, 0.3, 0.4, 0.6, 1.0]) == pytest.approx(
        [low, low, (low + 2 / 3) / 2, 2 / 3, high, high]
    )


def test_isotonic_of_one_score_is_the_click_rate():
    got = fit_isotonic(np.repeat([0, 1], [30, 10]), np.full(40, 0.7))
    assert got.apply([0.0, 0.7, 1.0]) == pytest.approx([0.25] * 3)


# ---------------------------------------------------------------- state


def test_state_is_plain_and_comes_back():
    label, probability, _ = rows(5)
    for one in (kept_negatives(0.2), fit_platt(label, probability), fit_isotonic(label, probability)):
        again = Calibration.from_state(json.loads(json.dumps(one.state())))
        assert again == one
        assert np.array_equal(again.apply(probability), one.apply(probability))


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        {"kind": "beta", "slope": 1.0, "intercept": 0.0},
        {"kind": "logit", "slope": 1.0},
        {"kind": "logit", "slope": "steep", "intercept": 0.0},
        {"kind": "logit", "slope": math.nan, "intercept": 0.0},
        {"kind": "logit", "slope": -1.0, "intercept": 0.0},
        {"kind": "logit", "slope": 1.0, "intercept": 1e4},
        {"kind": "isotonic", "predicted": [], "observed": []},
        {"kind": "isotonic", "predicted": [0.1, 0.1], "observed": [0.1, 0.2]},
        {"kind": "isotonic", "predicted": [0.1, 0.2], "observed": [0.2, 0.1]},
        {"kind": "isotonic", "predicted": [0.1, 0.2], "observed": [0.2]},
        {"kind": "isotonic", "predicted": [0.1, math.nan], "observed": [0.1, 0.2]},
        {"kind": "isotonic", "predicted": [0.1, 0.2], "observed": [0.1, 1.2]},
        {"kind": "isotonic", "predicted": 3, "observed": [0.1]},
    ],
)
def test_states_that_are_no_calibration_are_refused(state):
    with pytest.raises(InputError):
        Calibration.from_state(state)


def test_steps_cannot_be_undone():
    with pytest.raises(InputError, match="undone"):
        fit_isotonic(np.repeat([0, 1], 20), np.repeat([0.2, 0.4], 20)).inverse()
    with pytest.raises(InputError, match="undone"):
        Calibration("logit", 0.0, 1.0).inverse()


@pytest.mark.parametrize("fit", [fit_platt, fit_isotonic])
@pytest.mark.parametrize(
    ("label", "expected"),
    [([1] * 50, "Got 50 and 0"), ([0] * 50, "Got 0 and 50"), ([1] * 9 + [0] * 41, "Got 9 and 41"), ([], "none")],
)
def test_too_little_to_calibrate_on_is_refused(fit, label, expected):
    with pytest.raises(InputError, match=expected):
        fit(label, np.linspace(0.1, 0.9, len(label)))


@pytest.mark.parametrize("probability", [[0.5, np.nan], [0.5, 1.5]])
def test_no_probabilities_are_refused(probability):
    with pytest.raises(InputError):
        kept_negatives(0.5).apply(probability)
