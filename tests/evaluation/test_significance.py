import math

import numpy as np
import pytest
from scipy import stats

from recbole_marn.errors import InputError
from recbole_marn.evaluation.metrics import auc, per_user_auc, uauc
from recbole_marn.evaluation.significance import (
    delong_test,
    delong_variance,
    holm,
    mean_and_std,
    paired_user_test,
    sign_flip_p_value,
    t_test_p_value,
)


def within_binomial(hits, trials, rate=0.05):
    """Whether a count of false positives is one that the rate gives in all but 1 of 10,000 simulations."""
    low, high = stats.binom.interval(0.9999, trials, rate)
    return low <= hits <= high


def components_by_pairs(label, score):
    """DeLong's V10 and V01 from all pairs."""
    clicks, rest = score[label == 1], score[label == 0]
    wins = np.array([[1.0 if p > n else 0.5 if p == n else 0.0 for n in rest] for p in clicks])
    return wins.mean(axis=1), wins.mean(axis=0)


def random_scores(seed, rows=80, values=12):
    rng = np.random.default_rng(seed)
    label = (rng.random(rows) < 0.4).astype(int)
    common = rng.normal(size=rows)
    a, b = (np.round(values * (common + rng.normal(size=rows) + lift * label)) for lift in (1.0, 0.6))
    return label, a, b


# ---------------------------------------------------------------- DeLong


def test_delong_of_five_rows_by_hand():
    # Clicks .9 and .3, non-clicks .8, .3, .1: V10 = (1, .5), V01 = (.5, .75, 1), AUC = .75.
    # var(V10) / 2 + var(V01) / 3 = .125 / 2 + .0625 / 3.
    label, score = [1, 0, 1, 0, 0], [0.9, 0.8, 0.3, 0.3, 0.1]
    assert delong_variance(label, score) == pytest.approx(0.125 / 2 + 0.0625 / 3, abs=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_delong_agrees_with_structural_components_from_all_pairs(seed):
    label, a, b = random_scores(seed)
    (a10, a01), (b10, b01) = components_by_pairs(label, a), components_by_pairs(label, b)
    s10, s01 = np.cov(a10, b10), np.cov(a01, b01)
    covariance = s10 / len(a10) + s01 / len(a01)
    assert delong_variance(label, a) == pytest.approx(covariance[0, 0], rel=1e-10)
    assert delong_variance(label, b) == pytest.approx(covariance[1, 1], rel=1e-10)
    result = delong_test(label, a, b)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert result.standard_error == pytest.approx(math.sqrt(variance), rel=1e-10)
    assert (result.auc_a, result.auc_b) == (auc(label, a), auc(label, b))
    assert result.difference == result.auc_a - result.auc_b
    assert result.z == pytest.approx(result.difference / math.sqrt(variance), rel=1e-10)
    assert result.p_value == pytest.approx(2 * (1 - stats.norm.cdf(abs(result.z))), abs=1e-12)


def test_delong_changes_sign_with_the_order_of_the_models():
    label, a, b = random_scores(7)
    forth, back = delong_test(label, a, b), delong_test(label, b, a)
    assert forth.difference == -back.difference
    assert forth.p_value == pytest.approx(back.p_value)
    assert forth.difference > 0 and forth.z > 0


def clustered_variance_by_loop(label, score, user):
    """Obuchowski's variance, cluster by cluster."""
    v10, v01 = np.zeros(len(label)), np.zeros(len(label))
    v10[label == 1], v01[label == 0] = components_by_pairs(label, score)
    area = auc(label, score)
    clicks, rest = label.sum(), (1 - label).sum()
    s10 = s01 = s11 = 0.0
    clusters = set(user)
    for one in clusters:
        mine = np.asarray(user) == one
        d10 = sum(v10[mine & (label == 1)] - area)
        d01 = sum(v01[mine & (label == 0)] - area)
        s10, s01, s11 = s10 + d10**2, s01 + d01**2, s11 + d10 * d01
    i10, i01, i = len(set(user[label == 1])), len(set(user[label == 0])), len(clusters)
    return (
        i10 / (i10 - 1) * s10 / clicks**2
        + i01 / (i01 - 1) * s01 / rest**2
        + 2 * i / (i - 1) * s11 / (clicks * rest)
    )


def test_delong_with_users_agrees_with_a_loop_over_clusters():
    label, a, _ = random_scores(3)
    user = np.random.default_rng(0).integers(0, 15, len(label))
    assert delong_variance(label, a, user) == pytest.approx(
        clustered_variance_by_loop(label, a, user), rel=1e-10
    )
    assert delong_variance(label, a, user) != pytest.approx(delong_variance(label, a), rel=1e-3)


def test_delong_with_a_user_for_every_row_is_plain_delong():
    label, a, b = random_scores(4)
    user = np.random.default_rng(0).permutation(len(label))
    assert delong_variance(label, a, user) == pytest.approx(delong_variance(label, a), rel=1e-12)
    assert delong_test(label, a, b, user).p_value == pytest.approx(delong_test(label, a, b).p_value, rel=1e-9)


def test_copying_every_row_halves_plain_variance_but_not_the_clustered_one():
    label, a, _ = random_scores(5)
    user = np.arange(len(label))
    twice, users_twice = np.repeat(label, 2), np.repeat(user, 2)
    assert delong_variance(twice, np.repeat(a, 2)) < 0.55 * delong_variance(label, a)
    assert delong_variance(twice, np.repeat(a, 2), users_twice) == pytest.approx(
        delong_variance(label, a, user)
    )


def test_delong_of_the_same_ranking_finds_no_difference():
    label, a, _ = random_scores(6)
    result = delong_test(label, a, 2 * a + 1)
    assert (result.difference, result.z, result.p_value) == (0.0, 0.0, 1.0)


def test_delong_without_spread_or_without_two_rows_of_a_class_is_undefined():
    perfect_against_tied = delong_test([1, 1, 0, 0], [4, 3, 2, 1], [1, 1, 1, 1])
    assert perfect_against_tied.difference == 0.5
    assert math.isnan(perfect_against_tied.p_value)
    assert math.isnan(delong_test([1, 0, 0], [3, 2, 1], [1, 2, 3]).p_value)
    assert math.isnan(delong_test([0, 0, 0], [3, 2, 1], [1, 2, 3]).p_value)
    assert math.isnan(delong_variance([1, 1], [0.2, 0.3]))
    assert math.isnan(delong_variance([1, 0, 0], [0.2, 0.3, 0.1]))
    assert delong_variance([1, 1, 0, 0], [4, 3, 2, 1]) == 0.0


def test_delong_refuses_unusable_rows():
    with pytest.raises(InputError, match="score_b to have 2 entries"):
        delong_test([0, 1], [0.1, 0.2], [0.1])
    with pytest.raises(InputError, match="score_a without NaN"):
        delong_test([0, 1], [0.1, np.nan], [0.1, 0.2])


def test_delong_rejects_a_true_null_one_time_in_twenty():
    rng = np.random.default_rng(11)
    rejected = 0
    for _ in range(400):
        label = rng.random(100) < 0.4
        common = rng.normal(size=100)
        a, b = (common + rng.normal(size=100) + 0.7 * label for _ in range(2))
        rejected += delong_test(label, a, b).p_value < 0.05
    assert within_binomial(rejected, 400)


def test_users_as_clusters_keep_the_false_positive_rate_that_plain_delong_loses():
    # A user's six rows share one label and one score offset for each model: about one independent row a user.
    rng = np.random.default_rng(12)
    plain = clustered = 0
    user = np.repeat(np.arange(80), 6)
    for _ in range(250):
        label = np.repeat(rng.random(80) < 0.5, 6)
        a, b = (rng.normal(size=80)[user] + 0.3 * rng.normal(size=480) + 0.5 * label for _ in range(2))
        plain += delong_test(label, a, b).p_value < 0.05
        clustered += delong_test(label, a, b, user).p_value < 0.05
    assert plain > 60
    assert within_binomial(clustered, 250)


# ---------------------------------------------------------------- paired over users


def test_t_test_agrees_with_scipy():
    difference = np.random.default_rng(0).normal(0.1, 1.0, 50)
    expected = stats.ttest_1samp(difference, 0.0)
    assert t_test_p_value(difference) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-10)


def test_t_test_without_spread():
    assert t_test_p_value([0.0, 0.0, 0.0]) == (0.0, 1.0)
    assert all(math.isnan(value) for value in t_test_p_value([0.1] * 7))
    assert all(math.isnan(value) for value in t_test_p_value([0.5]))


def test_sign_flip_of_five_users_by_hand():
    # One user without a difference leaves 16 patterns of .1, .2, .3, .4; only +1.0 and -1.0 reach 1.0.
    assert sign_flip_p_value([0.1, 0.2, 0.3, 0.4, 0.0]) == 2 / 16
    # .8 is reached by +-1.0 and +-.8 alone.
    assert sign_flip_p_value([-0.1, 0.2, 0.3, 0.4]) == 4 / 16
    assert sign_flip_p_value([0.0, 0.0]) == 1.0
    # Users without a difference, rounding aside, add no pattern: the count stays exact with 100 of them.
    assert sign_flip_p_value([0.1, 0.2, 0.3, 0.4] + [0.0, 1e-16] * 50) == 2 / 16
    assert sign_flip_p_value([1e-16] * 100) == 1.0
    assert math.isnan(sign_flip_p_value([]))


def test_sign_flip_agrees_with_scipy_where_all_patterns_are_counted():
    difference = np.round(np.random.default_rng(1).normal(0.2, 0.5, 10), 1)
    expected = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=10_000, vectorized=False
    )
    assert sign_flip_p_value(difference) == pytest.approx(expected.pvalue, abs=1e-12)


@pytest.mark.parametrize("steps", [None, 8])
def test_drawn_sign_flips_agree_with_all_patterns(steps):
    # Once with sizes that all differ, once with few sizes shared by many users: the two ways of drawing.
    difference = np.random.default_rng(2).normal(0.25, 0.6, 16)
    if steps:
        difference = np.round(difference * steps) / steps
    exact = sign_flip_p_value(difference, permutations=2**16)
    drawn = sign_flip_p_value(difference, permutations=4000)
    assert 2 ** np.count_nonzero(difference) > 4000
    assert 0.02 < exact < 0.5
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 4000))


def test_drawn_sign_flips_are_never_zero_and_follow_the_seed():
    difference = np.full(40, 0.5)
    assert sign_flip_p_value(difference, permutations=99) == 0.01
    mixed = np.random.default_rng(3).normal(0.1, 0.5, 60)
    assert sign_flip_p_value(mixed, 999, seed=4) == sign_flip_p_value(mixed, 999, seed=4)
    assert sign_flip_p_value(mixed, 999, seed=4) != sign_flip_p_value(mixed, 999, seed=5)


def test_sign_flip_in_blocks_equals_the_normal_limit(monkeypatch):
    monkeypatch.setattr("recbole_marn.evaluation.significance._CHUNK", 5_000)
    difference = np.random.default_rng(5).normal(0.05, 0.5, 400)
    z = difference.sum() / math.sqrt((difference**2).sum())
    assert sign_flip_p_value(difference, 4_000) == pytest.approx(2 * stats.norm.sf(abs(z)), abs=0.03)


def test_unusable_differences_are_refused():
    for call in (t_test_p_value, sign_flip_p_value):
        with pytest.raises(InputError, match="with 1 NaN"):
            call([0.1, np.nan])
        with pytest.raises(InputError, match=r"shape \(1, 2\)"):
            call([[0.1, 0.2]])
    with pytest.raises(InputError, match="at least 1 permutation"):
        sign_flip_p_value([0.1], permutations=0)


def user_rows(rng, users=50, negatives=4, lifts=(0.5, 0.5)):
    """One click and some negatives a user; two models with a user offset and noise of their own."""
    user = np.repeat(np.arange(users), 1 + negatives)
    label = np.tile([1] + [0] * negatives, users)
    scores = [rng.normal(size=users)[user] + rng.normal(size=len(user)) + lift * label for lift in lifts]
    return user, label, *scores


def test_paired_user_test_agrees_with_scipy_on_per_user_auc():
    user, label, a, b = user_rows(np.random.default_rng(0), lifts=(1.0, 0.6))
    result = paired_user_test(user, label, a, b)
    per_user = [per_user_auc(user, label, score).auc for score in (a, b)]
    expected = stats.ttest_rel(*per_user)
    assert (result.t, result.p_value_t) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)
    assert (result.uauc_a, result.uauc_b) == pytest.approx((uauc(user, label, a), uauc(user, label, b)))
    assert result.difference == pytest.approx(result.uauc_a - result.uauc_b)
    assert result.users == 50
    assert result.p_value_sign_flip == pytest.approx(result.p_value_t, abs=0.02)


def test_paired_user_test_without_a_user_of_both_classes_is_undefined():
    result = paired_user_test([1, 2, 3], [1, 0, 1], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1])
    assert result.users == 0
    assert all(math.isnan(x) for x in (result.difference, result.p_value_t, result.p_value_sign_flip))


def test_paired_user_tests_reject_a_true_null_one_time_in_twenty_and_see_a_real_gap():
    rng = np.random.default_rng(13)
    by_t = by_flip = seen = 0
    for _ in range(300):
        result = paired_user_test(*user_rows(rng), permutations=199)
        by_t += result.p_value_t < 0.05
        by_flip += result.p_value_sign_flip <= 0.05
        seen += paired_user_test(*user_rows(rng, lifts=(2.0, 0.5)), permutations=199).p_value_t < 0.05
    assert within_binomial(by_t, 300)
    assert within_binomial(by_flip, 300)
    assert seen > 250


# ---------------------------------------------------------------- many tests, many seeds


def holm_by_loop(p_values):
    """Step by step: the k-th smallest of m times m - k + 1, none below the one before."""
    adjusted, highest = dict.fromkeys(range(len(p_values))), 0.0
    for step, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - step) * p_values[index]))
        adjusted[index] = highest
    return [adjusted[index] for index in range(len(p_values))]


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([0.04]) == pytest.approx([0.04])
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("seed", range(5))
def test_holm_agrees_with_a_loop(seed):
    p_values = np.round(np.random.default_rng(seed).random(12) ** 3, 2)
    assert holm(p_values) == pytest.approx(holm_by_loop(p_values.tolist()), abs=1e-15)


def test_holm_counts_a_test_that_could_not_be_made():
    assert holm([0.01, np.nan, 0.02]) == pytest.approx([0.03, np.nan, 0.04], nan_ok=True)


def test_holm_holds_the_chance_of_any_false_positive():
    p_values = np.random.default_rng(14).random((2000, 6))
    families = sum(holm(row).min() < 0.05 for row in p_values)
    assert within_binomial(families, 2000)
    assert np.mean(p_values.min(axis=1) < 0.05) > 0.2, "without the correction it would be lost"


def test_tests_chosen_after_a_look_are_corrected_among_all():
    assert holm([0.01, 0.002], family=6) == pytest.approx([0.05, 0.012])
    with pytest.raises(InputError, match="family of at least the 3 tests"):
        holm([0.1, 0.2, 0.3], family=2)


def test_the_best_of_equals_is_not_called_better():
    """Rows without a difference, the best compared with all others: few tables have a false positive."""
    rng = np.random.default_rng(3)
    tables = 600
    corrected = plain = 0
    for _ in range(tables):
        scores = rng.normal(size=(10, 80))
        best = scores.mean(axis=1).argmax()
        p_values = stats.ttest_rel(scores[best], np.delete(scores, best, axis=0), axis=1).pvalue
        corrected += holm(p_values, family=45).min() < 0.05
        plain += holm(p_values).min() < 0.05
    low, high = stats.binom.interval(0.9999, tables, 0.05)
    assert corrected <= high
    assert plain > high, "corrected among the tests shown alone, the choice of the best is not accounted for"


def test_holm_refuses_what_is_no_p_value():
    for wrong in ([0.5, 1.5], [-0.1], [[0.1]]):
        with pytest.raises(InputError, match="p-values"):
            holm(wrong)


def test_mean_and_std_over_seeds():
    mean, std = mean_and_std([0.70, 0.72, 0.74])
    assert (mean, std) == pytest.approx((0.72, 0.02))
    mean, std = mean_and_std([[0.7, 0.1], [0.8, 0.3]])
    assert mean == pytest.approx([0.75, 0.2])
    assert std == pytest.approx([0.1 / math.sqrt(2), 0.2 / math.sqrt(2)])


def test_one_seed_has_no_known_spread():
    mean, std = mean_and_std([0.7])
    assert mean == 0.7 and math.isnan(std)
    assert np.isnan(mean_and_std([[0.7, 0.8]])[1]).tolist() == [True, True]
    for wrong in ([], 0.7):
        with pytest.raises(InputError, match="at least one seed"):
            mean_and_std(wrong)
