"""Every test runs in an empty folder of its own, on one thread, with an empty command line."""

import logging
import os
import sys
from pathlib import Path

# For BLAS, which asks when it is loaded, and for the processes that tests start: each has one core to itself at most,
# and threads that wait for one another there take the time of those that work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import tiny
import yaml


def pytest_xdist_auto_num_workers(config):
    """A process per core for the whole suite, four at most; a few files would not repay that each imports RecBole."""
    return min(os.cpu_count(), 4) if config.args_source is config.ArgsSource.TESTPATHS else 0


@pytest.fixture(scope="session", autouse=True)
def no_surroundings(tmp_path_factory):
    """RecBole reads `sys.argv` wherever it builds a Config, and writes ./log, ./log_tensorboard and ./saved."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("session"))
        patch.setattr(sys, "argv", sys.argv[:1])
        if utils := sys.modules.get("recbole.utils.utils"):
            # Its writers work in threads of their own, which must not follow us from folder to folder.
            writer = utils.SummaryWriter
            patch.setattr(utils, "SummaryWriter", lambda folder: writer(os.path.abspath(folder)))
        # A Config reads seven files with parsers in Python; libyaml's read the same much faster.
        for kind in ("FullLoader", "SafeLoader", "SafeDumper"):
            patch.setattr(yaml, kind, getattr(yaml, f"C{kind}", getattr(yaml, kind)))
        # Imported here: the process that hands tests to the others needs no torch.
        import torch

        if not torch.cuda.is_available():
            # A seed for devices to come is kept with the whole stack, which takes far longer than what is seeded here.
            for device in (torch.cuda.random, torch.xpu.random, torch.mtia):
                patch.setattr(device, "_lazy_call", lambda call, **kind: None, raising=False)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    # RecBole's handlers keep a file of this folder open, and write to a stderr that pytest closes.
    for handler in logging.getLogger().handlers[:]:
        if not type(handler).__module__.startswith("_pytest"):
            logging.getLogger().removeHandler(handler)
            handler.close()


@pytest.fixture(scope="session")
def data_path(tmp_path_factory):
    """A folder with the data set `tiny`; nobody writes to it."""
    folder = tmp_path_factory.mktemp("dataset")
    tiny.write_dataset(folder)
    return folder


@pytest.fixture
def settings(data_path):
    """A function that makes a configuration dictionary on the data set `tiny`."""

    def make(model="MARN", **changed):
        return tiny.settings(data_path, model, **changed)

    return make


@pytest.fixture
def run(data_path, capsys):
    """A function that calls `recbole-marn run` on the data set `tiny`; it returns exit code, stdout and stderr."""
    from recbole_marn import cli

    Path("base.yaml").write_text(yaml.safe_dump(tiny.settings(data_path, epochs=1)))

    def call(*arguments, model="MARN", dataset="tiny", files="base.yaml"):
        code = cli.main(["run", f"--model={model}", f"--dataset={dataset}", f"--config_files={files}", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call
