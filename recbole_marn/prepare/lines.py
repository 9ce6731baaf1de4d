"""Raw files read line by line: compressed or not, with a progress bar, counting what had to be skipped."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.containers import GZIP, HEAD_BYTES, need_file, refuse_archive, refuse_binary

__all__ = ["LONGEST_LINE", "Tally", "head_of", "open_raw", "read_lines", "unbroken"]

LONGEST_LINE = 1 << 24  # bytes; a longer "line" is a file of another kind, and would fill the memory
_BUFFER = 1 << 20
_LONGEST_SHOWN = 40  # characters of a value in a message


class Tally:
    """Counts the records read from one raw file, those skipped, and the values left out of others, by reason.

    Args:
        name: what to call the file in messages.
        limit: share of skipped records, or of unusable values of one column, above which the file is refused.
    """

    def __init__(self, name: str, limit: float = 0.01):
        self.name, self.limit = name, limit
        self.read = 0
        self.inside = 0  # lines that are not rows, but belong to a field over several lines
        self.skipped: Counter[str] = Counter()
        self.values: Counter[str] = Counter()  # "price is no number" -> how often
        self._refused: Counter[str] = Counter()  # column -> unusable values, which count against the limit
        self._first: dict[str, str] = {}

    def skip(self, reason: str, line_number: int, value: object = None) -> None:
        """A record cannot be used; `value` is what was wrong, to be shown of the first such record."""
        self.skipped[reason] += 1
        self._remember(reason, line_number, value)

    def lose(self, column: str, reason: str, line_number: int, value: object, *, tolerated: bool = False) -> None:
        """A value is unusable and becomes a missing one; `tolerated` ones are told, but never too many."""
        self.values[f"{column} {reason}"] += 1
        if not tolerated:
            self._refused[column] += 1
        self._remember(f"{column} {reason}", line_number, value)

    def _remember(self, reason: str, line_number: int, value: object) -> None:
        if reason not in self._first:
            shown = "" if value is None else f": {_shown(value)}"
            self._first[reason] = f"first in line {line_number:,}{shown}"

    def describe(self) -> str:
        """`"12 x not JSON (first in line 7), ..."`, most frequent reason first, records before values."""
        counts = self.skipped.most_common() + self.values.most_common()
        return ", ".join(f"{count:,} x {reason} ({self._first[reason]})" for reason, count in counts)

    def check(self) -> None:
        """Raise `InputError` if nothing could be read, or too many records or values of a column are unusable."""
        for column, lost in self._refused.items():
            if lost > self.limit * self.read:
                raise InputError(
                    f"at most {self.limit:.2%} unusable values of {column} in {self.name}",
                    f"{lost:,} of {self.read:,} ({lost / self.read:.2%}): {self.describe()}",
                    "Write numbers as 1234.5, without separators and currency; leave unknown ones empty; "
                    "or raise --max-skipped if the loss is known.",
                )
        bad = sum(self.skipped.values())
        if bad > self.limit * self.read:
            raise InputError(
                f"at most {self.limit:.2%} unusable lines in {self.name}",
                f"{bad:,} of {self.read:,} ({bad / self.read:.2%}): {self.describe()}",
                "Mend these lines or give the option that is named, or download a published file again; raise "
                "--max-skipped if the loss is known."
                if self.limit
                else "Mend these lines.",  # where every line counts, as in rows to be scored
            )
        if not self.read:
            raise InputError(
                f"at least one row in {self.name}",
                "none",
                "The file is empty or ends after its header: write rows below it, or get a published file again.",
            )


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_SHOWN else shown[: _LONGEST_SHOWN - 3] + "..."


class _Progress(io.RawIOBase):
    """A raw file that tells a progress bar how many bytes were taken from it."""

    def __init__(self, path: Path):
        from tqdm import tqdm

        need_file(path)
        try:
            self._file = open(path, "rb", buffering=0)
        except PermissionError as error:
            raise InputError(f"a file that may be read at {path}", error.strerror, "Change its permissions.") from None
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
    """The uncompressed bytes of `path`; gzip is recognised by its first two bytes, not by the file's name.

    Raises:
        InputError: no such file, a pipe or device, which might never end, or another kind of archive.
    """
    raw = io.BufferedReader(_Progress(path), _BUFFER)
    file = raw
    try:
        if raw.peek(2)[:2] == GZIP:
            file = _OwningReader(gzip.GzipFile(fileobj=raw, mode="rb"), raw)
        refuse_archive(path, head_of(file))
    except BaseException:
        file.close()
        raise
    return file


def head_of(file: io.BufferedReader) -> bytes:
    """The first bytes without taking them; none of a damaged gzip stream, whose reader will tell."""
    try:
        return file.peek(HEAD_BYTES)[:HEAD_BYTES]
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return b""


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

    A byte order mark is no part of the first line.

    Raises:
        InputError: the gzip stream is truncated or damaged, or the file is no UTF-8 text at all.
    """
    number = 0
    with open_raw(path) as file, unbroken(path, tally):
        refuse_binary(path, head_of(file))
        while line := file.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = file.readline(LONGEST_LINE)
                tally.read += 1
                tally.skip("line longer than 16 MB", number)
                continue
            line = (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).rstrip(b"\r\n")
            if line:
                tally.read += 1
                yield number, line
