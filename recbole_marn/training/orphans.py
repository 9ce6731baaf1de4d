"""Processes that end with the one that started them, however that ends. Nothing heavy is imported here."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import connection

__all__ = ["end_with_parent", "parent_process_ended", "pipe_closed"]

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(parent: int, wait: Callable[[], object] | None = None) -> None:
    """From now on, and at once where it is too late, this process ends when its parent does.

    On Linux the kernel sees to it, also while a library holds the interpreter. Everywhere a thread waits for the
    parent's end. Call it first in a process, before anything is imported that takes time.

    Args:
        parent: process id of the parent, as the parent told it.
        wait: returns when the parent has ended; default `parent_process_ended`, for processes of `multiprocessing`.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.name == "posix" and os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_end_after, args=(wait or parent_process_ended,), daemon=True).start()


def _end_after(wait: Callable[[], object]) -> None:
    wait()
    os._exit(1)


def parent_process_ended() -> None:
    """Wait for the end of the parent of a process that `multiprocessing` has started."""
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("this process was not started by multiprocessing")
    connection.wait([parent.sentinel])


def pipe_closed(descriptor: int) -> None:
    """Wait until the other end of a pipe is closed, which the end of the process that holds it does."""
    # Of the bare descriptor: a thread inside sys.stdin would hold its lock when the interpreter ends.
    while os.read(descriptor, 1024):
        pass
