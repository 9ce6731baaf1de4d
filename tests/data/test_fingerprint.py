import hashlib

import numpy as np
import pytest

from recbole_marn.data import arrays
from recbole_marn.data.fingerprint import LookedUp, split_sha256
from recbole_marn.errors import InputError


def split():
    return [
        {"position": np.arange(6), "negative": np.arange(12, dtype=np.uint64).reshape(6, 2)},
        {"position": np.arange(3), "time": np.array([0.5, 1.5, 2.5])},
    ]


def test_fingerprint_ignores_what_does_not_matter():
    reference = split_sha256(split())
    assert len(reference) == 64
    assert split_sha256([dict(reversed(part.items())) for part in split()]) == reference
    fortran = split()
    fortran[0]["negative"] = np.asfortranarray(fortran[0]["negative"])
    assert split_sha256(fortran) == reference
    big_endian = split()
    big_endian[1]["time"] = big_endian[1]["time"].astype(">f8")
    assert split_sha256(big_endian) == reference


def test_fingerprint_is_the_same_on_every_machine_and_version():
    parts = [{"a": np.array([1, 2], dtype=np.int64)}]
    # sha256 of b"1 parts\n0 'a' <i8 (2,)\n" and sixteen little-endian bytes.
    assert split_sha256(parts) == "6566c10ab52010833a506473e177d6ebb94edb87f9d5ed95aad8c47282977d3b"


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts[0]["position"].__setitem__(2, 9),
        lambda parts: parts[1]["time"].__setitem__(0, np.nextafter(0.5, 1)),
        lambda parts: parts[0].update(negative=parts[0]["negative"].reshape(4, 3)),
        lambda parts: parts[0].update(position=parts[0]["position"].astype(np.int32)),
        lambda parts: parts[0].update(negative=parts[0]["negative"].astype(np.int64)),
        lambda parts: parts[0].update(positions=parts[0].pop("position")),
        lambda parts: parts.reverse(),
        lambda parts: parts.append({}),
        lambda parts: parts[1].update(empty=np.empty(0)),
    ],
)
def test_fingerprint_changes_with_values_types_shapes_names_and_parts(change):
    parts = split()
    change(parts)
    assert split_sha256(parts) != split_sha256(split())


def test_fingerprint_refuses_tokens():
    with pytest.raises(InputError, match="'user' of type <U1"):
        split_sha256([{"user": np.array(["a"])}])


def test_vectors_are_looked_up_a_few_at_a_time(monkeypatch):
    """As many numbers at once as of a column, and the same fingerprint."""
    looked_up = []

    class Table(np.ndarray):
        def __getitem__(self, index):
            looked_up.append(len(index))
            return np.asarray(self)[index]

    table, index = np.arange(60, dtype=np.float16).reshape(10, 6), np.array([3, 1, 4, 1, 5, 9, 2])
    wanted = split_sha256([{"vectors": LookedUp(table, index)}])
    monkeypatch.setattr(arrays, "AT_ONCE", 12)
    assert split_sha256([{"vectors": LookedUp(table.view(Table), index)}]) == wanted
    assert looked_up == [2, 2, 2, 1]


def test_vectors_count_under_the_shape_of_their_index():
    """Not that of their array: fingerprints in checkpoints and records are so."""
    table, index = np.arange(60, dtype=np.float16).reshape(10, 6), np.array([3, 1, 4])
    expected = hashlib.sha256(b"1 parts\n0 'vectors' <f2 (3,)\n" + table[index].tobytes())
    assert split_sha256([{"vectors": LookedUp(table, index)}]) == expected.hexdigest()
    wider, rows = table.reshape(5, 12), np.array([1, 0, 2])
    assert split_sha256([{"vectors": LookedUp(wider, rows)}]) != split_sha256([{"vectors": LookedUp(table, rows)}])


def test_a_column_that_is_looked_up_counts_as_its_array():
    table, index = np.arange(10.0), np.array([[3, 1], [4, 1]])
    assert split_sha256([{"item": LookedUp(table, index)}]) == split_sha256([{"item": table[index]}])
