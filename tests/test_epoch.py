"""A pass over training batches: sums that nobody waits for, and batches that threads make ahead."""

import threading

import pytest
import torch
from cases import prepared

from recbole_marn.errors import Diverged
from recbole_marn.quick_start import build_config
from recbole_marn.training.epoch import AHEAD, LossSums, made_ahead


def test_sums_are_those_of_python_floats():
    values = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    sums, expected = LossSums(0.1), [0.0, 0.0]
    for click, other in values:
        sums.add((click, other))
        expected = [expected[0] + click.item(), expected[1] + other.item()]
    assert sums.read() == expected


def test_a_loss_that_is_no_number_ends_the_pass_at_once_on_the_cpu():
    sums = LossSums(0.5)
    sums.add((torch.tensor(1.0),))
    with pytest.raises(Diverged, match="learning_rate 0.5"):
        sums.add((torch.tensor(float("nan")),))


def tokens(batches):
    return [batch.batch.token.tolist() for batch in batches]


def test_batches_made_ahead_are_those_of_the_loader(settings):
    loader = prepared("MARN", settings, train_batch_size=2).train
    loader.set_epoch(3)
    expected = tokens(loader)
    assert len(expected) > 2 * AHEAD
    loader.set_epoch(3)
    assert tokens(made_ahead(loader, lambda batch: batch)) == expected
    loader.set_epoch(3)
    assert tokens(loader) == expected


def test_whoever_stops_half_way_leaves_neither_threads_nor_a_changed_loader(settings):
    loader = prepared("MARN", settings, train_batch_size=2).train
    batches = made_ahead(loader, lambda batch: batch)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]
    assert hasattr(next(iter(loader)), "batch")


def test_a_fault_in_a_thread_is_raised_where_its_batch_would_have_been(settings):
    loader = prepared("MARN", settings, train_batch_size=2).train
    made = []

    def finish(batch):
        made.append(batch)
        if len(made) == 3:
            raise ValueError("third")
        return batch

    with pytest.raises(ValueError, match="third"):
        list(made_ahead(loader, finish))


def test_use_gpu_false_is_the_cpu_where_there_is_a_gpu(settings, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    given = settings("MARN")
    assert build_config("MARN", given["dataset"], config_dict=given | {"use_gpu": False})["device"].type == "cpu"
    assert build_config("MARN", given["dataset"], config_dict=given | {"use_gpu": True})["device"].type == "cuda"
