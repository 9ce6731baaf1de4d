"""Raw files read line by line: compressed or not, with a progress bar, counting what had to be skipped."""

from __future__ import annotations

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recbole_marn.errors import InputError

__all__ = ["LONGEST_LINE", "Tally", "open_raw", "read_lines", "unbroken"]

LONGEST_LINE = 1 << 24  # bytes; a longer "line" is a file of another kind, and would fill the memory
_BUFFER = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


class Tally:
    """Counts the records read from one raw file and those skipped, by reason.

    Args:
        name: what to call the file in messages.
        limit: share of skipped records above which the file is refused.
    """

    def __init__(self, name: str, limit: float = 0.01):
        self.name, self.limit = name, limit
        self.read = 0
        self.skipped: Counter[str] = Counter()
        self.first_line: dict[str, int] = {}

    def skip(self, reason: str, line_number: int) -> None:
        self.skipped[reason] += 1
        self.first_line.setdefault(reason, line_number)

    def describe(self) -> str:
        """`"12 x not JSON (first in line 7), ..."`, most frequent reason first."""
        return ", ".join(
            f"{count:,} x {reason} (first in line {self.first_line[reason]:,})"
            for reason, count in self.skipped.most_common()
        )

    def check(self) -> None:
        """Raise `InputError` if nothing could be read or more than the stated share had to be skipped."""
        bad = sum(self.skipped.values())
        if bad > self.limit * self.read:
            raise InputError(
                f"at most {self.limit:.2%} unusable lines in {self.name}",
                f"{bad:,} of {self.read:,} ({bad / self.read:.2%}): {self.describe()}",
                "Check that this is the official file, download it again, or raise --max-skipped if the loss is known.",
            )
        if not self.read:
            raise InputError(
                f"at least one line in {self.name}",
                "an empty file",
                "Download it again and compare its size with the publisher's.",
            )


class _Progress(io.RawIOBase):
    """A raw file that tells a progress bar how many bytes were taken from it."""

    def __init__(self, path: Path):
        from tqdm import tqdm

        self._file = open(path, "rb", buffering=0)
        size = path.stat().st_size
        # disable=None: silent when stderr is no terminal, so that logs and tests stay readable
        self._bar = tqdm(total=size, unit="B", unit_scale=True, desc=path.name, disable=None, leave=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        taken = self._file.readinto(buffer)
        self._bar.update(taken)
        return taken

    def close(self) -> None:
        if not self.closed:
            self._bar.close()
            self._file.close()
        super().close()


def open_raw(path: Path) -> io.BufferedReader:
    """The uncompressed bytes of `path`; gzip is recognised by its first two bytes, not by the file's name."""
    raw = io.BufferedReader(_Progress(path), _BUFFER)
    if raw.peek(2)[:2] != _GZIP_MAGIC:
        return raw
    return _OwningReader(gzip.GzipFile(fileobj=raw, mode="rb"), raw)


class _OwningReader(io.BufferedReader):
    """GzipFile leaves the file object it was given open; this closes it too."""

    def __init__(self, unzipped: gzip.GzipFile, below: io.BufferedReader):
        super().__init__(unzipped, _BUFFER)
        self._below = below

    def close(self) -> None:
        super().close()
        self._below.close()


@contextmanager
def unbroken(path: Path, tally: Tally) -> Iterator[None]:
    """Turn the errors of a truncated or damaged gzip stream into an `InputError`."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"a whole gzip file at {path}",
            f"one that breaks off or is damaged after {tally.read:,} records ({error})",
            "Delete it and download it again; compare its size with the publisher's.",
        ) from error


def read_lines(path: Path, tally: Tally) -> Iterator[tuple[int, bytes]]:
    """Yield `(line number from 1, line without its end)`; blank lines are passed over, over-long ones skipped.

    Raises:
        InputError: the gzip stream is truncated or damaged.
    """
    number = 0
    with open_raw(path) as file, unbroken(path, tally):
        while line := file.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = file.readline(LONGEST_LINE)
                tally.read += 1
                tally.skip("line longer than 16 MB", number)
                continue
            line = line.rstrip(b"\r\n")
            if line:
                tally.read += 1
                yield number, line
