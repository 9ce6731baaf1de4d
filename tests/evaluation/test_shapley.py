from itertools import permutations

import numpy as np
import pytest

from recbole_marn.errors import InputError
from recbole_marn.evaluation.shapley import coalition, shapley_values


@pytest.mark.parametrize("players", [1, 2, 3, 4])
def test_values_are_means_over_all_orders_and_sum_to_the_total(players):
    worth = np.random.default_rng(players).normal(size=(1 << players, 5))
    number = {frozenset(coalition(n, players)): n for n in range(1 << players)}
    gains = [[] for _ in range(players)]
    for order in permutations(range(players)):
        for place, player in enumerate(order):
            before, after = frozenset(order[:place]), frozenset(order[: place + 1])
            gains[player].append(worth[number[after]] - worth[number[before]])
    found = shapley_values(worth)
    np.testing.assert_allclose(found, [np.mean(of, axis=0) for of in gains], atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=0), worth[-1] - worth[0], atol=1e-12)


def test_a_player_that_adds_nothing_is_worth_nothing():
    worth = np.array([0.5, 0.5, 0.8, 0.8])
    assert shapley_values(worth) == pytest.approx([0.0, 0.3])


def test_every_coalition_is_needed():
    with pytest.raises(InputError, match="all 2\\^M coalitions. Got 3 of them"):
        shapley_values(np.zeros(3))
