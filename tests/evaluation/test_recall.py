import numpy as np
import pytest

from recbole_marn.evaluation.recall import Places, recall_at

KS = (1, 2, 3, 5, 8)


def by_sorting(wanted, score, ks, shuffles=4_000):
    """Recall@K by sorting all scores in full, ties in random order."""
    rng = np.random.default_rng(0)
    hits = np.zeros(len(ks))
    for _ in range(shuffles):
        everything = np.concatenate([[wanted], score])
        order = np.lexsort((rng.random(len(everything)), -everything))
        place = int(np.flatnonzero(order == 0)[0])
        hits += [place < k for k in ks]
    return hits / shuffles


@pytest.mark.parametrize("seed", range(4))
def test_recall_is_that_of_a_full_sort(seed):
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(3, 9))
    wanted = rng.normal(size=3)
    found = recall_at(Places.among(wanted, score, np.ones_like(score, dtype=bool)), KS)
    for row in range(3):
        assert found[row].tolist() == by_sorting(wanted[row], score[row], KS, shuffles=1).tolist()


def test_ties_come_in_random_order():
    score = np.array([[2.0, 1.0, 1.0, 1.0, 0.0, 0.0]])
    wanted = np.array([1.0])
    found = recall_at(Places.among(wanted, score, np.ones_like(score, dtype=bool)), KS)[0]
    assert found.tolist() == [0, 0.25, 0.5, 1, 1]
    np.testing.assert_allclose(found, by_sorting(1.0, score[0], KS), atol=0.03)


def test_pieces_add_up_and_masked_items_are_no_rivals():
    rng = np.random.default_rng(1)
    score, wanted = rng.integers(0, 4, size=(5, 20)).astype(float), rng.integers(0, 4, size=5).astype(float)
    mask = rng.random((5, 20)) < 0.7
    whole = Places.among(wanted, score, mask)
    pieces = Places.among(wanted, score[:, :7], mask[:, :7]) + Places.among(wanted, score[:, 7:], mask[:, 7:])
    assert (whole.higher == pieces.higher).all() and (whole.tied == pieces.tied).all()
    for row in range(5):
        kept = score[row : row + 1, mask[row]]
        alone = Places.among(wanted[row : row + 1], kept, np.ones_like(kept, dtype=bool))
        assert (alone.higher[0], alone.tied[0]) == (whole.higher[row], whole.tied[row])
