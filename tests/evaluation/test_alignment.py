import numpy as np
import pytest
from sklearn.metrics.pairwise import linear_kernel
from sklearn.preprocessing import KernelCenterer

from recbole_marn.evaluation.alignment import linear_cka


def by_kernels(x, y):
    """CKA by its definition: the cosine of the centred kernel matrices."""
    kernels = [KernelCenterer().fit_transform(linear_kernel(side)) for side in (x, y)]
    return (kernels[0] * kernels[1]).sum() / np.sqrt((kernels[0] ** 2).sum() * (kernels[1] ** 2).sum())


def test_cka_is_the_cosine_of_centred_kernels():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 6)) + 3
    y = np.concatenate([x[:, :2] + rng.normal(size=(50, 2)), rng.normal(size=(50, 3))], axis=1)
    assert linear_cka(x, y) == pytest.approx(by_kernels(x, y), rel=1e-9)


def test_rotation_shift_and_scale_change_nothing():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 4))
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    assert linear_cka(x, 5 * x @ rotation - 2) == pytest.approx(1)
    assert linear_cka(x, rng.normal(size=(30, 4))) < 0.5


@pytest.mark.parametrize("x", [np.zeros((5, 2)), np.ones((2, 2))])
def test_nothing_is_said_of_what_never_varies_or_of_two_things(x):
    assert np.isnan(linear_cka(x, np.arange(2.0 * len(x)).reshape(-1, 2)))
