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
# Arrays of more different numbers than this keep 16 bits of each: sums over them keep six digits, in fewer bytes.
FEW = 256
# Numbers that are nearly alike would all be rounded the same way: where that moves their sum by this share, they stay
# float32.
MOVED = 5e-7
# Ending of the array of different values, beside that of codes into it.
VALUES = "!values"


def packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An npz as xz. Whole numbers are exact. Others are float32; of more than `FEW` different ones each is rounded to
    1 part in 2^16, if their sum stays.
    """
    file = io.BytesIO()
    stored: dict[str, Any] = {key: value for name, one in arrays.items() for key, value in _stored(name, one).items()}
    np.savez(file, **stored)
    return lzma.compress(file.getvalue(), filters=XZ)


def packed_alike(arrays: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> bool:
    """Whether `packed` makes the same of both; asked without compressing them."""
    return arrays.keys() == others.keys() and all(
        (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
        for one, other in ((_rounded(arrays[name]), _rounded(others[name])) for name in arrays)
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
            stored = {name: file[name] for name in file.files}
        codes = [name for name in stored if name + VALUES in stored]
        values = {name: _wide(stored.pop(name + VALUES)) for name in codes}
        return {name: values[name][one] if name in values else _wide(one) for name, one in stored.items()}
    except (ValueError, OSError, EOFError, LookupError, zipfile.BadZipFile, lzma.LZMAError) as error:
        raise unusable(str(error)) from error


def unusable(got: str) -> InputError:
    """The error for bytes that hold something else than they should."""
    return InputError("statistics as they were written", got, "Was the file cut off or edited? Restore it.")


def _stored(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays that one becomes: numbers of which many are equal are codes into their different values."""
    values = _rounded(values)
    if values.dtype.kind != "f":
        return {name: values}
    different, code = np.unique(values, return_inverse=True)
    if len(different) > min(FEW, len(values) // 4):
        return {name: _planes(values)}
    return {name: code.astype(np.uint8), name + VALUES: _planes(different)}


def _rounded(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "f":
        return _small(values)
    single = values.astype("<f4")
    if len(np.unique(single)) <= FEW:
        return single
    fraction, exponent = np.frexp(single)
    short = np.ldexp(np.rint(np.ldexp(fraction, 16)), exponent - 16).astype("<f4")
    total, moved = single.sum(dtype=np.float64), short.sum(dtype=np.float64)
    return short if abs(moved - total) <= MOVED * abs(total) else single


def _small(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "iu" and len(values):
        # An array of its least and greatest value has the type that holds both.
        return values.astype(np.result_type(*(np.min_scalar_type(end) for end in (values.min(), values.max()))))
    return values


def _planes(values: np.ndarray) -> np.ndarray:
    """Float32 (C,) as bytes (4, C): like bytes lie together, which compresses better."""
    # Contiguous: a transposed view would be written in its old order.
    return np.ascontiguousarray(values.view(np.uint8).reshape(-1, 4).T)


def _wide(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8 and values.ndim == 2 and len(values) == 4:
        return np.ascontiguousarray(values.T).view("<f4")[:, 0].astype(np.float64)
    return values.astype({"f": np.float64, "i": np.int64, "u": np.int64}.get(values.dtype.kind, values.dtype))
