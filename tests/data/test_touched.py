import numpy as np
import pytest

from recbole_marn.data.touched import TouchedPlaces

N_USERS, N_ITEMS = 20, 30


@pytest.fixture(params=["sorted", "as they come", "in pieces"])
def touched(request, monkeypatch):
    """Events with repeats, a fifth of whose items have no place; places run against the ids."""
    rng = np.random.default_rng(5)
    user, item = rng.integers(1, N_USERS + 1, 300), rng.integers(1, N_ITEMS + 1, 300)
    item[user == 4] = 5  # who touched nothing that has a place
    if request.param != "as they come":
        order = np.argsort(user, kind="stable")
        user, item = user[order], item[order]
    if request.param == "in pieces":
        monkeypatch.setattr("recbole_marn.data.rows.AT_ONCE", 7)
    place_of_item = np.full(N_ITEMS + 1, -1)
    with_place = np.setdiff1d(np.arange(1, N_ITEMS + 1), np.arange(0, N_ITEMS + 1, 5))
    place_of_item[with_place[::-1]] = np.arange(len(with_place))
    by_user = {
        one: sorted({int(place_of_item[i]) for i in item[user == one] if place_of_item[i] >= 0})
        for one in range(N_USERS + 3)
    }
    return TouchedPlaces.of(user.astype(np.int32), item.astype(np.int32), place_of_item), by_user, len(with_place)


def test_what_users_touched_against_sets(touched):
    touched, by_user, n_places = touched
    user = np.repeat(np.arange(N_USERS + 3), n_places + 1)  # padding, all users, and some without an event
    place = np.tile(np.arange(n_places + 1), N_USERS + 3)
    pairs = list(zip(user.tolist(), place.tolist(), strict=True))
    assert touched.number(user).tolist() == [len(by_user[u]) for u, _ in pairs]
    assert touched.number_below(user, place).tolist() == [sum(p < most for p in by_user[u]) for u, most in pairs]
    assert touched.has(user, place).tolist() == [p in by_user[u] for u, p in pairs]
    assert not by_user[4] and touched.has(user, place).any()


def test_all_places_of_some_users_and_whose_they_are(touched):
    touched, by_user, _ = touched
    user = np.array([7, 4, 7, 1, N_USERS + 2, 0])
    index, place = touched.of_each(user)
    assert [(int(user[i]), int(p)) for i, p in zip(index, place, strict=True)] == [
        (int(u), p) for u in user for p in by_user[u]
    ]


def test_neighbours_who_touched_the_same():
    touched = TouchedPlaces.of(np.array([1, 1, 2, 2]), np.array([1, 1, 1, 2]), np.array([-1, 0, 1]))
    assert touched.number(np.array([1, 2])).tolist() == [1, 2]
    assert touched.has(np.array([1, 1, 2, 2]), np.array([0, 1, 0, 1])).tolist() == [True, False, True, True]


def test_nobody_touched_anything_that_has_a_place():
    touched = TouchedPlaces.of(np.array([1, 2]), np.array([1, 1]), np.array([-1, -1, 0]))
    assert touched.number(np.array([1, 2, 9])).tolist() == [0, 0, 0]
    assert not touched.has(np.array([1, 2, 9]), np.array([0, 0, 0])).any()
