import numpy as np
import pytest

from recbole_marn.data.arrays import AT_ONCE, begins, count_below, kept, narrow, slices, stable_order, taken


def test_integers_as_narrow_as_their_numbers():
    assert narrow(np.array([0, 127])).dtype == np.int8 and narrow(np.array([0, 128])).dtype == np.int16
    assert narrow(np.array([-129, 5])).dtype == np.int16 and narrow(np.array([2**31])).dtype == np.int64
    assert narrow(np.array([1, 2]), least=np.int32).dtype == np.int32
    assert narrow(np.array([1.0, 2.0])).dtype == np.int8
    for values in ([0.5], [np.nan, 1.0], [np.inf], [2.0**60]):
        assert narrow(np.array(values)).dtype == np.float64


@pytest.mark.parametrize("highest", [1, 200, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**40, 2**62])
@pytest.mark.parametrize("size", [0, 1, 50, 3_000])
def test_the_order_of_integers_is_numpys(size, highest):
    rng = np.random.default_rng(highest % 97)
    key = rng.integers(0, highest, size, endpoint=True)
    key[: size // 2] = key[size // 2 : size // 2 * 2]  # ties
    for kind in (np.int64, np.int32, np.int16):
        if highest <= np.iinfo(kind).max:
            found = stable_order(key.astype(kind))
            np.testing.assert_array_equal(found, np.argsort(key, kind="stable"))


def test_numbers_below_a_bound_against_a_loop():
    rng = np.random.default_rng(4)
    length = np.append(rng.integers(0, 40, 60), [0, 1, 64])
    start = np.cumsum(length) - length
    values = np.concatenate([np.sort(rng.integers(0, 30, n)) for n in length]).astype(np.int32)
    which = rng.integers(0, len(length), 500)
    bound = rng.integers(-2, 33, 500)
    found = count_below(values, start[which], length[which], bound)
    expected = [
        sum(value < most for value in values[first : first + n])
        for first, n, most in zip(start[which], length[which], bound, strict=True)
    ]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int64 and 0 in expected and max(expected) > 30


def test_empty_slices_have_no_number_below_anything():
    nothing = np.zeros(3, dtype=np.int64)
    assert count_below(np.zeros(0), nothing, nothing, np.ones(3)).tolist() == [0, 0, 0]
    assert count_below(np.zeros(0), nothing[:0], nothing[:0], nothing[:0]).tolist() == []


def test_where_stretches_equal_in_all_columns_begin():
    a, b = np.array([1, 1, 1, 2, 2, 1]), np.array([5, 5, 6, 6, 6, 6])
    assert begins(a, b).tolist() == [True, False, True, True, False, True]
    assert begins(a).tolist() == [True, False, False, True, False, True]
    assert begins(a[:0], b[:0]).tolist() == []


@pytest.mark.parametrize("shape", [(), (1,), (3,)])
@pytest.mark.parametrize("kind", [np.uint8, np.float64])
@pytest.mark.parametrize("size", [0, 5, AT_ONCE + 7])
def test_rows_of_columns_and_matrices_are_numpys(size, kind, shape):
    rng = np.random.default_rng(size)
    values = rng.integers(0, 200, (size, *shape)).astype(kind)
    mask, index = rng.random(size) < 0.6, rng.permutation(size).astype(np.int32)
    for found, expected in ((kept(values, mask), values[mask]), (taken(values, index), values[index])):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == kind and found.flags.c_contiguous


def test_a_table_of_codes_is_taken_by_lists_and_in_another_kind():
    code, ids = np.arange(0, 500, 100), np.array([[0, 4, 1], [2, 2, 3]], dtype=np.uint8)
    found = taken(code, ids, np.int16)
    assert found.tolist() == code[ids].tolist() and found.dtype == np.int16


def test_slices_are_concatenated():
    start, length = np.array([7, 3, 9, 0]), np.array([2, 0, 1, 3])
    for kind in (np.int64, np.int32):
        found = slices(start, length, kind)
        assert found.tolist() == [7, 8, 9, 0, 1, 2] and found.dtype == kind
