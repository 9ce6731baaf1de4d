"""A dataset folder that is either whole or absent: written beside its place, checked, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recbole_marn.errors import InputError

__all__ = ["refuse_existing", "sha256_of", "staged_folder"]


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def refuse_existing(folder: Path, overwrite: bool) -> None:
    """Raise `InputError` if `folder` holds anything and may not be replaced."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"a folder or nothing at {folder}", "a file", "Choose another --out.")
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise InputError(
            f"no dataset at {folder} yet",
            "a folder with files in it, which is never overwritten by itself",
            "Use it as it is, pass --overwrite to replace it, or choose another --out.",
        )


@contextmanager
def staged_folder(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty sibling of `folder` to write into; on success it takes the place of `folder`.

    If anything fails the sibling is removed and `folder` stays as it was.

    Raises:
        InputError: `folder` is in use and `overwrite` is false, or the disk is full.
    """
    refuse_existing(folder, overwrite)
    staging = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        yield staging
        _flush(staging)
        _swap(staging, folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(folder.parent).free >> 20
            raise InputError(
                f"room on the disk of {folder.parent}",
                f"a full disk ({free:,} MB left); nothing was kept",
                "Free some space or choose another --out, then run the same command again.",
            ) from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Force every file to the disk before the rename, so that a power cut cannot leave a whole-looking folder."""
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def _swap(staging: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    if folder.exists():
        os.rename(folder, old)
    os.rename(staging, folder)
    shutil.rmtree(old, ignore_errors=True)
