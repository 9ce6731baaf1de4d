"""Rows that one process of a machine makes for all: what each would have made, whatever happens to the one."""

import os
import sys

import made_once_process
import numpy as np
import pytest
import tiny
from torch import multiprocessing

from recbole_marn.data.made_once import _with_leaves
from recbole_marn.data.rows import Events
from recbole_marn.training.processes import free_port

pytestmark = [pytest.mark.host, pytest.mark.skipif(sys.platform != "linux", reason="files are shared by /proc")]
pytest.importorskip("pyarrow")

# Started once, before it has threads, and forked from then on: nothing is imported anew.
METHOD = "forkserver"
multiprocessing.set_forkserver_preload(["recbole_marn.training.distributed", "made_once_process"])


def start(what, nproc, *arguments):
    return multiprocessing.start_processes(what, arguments, nproc, start_method=METHOD)


def write_repeats(folder):
    """A data set with nine events twice."""
    target, header = tiny.write_dataset(folder), ["user_id:token", "item_id:token", "timestamp:float", "kind:token"]
    events = tiny.read_events(folder)
    tiny.write_table(target / "tiny.inter", header, events + events[:9])


CASES = [
    ("MARN", {"repeats": "first", "train_sampling": "matched", "eval_sampling": "popularity"}),
    pytest.param(
        "MARN", {"repeats": "keep", "negatives_from": "released", "eval_negatives": 2, "split": "time"},
        marks=pytest.mark.thorough,
    ),
    pytest.param("DIEN", {"repeats": "first", "train_last": 1}, marks=pytest.mark.thorough),
]  # fmt: skip


@pytest.mark.parametrize(("model", "changed"), CASES)
def test_the_second_process_has_the_rows_of_one_and_makes_none(tmp_path, model, changed):
    write_repeats(tmp_path / "data")
    folder = tmp_path / "aside"
    folder.mkdir()
    settings = tiny.settings(tmp_path / "data", model, columnar_from_mb=0, **changed)
    start(made_once_process.open_parts, 2, 2, settings, free_port(), str(folder))
    assert sorted(os.listdir(folder)) == ["0.done", "1.done"]


@pytest.mark.thorough
def test_bad_data_are_told_to_all(tmp_path):
    write_repeats(tmp_path / "data")
    settings = tiny.settings(tmp_path / "data", columnar_from_mb=0)
    start(made_once_process.open_bad_parts, 2, 2, settings, free_port(), str(tmp_path))
    said = [(tmp_path / f"{rank}.error").read_text() for rank in range(2)]
    assert said[0] == said[1] and "9 of" in said[0] and "that repeat a pair" in said[0]


@pytest.mark.parametrize("here", [1, 2])
def test_each_machine_has_its_own(tmp_path, here):
    """Four processes on one host, as two machines of two and as four of one."""
    start(made_once_process.two_machines, 4, here, free_port(), str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [f"{rank}.done" for rank in range(4)]


def test_on_a_full_disk_each_process_makes_its_own(tmp_path):
    start(made_once_process.without_room, 2, 2, free_port(), str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["0.done", "1.done"]


def test_half_of_it_is_never_taken_and_never_left(tmp_path):
    """The first process is killed while it writes: the other ends, too."""
    arguments = (2, free_port(), str(tmp_path))
    context = multiprocessing.start_processes(
        made_once_process.killed, arguments, 2, join=False, start_method=METHOD
    )
    for process in context.processes:
        process.join(60)
    assert [process.exitcode for process in context.processes] == [-9, 1]
    assert not os.listdir(tmp_path)


def test_what_stands_in_two_places_stays_one_and_the_original_as_it_was():
    events = Events(np.arange(3), np.arange(3), np.arange(3.0))
    found = _with_leaves(
        {"a": events, "b": [events, (1, "text")]}, lambda leaf: leaf + 1 if isinstance(leaf, np.ndarray) else leaf
    )
    assert found["a"] is found["b"][0] and found["b"][1] == (1, "text")
    assert found["a"].time.tolist() == [1, 2, 3] and events.time.tolist() == [0, 1, 2]
