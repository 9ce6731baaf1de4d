"""The fingerprint of a split, and how it is told large arrays that are not made."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recbole_marn.data.arrays import pieces
from recbole_marn.errors import InputError

__all__ = ["LookedUp", "Widened", "split_sha256"]


@dataclass(frozen=True, eq=False)
class LookedUp:
    """The array table[index], of which a piece at a time is in memory.

    Attributes:
        table: numbers by id, (V,); or vectors by id, (V, D).
        index: ids, of any shape.
    """

    table: np.ndarray
    index: np.ndarray


@dataclass(frozen=True, eq=False)
class Widened:
    """Numbers that count as those of a wider type."""

    values: np.ndarray
    kind: type


def split_sha256(parts: Sequence[Mapping[str, np.ndarray | LookedUp | Widened]]) -> str:
    """Fingerprint of a split, or of items: SHA-256 over its arrays with their names, types and shapes.

    The parts count in order, the arrays of a part by name; bytes are little-endian and in C order on every
    machine. Pass hashes of tokens rather than internal ids where the fingerprint must not depend on the order
    of the file.

    Args:
        parts: per part (training, validation, test) arrays of numbers by name. A `LookedUp` of numbers counts as its
            array; one of vectors counts the numbers of its array under the shape of its index, without the width, for
            checkpoints and records hold such fingerprints.

    Raises:
        InputError: an array that does not hold numbers.
    """
    digest = hashlib.sha256(f"{len(parts)} parts\n".encode())
    for index, part in enumerate(parts):
        for name in sorted(part):
            value, table = part[name], None
            if isinstance(value, LookedUp):
                array, table, kind = value.index, value.table, value.table.dtype
            elif isinstance(value, Widened):
                array, kind = value.values, np.dtype(value.kind)
            else:
                array = np.asarray(value)
                kind = array.dtype
            if kind.kind not in "biuf":
                raise InputError(
                    "arrays of numbers in a split",
                    f"{name!r} of type {kind}",
                    "Replace tokens by their uint64 hashes before the fingerprint is taken.",
                )
            kind = kind.newbyteorder("<")
            # repr quotes the name, so that no choice of names makes two different splits read the same.
            digest.update(f"{index} {name!r} {kind.str} {array.shape}\n".encode())
            width = 1 if table is None else math.prod(table.shape[1:])  # vectors are many numbers an entry
            for some in pieces(array, width) if array.ndim else [array]:
                digest.update(np.ascontiguousarray(some if table is None else table[some], dtype=kind).data)
    return digest.hexdigest()
