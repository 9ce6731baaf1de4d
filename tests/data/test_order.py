"""The order of rows: torch's own, without a Python integer for each row."""

import tracemalloc

import pytest
import torch
from torch.utils.data import DistributedSampler, RandomSampler

from recbole_marn.data import arrays, order


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(arrays, "AT_ONCE", 7)


@pytest.mark.parametrize("number", [1, 6, 7, 20])
def test_one_process_has_the_order_of_torchs_sampler(number):
    ours, theirs = (torch.Generator().manual_seed(3) for _ in range(2))
    orders = order.Order(range(number), generator=ours), RandomSampler(range(number), generator=theirs)
    for _ in range(2):  # the second epoch goes on with the generator of the first
        assert list(orders[0]) == list(orders[1])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("number", "world"), [(20, 1), (20, 3), (21, 2), (2, 5), (1, 4)])
def test_several_processes_have_the_shares_of_torchs_sampler(number, world, shuffle):
    for rank in range(world):
        given = {"num_replicas": world, "rank": rank, "shuffle": shuffle, "seed": 4}
        ours = order.OrderOfProcess(range(number), **given)
        theirs = DistributedSampler(range(number), **given)
        for epoch in (0, 1):
            ours.set_epoch(epoch)
            theirs.set_epoch(epoch)
            assert list(ours) == list(theirs) and len(ours) == len(theirs)


@pytest.mark.parametrize("make", [order.Order, lambda rows: order.OrderOfProcess(rows, num_replicas=2, rank=1)])
def test_rows_are_not_python_integers_all_at_once(monkeypatch, make):
    monkeypatch.setattr(arrays, "AT_ONCE", 1_000)
    rows = make(range(1_000_000))
    tracemalloc.start()
    first = next(iter(rows))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 <= first < 1_000_000
    assert peak < 1_000_000, "a list of them takes 36 MB"
