"""Worker processes behind one socket: one that ends is started again, unless none can start."""

from __future__ import annotations

import collections
import logging
import sys
import time
from collections.abc import Callable
from socket import socket
from typing import Any

from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from recbole_marn.errors import InputError

__all__ = ["Workers", "started"]

log = logging.getLogger("recbole_marn.serve")

BAD_INPUT = 2  # exit code of a worker that could not use what it was given, as of our commands
SOON = 10.0  # seconds: a worker that ends within them has failed to start
TRIES = 4  # starts in succession that fail
LONGEST_PAUSE = 30.0


def started(make: Callable[[], Any]) -> Any:
    """The application of a worker; what cannot be made is told in the log and by the worker's exit code."""
    try:
        return make()
    except InputError as error:
        log.error("this worker cannot start: %s", error)
        sys.exit(BAD_INPUT)
    except Exception:
        log.exception("this worker cannot start")
        sys.exit(STARTUP_FAILURE)


class Workers(Multiprocess):
    """uvicorn's supervisor, which would start a failing worker again at once and for ever, or end all at its first.

    A worker that ends is started again. Where it fails to start the pauses grow; where no other worker answers
    meanwhile, the service ends after a few tries.

    Attributes:
        exit_code: 0, or that of a service none of whose workers could start: 2 for what they were given, else 1.
    """

    exit_code = 0

    def __init__(self, config: Config, sockets: list[socket]):
        super().__init__(config, sockets)
        # By place among the processes.
        self._born: dict[int, float] = collections.defaultdict(time.monotonic)
        self._failed: collections.Counter[int] = collections.Counter()  # starts in succession
        self._due: dict[int, float] = {}  # when it is started again

    def keep_subprocess_alive(self) -> None:
        for place, worker in enumerate(self.processes):
            if worker.is_alive(timeout=self.config.timeout_worker_healthcheck):
                if not self._is_young(place):
                    self._failed[place] = 0
                continue
            if place not in self._due:
                worker.kill()  # if it hangs
                worker.join()
                self._ended(place, worker)
            if self.should_exit.is_set():
                return
            if time.monotonic() >= self._due[place]:
                self._start(place)

    def _is_young(self, place: int) -> bool:
        return time.monotonic() - self._born[place] < SOON

    def _ended(self, place: int, worker: Process) -> None:
        failed = worker.exitcode in (STARTUP_FAILURE, BAD_INPUT) or self._is_young(place)
        self._failed[place] = times = self._failed[place] + 1 if failed else 0
        log.error("worker %d ended with exit code %s", worker.pid, worker.exitcode)
        answering = any(
            other.is_alive() and not self._failed[at] for at, other in enumerate(self.processes) if at != place
        )
        if times >= TRIES and not answering:
            log.error(
                "Expected workers that start. Got %d in succession that did not, the last with exit code %s. "
                "The lines above say why; the service ends.", times, worker.exitcode,
            )  # fmt: skip
            self.exit_code = BAD_INPUT if worker.exitcode == BAD_INPUT else 1
            self.should_exit.set()
        self._due[place] = time.monotonic() + (0.0 if times < 2 else min(LONGEST_PAUSE, 2.0 ** (times - 2)))

    def _start(self, place: int) -> None:
        del self._due[place]
        self.processes[place] = Process(self.config, self.sockets)
        self.processes[place].start()
        self._born[place] = time.monotonic()
