"""Item-based collaborative filtering against a loop over pairs of items."""

import numpy as np
import pytest

from recbole_marn.data.item_similarity import ItemSimilarity

N_USERS, N_ITEMS = 9, 7


@pytest.fixture
def events():
    rng = np.random.default_rng(0)
    return rng.integers(1, N_USERS, 40), rng.integers(1, N_ITEMS - 1, 40)  # repeats; item 6 is never clicked


def cosine(events, i, j):
    users = [set(events[0][events[1] == item]) for item in (i, j)]
    if not users[0] or not users[1]:
        return 0.0
    return len(users[0] & users[1]) / np.sqrt(len(users[0]) * len(users[1]))


def test_scores_are_sums_of_cosines(events):
    similarity = ItemSimilarity.fit(*events, n_users=N_USERS, n_items=N_ITEMS)
    token_item, length = np.array([1, 2, 2, 3, 6]), np.array([3, 0, 2])
    row_sequence, candidate = np.array([0, 0, 1, 2, 2]), np.array([4, 6, 1, 5, 3])
    histories = [[1, 2, 2], [1, 2, 2], [], [3, 6], [3, 6]]
    expected = [sum(cosine(events, c, j) for j in history) for c, history in zip(candidate, histories, strict=True)]
    assert np.allclose(similarity.to_history(token_item, length, row_sequence, candidate), expected)
    assert expected[0] > 0 and expected[1] == 0


def test_an_item_is_as_similar_to_itself_as_can_be(events):
    similarity = ItemSimilarity.fit(*events, n_users=N_USERS, n_items=N_ITEMS)
    score = similarity.to_history(np.array([1]), np.array([1]), np.zeros(6, dtype=int), np.arange(1, 7))
    assert score[0] == pytest.approx(1.0)
    assert score.max() == score[0]


def test_a_row_alone_scores_as_among_others(events):
    similarity = ItemSimilarity.fit(*events, n_users=N_USERS, n_items=N_ITEMS)
    both = similarity.to_history(np.array([1, 2, 3]), np.array([2, 1]), np.array([1, 0]), np.array([4, 5]))
    alone = similarity.to_history(np.array([1, 2]), np.array([2]), np.array([0]), np.array([5]))
    assert both[1] == pytest.approx(alone[0])
