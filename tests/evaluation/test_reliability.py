import numpy as np
import pytest
from scipy import stats

from recbole_marn.errors import InputError
from recbole_marn.evaluation.metrics import expected_calibration_error
from recbole_marn.evaluation.reliability import reliability_curve, wilson_interval


def test_six_rows_in_three_bins_by_hand():
    curve = reliability_curve([0, 1, 0, 0, 1, 1], [0.3, 0.1, 0.2, 0.4, 0.9, 0.7], bins=3)
    assert curve.lowest.tolist() == [0.1, 0.3, 0.7]
    assert curve.highest.tolist() == [0.2, 0.4, 0.9]
    assert curve.predicted == pytest.approx([0.15, 0.35, 0.8])
    assert (curve.rows.tolist(), curve.clicks.tolist()) == ([2, 2, 2], [1, 0, 2])
    assert curve.observed.tolist() == [0.5, 0.0, 1.0]
    assert curve.expected_calibration_error == pytest.approx((0.35 + 0.35 + 0.2) / 3)


@pytest.mark.parametrize("seed", range(3))
def test_curve_agrees_with_a_loop_and_its_ece_with_the_metric(seed):
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, 40, 700) / 50 * rng.choice([0.1, 1.0], 700)
    label = (rng.random(700) < probability).astype(int)
    curve = reliability_curve(label, probability, bins=8)
    bins = {}
    for p, y in zip(probability, label, strict=True):
        bins.setdefault(8 * int(np.sum(probability < p)) // 700, []).append((p, y))
    assert len(curve.rows) == len(bins)
    for index, key in enumerate(sorted(bins)):
        p, y = np.array(bins[key]).T
        got = [getattr(curve, name)[index] for name in ("lowest", "highest", "predicted", "observed", "rows", "clicks")]
        assert got == pytest.approx([p.min(), p.max(), p.mean(), y.mean(), len(y), y.sum()])
        wilson = stats.binomtest(int(y.sum()), len(y)).proportion_ci(0.95, method="wilson")
        assert (curve.low[index], curve.high[index]) == pytest.approx((wilson.low, wilson.high), abs=1e-12)
    ece = expected_calibration_error(label, probability, bins=8, equal_frequency=True)
    assert curve.expected_calibration_error == pytest.approx(ece, abs=1e-12)


def test_a_constant_model_has_one_bin():
    curve = reliability_curve([1, 0, 0, 0, 0], [0.2] * 5)
    assert (curve.lowest.tolist(), curve.highest.tolist(), curve.predicted.tolist()) == ([0.2], [0.2], [0.2])
    assert curve.expected_calibration_error == pytest.approx(0, abs=1e-15)


def test_wilson_ends_are_exact_at_nothing_and_everything():
    low, high = wilson_interval([0, 9, 0], [9, 9, 0])
    assert (low[0], high[1], low[2], high[2]) == (0.0, 1.0, 0.0, 1.0)
    assert 0.2 < high[0] < 0.4 and high[0] == pytest.approx(1 - low[1])


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"bins": 0}, "at least 1 bin"),
        ({"confidence": 95}, "confidence"),
        ({"probability": [0.2, 1.1]}, "sigmoid"),
        ({"probability": [0.2, np.nan]}, "NaN"),
    ],
)
def test_unusable_input_is_refused(keywords, expected):
    with pytest.raises(InputError, match=expected):
        reliability_curve(**({"label": [1, 0], "probability": [0.9, 0.1]} | keywords))


def test_more_clicks_than_rows_are_refused():
    with pytest.raises(InputError, match="clicks <= rows"):
        wilson_interval([3], [2])
