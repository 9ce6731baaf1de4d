"""Items added while a service runs: one file that all its workers append to and read on from where they were."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from recbole_marn.errors import InputError, first_line

__all__ = ["AddedFile", "AddedItem", "Tail"]

BLOCK = 1 << 16


@dataclass(frozen=True)
class AddedItem:
    """What was told of an item.

    Attributes:
        item: its id.
        fields: column -> value.
        vectors: modality -> numbers.
    """

    item: str
    fields: dict[str, Any]
    vectors: dict[str, list[float]]


@dataclass(frozen=True)
class Tail:
    """Items behind a place of the file.

    Attributes:
        items: in the order they were added; a later one of the same id takes the place of an earlier one.
        end: the place behind them.
        unreadable: lines that are no items, which are left out.
    """

    items: list[AddedItem]
    end: int
    unreadable: int


class AddedFile:
    """The file, made if it is not there.

    One line a request, a JSON list of items: a line without its end was cut off and is taken for nothing.

    Writers take turns by a lock. A reader knows by the size alone whether there is anything new, so that every request
    can ask: an item is seen by each request that starts after `append` has returned, whichever process answers it.

    Raises:
        InputError: nothing can be read and written there.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            with open(path, "ab"):
                pass
        except OSError as error:
            raise InputError(
                f"a file {path} for the items that are added", first_line(error), "Choose another with --added FILE."
            ) from None

    def size(self) -> int:
        """Bytes; a file that was removed has none."""
        try:
            return os.stat(self.path).st_size
        except FileNotFoundError:
            return 0

    def append(self, items: list[AddedItem]) -> None:
        """Write items to the disk, all of them or none."""
        text = json.dumps([asdict(item) for item in items], allow_nan=False).encode() + b"\n"
        with FileLock(f"{self.path}.lock"), open(self.path, "a+b") as file:
            end = _end_of_lines(file)
            file.truncate(end)  # what a killed writer left of a line
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise

    def behind(self, start: int) -> Tail:
        """The items from byte `start`, which stands at the start of a line, to the last whole line.

        A file that became shorter was replaced by hand: it is read from its start.
        """
        with open(self.path, "a+b") as file:
            start = start if start <= file.seek(0, os.SEEK_END) else 0
            file.seek(start)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]
        items, unreadable = [], 0
        for line in text.splitlines():
            try:
                items += [AddedItem(**item) for item in json.loads(line)]
            except (ValueError, TypeError):
                unreadable += 1
        return Tail(items, start + len(text), unreadable)


def _end_of_lines(file: BinaryIO) -> int:
    """The place behind the last whole line."""
    place = file.seek(0, os.SEEK_END)
    while place > 0:
        start = max(0, place - BLOCK)
        file.seek(start)
        found = file.read(place - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        place = start
    return 0
