"""A pass over training batches in which no step waits for a number of the device."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from recbole_marn.data.part import moved
from recbole_marn.errors import Diverged

__all__ = ["LossSums", "batches_on", "made_ahead", "tiny_as_zero"]

# Threads that make batches for a GPU, and how many batches they are ahead of it.
MAKERS, AHEAD = 4, 6
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
        if not all(map(math.isfinite, sums)):
            raise Diverged(str(sum(sums)), self.rate)
        return sums


@contextmanager
def tiny_as_zero() -> Iterator[None]:
    """Meanwhile this thread's processor takes numbers below 1.2e-38 as 0: with them it is up to forty times slower.

    Adam's moments of an item that no batch has had for some 800 steps are so small, and never become 0 by themselves.
    """
    was_so = not torch.tensor(1e-40).mul(1.0).item()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_so)


def batches_on(loader: Any, device: torch.device) -> Iterator[Any]:
    """The batches of a loader on `device`, in their order; for a GPU they are made ahead.

    Processes that the key `worker` asks for make them ahead on any device.
    """
    if device.type == "cuda" and not loader.num_workers:
        return made_ahead(loader, lambda batch: moved(batch, device))
    return (moved(batch, device) for batch in loader)


def made_ahead(loader: Any, finish: Callable[[Any], Any]) -> Iterator[Any]:
    """`finish` of the batches of a loader, in their order, made ahead by threads.

    Most of a batch is made in NumPy, which lets other threads run.
    """
    pool = ThreadPoolExecutor(MAKERS, "batches")
    ahead: deque[Future[Any]] = deque()
    try:
        with loader.unmade():
            for make in loader:
                ahead.append(pool.submit(lambda make=make: finish(make())))
                if len(ahead) > AHEAD:
                    yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
