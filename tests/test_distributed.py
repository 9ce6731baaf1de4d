"""Several processes: the metrics of gathered scores are those of one process, and a run ends in the same files."""

import json
import os
from pathlib import Path

import distributed_scores
import numpy as np
import pytest
import tiny
from torch import multiprocessing

from recbole_marn.errors import InputError
from recbole_marn.quick_start import build_config, load_run, prepare_run, run
from recbole_marn.registry import MODELS
from recbole_marn.training import distributed as processes
from recbole_marn.training import processes as started

from recbole import quick_start as recbole_quick_start  # isort: skip

pytestmark = pytest.mark.host

# Started once, before it has threads, and forked from then on: nothing is imported anew.
METHOD = "forkserver"
multiprocessing.set_forkserver_preload(["recbole_marn.training.distributed", "distributed_scores"])


@pytest.fixture
def forked(monkeypatch):
    monkeypatch.setattr(started, "START_METHOD", METHOD)


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize(("model", "batch"), [("MARN", 8), ("MARN", 4096), ("LR", 8)])
def test_shares_of_the_batches_make_the_whole(settings, model, batch, world, monkeypatch):
    """As below, without processes: one after another takes the place of each, and what they send is kept."""
    parts = prepare_run(build_config(config_dict=settings(model, eval_batch_size=batch)))
    wanted = parts.trainer.scores(parts.test)
    parts.trainer.__class__ = processes.DistributedTrainer
    sent = []

    def all_gather_object(everyone, mine):
        sent.append(mine)
        everyone[:] = sent

    torch_distributed = processes.distributed
    monkeypatch.setattr(torch_distributed, "get_world_size", lambda: world)
    monkeypatch.setattr(torch_distributed, "broadcast", lambda buffer, source: None)
    monkeypatch.setattr(torch_distributed, "all_gather_object", all_gather_object)
    for rank in range(world):
        monkeypatch.setattr(torch_distributed, "get_rank", lambda rank=rank: rank)
        parts.model.train()  # forgets the item vectors of the process before
        found = parts.trainer.scores(parts.test)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)
    assert sum(map(len, sent)) == -(-parts.test.sample_size // parts.test.samples_a_batch)
    assert len({number for mine in sent for number in mine}) == sum(map(len, sent))


@pytest.mark.slow
@pytest.mark.parametrize(("model", "batch"), [("MARN", 8), ("MARN", 4096), ("DIN", 8)])
def test_the_same_weights_have_the_same_metrics_in_1_2_and_3_processes(settings, model, batch, tmp_path):
    """To the last bit of every score. Batches of 8 rows end in a short one; of 4096 there is but one for all."""
    common = settings(model, eval_batch_size=batch, epochs=1, checkpoint_dir=str(tmp_path / "saved"))
    alone = run(config_dict=common)
    parts = load_run(alone["checkpoint"])
    columns = parts.trainer.scores(parts.test)
    wanted = {"valid": alone["best_valid_result"], "test": alone["test_result"]}
    for nproc in (2, 3):
        folder = tmp_path / str(nproc)
        folder.mkdir()
        arguments = (nproc, common, started.free_port(), alone["checkpoint"], str(folder))
        multiprocessing.start_processes(distributed_scores.score, arguments, nproc, start_method=METHOD)
        for rank in range(nproc):
            assert json.loads((folder / f"{rank}.json").read_text()) == {k: dict(v) for k, v in wanted.items()}
            with np.load(folder / f"{rank}.npz") as found:
                for name, values in columns.items():
                    np.testing.assert_array_equal(found[name], values)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["MARN", "LR", "DIEN"])
def test_two_processes_end_in_the_files_of_one(settings, model, tmp_path, forked):
    common = settings(model, checkpoint_dir=str(tmp_path / "saved"), also_test=["matched"])
    found = run(config_dict=common, nproc=2)
    record = json.loads((tmp_path / "saved" / os.path.basename(found["record"])).read_text())
    assert record["settings"]["single_spec"] is True
    measured = {name: record["metrics"]["test"][name] for name in found["test"]}
    assert measured == pytest.approx(found["test"], abs=1e-5)
    assert not {"world_size", "port", "ip", "offset"} & set(record["settings"])
    parts = load_run(found["checkpoint"])
    again = parts.trainer.evaluate(parts.test, load_best_model=False)
    assert dict(again) == pytest.approx(dict(found["test_result"]), abs=1e-6)
    alone = run(config_dict={**common, "checkpoint_dir": str(tmp_path / "alone")})
    assert os.path.basename(alone["record"]) == os.path.basename(found["record"])
    assert found["epochs"] == alone["epochs"] and found["parameters"] == alone["parameters"]
    assert found["split_sha256"] == alone["split_sha256"]


@pytest.mark.slow
def test_processes_learn_the_same_weights(settings, tmp_path, forked):
    """Both see half of every batch: after a few epochs the validation value moves like that of one process."""
    common = settings("LR", epochs=5, stopping_step=10, learning_rate=0.05, checkpoint_dir=str(tmp_path / "saved"))
    two = run(config_dict=common, nproc=2)
    one = run(config_dict={**common, "checkpoint_dir": str(tmp_path / "one")})
    assert two["valid"]["LogLoss"] == pytest.approx(one["valid"]["LogLoss"], abs=0.05)


@pytest.mark.slow
def test_it_changes_nothing_that_one_process_makes_the_rows(settings, tmp_path, forked):
    """From a size on; the test of the rows themselves is data/test_made_once.py."""
    common = settings("MARN", resample_negatives=True, also_test=["popularity"])
    results = []
    for columnar in (None, 0):
        folder = str(tmp_path / str(columnar))
        results.append(run(config_dict=common | {"columnar_from_mb": columnar, "checkpoint_dir": folder}, nproc=2))
    for name in ("split_sha256", "valid", "test", "test_popularity", "epochs", "parameters"):
        assert results[0][name] == results[1][name]


@pytest.mark.slow
def test_the_key_nproc_does_the_same(settings, tmp_path, forked):
    found = run(config_dict=settings("LR", nproc=2, epochs=1, checkpoint_dir=str(tmp_path / "saved")))
    assert found["epochs"] == 1 and os.path.exists(found["record"])


@pytest.mark.parametrize(("model", "more", "said", "ours"), [
    ("MARN", {}, "", True), ("DIN", {"same_rows": True}, "", True), ("DIN", {}, "", False),
    ("DIN", {}, "same_rows: true", True), ("DIN", {"same_rows": False}, "same_rows: true", False),
])  # fmt: skip
def test_recboles_own_run_of_several_processes(monkeypatch, model, more, said, ours):
    """Its processes would not know MARN, and need GPUs; plain RecBole runs stay RecBole's."""
    from torch import multiprocessing

    done = []
    monkeypatch.setattr("recbole_marn.training.run.run", lambda *args: done.append(args))
    monkeypatch.setattr(multiprocessing, "spawn", lambda function, **more: done.append(function))
    Path("a.yaml").write_text(said)
    recbole_quick_start.run(model, "tiny", ["a.yaml"], dict(more), nproc=2)
    theirs = recbole_quick_start.quick_start.run_recboles
    assert done == [(model, "tiny", ["a.yaml"], more, True, 2) if ours else theirs]


def test_recboles_own_run_on_several_machines_is_refused():
    with pytest.raises(InputError, match="Got world_size=4 with nproc=2"):
        recbole_quick_start.run("MARN", "tiny", nproc=2, world_size=4)


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"weight_average": 0.9, "learning_rate_decay": "linear"}])
def test_a_run_of_processes_resumes(settings, tmp_path, forked, more):
    common = settings("LR", stopping_step=10, checkpoint_dir=str(tmp_path / "saved"), run_name="r") | more
    whole = run(config_dict={**common, "epochs": 3, "checkpoint_dir": str(tmp_path / "whole")}, nproc=2)
    run(config_dict={**common, "epochs": 3}, nproc=2)
    for name in ("valid", "test"):
        assert whole[name] == run(config_dict={**common, "epochs": 3, "resume": True}, nproc=2)[name]


@pytest.mark.slow
def test_an_error_of_the_input_comes_out_as_one(settings, tmp_path, forked):
    with pytest.raises(InputError, match="lamda0=1"):
        run(config_dict=settings("MARN", lamda0=1), nproc=2)
    with pytest.raises(InputError, match="absent.npy"):
        modalities = {**tiny.MODALITIES, "image": {"kind": "vector", "file": "absent.npy", "ids": "image.ids"}}
        run(config_dict=settings("MARN", modalities=modalities), nproc=2)


@pytest.mark.slow
def test_spawned_processes(settings, tmp_path):
    found = run(config_dict=settings("MARN", epochs=1, checkpoint_dir=str(tmp_path / "saved")), nproc=2)
    assert os.path.exists(found["record"])


@pytest.mark.slow
@pytest.mark.parametrize("model", list(MODELS))
def test_every_model_trains_on_two_processes(settings, tmp_path, forked, model):
    """Rankings without item vectors too: what a model can do it declares."""
    common = settings(model, epochs=1, checkpoint_dir=str(tmp_path / "saved"))
    found = run(config_dict=common, nproc=2)
    assert set(found["test"]) == {"AUC", "UAUC", "LogLoss"} and os.path.exists(found["record"])
