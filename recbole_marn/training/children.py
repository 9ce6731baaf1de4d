"""A child process ends with its parent, however the parent ends. Nothing heavy is imported here."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable

__all__ = ["end_with_parent", "pipe_closed"]

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(parent: int | None = None, wait: Callable[[], object] | None = None) -> None:
    """Call first in a child: one that outlives its parent would train on, and write over the next run's files.

    On Linux the kernel ends it, also while a library holds the interpreter. Everywhere a thread waits for the parent's
    end, and a parent that has ended already ends the child at once.

    Args:
        parent: process id of the parent, as the parent told it.
        wait: returns when the parent has ended. Both are known of processes that `multiprocessing` has started.
    """
    started_by = multiprocessing.parent_process()
    if started_by is not None:
        parent, wait = parent or started_by.pid, wait or started_by.join
    if parent is None or wait is None:
        return
    if sys.platform == "linux" and os.getppid() == parent:  # a server of forks stands between some children and parents
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    threading.Thread(target=_outlive_nobody, args=(wait,), daemon=True).start()


def _outlive_nobody(wait: Callable[[], object]) -> None:
    wait()
    os._exit(1)


def pipe_closed(descriptor: int) -> None:
    """Wait until the other end of a pipe is closed, which the end of the process that holds it does."""
    # Of the bare descriptor: a thread inside sys.stdin would hold its lock when the interpreter ends.
    while os.read(descriptor, 1024):
        pass
