"""Arrays of item vectors as users give them: one `.npy` matrix, memory-mapped, and a clear word for anything else."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np

from recbole_marn.errors import InputError, first_line

__all__ = ["open_matrix"]


def open_matrix(path: Path, mode: Literal["r", "c"] = "r") -> np.ndarray:
    """Memory-map a matrix (items, width) of floats; pickled objects are refused.

    Raises:
        InputError: no such file, an archive of arrays (`.npz`), a file of PyTorch, pickled objects, another shape.
    """
    if not path.exists() or not stat.S_ISREG(path.stat().st_mode):
        got = "is no file" if path.exists() else "does not exist"
        raise InputError("a NumPy .npy file of vectors", f"{path}, which {got}", "Check the path.")
    with open(path, "rb") as file:
        head = file.read(8)
    if head.startswith(b"PK"):
        raise InputError(
            f"one array in a NumPy .npy file at {path}",
            _archive(path),
            "Save the one array with numpy.save: np.save('vectors.npy', array.astype('float32')).",
        )
    if head.startswith(b"\x80"):
        raise InputError(
            f"a NumPy .npy file at {path}", "a pickle, which is not loaded", "Save the array with numpy.save."
        )
    try:
        array = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(
            f"a whole NumPy .npy array at {path}", f"something else ({first_line(error)})", "Write it with numpy.save."
        ) from error
    if array.ndim != 2 or array.dtype.kind != "f" or not array.shape[1]:
        raise InputError(
            f"one float vector per item in {path}",
            f"shape {array.shape} of {array.dtype}",
            "Save an array (items, width) of floats.",
        )
    return array


def _archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
    except zipfile.BadZipFile:
        return "a damaged archive"
    if any(name.endswith("data.pkl") for name in names):
        return "a file of PyTorch (.pt)"
    if names and all(name.endswith(".npy") for name in names):
        return f"an archive of arrays (.npz) with {', '.join(name.removesuffix('.npy') for name in names[:10])}"
    return "a ZIP archive"
