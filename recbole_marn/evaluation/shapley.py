"""Shapley values of a few players from the worth of every coalition."""

from __future__ import annotations

from math import factorial

import numpy as np

from recbole_marn.errors import InputError

__all__ = ["coalition", "shapley_values"]


def coalition(number: int, players: int) -> list[int]:
    """The players of a coalition: bit m of its number says whether player m is in it."""
    return [player for player in range(players) if number >> player & 1]


def shapley_values(worth: np.ndarray) -> np.ndarray:
    """What each of M players adds, on average over the orders in which they may come (Shapley, 1953).

        phi_m = sum over S without m of |S|! (M - |S| - 1)! / M! (worth(S + m) - worth(S))

    Args:
        worth: (2^M, ...) of each coalition, in the order of `coalition`.

    Returns:
        (M, ...); their sum is worth(all) - worth(none).

    Raises:
        InputError: not the worth of every coalition.
    """
    worth = np.asarray(worth, dtype=np.float64)
    players = len(worth).bit_length() - 1
    if len(worth) != 1 << players:
        raise InputError("the worth of all 2^M coalitions", f"{len(worth)} of them", "Score every subset.")
    numbers = np.arange(len(worth))
    size = np.array([bin(number).count("1") for number in numbers])
    weight = np.array([factorial(s) * factorial(players - s - 1) / factorial(players) for s in range(players)])
    values = []
    for player in range(players):
        without = numbers[numbers >> player & 1 == 0]
        gain = worth[without | 1 << player] - worth[without]
        values.append(np.tensordot(weight[size[without]], gain, axes=1))
    return np.array(values)
