"""Other libraries beside MARN: the rows they get, what is left out, and which ratios are gates."""

import importlib.util

import numpy as np
import pytest
from recbole_marn.benchmarks import peers
from recbole_marn.benchmarks.peers import PEERS, PaddedRows, Peer, peer_gates
from recbole_marn.benchmarks.synthetic import SyntheticData


def test_padded_rows_are_those_of_the_ragged_batch(shape):
    data = SyntheticData(shape)
    row = data.random_rows(12)
    found = PaddedRows.of(data, row)
    batch, label = data.batch(row)
    item = batch.entity_id.numpy()
    category = data.item_table.modalities["ids"].codes[:, 1]
    ends = batch.length.cumsum(0).numpy()
    for r, sequence in enumerate(batch.row_sequence.numpy()):
        tokens = batch.token.numpy()[ends[sequence] - batch.length[sequence] : ends[sequence]]
        assert found.columns["length"][r] == len(tokens) > 0
        assert (found.columns["hist_item"][r, : len(tokens)] == item[tokens]).all()
        assert (found.columns["hist_category"][r, : len(tokens)] == category[item[tokens]]).all()
        assert not found.columns["hist_item"][r, len(tokens) :].any()
        assert found.columns["item"][r] == item[batch.candidate[r]]
        assert found.columns["category"][r] == category[found.columns["item"][r]]
    assert np.array_equal(found.label, label.numpy())
    assert found.history == shape.history


def test_without_any_of_them_nothing_is_measured_and_all_are_named(monkeypatch, shape, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert peer_gates(2, shape=shape) == []
    told = capsys.readouterr().err
    assert all(f"{name} (pip install {peer.package})" in told for name, peer in PEERS.items())


def test_marn_against_fuxictr_is_a_gate_and_the_others_are_printed(monkeypatch, shape, capsys):
    asked = []

    def passes(rows, size, folder):
        asked.append((size, len(rows.label), rows.widths, folder.is_dir()))
        return lambda: sum(range(20_000))

    stand_ins = {name: Peer("json", "json", passes) for name in ("FuxiCTR", "torch-rechub")}
    monkeypatch.setattr(peers, "PEERS", stand_ins)
    monkeypatch.setattr(peers, "GOALS", {4: 0.8, 8: 1.0})
    gates = peer_gates(2, shape=shape, rows_a_round=16)
    assert [(gate.name.rsplit(" ", 1)[1], gate.goal) for gate in gates] == [("4", 0.8), ("8", 1.0)]
    assert all(gate.name.startswith("MARN / FuxiCTR") and gate.value > 0 for gate in gates)
    assert asked == [(size, 16, widths, True) for size in (4, 8) for widths in ((32, 16), (64, 64)) for _ in stand_ins]
    assert all("embeddings of 64 and 64" in gate.name for gate in gates)
    lines = capsys.readouterr().out.splitlines()
    fuxictr = [line for line in lines if line.startswith("MARN / FuxiCTR")]
    assert len(lines) == 14 and len(fuxictr) == 2 and all("embeddings of 32 and 16" in line for line in fuxictr)


@pytest.mark.parametrize("name", PEERS)
def test_each_library_trains_where_it_is_installed(name, shape, tmp_path):
    pytest.importorskip(PEERS[name].module)
    data = SyntheticData(shape)
    train = PEERS[name].passes(PaddedRows.of(data, data.random_rows(12)), 4, tmp_path)
    train()
