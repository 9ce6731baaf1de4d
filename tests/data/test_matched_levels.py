import numpy as np
import pytest

from recbole_marn.data.matched_levels import MatchedLevels

P = 60


def skewed_counts(seed):
    """Many small counts and a few large ones, in no order."""
    return np.random.default_rng(seed).geometric(0.15, P) - 1


def level_by_loop(count, positive_count, m, size):
    """{place: weight}: the window over sorted counts, shared out evenly inside each group of equal counts."""
    released = sorted(count[:m])
    low, high = released.index(positive_count), m - released[::-1].index(positive_count)
    widen_below = widen_above = max(0, -(-(size - (high - low - 1)) // 2))
    while widen_below + widen_above > 0 and (low > 0 or high < m):
        if widen_below and low > 0:
            low, widen_below = low - 1, widen_below - 1
        elif widen_below:
            widen_below, widen_above = 0, widen_above + widen_below
        if widen_above and high < m:
            high, widen_above = high + 1, widen_above - 1
        elif widen_above:
            widen_above, widen_below = 0, widen_below + widen_above
    window = released[low:high]
    weight = {}
    for place in range(m):
        if count[place] in window:
            weight[place] = window.count(count[place]) / released.count(count[place])
    return weight


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("seed", range(3))
def test_levels_of_every_prefix_against_a_loop(seed, size):
    count = skewed_counts(seed)
    levels = MatchedLevels(count, prefixes=True)
    for m in (2, 5, 23, 32, P):
        for positive in range(m):
            of, first = np.array([count[positive]]), np.array([m])
            low, high = levels.window(of, first, size)
            weight = levels.weights(low, high, first)[0, :m]
            expected = level_by_loop(list(count), count[positive], m, size)
            np.testing.assert_allclose(weight, [expected.get(place, 0) for place in range(m)])
            assert high[0] - low[0] - 1 >= min(size, m - 1)


def test_a_whole_pool_needs_no_prefixes():
    count = skewed_counts(1)
    whole, prefixes = MatchedLevels(count, prefixes=False), MatchedLevels(count, prefixes=True)
    m = np.full(P, P)
    for one, other in zip(whole.window(count, m, 9), prefixes.window(count, m, 9), strict=True):
        np.testing.assert_array_equal(one, other)
    low, high = whole.window(count, m, 9)
    np.testing.assert_array_equal(whole.weights(low, high, m), prefixes.weights(low, high, m))
    drawn = [levels.draw(np.random.default_rng(0), count, low, high, m) for levels in (whole, prefixes)]
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("prefixes", [False, True])
def test_draws_follow_the_weights(prefixes):
    count = skewed_counts(2)
    levels = MatchedLevels(count, prefixes=prefixes)
    m = np.array([41]) if prefixes else np.array([P])
    n_draws = 20_000
    for positive in (int(count[: m[0]].argmin()), int(count[: m[0]].argmax()), 3):
        of = count[[positive]]
        low, high = levels.window(of, m, 11)
        ask = (np.repeat(x, n_draws) for x in (of, low, high, m))
        drawn = np.bincount(levels.draw(np.random.default_rng(0), *ask), minlength=P)
        weight = levels.weights(low, high, m)[0] * (np.arange(P) < m[0])
        expected = n_draws * weight / weight.sum()
        assert (drawn[expected == 0] == 0).all()
        chi_square = ((drawn - expected)[expected > 0] ** 2 / expected[expected > 0]).sum()
        n_free = np.count_nonzero(expected) - 1
        assert n_free >= 10 and chi_square < n_free + 5 * np.sqrt(2 * n_free)


def test_a_cut_group_favours_no_member():
    # One item of count 5 among 50 of count 4: a window of ten must be open to all fifty.
    count = np.array([5] + [4] * 50)
    levels = MatchedLevels(count, prefixes=False)
    of, m = np.array([5]), np.array([51])
    weight = levels.weights(*levels.window(of, m, 10), m)[0]
    assert weight[0] == 1
    np.testing.assert_allclose(weight[1:], 10 / 50)
