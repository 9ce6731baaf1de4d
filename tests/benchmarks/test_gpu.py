"""What the GPU's table says, by hand; the table itself needs one."""

import pytest
import torch
from recbole_marn.benchmarks.gpu import TIMES_A_CORE, gates_of, gpu_tables, line

from recbole_marn.errors import InputError

ROW = {
    "model": "MARN", "batch": 16_384, "type": "float32", "samples_per_second": 1e5, "times_a_core": 25.0,
    "milliseconds": 163.8, "busy": 0.5, "of_products": 0.02, "waits": 0.0, "peak_mb": 1_600.0,
}  # fmt: skip


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_no_table():
    with pytest.raises(InputError, match="a torch that sees none"):
        gpu_tables(None, None)


def test_gates_are_speed_at_the_largest_batch_and_waits():
    din = ROW | {"model": "DIN", "times_a_core": TIMES_A_CORE - 1, "waits": 2.0}
    smaller = ROW | {"batch": 1_024, "times_a_core": 1.0, "waits": 1.0}
    gates = [(gate.value, gate.ok) for gate in gates_of([ROW, din, smaller])]
    assert gates == [(25.0, True), (19, False), (1.0, False)]
    assert gates_of([ROW])[-1].ok


def test_a_line_names_what_was_measured():
    assert line(ROW).split() == (
        "MARN 16384 float32 100,000 samples/s 25.0x a core 163.8 ms 50% busy 2.0% of products 0.0 waits 1,600 MB"
    ).split()
