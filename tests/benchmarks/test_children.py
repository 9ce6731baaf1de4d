"""What the bench does in processes of its own, at sizes that take a moment."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from recbole_marn.benchmarks import children, host, memory, resident, suite
from recbole_marn.benchmarks.bench import Sizes

import recbole_marn


def test_a_few_batches_go_on_where_the_last_few_ended():
    few = host.FewBatches([1, 2, 3, 4, 5], 2)
    assert len(few) == 2
    assert [list(few) for _ in range(4)] == [[1, 2], [3, 4], [5, 1], [2, 3]]
    assert few.index(4) == 3  # anything else is the loader's


on_linux = pytest.mark.skipif(not resident.is_told(), reason="needs Linux")


@on_linux
def test_the_peak_starts_anew_at_what_is_resident():
    block = np.ones(64 << 17)  # 64 MB
    del block
    assert resident.megabytes("VmHWM") > resident.megabytes("VmRSS") + 30
    resident.start_peak()
    assert abs(resident.megabytes("VmHWM") - resident.megabytes("VmRSS")) < 10
    assert resident.megabytes("Pss", "smaps_rollup") <= resident.megabytes("Rss", "smaps_rollup")


@on_linux
@pytest.mark.parametrize("variant", ["marn", "unique"])
def test_peak_of_a_step_is_above_what_is_resident(shape, variant):
    found = memory.step_peak(variant, 16, shape)
    assert 0 <= found["mb"] < found["resident_mb"]


def test_memory_gates_compare_two_children(monkeypatch):
    asked = []

    def child(job, variant, size):
        asked.append((job, variant, size))
        return {"mb": {"marn": 60.0, "unique": 150.0}[variant]}

    monkeypatch.setattr(memory, "child_result", child)
    gates = memory.memory_gates(Sizes(large=16))
    assert asked == [("memory", "marn", "16"), ("memory", "unique", "16")]
    assert [(gate.value, gate.ok) for gate in gates] == [(60.0, True), (0.4, False)]


def test_a_child_is_this_command_and_its_last_line_the_answer(monkeypatch):
    """It imports this package from wherever the parent did."""

    def run(command, *, env, cwd, **options):
        assert command[-5:] == ["recbole_marn", "bench", "--child", "memory", "marn"]
        assert env["PYTHONPATH"].split(os.pathsep)[0] == str(Path(recbole_marn.__file__).parent.parent)
        return SimpleNamespace(stdout=f'a table\n{{"mb": 1, "folder": "{cwd}"}}\n')

    monkeypatch.setattr(children.subprocess, "run", run)
    assert children.child_result("memory", "marn", folder="there") == {"mb": 1, "folder": "there"}


@pytest.mark.host
def test_synthetic_data_round_trip_through_atomic_files_and_both_trainers(shape, monkeypatch):
    """Ratios of one round say nothing; that both sides train on the files does."""
    monkeypatch.setattr(host, "ROUND", 32)
    jobs = [("MARN", "DIN", 16, 1), ("DIN", "DIN", 16, 2)]
    ratios = host.compare_with_recbole(jobs, 1, replace(shape, users=40))
    assert len(ratios) == 2 and all(ratio[0] > 0 for ratio in ratios)
    assert suite.CHILDREN["host"] is suite._host_child
