import collections
import math
import time

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from recbole_marn.errors import InputError
from recbole_marn.evaluation.metrics import (
    auc,
    expected_calibration_error,
    gauc,
    log_loss,
    normalised_entropy,
    per_user_auc,
    predicted_over_observed,
    relative_improvement,
    row_losses,
    uauc,
)


def pairwise_auc(label, score):
    """AUC by its definition, pair by pair."""
    wins = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p, is_click in zip(score, label, strict=True)
        if is_click
        for n, other in zip(score, label, strict=True)
        if not other
    ]
    return sum(wins) / len(wins) if wins else math.nan


def random_rows(seed, rows=300, users=40, values=32):
    """Rows with tied scores (multiples of 1/32: exact), users of one class only and users of one row."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, users, rows) * 7 + 3
    label = rng.random(rows) < 0.35
    score = rng.integers(0, values, rows) / values + 0.25 * label
    return user, label.astype(int), score


# ---------------------------------------------------------------- AUC


def test_auc_of_five_rows_by_hand():
    # The click at .9 beats three; the click at .3 loses to .8, ties with .3 and beats .1: (3 + 1.5) / 6.
    assert auc([1, 0, 1, 0, 0], [0.9, 0.8, 0.3, 0.3, 0.1]) == 0.75


def test_auc_of_extremes_by_hand():
    assert auc([1, 1, 0, 0, 0], [5, 4, 3, 2, 1]) == 1.0
    assert auc([1, 1, 0, 0, 0], [1, 2, 3, 4, 5]) == 0.0
    assert auc([1, 1, 0, 0, 0], [2, 2, 2, 2, 2]) == 0.5
    assert auc([1, 0], [np.inf, -np.inf]) == 1.0


@pytest.mark.parametrize("label", [[1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1]])
def test_auc_of_one_class_is_nan(label):
    assert math.isnan(auc(label, np.arange(len(label))))


@pytest.mark.parametrize("seed", range(5))
def test_auc_agrees_with_pairs_scikit_learn_and_scipy(seed):
    _, label, score = random_rows(seed)
    clicks, rest = score[label == 1], score[label == 0]
    u_statistic = stats.mannwhitneyu(clicks, rest).statistic
    assert auc(label, score) == pytest.approx(pairwise_auc(label, score), abs=1e-12)
    assert auc(label, score) == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert auc(label, score) == pytest.approx(u_statistic / (len(clicks) * len(rest)), abs=1e-12)


def test_auc_is_the_same_number_in_any_row_order_and_under_any_increasing_map():
    user, label, score = random_rows(1)
    order = np.random.default_rng(2).permutation(len(label))
    assert auc(label[order], score[order]) == auc(label, score)
    assert auc(label, np.exp(3 * score)) == auc(label, score)
    assert auc(label, -score) == pytest.approx(1 - auc(label, score), abs=1e-15)
    assert uauc(user[order], label[order], score[order]) == uauc(user, label, score)


@pytest.mark.parametrize("metric", [auc, log_loss, expected_calibration_error, predicted_over_observed])
def test_unusable_rows_are_refused_by_every_metric(metric):
    with pytest.raises(InputError, match="NaN"):
        metric([0, 1], [0.5, np.nan])
    with pytest.raises(InputError, match="2 entries"):
        metric([0, 1], [0.5, 0.5, 0.5])
    with pytest.raises(InputError, match="0 or 1"):
        metric([0, 3], [0.5, 0.5])
    with pytest.raises(InputError, match="at least one scored row"):
        metric([], [])


# ---------------------------------------------------------------- per user


def test_uauc_of_eight_rows_by_hand():
    # User 7 wins 2 of 2 pairs, user 2 ties, user 5 loses and wins; user 9 has no non-click and is left out.
    user = [7, 2, 5, 7, 9, 5, 2, 5, 7]
    label = [1, 0, 1, 0, 1, 0, 1, 0, 0]
    score = [0.9, 0.4, 0.5, 0.1, 0.3, 0.8, 0.4, 0.2, 0.2]
    users = per_user_auc(user, label, score)
    assert users.user.tolist() == [2, 5, 7]
    assert users.auc.tolist() == [0.5, 0.5, 1.0]
    assert users.positives.tolist() == [1, 1, 1]
    assert users.negatives.tolist() == [1, 2, 2]
    assert uauc(user, label, score) == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_per_user_metrics_agree_with_a_loop_over_users(seed):
    user, label, score = random_rows(seed)
    values, impressions, clicks = [], [], []
    for one in np.unique(user):
        mine = user == one
        if 0 < label[mine].sum() < mine.sum():
            values.append(roc_auc_score(label[mine], score[mine]))
            assert values[-1] == pytest.approx(pairwise_auc(label[mine], score[mine]), abs=1e-12)
            impressions.append(mine.sum())
            clicks.append(label[mine].sum())
    assert 0 < len(values) < len(np.unique(user)), "the case must hold users of one class"
    assert per_user_auc(user, label, score).auc == pytest.approx(values, abs=1e-12)
    assert uauc(user, label, score) == pytest.approx(np.mean(values), abs=1e-12)
    assert gauc(user, label, score) == pytest.approx(np.average(values, weights=impressions), abs=1e-12)
    assert gauc(user, label, score, weight="clicks") == pytest.approx(
        np.average(values, weights=clicks), abs=1e-12
    )


def test_string_users_equal_integer_users():
    user, label, score = random_rows(3)
    assert uauc(np.char.add("u", user.astype(str)), label, score) == pytest.approx(uauc(user, label, score))


def test_uauc_is_pair_accuracy_with_one_click_and_one_non_click_a_user():
    rng = np.random.default_rng(0)
    score = rng.normal(size=(100, 2))
    accuracy = np.mean(score[:, 0] > score[:, 1])
    assert uauc(np.repeat(np.arange(100), 2), np.tile([1, 0], 100), score.ravel()) == pytest.approx(accuracy)


def test_a_shift_of_a_users_scores_changes_auc_but_not_uauc():
    user, label, score = random_rows(4)
    shifted = score + 10 * np.random.default_rng(0).permutation(user.max() + 1)[user]
    assert auc(label, shifted) != pytest.approx(auc(label, score), abs=1e-3)
    assert np.array_equal(per_user_auc(user, label, shifted).auc, per_user_auc(user, label, score).auc)


def test_without_a_user_of_both_classes_there_is_no_value():
    assert math.isnan(uauc([1, 2], [1, 0], [0.9, 0.1]))
    assert math.isnan(gauc([1, 2], [1, 0], [0.9, 0.1]))
    assert len(per_user_auc([1, 2], [1, 0], [0.9, 0.1]).auc) == 0


def test_an_unknown_weight_and_unusable_users_are_refused():
    with pytest.raises(InputError, match="impressions.*Got 'rows'"):
        gauc([1, 1], [1, 0], [0.9, 0.1], weight="rows")
    with pytest.raises(InputError, match="user to be integers"):
        uauc([1.5, 1.5], [1, 0], [0.9, 0.1])
    with pytest.raises(InputError, match="2 entries"):
        uauc([1], [1, 0], [0.9, 0.1])


def test_uauc_of_400000_rows_of_200000_users_takes_less_than_a_second():
    rng = np.random.default_rng(0)
    user = rng.permutation(np.repeat(np.arange(200_000), 2))
    label = rng.integers(0, 2, 400_000)
    score = rng.random(400_000, dtype=np.float32)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        uauc(user, label, score)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1.0


# ---------------------------------------------------------------- probabilities


def test_log_loss_by_hand_and_by_scikit_learn():
    assert log_loss([1, 0], [0.8, 0.4]) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    rng = np.random.default_rng(0)
    label, probability = rng.integers(0, 2, 200), rng.random(200)
    assert log_loss(label, probability) == pytest.approx(sklearn_log_loss(label, probability), abs=1e-12)
    assert row_losses(label, probability).mean() == pytest.approx(log_loss(label, probability))


def test_log_loss_of_a_saturated_mistake_is_bounded_by_the_clip():
    assert log_loss([1], [0.0]) == pytest.approx(-math.log(1e-7))
    assert log_loss([0], [1.0]) == pytest.approx(-math.log(1e-7), rel=1e-6)
    assert log_loss([1], [0.0], clip=1e-15) == pytest.approx(-math.log(1e-15))
    assert log_loss([1, 0], [1.0, 0.0]) == pytest.approx(1e-7)
    with pytest.raises(InputError, match="clip"):
        log_loss([1], [0.5], clip=0.0)
    with pytest.raises(InputError, match="sigmoid"):
        log_loss([1], [1.5])


def test_relative_improvement_by_hand():
    assert relative_improvement(0.8, 0.7) == pytest.approx(0.5)
    assert relative_improvement(0.6, 0.7) == pytest.approx(-0.5)
    assert relative_improvement(0.7, 0.7) == 0.0


@pytest.mark.parametrize(("value", "baseline"), [(0.8, 0.5), (0.8, 0.45), (math.nan, 0.7), (0.7, math.nan)])
def test_relative_improvement_over_chance_is_undefined(value, baseline):
    assert math.isnan(relative_improvement(value, baseline))


def test_relative_improvement_refuses_percentages():
    with pytest.raises(InputError, match="auc between 0 and 1. Got 80.3"):
        relative_improvement(80.3, 0.7)
    with pytest.raises(InputError, match="baseline"):
        relative_improvement(0.8, 70.0)


def test_calibration_error_of_five_rows_by_hand():
    # Two bins: {.1, .2, .3} predicts .6 with one click, {.5, .9} predicts 1.4 with one click: (.4 + .4) / 5.
    label, probability = [0, 1, 0, 1, 0], [0.1, 0.2, 0.3, 0.5, 0.9]
    assert expected_calibration_error(label, probability, bins=2) == pytest.approx(0.16)
    assert expected_calibration_error(label, probability, bins=1) == pytest.approx(0.0)
    assert predicted_over_observed(label, probability) == pytest.approx(1.0)


@pytest.mark.parametrize("equal_frequency", [False, True])
def test_calibration_error_agrees_with_a_loop_over_bins(equal_frequency):
    rng = np.random.default_rng(1)
    probability = rng.integers(0, 21, 500) / 20 * rng.choice([0.2, 1.0], 500)
    label = (rng.random(500) < probability**2).astype(int)
    expected, bins = 0.0, 5
    for index in range(bins):
        if equal_frequency:
            below = np.array([np.sum(probability < p) for p in probability])
            chosen = (below / 500 >= index / bins) & (below / 500 < (index + 1) / bins)
        else:
            top = index == bins - 1
            chosen = (probability >= index / bins) & ((probability < (index + 1) / bins) | top)
        if chosen.any():
            expected += chosen.mean() * abs(probability[chosen].mean() - label[chosen].mean())
    got = expected_calibration_error(label, probability, bins=bins, equal_frequency=equal_frequency)
    assert got == pytest.approx(expected, abs=1e-12)


def test_calibrated_predictions_have_little_error_and_doubled_ones_show_it():
    rng = np.random.default_rng(2)
    probability = rng.uniform(0.0, 0.4, 20_000)
    label = (rng.random(20_000) < probability).astype(int)
    for equal_frequency in (False, True):
        assert expected_calibration_error(label, probability, equal_frequency=equal_frequency) < 0.02
        assert expected_calibration_error(label, 2 * probability, equal_frequency=equal_frequency) > 0.15
    assert predicted_over_observed(label, probability) == pytest.approx(1.0, abs=0.05)
    assert predicted_over_observed(label, 2 * probability) == pytest.approx(2.0, abs=0.1)


def test_calibration_edges():
    assert expected_calibration_error([1, 0], [1.0, 0.0]) == 0.0
    assert math.isnan(predicted_over_observed([0, 0], [0.5, 0.5]))
    with pytest.raises(InputError, match="at least 1 bin"):
        expected_calibration_error([1, 0], [1.0, 0.0], bins=0)


# ---------------------------------------------------------------- normalised entropy


def test_normalised_entropy_by_hand_and_of_a_constant():
    label = [1, 0, 0, 0]
    assert normalised_entropy(label, [0.25] * 4) == pytest.approx(1, abs=1e-15)
    loss = -(math.log(0.7) + 3 * math.log(0.9)) / 4
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert normalised_entropy(label, [0.7, 0.1, 0.1, 0.1]) == pytest.approx(loss / entropy)
    assert normalised_entropy(label, [0.5] * 4) == pytest.approx(math.log(2) / entropy)
    rare = np.arange(100_000) < 3
    assert normalised_entropy(rare, np.full(100_000, 3e-5)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("label", [[1, 1], [0, 0]])
def test_normalised_entropy_of_one_class_is_nan(label):
    assert math.isnan(normalised_entropy(label, [0.5, 0.5]))


# ---------------------------------------------------------------- RecBole


@pytest.mark.host
@pytest.mark.parametrize("seed", range(3))
def test_gauc_weighted_by_clicks_is_recboles(seed, monkeypatch):
    """RecBole 1.2.1 collects ranks from a padded score table; ties share their mean rank, as one half does here."""
    import torch
    from recbole.evaluator import GAUC, Collector

    if "bool" not in vars(np):  # the name is gone between NumPy 1.24 and 2
        monkeypatch.setitem(vars(np), "bool", bool)
    user, label, score = random_rows(seed)
    config = collections.defaultdict(lambda: None, metrics=["GAUC"], device="cpu", topk=[5])
    config |= {"metric_decimal_place": 12, "eval_args": {"mode": "full"}}
    collector = Collector(config)
    ids, row_user = np.unique(user, return_inverse=True)
    # One column a candidate after the padding item's, as in an evaluation by RecBole.
    place = np.array([np.sum(user[:row] == user[row]) for row in range(len(user))]) + 1
    table = torch.full((len(ids), place.max() + 1), -torch.inf, dtype=torch.float64)
    table[row_user, place] = torch.tensor(score)
    clicks = np.flatnonzero(label)
    collector.eval_batch_collect(table, None, torch.tensor(row_user[clicks]), torch.tensor(place[clicks]))
    result = GAUC(config).calculate_metric(collector.get_data_struct())
    assert result["gauc"] == pytest.approx(gauc(user, label, score, "clicks"), abs=1e-6)
    assert result["gauc"] != pytest.approx(gauc(user, label, score), abs=1e-6)
