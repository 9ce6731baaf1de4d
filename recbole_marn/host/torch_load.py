"""RecBole's own checkpoints are pickles, which can run code when they are loaded: read with the user's word alone."""

from __future__ import annotations

import os
import pickle
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from recbole_marn.errors import InputError
from recbole_marn.host.overlay import Overlay

__all__ = ["TRUST", "checkpoints_of_this_process", "is_trusted", "trusted", "untrusted"]

# torch's own switch: who sets it lets every torch.load of the process run what a pickle says.
TRUST = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def is_trusted() -> bool:
    """Whether the user has given the word for pickles."""
    return os.environ.get(TRUST, "").lower() in ("1", "y", "yes", "true")


@contextmanager
def trusted() -> Iterator[None]:
    """The user's word for the length of a block."""
    before = os.environ.get(TRUST)
    os.environ[TRUST] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[TRUST]
        else:
            os.environ[TRUST] = before


def untrusted(path: Any) -> InputError:
    """The refusal of a pickle."""
    return InputError(
        "a checkpoint of plain data and tensors",
        f"{path}, a pickle, which can run code when it is loaded",
        f"If you trust where it comes from, set the environment variable {TRUST}=1, or give trust=True to "
        "load_data_and_model. Checkpoints of recbole_marn need neither.",
    )


def checkpoints_of_this_process(trainer: types.ModuleType) -> None:
    """RecBole's trainer reads what this process has written itself; another pickle only with the user's word."""
    written: dict[str, tuple[int, int]] = {}

    def stamp(path: Any) -> tuple[int, int] | None:
        if not isinstance(path, (str, os.PathLike)) or not os.path.exists(path):
            return None
        status = os.stat(path)
        return status.st_mtime_ns, status.st_size

    def save(content: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        torch.save(content, path, *args, **kwargs)
        if found := stamp(path):
            written[os.path.realpath(path)] = found

    def load(path: Any, *args: Any, **kwargs: Any) -> Any:
        if "weights_only" in kwargs or is_trusted():
            return torch.load(path, *args, **kwargs)
        found = stamp(path)
        if found is not None and written.get(os.path.realpath(path)) == found:
            return torch.load(path, *args, **kwargs, weights_only=False)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Detected pickle protocol")
                return torch.load(path, *args, **kwargs, weights_only=True)
        except pickle.UnpicklingError:
            raise untrusted(path) from None

    trainer.torch = Overlay(trainer.torch, save=save, load=load)
