"""A pass over training batches in which no step waits for a number of the device."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from recbole_marn.data.part import moved
from recbole_marn.errors import Diverged

__all__ = ["LossSums", "batches_on"]

# Batches that a thread has ready for a GPU: one that it takes next, and one for a batch that is slow to make.
AHEAD = 2
# Steps after which sums of losses are read from a GPU, so that a diverged run ends soon.
READ_EVERY = 100


class LossSums:
    """Sums of the named losses over a pass, in float64 on their device.

    On the CPU every step is checked, on a GPU, which would have to be waited for, every hundredth and the last.

    Args:
        rate: the learning rate, for the text of the error.
    """

    def __init__(self, rate: float):
        self.rate = rate
        self.total: Tensor | None = None
        self.steps = 0

    def add(self, losses: Sequence[Tensor]) -> None:
        """The losses of one step.

        Raises:
            Diverged: a sum is no longer finite.
        """
        now = torch.stack([loss.detach() for loss in losses]).double()
        self.total = now if self.total is None else self.total + now
        self.steps += 1
        if self.total.is_cpu or self.steps % READ_EVERY == 0:
            self.read()

    def read(self) -> list[float]:
        """The sums.

        Raises:
            Diverged: one is not finite.
        """
        assert self.total is not None, "no step was taken"
        sums = self.total.tolist()
        if not torch.isfinite(self.total).all():
            raise Diverged(str(sum(sums)), self.rate)
        return sums


def batches_on(batches: Iterable[Any], device: torch.device) -> Iterator[Any]:
    """The batches on `device`, in their order. For a GPU a thread makes and copies them ahead."""
    if device.type != "cuda":
        for batch in batches:
            yield batch.to(device)
        return
    made: queue.Queue[Any] = queue.Queue(maxsize=AHEAD)
    done = threading.Event()
    rest = iter(batches)  # here, since it draws from torch's random numbers

    def make() -> None:
        try:
            for batch in rest:
                if not _put(made, moved(batch, device), done):
                    return
            _put(made, None, done)
        except BaseException as error:  # raised where the batch would have been used
            _put(made, error, done)

    threading.Thread(target=make, name="batches", daemon=True).start()
    try:
        while (batch := made.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            yield batch
    finally:
        done.set()


def _put(made: queue.Queue[Any], batch: Any, done: threading.Event) -> bool:
    """Whether there was still somebody to take the batch."""
    while not done.is_set():
        try:
            made.put(batch, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False
