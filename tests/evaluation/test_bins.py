import numpy as np

from recbole_marn.evaluation.bins import equal_frequency_groups, equal_width_bins


def test_equal_frequency_groups_are_even_without_ties():
    values = np.random.default_rng(0).permutation(20)
    groups = equal_frequency_groups(values, 4)
    assert np.array_equal(groups, values // 5)


def test_equal_frequency_groups_never_part_equal_values():
    # By hand: strictly below are 0 0 0 3 3 5 of 6, so that 3 groups take 3 * below // 6.
    assert equal_frequency_groups(np.array([0, 0, 0, 7, 7, 9]), 3).tolist() == [0, 0, 0, 1, 1, 2]
    assert equal_frequency_groups(np.full(5, 2.5), 3).tolist() == [0] * 5
    assert equal_frequency_groups(np.array([4, 4, 4, 4, 1]), 5).tolist() == [1, 1, 1, 1, 0]


def test_a_bin_of_equal_width_has_its_lower_edge_and_the_last_one_both():
    assert equal_width_bins(np.array([0, 0.2, 0.25, 0.5, 0.99, 1]), 4).tolist() == [0, 0, 1, 2, 3, 3]
