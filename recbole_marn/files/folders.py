"""A dataset folder that is either whole or absent: written beside its place, checked, then renamed."""

from __future__ import annotations

import errno
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.files import flush, held, own_name

__all__ = ["clean_leftovers", "refuse_existing", "staged_folder"]

# What the machine says when it cannot write, which is no fault of ours; anything else is a traceback.
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_OTHER = {errno.EFBIG, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EIO, errno.EINVAL}


def refuse_existing(folder: Path, overwrite: bool, mark: str | None = None) -> None:
    """Raise `InputError` if `folder` holds anything and may not be replaced.

    Args:
        mark: a file that every folder of this kind has: a folder of other files is not replaced either.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"a folder or nothing at {folder}", "a file", "Choose another --out.")
    if folder.resolve() == Path.cwd():
        got = f"'{folder}', the one you are in"
        raise InputError("a folder of its own, for it is put in place at once", got, "Name one below it.")
    in_use = folder.exists() and any(folder.iterdir())
    if in_use and not overwrite:
        raise InputError(
            f"nothing at {folder} yet",
            "a folder with files in it, which is never overwritten by itself",
            "Use it as it is, pass --overwrite to replace it, or choose another --out.",
        )
    if in_use and mark is not None and not (folder / mark).is_file():
        raise InputError(
            f"a folder with {mark} at {folder}, for --overwrite replaces its like",
            "a folder of other files, all of which would be lost",
            "Choose another --out.",
        )


@contextmanager
def staged_folder(folder: Path, overwrite: bool = False, mark: str | None = None) -> Iterator[Path]:
    """Yield an empty sibling of `folder` to write into; on success it takes the place of `folder`.

    If anything fails the sibling is removed and `folder` stays as it was. What a killed run left is removed first.

    Args:
        overwrite, mark: which folders are replaced, as `refuse_existing` says, before and after the writing.

    Raises:
        InputError: `folder` is in use and may not be replaced, the disk is full, or nothing may be written there.
    """
    if folder.is_symlink():  # what it leads to is replaced, not the link
        folder = folder.resolve()
    try:
        clean_leftovers(folder)
        refuse_existing(folder, overwrite, mark)
        staging = folder.with_name(f".{folder.name}.partial-{own_name()}")
        try:
            staging.mkdir(parents=True)
            with held(staging):
                yield staging
                for path in staging.iterdir():
                    flush(path)
                refuse_existing(folder, overwrite, mark)  # somebody else may have been faster
                _swap(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        if error.errno in _FULL:
            free = shutil.disk_usage(_existing(folder.parent)).free >> 20
            raise InputError(
                f"room on the disk of {folder.parent}",
                f"a full disk ({free:,} MB left); nothing was kept",
                "Free some space or choose another --out, then run the same command again.",
            ) from error
        if error.errno in _NOT_ALLOWED | _OTHER:
            raise InputError(
                f"a folder {folder.parent} in which {folder.name} can be written",
                f"{error.strerror} ({error.filename or folder}); nothing was kept",
                "Choose another --out, or raise the limit on the size of files (ulimit -f).",
            ) from error
        raise


def _existing(folder: Path) -> Path:
    return next(place for place in [folder, *folder.absolute().parents] if place.exists())


def clean_leftovers(folder: Path) -> None:
    """Remove what killed runs left beside `folder`, and put back a folder that one was just replacing."""
    name = glob.escape(folder.name)
    old = sorted(folder.parent.glob(f".{name}.old-*"))
    if old and not folder.exists():
        os.rename(old.pop(), folder)
    for left in old:
        shutil.rmtree(left, ignore_errors=True)
    for left in folder.parent.glob(f".{name}.partial-*"):
        with held(left) as free:
            if free:
                shutil.rmtree(left, ignore_errors=True)


def _swap(staging: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.old-{own_name()}")
    if folder.exists():
        os.rename(folder, old)
    try:
        os.rename(staging, folder)
    except BaseException:  # Ctrl-C, too
        if old.exists() and not folder.exists():
            os.rename(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
