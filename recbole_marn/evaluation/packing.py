"""Arrays as bytes that travel: the smallest integers, float32 by byte planes, compressed; the same bytes each time."""

import io
import lzma
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from recbole_marn.errors import InputError

__all__ = ["packed", "packed_alike", "unpacked", "unusable"]


# Arrays are compressed together, a quarter smaller than each by itself; planes of bytes want no context of positions.
XZ = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 20, "lc": 0, "lp": 0, "pb": 0}]
# Bytes that a file may grow to; evidence of a million users and four parts has a tenth of it.
LIMIT = 1 << 30


def packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An npz as xz. Whole numbers are exact; others are rounded to float32, to 1 part in 2^24 each."""
    file = io.BytesIO()
    small: dict[str, Any] = {name: _stored(one) for name, one in arrays.items()}
    np.savez(file, **small)
    return lzma.compress(file.getvalue(), filters=XZ)


def packed_alike(arrays: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> bool:
    """Whether `packed` makes the same of both; asked without compressing them."""
    return arrays.keys() == others.keys() and all(
        (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
        for one, other in ((_stored(arrays[name]), _stored(others[name])) for name in arrays)
    )


def unpacked(content: bytes) -> dict[str, np.ndarray]:
    """What `packed` was given, as int64, float64 and text.

    Raises:
        InputError: not written by `packed`. Nothing in it is executed.
    """
    reader = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    try:
        plain = reader.decompress(content, LIMIT)
        if not reader.eof:
            raise EOFError("no end")
        with np.load(io.BytesIO(plain), allow_pickle=False) as file:
            return {name: _wide(file[name]) for name in file.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, lzma.LZMAError) as error:
        raise unusable(str(error)) from error


def unusable(got: str) -> InputError:
    """The error for bytes that hold something else than they should."""
    return InputError("statistics as they were written", got, "Was the file cut off or edited? Restore it.")


def _stored(values: np.ndarray) -> np.ndarray:
    return _planes(values) if values.dtype.kind == "f" else _small(values)


def _small(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "iu" and len(values):
        # An array of its least and greatest value has the type that holds both.
        return values.astype(np.result_type(*(np.min_scalar_type(end) for end in (values.min(), values.max()))))
    return values


def _planes(values: np.ndarray) -> np.ndarray:
    """Float32 (C,) as bytes (4, C): like bytes lie together, which compresses better."""
    # Contiguous: a transposed view would be written in its old order.
    return np.ascontiguousarray(values.astype("<f4").view(np.uint8).reshape(-1, 4).T)


def _wide(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8 and values.ndim == 2 and len(values) == 4:
        return np.ascontiguousarray(values.T).view("<f4")[:, 0].astype(np.float64)
    return values.astype({"f": np.float64, "i": np.int64, "u": np.int64}.get(values.dtype.kind, values.dtype))
