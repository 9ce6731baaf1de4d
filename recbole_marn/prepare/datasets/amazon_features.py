"""Amazon's `image_features_<Category>.b`: records of a 10-byte ASIN and 4,096 little-endian float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_marn.errors import InputError
from recbole_marn.prepare.lines import Tally, open_raw, unbroken
from recbole_marn.prepare.vectors import VectorWriter

__all__ = ["FeatureFile"]

_ASIN_BYTES, _WIDTH = 10, 4096
_RECORD = np.dtype([("asin", f"S{_ASIN_BYTES}"), ("vector", "<f4", (_WIDTH,))])
_PIECE = 256  # records, 4 MB: the file of a large category has tens of gigabytes and is never held


@dataclass(frozen=True)
class FeatureFile:
    """The file as a source of vectors (not VGG16's: another network of equal width, see docs/prepare.md)."""

    path: Path
    max_skipped: float = 0.01
    encoder: str = "Amazon 2014, CaffeNet, 4096"

    def details(self) -> dict[str, str]:
        """What the record of the data set says of the source."""
        return {"copied_from": self.path.name}

    def write(self, tokens: Sequence[str], folder: Path, name: str) -> VectorWriter:
        """Stream the file once, keeping the records of `tokens`.

        Raises:
            InputError: the ASINs are not ten letters and digits, the file breaks off, or no record is of an item.
        """
        wanted = {token.encode("utf-8"): token for token in tokens}
        tally = Tally(self.path.name, self.max_skipped)
        first = ""
        buffer = bytearray(_PIECE * _RECORD.itemsize)
        with (
            VectorWriter(folder, name, _WIDTH) as writer,
            open_raw(self.path) as file,
            unbroken(self.path, tally),
        ):
            while filled := _fill(file, buffer):
                whole, rest = divmod(filled, _RECORD.itemsize)
                if rest:
                    raise self._broken(tally.read + whole, rest)
                records = np.frombuffer(buffer, _RECORD, whole)
                names = records["asin"].tolist()
                first = first or names[0].decode("ascii", "replace")
                self._check_names(names, tally)
                kept = [i for i, asin in enumerate(names) if asin in wanted]
                if kept:
                    writer.add([wanted[names[i]] for i in kept], records["vector"][kept])
        tally.check()
        if not writer.tokens:
            raise InputError(
                f"vectors of the reviewed items in {self.path}",
                f"{tally.read:,} records, none of such an item (the first being {first!r}; an item is {tokens[0]!r})",
                "Use the file of the same category and edition.",
            )
        return writer

    def _check_names(self, names: Sequence[bytes], tally: Tally) -> None:
        for asin in names:
            tally.read += 1
            if not asin.isalnum() or len(asin) != _ASIN_BYTES:
                if tally.read == 1:
                    raise InputError(
                        f"records of a {_ASIN_BYTES}-byte ASIN and {_WIDTH:,} float32 in {self.path}",
                        f"{asin!r} where the first ASIN should be",
                        "Use the official file of Amazon 2014; its ASINs have ten letters and digits.",
                    )
                tally.skip("ASIN is not ten letters and digits", tally.read)

    def _broken(self, records: int, rest: int) -> InputError:
        return InputError(
            f"whole records of {_RECORD.itemsize:,} bytes in {self.path}",
            f"{records:,} records and {rest:,} bytes more",
            "The download broke off or the records have another width; get the file again.",
        )


def _fill(file, buffer: bytearray) -> int:
    """Read until `buffer` is full or the file ends; returns the bytes read."""
    view, filled = memoryview(buffer), 0
    while filled < len(buffer) and (taken := file.readinto(view[filled:])):
        filled += taken
    return filled
