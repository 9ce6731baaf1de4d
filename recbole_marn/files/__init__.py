"""Writing and fingerprinting of files, and plain data: the one way each is done here."""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: leftovers are not told from the work of another process, so they stay
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "check_plain_name", "flush", "held", "own_name", "plain", "sha256", "without_nan", "write_aside", "write_json",
    "write_text",
]  # fmt: skip


def plain(value: Any) -> Any:
    """`value` with everything but None, bool, numbers, text, tensors, lists and dicts turned into text."""
    if value is None or isinstance(value, bool) or _is_tensor(value):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            # Not the value itself: numpy's float64 is a float, yet `weights_only` refuses it.
            return kind(value)
    if isinstance(value, Mapping):
        return {plain(key) if isinstance(key, (str, int)) else str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(entry) for entry in value]
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    return str(value)


def without_nan(value: Any) -> Any:
    """Plain data as JSON can say them: a number that is none is null."""
    if isinstance(value, Mapping):
        return {str(key): without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # there are no tensors where nobody has imported it
    return torch is not None and isinstance(value, torch.Tensor)


def check_plain_name(what: str, name: Any, instead: str) -> None:
    """Refuse a name that would lead out of the folder it is put into.

    Args:
        what: the name's own name, for the message.
        instead: what to do with the rest of a path, a clause.

    Raises:
        InputError: empty, with a separator, or one that means a folder.
    """
    if not isinstance(name, str) or not name.strip() or name in (".", "..") or set(name) & set("/\\\0\n\r"):
        raise InputError(f"{what} to be a plain name", repr(name), f"Write it without folders; {instead}.")


def write_aside(path: str | Path, write: Callable[[Path], Any], aside: Path | None = None) -> None:
    """Call `write(temporary_path)`, then rename: a file under its final name is always whole, also after a power cut.

    Args:
        aside: folder of the temporary file, on the same disk; by default that of `path`.
    """
    path = Path(path)
    for folder in (path.parent, aside or path.parent):
        folder.mkdir(parents=True, exist_ok=True)
    temporary = (aside or path.parent) / f".{path.name}.{own_name()}.part"
    _clean_leftovers(temporary.parent, path.name)
    try:
        temporary.touch()
        with held(temporary):
            write(temporary)
            flush(temporary)
            os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)  # a full disk does not say of which file
        raise
    finally:
        temporary.unlink(missing_ok=True)


def own_name() -> str:
    """Part of a name that no other writer takes: containers that share a folder have processes of one number."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def flush(path: Path) -> None:
    """Force a file to the disk. Before a rename: a disk may keep the new name and lose what stands under it."""
    with open(path, "r+b") as file:  # Windows flushes nothing that is open for reading alone
        os.fsync(file.fileno())


def _clean_leftovers(folder: Path, name: str) -> None:
    """Remove what killed processes left while they wrote a file of this name."""
    for left in folder.glob(f".{glob.escape(name)}.*.part"):
        with held(left) as free:
            if free:
                left.unlink(missing_ok=True)


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Lock a file or folder that is there while this process works at it.

    Yields:
        False where another process has it, or nobody can tell: without locks, or where it is gone meanwhile.
    """
    try:
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR) if fcntl is not None else None
    except OSError:
        handle = None
    if handle is None:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError:  # held, or a file system without locks
            free = False
        yield free
    finally:
        os.close(handle)


def write_text(path: str | Path, text: str, aside: Path | None = None) -> None:
    """Write a text file whole or not at all; `aside` as in `write_aside`."""
    write_aside(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), aside)


def write_json(path: str | Path, content: Any) -> None:
    """Write plain data as JSON, whole or not at all."""
    write_text(path, json.dumps(without_nan(content), indent=1, default=str))


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
