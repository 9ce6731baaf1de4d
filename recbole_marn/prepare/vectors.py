"""Vectors per item as `NAME.npy` and `NAME.ids`, written and read in pieces.

They are kept as float16, unless that loses one of them: then the whole file is float32.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_marn.data.vector_file import open_vectors
from recbole_marn.errors import InputError
from recbole_marn.prepare.containers import need_file
from recbole_marn.prepare.meeting import check_meeting
from recbole_marn.prepare.tokens import identifier

__all__ = ["VectorFile", "VectorRows", "VectorWriter", "read_ids"]

_HEADER_BYTES = 128
_TOLERATED = 0.01  # of a vector's length; float16 changes numbers of ordinary size by .0005
_PIECE = 1024  # rows


class VectorWriter:
    """Writes `folder/NAME.npy` and `folder/NAME.ids` row by row; the number of rows need not be known before.

    Rows with NaN or infinity, or that not even float32 can hold, are left out and counted in `unusable`; a token seen
    before is left out and counted in `duplicates`.

    Attributes:
        dtype: of the file so far.
        kept_wide: how many vectors would be lost in float16; `first_wide` is the token of the first.
        first_unusable: token of the first row left out.
        zeros: how many vectors are nothing but zeros.
    """

    def __init__(self, folder: Path, name: str, width: int):
        self.width, self.unusable, self.duplicates, self.zeros = width, 0, 0, 0
        self.kept_wide, self.first_wide, self.first_unusable = 0, "", ""
        self.dtype = "<f2"
        self.tokens: dict[str, None] = {}
        self._path = folder / f"{name}.npy"
        self._array = open(self._path, "w+b")
        self._ids = open(folder / f"{name}.ids", "w", encoding="utf-8", newline="\n")
        self._array.write(self._header())

    def _header(self) -> bytes:
        # NPY format 1.0, padded to a fixed length so that the row count can be filled in at the end
        text = f"{{'descr': '{self.dtype}', 'fortran_order': False, 'shape': ({len(self.tokens)}, {self.width}), }}"
        text = text.ljust(_HEADER_BYTES - 11) + "\n"
        return b"\x93NUMPY\x01\x00" + (_HEADER_BYTES - 10).to_bytes(2, "little") + text.encode("ascii")

    def add(self, tokens: Sequence[str], rows: np.ndarray) -> None:
        """Append rows (len(tokens), width) of any float type."""
        rows = np.asarray(rows)
        lost = _lost(rows, "<f2")
        usable = np.isfinite(rows).all(axis=1)
        if lost.any():
            usable &= ~_lost(rows, "<f4")
            wide = np.flatnonzero(lost & usable)
            if len(wide):
                self.first_wide = self.first_wide or tokens[wide[0]]
                self.kept_wide += len(wide)
                self._widen()
        with np.errstate(over="ignore", under="ignore"):
            rows = rows.astype(self.dtype)
        for i, token in enumerate(tokens):
            if not usable[i]:
                self.first_unusable = self.first_unusable or token
                self.unusable += 1
            elif token in self.tokens:
                self.duplicates += 1
                usable[i] = False
            else:
                self.tokens[token] = None
                self._ids.write(token + "\n")
        rows = np.ascontiguousarray(rows[usable])
        self.zeros += int((~rows.any(axis=1)).sum())
        self._array.write(rows.tobytes())

    def _widen(self) -> None:
        """Turn what was written so far into float32; it was no worse in float16."""
        if self.dtype == "<f4":
            return
        self.dtype = "<f4"
        self._array.close()
        narrow = self._path.with_suffix(".narrow")
        os.replace(self._path, narrow)
        self._array = open(self._path, "w+b")
        self._array.write(self._header())
        with open(narrow, "rb") as file:
            file.seek(_HEADER_BYTES)
            while piece := file.read(_PIECE * self.width * 2):
                self._array.write(np.frombuffer(piece, "<f2").astype("<f4").tobytes())
        narrow.unlink()

    def describe(self) -> dict[str, object]:
        """What the record says of the file."""
        return {
            "count": len(self.tokens),
            "width": self.width,
            "dtype": {"<f2": "float16", "<f4": "float32"}[self.dtype],
            "unusable": self.unusable,
            "duplicates": self.duplicates,
            "zeros": self.zeros,
        }

    def check(self, name: str, limit: float) -> None:
        """Raise `InputError` when more than the share `limit` of the vectors is unusable."""
        total = len(self.tokens) + self.unusable
        if self.unusable > limit * total:
            raise InputError(
                f"at most {limit:.2%} unusable vectors of {name}",
                f"{self.unusable:,} of {total:,}, the first of {self.first_unusable!r}: no picture, NaN, infinite or "
                "out of the range of float32",
                "Mend them, leave them out, or raise --max-skipped if the loss is known.",
            )

    def __enter__(self) -> VectorWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._array.seek(0)
        self._array.write(self._header())
        self._array.close()
        self._ids.close()


def _lost(rows: np.ndarray, dtype: str) -> np.ndarray:
    """(n,) bool: vectors that overflow, vanish or change by more than a hundredth of their length in `dtype`."""
    lost = np.zeros(len(rows), bool)
    top = np.abs(rows).max(axis=1, initial=0)
    # Where the largest number is between these, the whole vector is kept well; float16 begins to fail at 6e-5, 65504.
    doubtful = np.flatnonzero((top > 0) & ((top < 1e-3) | (top > 6e4)))
    if len(doubtful):
        lost[doubtful] = _changed(rows[doubtful], dtype)
    return lost


def _changed(rows: np.ndarray, dtype: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        wide = rows.astype(np.float64)
        largest = np.abs(wide).max(axis=1, initial=0, keepdims=True)
        # Divided by the largest entry, so that squares of tiny and huge numbers stay in range.
        change = np.linalg.norm((wide - rows.astype(dtype)) / largest, axis=1)
        length = np.linalg.norm(wide / largest, axis=1)
    return ~(change <= _TOLERATED * length)


def read_ids(path: Path) -> list[str]:
    """One token a line, as written by `VectorWriter` or shipped beside an array.

    Raises:
        InputError: no such file, or one that is no UTF-8.
    """
    need_file(path, "a file of item ids, one per line")
    try:
        return [identifier(line) for line in path.read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(
            f"one item id per line, UTF-8, in {path}",
            f"bytes that are no UTF-8 ({error.reason})",
            "Save it as UTF-8.",
        ) from error


@dataclass(frozen=True)
class VectorFile:
    """Vectors that exist already: an `.npy` array of shape (n, width) and the item id of each row."""

    array: Path
    ids: Path
    least: float = 0.05
    encoder: str = "as given"

    def details(self) -> dict[str, str]:
        """What the record of the data set says of the source."""
        return {"copied_from": self.array.name}

    def write(self, tokens: Sequence[str], folder: Path, name: str) -> VectorWriter:
        """Copy the vectors of `tokens`; the first one of a repeated id wins.

        Raises:
            InputError: no float matrix, another number of ids than rows, or no id that is an item.
        """
        array = open_vectors(
            self.array, what="item vectors", missing="Check the path.", dtypes=(np.float16, np.float32, np.float64)
        )
        ids = read_ids(self.ids)
        if len(ids) != len(array):
            raise InputError(
                f"as many ids as vectors in {self.ids.name} and {self.array.name}",
                f"{len(ids):,} ids for {len(array):,} vectors",
                "Give one id per line, in the order of the rows.",
            )
        row_of: dict[str, int] = {}
        for row, token in enumerate(ids):
            if token:
                row_of.setdefault(token, row)
        known = [token for token in tokens if token in row_of]
        if not row_of:
            raise InputError(f"ids of items in {self.ids}", "none", "Give one id per line, in the order of the rows.")
        check_meeting(tokens, row_of, ("the items", f"the ids of {self.ids}"), least=self.least, met=len(known))
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
        """What the record of the data set says of the source."""
        return {}

    def write(self, tokens: Sequence[str], folder: Path, name: str) -> VectorWriter:
        """Write the vectors of `tokens`."""
        wanted = set(tokens)
        kept = [row for row, token in enumerate(self.ids) if token in wanted]
        with VectorWriter(folder, name, self.rows.shape[1]) as writer:
            writer.add([self.ids[row] for row in kept], self.rows[kept])
        return writer
