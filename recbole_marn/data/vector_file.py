"""Opening a `.npy` file of vectors without loading it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from recbole_marn.errors import InputError, first_line

__all__ = ["open_vectors"]

# First bytes of files that are often taken for a `.npy` -> what they are.
OTHERS = {
    b"PK\x03\x04": "an archive of arrays (.npz) or of tensors (.pt)",
    b"\x80": "a pickle, as torch.save or pickle.dump write",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip file",
}


def open_vectors(
    file: Path,
    *,
    what: str,
    missing: str,
    mode: Literal["r", "c"] = "r",
    dtypes: Sequence[type] = (np.float16, np.float32),
) -> np.ndarray:
    """A matrix (rows, width) of floats, memory-mapped.

    Args:
        file: written by `numpy.save`.
        what: what the vectors are, for messages.
        missing: what to do when there is no such file, a whole sentence.
        mode: "r" read-only, "c" copy-on-write (torch wants a writable array; pages are read only when touched).
        dtypes: types of numbers that are taken.

    Raises:
        InputError: no file, another kind of file, a truncated one, or no matrix of such numbers.
    """
    if not file.is_file():
        raise InputError(what, f"no file {file}", missing)
    with open(file, "rb") as stream:
        start = stream.read(8)
    for magic, kind in OTHERS.items():
        if start.startswith(magic):
            raise InputError(f"{what} as one matrix in {file}", kind, "Save the matrix alone with numpy.save.")
    try:
        matrix = np.load(file, mmap_mode=mode, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(
            f"a whole .npy file of {what}",
            f"{file}, which cannot be read ({first_line(error)})",
            "It is truncated or of another format; write it anew.",
        ) from None
    if matrix.ndim != 2 or matrix.dtype not in dtypes or matrix.shape[1] == 0:
        raise InputError(
            f"{what} to be a matrix (items, width) of {' or '.join(np.dtype(kind).name for kind in dtypes)}",
            f"shape {matrix.shape} of {matrix.dtype} in {file.name}",
            "Convert it with numpy.",
        )
    return matrix
