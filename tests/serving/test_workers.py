"""Workers that end are started again; where none can start, the service says so and ends."""

import logging
import os
import signal
import socket
import threading
import time
import urllib.request
from types import SimpleNamespace

import pytest

from recbole_marn.errors import InputError

pytest.importorskip("uvicorn", exc_type=ImportError)

from recbole_marn.serving.service import workers  # noqa: E402
from recbole_marn.serving.service.run import _listening  # noqa: E402


class Fake:
    """A process that ends by itself or not; `made` are all of a test."""

    made: list

    def __init__(self, config, sockets):
        self.exitcode, self.pid = config.ends(len(self.made)), len(self.made)
        self.made.append(self)

    def is_alive(self, timeout=0):
        return self.exitcode is None

    def start(self):
        pass

    kill = join = terminate = start


@pytest.fixture
def supervise(monkeypatch):
    """A function that looks after workers for so many seconds of a clock of its own."""
    monkeypatch.setattr(workers, "Process", Fake)
    monkeypatch.setattr("uvicorn.supervisors.multiprocess.Process", Fake)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(workers, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def run(number, ends, seconds, happens=lambda now, supervisor: None):
        Fake.made = []
        config = SimpleNamespace(workers=number, timeout_worker_healthcheck=1, ends=ends)
        supervisor = workers.Workers(config, [])
        supervisor.init_processes()
        while clock.now < seconds and not supervisor.should_exit.is_set():
            supervisor.keep_subprocess_alive()
            happens(clock.now, supervisor)
            clock.now += 0.5
        return supervisor

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("code", "expected"), [(2, 2), (3, 1), (1, 1), (-9, 1)])
@pytest.mark.parametrize("number", [1, 2])
def test_a_service_none_of_whose_workers_start_ends(supervise, caplog, number, code, expected):
    supervisor = supervise(number, lambda made: code, 600)
    assert supervisor.should_exit.is_set() and supervisor.exit_code == expected
    assert workers.TRIES <= len(Fake.made) <= number * workers.TRIES
    assert f"Got 4 in succession that did not, the last with exit code {code}" in caplog.text


def test_a_worker_that_does_not_start_is_tried_again_while_another_answers(supervise):
    supervisor = supervise(2, lambda made: None if made == 0 else 3, 300)
    assert not supervisor.should_exit.is_set()
    assert 8 < len(Fake.made) < 20, "after 0, 1, 2, 4, ... 30 seconds"


def test_a_worker_that_ends_now_and_then_is_started_at_once(supervise):
    def happens(now, supervisor):
        if now % 20 == 0:
            supervisor.processes[0].exitcode = -9

    supervisor = supervise(1, lambda made: None, 400, happens)
    assert not supervisor.should_exit.is_set() and len(Fake.made) == 1 + 20
    assert supervisor.processes[0].exitcode is None


@pytest.mark.parametrize(("error", "code"), [(InputError("a", "b", "C."), 2), (RuntimeError("x"), 3)])
def test_what_a_worker_cannot_start_with_is_told_and_its_exit_code(caplog, error, code):
    def make():
        raise error

    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as ended:
        workers.started(make)
    assert ended.value.code == code and str(error) in caplog.text + str(caplog.records[0].exc_info)


def test_answers_are_sent_at_once():
    """With Nagle's algorithm the body of an answer waits for the client to acknowledge its head, some 40 ms."""
    listening = _listening("127.0.0.1", 0)
    with listening, socket.create_connection(listening.getsockname()), listening.accept()[0] as taken:
        assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.slow
def test_a_service_whose_export_was_cut_off_ends_when_its_worker_dies(exported, tmp_path):
    import shutil

    for package in ("fastapi", "prometheus_client"):
        pytest.importorskip(package, exc_type=ImportError)
    from service_process import Service

    shutil.copytree(exported()[1], tmp_path / "export")
    service = Service(tmp_path / "export", tmp_path)
    (tmp_path / "export" / "items.npy").write_bytes(b"cut")
    time.sleep(1)
    urllib.request.urlopen(service.address + "/health").close()  # the one before goes on
    os.kill(service.workers()[0], signal.SIGKILL)
    timer = threading.Timer(90, service.process.kill)
    timer.start()
    assert service.process.wait() == 2, service.log
    timer.cancel()
    # The one that was killed counts where it was young.
    assert service.log.count("this worker cannot start: Expected") in (workers.TRIES - 1, workers.TRIES)
    assert "items.npy as it was exported" in service.log and "the service ends" in service.log
