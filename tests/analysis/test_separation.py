import numpy as np

from recbole_marn.analysis.sections.separation import embedded


def test_the_same_seed_gives_the_same_picture_and_groups_stay_apart():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(30, 8)), rng.normal(size=(30, 8)) + 8])
    plane = embedded(points, 3)
    assert plane.shape == (60, 2) and (plane == embedded(points, 3)).all()
    apart = np.linalg.norm(plane[:30].mean(axis=0) - plane[30:].mean(axis=0))
    assert apart > 2 * max(plane[:30].std(), plane[30:].std())


def test_points_that_never_vary_are_drawn_all_the_same():
    assert np.isfinite(embedded(np.ones((6, 4)), 0)).all()
