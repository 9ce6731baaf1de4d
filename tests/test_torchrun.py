"""Two machines on loopback, by torchrun: the numbers are those of one process, and a lost machine comes back."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import yaml

from recbole_marn import cli
from recbole_marn.errors import InputError
from recbole_marn.host.processes import ENVIRONMENT, is_first, launched
from recbole_marn.quick_start import build_config, load_run, prepare_run, run
from recbole_marn.training import checkpoint, processes
from recbole_marn.training.distributed import DistributedTrainer

pytestmark = pytest.mark.host

PLACE = dict(zip(ENVIRONMENT, ("5", "1", "6", "2", "first", "29500"), strict=True))


@pytest.fixture
def sixth_of_six(monkeypatch):
    """The second process of the third machine."""
    for name, value in PLACE.items():
        monkeypatch.setenv(name, value)


def test_the_place_of_a_process_is_what_torchrun_says(sixth_of_six, monkeypatch):
    place = {"ip": "first", "port": "29500", "world_size": 6, "nproc": 2, "local_rank": 1, "offset": 4}
    assert launched() == place and not is_first()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launched() == {} and is_first(), "alone it is a process like any other"
    monkeypatch.setenv("WORLD_SIZE", "6")
    monkeypatch.delenv("MASTER_PORT")
    assert launched() == {} and is_first(), "some of the names are common"


def test_a_run_takes_its_place(sixth_of_six, settings, monkeypatch):
    """The run's name is that of one process, and the keys are those RecBole's Config joins a group by."""
    given = settings("LR")
    monkeypatch.setattr(processes.distributed, "destroy_process_group", lambda: None)
    name = processes.run_name(build_config(config_dict=given))

    def itself(model, dataset, files, config_dict, saved):
        return config_dict

    found = processes.run_launched(itself, launched(), 1, [], given, True)
    assert found == given | launched() | {"run_name": name}


@pytest.mark.parametrize("job", ["tune", "leaderboard", "models"])
def test_no_other_job_is_done_by_each_of_its_processes(sixth_of_six, capsys, job):
    """Each of them searched all by itself into one file, and workers of a leaderboard waited for one another."""
    assert cli.main([job]) == 2
    assert f"Got {job}, which each of them would do for itself." in capsys.readouterr().err


def test_further_processes_and_data_of_nobody_are_refused(sixth_of_six, settings, tmp_path):
    with pytest.raises(InputError, match="Got nproc=2 beside them. Leave nproc out"):
        run(config_dict=settings("LR", nproc=2))
    with pytest.raises(InputError, match="Give `recbole-marn prepare taobao` first"):
        run("LR", "taobao", config_dict={"data_path": str(tmp_path), "same_rows": True})


def test_one_process_speaks_for_all(settings, monkeypatch, capsys):
    Path("lr.yaml").write_text(yaml.safe_dump(settings("LR", epochs=1), sort_keys=False))
    monkeypatch.setattr("recbole_marn.commands.run.is_first", lambda: False)
    assert cli.main(["run", "--model=LR", "--dataset=tiny", "--config_files=lr.yaml"]) == 0
    assert "AUC" not in capsys.readouterr().out


def test_processes_that_find_different_states_stop(settings, monkeypatch):
    parts = prepare_run(build_config(config_dict=settings("LR", resume=True)))
    parts.trainer.__class__ = DistributedTrainer

    def all_gather_object(everyone, mine):
        everyone[:] = [3, mine]

    monkeypatch.setattr("recbole_marn.training.distributed.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("recbole_marn.training.distributed.distributed.all_gather_object", all_gather_object)
    with pytest.raises(InputError, match="Got states after 3, 0 epochs in .* Give a checkpoint_dir that all machines"):
        parts.trainer.fit(parts.train, parts.valid)


# --------------------------------------------------------------------------------------------- two machines
class Machines:
    """torchrun on two machines, both of them this one."""

    def __init__(self, folder, given):
        self.folder, self.port = Path(folder), processes.free_port()
        self.folder.mkdir()
        (self.folder / "run.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
        self.started = []

    def start(self):
        number = len(self.started)
        command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
                   "--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{self.port}", "--rdzv-id=test",
                   "--max-restarts=3", "-m", "recbole_marn", "run", "--model=MARN", "--dataset=tiny",
                   "--config_files=run.yaml", "--checkpoint_dir=saved", "--resume=true"]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
        environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
        with open(self.folder / f"{number}.txt", "w") as out:
            machine = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=out, stderr=subprocess.STDOUT
            )
        self.started.append(machine)
        return machine

    def lose(self, machine):
        """All its processes at once."""
        top = psutil.Process(machine.pid)
        for process in (top, *top.children(recursive=True)):
            process.kill()
        machine.wait()

    def wait(self, seconds=400):
        ends = [machine.wait(timeout=seconds) for machine in self.started if machine.returncode != -9]
        assert not any(ends), self.told()

    def told(self):
        """By all machines; any may have the first process."""
        return "\n".join(file.read_text() for file in sorted(self.folder.glob("*.txt")))

    def result(self):
        """Weights and scores of the best epoch, and the record."""
        (said,) = [json.loads(line) for line in self.told().splitlines() if line.startswith("{")]
        record = json.loads((self.folder / said["record"]).read_text())
        weights = checkpoint.load(self.folder / said["checkpoint"])["state_dict"]
        with np.load((self.folder / said["record"]).with_suffix(".scores.npz")) as scores:
            return weights, dict(scores), record


@pytest.fixture
def machines(tmp_path, settings):
    made = []

    def make(name, **changed):
        given = settings("MARN", **changed)
        own = ("model", "dataset", "checkpoint_dir")
        made.append(Machines(tmp_path / name, {key: value for key, value in given.items() if key not in own}))
        return made[-1]

    yield make
    for each in made:
        for machine in each.started:
            if machine.poll() is None:
                each.lose(machine)


@pytest.mark.slow
def test_a_lost_machine_comes_back_and_the_run_ends_as_if_undisturbed(machines, monkeypatch):
    changed = {"epochs": 40, "stopping_step": 40, "train_batch_size": 8, "columnar_from_mb": 0}
    whole, lost = machines("whole", **changed), machines("lost", **changed)
    for each in (whole, lost):
        each.start()
        each.start()
        if each is whole:
            each.wait()
    assert whole.told().count("epoch 1/40") == 1, "the first process speaks for all"
    deadline = time.time() + 300
    while not list(lost.folder.glob("saved/*.last.pth")):
        assert time.time() < deadline and lost.started[0].poll() is None, lost.told()
        time.sleep(0.05)
    assert lost.started[1].poll() is None, "the run had ended before its machine was lost"
    lost.lose(lost.started[1])
    lost.start()
    lost.wait()
    assert "resumed   after epoch" in lost.told()
    (weights, scores, record), (weights_, scores_, record_) = whole.result(), lost.result()
    for name, value in weights.items():
        same = torch.equal(value, weights_[name]) if isinstance(value, torch.Tensor) else value == weights_[name]
        assert same, name
    assert all(np.array_equal(scores[name], scores_[name]) for name in scores)
    assert record["metrics"] == record_["metrics"] and record["run"] == record_["run"]
    # The same weights in one process: every score, and with it the AUC, to the last bit.
    monkeypatch.chdir(whole.folder)
    (best,) = (path for path in whole.folder.glob("saved/*.pth") if not path.name.endswith(".last.pth"))
    parts = load_run(best)
    assert np.array_equal(parts.trainer.scores(parts.test)["score"], scores["test_score"])
