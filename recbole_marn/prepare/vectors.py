"""Vectors per item as `NAME.npy` (float16) and `NAME.ids`, written and read in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_marn.errors import InputError
from recbole_marn.prepare.tables import clean

__all__ = ["VectorFile", "VectorRows", "VectorWriter", "open_array", "read_ids"]

_HEADER_BYTES = 128
_PIECE = 1024  # rows


class VectorWriter:
    """Writes `folder/NAME.npy` and `folder/NAME.ids` row by row; the number of rows need not be known before.

    Rows with NaN or infinity (also after rounding to float16) are left out and counted in `unusable`, a token seen
    before is left out and counted in `duplicates`.
    """

    def __init__(self, folder: Path, name: str, width: int):
        self.width, self.unusable, self.duplicates = width, 0, 0
        self.tokens: dict[str, None] = {}
        self._array = open(folder / f"{name}.npy", "wb")
        self._ids = open(folder / f"{name}.ids", "w", encoding="utf-8", newline="\n")
        self._array.write(self._header())

    def _header(self) -> bytes:
        # NPY format 1.0, padded to a fixed length so that the row count can be filled in at the end
        text = f"{{'descr': '<f2', 'fortran_order': False, 'shape': ({len(self.tokens)}, {self.width}), }}"
        text = text.ljust(_HEADER_BYTES - 11) + "\n"
        return b"\x93NUMPY\x01\x00" + (_HEADER_BYTES - 10).to_bytes(2, "little") + text.encode("ascii")

    def add(self, tokens: Sequence[str], rows: np.ndarray) -> None:
        """Append rows (len(tokens), width) of any float type."""
        with np.errstate(over="ignore"):
            rows = np.asarray(rows).astype("<f2")
        usable = np.isfinite(rows).all(axis=1)
        for i, token in enumerate(tokens):
            if not usable[i]:
                self.unusable += 1
            elif token in self.tokens:
                self.duplicates += 1
                usable[i] = False
            else:
                self.tokens[token] = None
                self._ids.write(token + "\n")
        self._array.write(np.ascontiguousarray(rows[usable]).tobytes())

    def __enter__(self) -> VectorWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._array.seek(0)
        self._array.write(self._header())
        self._array.close()
        self._ids.close()


def read_ids(path: Path) -> list[str]:
    """One token a line, as written by `VectorWriter` or shipped beside an array."""
    try:
        return [clean(line) for line in path.read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(
            f"one item id a line, UTF-8, in {path}",
            f"bytes that are no UTF-8 ({error.reason})",
            "Save it as UTF-8.",
        ) from error


def open_array(path: Path) -> np.ndarray:
    """Memory-map a two-dimensional float array; pickled objects are refused."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(
            f"a NumPy .npy array at {path}", f"something else ({error})", "Write it with numpy.save."
        ) from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f" or not array.shape[1]:
        shape, kind = getattr(array, "shape", "?"), getattr(array, "dtype", type(array).__name__)
        raise InputError(
            f"one float vector per item in {path}",
            f"shape {shape} of {kind}",
            "Save an array (items, width) of floats.",
        )
    return array


@dataclass(frozen=True)
class VectorFile:
    """Vectors that exist already: an `.npy` array of shape (n, width) and the item id of each row."""

    array: Path
    ids: Path
    encoder: str = "as given"

    def details(self) -> dict[str, str]:
        return {"copied_from": self.array.name}

    def write(self, tokens: Sequence[str], folder: Path, name: str) -> VectorWriter:
        """Copy the vectors of `tokens`; the first one of a repeated id wins.

        Raises:
            InputError: no float matrix, another number of ids than rows, or no id that is an item.
        """
        array, ids = open_array(self.array), read_ids(self.ids)
        if len(ids) != len(array):
            raise InputError(
                f"as many ids as vectors in {self.ids.name} and {self.array.name}",
                f"{len(ids):,} ids for {len(array):,} vectors",
                "Give one id a line, in the order of the rows.",
            )
        row_of: dict[str, int] = {}
        for row, token in enumerate(ids):
            if token:
                row_of.setdefault(token, row)
        known = [token for token in tokens if token in row_of]
        if not known:
            raise InputError(
                f"items of the events among the ids of {self.ids}",
                f"{len(row_of):,} ids of which none is an item, the first being {next(iter(row_of), '')!r}",
                "Check that both files write ids the same way (leading zeros count).",
            )
        with VectorWriter(folder, name, array.shape[1]) as writer:
            for start in range(0, len(known), _PIECE):
                piece = known[start : start + _PIECE]
                writer.add(piece, array[[row_of[token] for token in piece]])
        writer.duplicates += len(ids) - len(row_of)
        return writer


@dataclass(frozen=True, eq=False)
class VectorRows:
    """Vectors in memory: `rows` (len(ids), width)."""

    ids: Sequence[str]
    rows: np.ndarray
    encoder: str

    def details(self) -> dict[str, str]:
        return {}

    def write(self, tokens: Sequence[str], folder: Path, name: str) -> VectorWriter:
        """Write the vectors of `tokens`."""
        wanted = set(tokens)
        kept = [row for row, token in enumerate(self.ids) if token in wanted]
        with VectorWriter(folder, name, self.rows.shape[1]) as writer:
            writer.add([self.ids[row] for row in kept], self.rows[kept])
        return writer
