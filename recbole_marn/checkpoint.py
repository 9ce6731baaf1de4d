"""Checkpoints: plain data and tensors, written whole or not at all, loaded without running code."""

from __future__ import annotations

import functools
import os
import pickle
import sys
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recbole_marn.errors import InputError, first_line
from recbole_marn.version import __version__

__all__ = ["FORMAT", "load", "plain", "save", "scope_torch_load", "write_aside"]

FORMAT = 1
MARK = "recbole_marn"


def plain(value: Any) -> Any:
    """`value` with everything but None, bool, numbers, text, tensors, lists and dicts turned into text."""
    if value is None or isinstance(value, (bool, torch.Tensor)):
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


def write_aside(path: str | Path, write: Any) -> None:
    """Call `write(temporary_path)`, then rename: a file under its final name is always whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write `content` (plain data and tensors) with this package's mark and format version."""
    payload = {MARK: {"format": FORMAT, "version": __version__}, **plain(content)}

    def write(temporary: Path) -> None:
        try:
            torch.save(payload, temporary)
        except RuntimeError as error:  # torch's own word for a file it could not write to its end
            raise OSError(f"{path} could not be written ({first_line(error)}): the disk may be full") from error

    write_aside(path, write)


def load(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint of this package.

    Raises:
        InputError: no such file, damaged, not one of ours, or of a newer format.
    """
    if not Path(path).is_file():
        raise InputError("a checkpoint file", f"{path}, which does not exist", "Check the path.")
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise InputError(
            "a checkpoint of plain data and tensors",
            f"{path}, which cannot be read so ({first_line(error)})",
            "It is damaged or was not written by this package; train again.",
        ) from None
    mark = content.get(MARK) if isinstance(content, dict) else None
    if not isinstance(mark, dict):
        raise InputError("a checkpoint written by this package", f"{path}, which has no mark of it", "Train again.")
    if mark["format"] > FORMAT:
        raise InputError(
            f"a checkpoint of format {FORMAT} or older",
            f"{path} of format {mark['format']} (recbole_marn {mark['version']})",
            "Upgrade recbole_marn.",
        )
    return content


def scope_torch_load() -> None:
    """Let RecBole, and RecBole only, read its own pickled checkpoints with torch >= 2.6; rebuild the Config of ours.

    RecBole calls `torch.load(path)` and needs arbitrary pickles for its own files. Callers outside `recbole.*`
    reach the original function untouched.
    """
    original = torch.load
    if getattr(original, "scoped_for_recbole", False):
        return

    @functools.wraps(original)
    def scoped(*args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if not caller.startswith("recbole.") or "weights_only" in kwargs:
            return original(*args, **kwargs)
        try:
            with warnings.catch_warnings():
                # Of RecBole's pickle protocol; the file is read again below if it is one of RecBole's.
                warnings.filterwarnings("ignore", message="Detected pickle protocol")
                content = original(*args, **kwargs, weights_only=True)
        except pickle.UnpicklingError:
            return original(*args, **kwargs, weights_only=False)
        if isinstance(content, dict) and MARK in content and isinstance(content.get("config"), dict):
            from recbole_marn.registration import rebuild_config

            content["config"] = rebuild_config(content["config"])
        return content

    scoped.scoped_for_recbole = True
    torch.load = scoped
