"""Data that one process of a machine makes and the others map: a large log is put in order once, not by each process.

Arrays go into files without a name in the folder for temporary files ($TMPDIR), which the others open through the
descriptors of the process that wrote them. So a file is complete before anybody hears of it, no other run can meet it,
and its room is free again when the last process that maps it has ended, in whatever way.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from torch import distributed

from recbole_marn.errors import InputError

__all__ = ["MadeOnce", "made_here"]

Made = TypeVar("Made")


def made_here(make: Callable[[], Made]) -> Made:
    """What `make` gives: in a run of one process, and where data are too small to be worth more."""
    return make()


class MadeOnce:
    """Has the first process of each machine make something for all processes there.

    All processes of a run have to call it, in one order.

    Args:
        config: RecBole's, of one of several processes.
    """

    def __init__(self, config: Any):
        self._first = config["offset"]  # rank of the first process of this machine
        self._is_first, self._is_alone = config["local_rank"] == self._first, config["nproc"] == 1
        self._arrays: list[np.ndarray] = []

    def __call__(self, make: Callable[[], Made]) -> Made:
        """What `make` gives in the first process: numbers, texts, arrays, and objects of this package made of them.

        Arrays are mapped, in all processes, and cannot be written to. One that an earlier call gave is mapped no second
        time. Where the first process cannot write them, for want of room or of Linux, each process calls `make`.

        Raises:
            InputError: `make` did, on any machine.
        """
        with ExitStack() as files:
            made = told = None
            if self._is_first:
                try:
                    made = make()
                    told = None if self._is_alone else self._laid(made, files)
                except InputError as error:
                    told = InputError(*error.args)
            everyone: list[Any] = [None] * distributed.get_world_size()
            distributed.all_gather_object(everyone, told)
            for error in everyone:
                if isinstance(error, InputError):
                    raise error
            told = everyone[self._first]
            if told is None:
                made = made if self._is_first else make()
            else:
                made = _with_leaves(told, self._opened)
            distributed.barrier()  # files stay open until all have opened them
        return made

    def _laid(self, made: Any, files: ExitStack) -> Any:
        """`made` with a `_Laid` in place of each array; None where they cannot be written, or not be opened again."""
        number = len(self._arrays)

        def lay(array: Any) -> Any:
            nonlocal number
            if not isinstance(array, np.ndarray) or array.dtype.hasobject or array.size == 0:  # no file maps these
                return array
            known = next((index for index, mapped in enumerate(self._arrays) if mapped is array), None)
            if known is not None:
                return _Laid(known)
            file = files.enter_context(tempfile.TemporaryFile(prefix="recbole_marn-"))
            np.save(file, array, allow_pickle=False)
            file.flush()
            number += 1
            laid = _Laid(number - 1, f"/proc/{os.getpid()}/fd/{file.fileno()}")
            _map(laid.file)
            return laid

        try:
            return _with_leaves(made, lay)
        except (OSError, ValueError):  # a full disk, also where only the length of a file shows it; no /proc
            return None

    def _opened(self, laid: Any) -> Any:
        if not isinstance(laid, _Laid):
            return laid
        if laid.number == len(self._arrays):
            self._arrays.append(_map(laid.file))
        return self._arrays[laid.number]


@dataclass(frozen=True)
class _Laid:
    """An array by its number; `file`: of one that is new."""

    number: int
    file: str = ""


def _map(file: str) -> np.ndarray:
    return np.load(file, mmap_mode="r", allow_pickle=False).view(np.ndarray)  # a memmap is slow to index


def _with_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with a change made to all that is no tuple, list, dict or object of this package, in copies of these."""
    done: dict[int, Any] = {}  # what stands in two places stays one

    def walk(value: Any) -> Any:
        if id(value) in done:
            return done[id(value)]
        if isinstance(value, _Laid) or not _holds_others(value):
            new = change(value)
        elif isinstance(value, dict):
            new = {key: walk(entry) for key, entry in value.items()}
        elif isinstance(value, (tuple, list)):
            new = type(value)(map(walk, value))
        else:
            new = copy.copy(value)
            vars(new).update({name: walk(entry) for name, entry in vars(value).items()})
        done[id(value)] = new
        return new

    return walk(value)


def _holds_others(value: Any) -> bool:
    return isinstance(value, (dict, tuple, list)) or type(value).__module__.startswith("recbole_marn.")
