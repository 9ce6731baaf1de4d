"""Whether the parts of two data sets are the same to the last number of the last batch."""

import dataclasses

import numpy as np

__all__ = ["check_same_parts"]


def check_same_parts(wanted, delivered):
    """Of loaders by part: fingerprint, notes, facts, negatives and every batch."""
    for expected, found in zip(wanted, delivered, strict=True):
        assert found.part.split_sha256 == expected.part.split_sha256
        assert found.part.notes == expected.part.notes and found.part.facts() == expected.part.facts()
        assert found.part.user_counter == expected.part.user_counter
        assert found.part.item_counter == expected.part.item_counter
        np.testing.assert_array_equal(found.part.rows.negatives, expected.part.rows.negatives)
        for ours, theirs in zip(found, expected, strict=True):
            ours, theirs = (batch[0] if isinstance(batch, tuple) else batch for batch in (ours, theirs))
            assert set(ours.columns) == set(theirs.columns)
            for field in theirs.columns:
                assert ours[field].dtype == theirs[field].dtype
                np.testing.assert_array_equal(ours[field].numpy(), theirs[field].numpy())
            for field in dataclasses.fields(theirs.batch) if hasattr(theirs, "batch") else ():
                same(getattr(ours.batch, field.name), getattr(theirs.batch, field.name))


def same(ours, theirs):
    assert (ours is None) == (theirs is None)
    if ours is not None:
        assert ours.dtype == theirs.dtype and ours.equal(theirs)
