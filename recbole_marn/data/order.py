"""The order in which rows come: that of torch's samplers, without a Python integer for each row."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DistributedSampler, RandomSampler

from recbole_marn.data.arrays import pieces

__all__ = ["Order", "OrderOfProcess"]


class Order(RandomSampler):
    """As `RandomSampler` without replacement: the same numbers of the same generator."""

    def __iter__(self) -> Iterator[int]:
        yield from _one_by_one(torch.randperm(len(self), generator=self.generator))
        torch.randperm(len(self), generator=self.generator)  # torch's draws once more, for a rest that is empty


class OrderOfProcess(DistributedSampler):
    """As `DistributedSampler`: a process's share of the same order, filled up from its beginning."""

    def __iter__(self) -> Iterator[int]:
        number = len(self.dataset)
        order = torch.arange(number)
        if self.shuffle:
            order = torch.randperm(number, generator=torch.Generator().manual_seed(self.seed + self.epoch))
        mine = torch.arange(self.rank, self.total_size, self.num_replicas) % number
        return _one_by_one(order[mine])


def _one_by_one(numbers: Tensor) -> Iterator[int]:
    for piece in pieces(numbers.numpy()):
        yield from piece.tolist()
