"""Workers under load: one that is killed takes its requests in flight alone with it, another export takes none."""

import asyncio
import json
import os
import signal
import threading
import time
import urllib.request

import pytest

from recbole_marn.commands.bench import benchmarks
from recbole_marn.evaluation.record import sealed_text

benchmarks()  # lie beside the package in a checkout
from recbole_marn.benchmarks.service_load import bodies, load  # noqa: E402

pytestmark = pytest.mark.slow
CONNECTIONS = 4


@pytest.fixture
def service(exported, tmp_path):
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        pytest.importorskip(package, exc_type=ImportError)
    import shutil

    from service_process import Service

    shutil.copytree(exported()[1], tmp_path / "export")
    running = Service(tmp_path / "export", tmp_path, "--workers", "2")
    while len(running.workers()) < 2:
        time.sleep(0.1)
    yield running
    if running.process.poll() is None:
        assert running.stop() == 0


def during_load(service, happens, seconds=12):
    """What came of load on the service while `happens` ran."""
    asked, found = bodies(service.address, 20), {}

    def ask():
        found.update(asyncio.run(load(service.address, asked, rate=None, seconds=seconds, connections=CONNECTIONS)))

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(1)
    happens()
    thread.join()
    return found


def test_a_worker_that_is_killed_loses_no_more_than_its_requests_in_flight(service):
    victim = service.workers()[0]
    found = during_load(service, lambda: os.kill(victim, signal.SIGKILL))
    assert set(found["statuses"]) == {200} and sum(found["failures"].values()) <= CONNECTIONS
    assert sum(found["statuses"].values()) > 20
    for _ in range(600):
        if len(service.workers()) > 2:
            break
        time.sleep(0.1)
    assert len(service.workers()) == 3, service.log


def test_another_export_is_taken_under_load_and_no_request_is_lost(service, exported, tmp_path):
    import shutil

    before = service.get("/health")["export"]

    def replace():
        folder, aside = tmp_path / "export", tmp_path / "aside"
        shutil.copytree(folder, aside)
        manifest = json.loads((aside / "manifest.json").read_text())
        (aside / "manifest.json").write_text(sealed_text(manifest | {"note": "another"}))
        folder.rename(tmp_path / "old")
        aside.rename(folder)

    found = during_load(service, replace)
    assert set(found["statuses"]) == {200} and not found["failures"]
    assert service.log.count("reloaded export=") == 2
    assert service.get("/health")["export"] != before


def test_an_item_is_seen_by_each_request_after_it_was_added(service):
    asked = {"items": [{"item": "new", "fields": {"title": "red house"}}]}
    request = urllib.request.Request(
        service.address + "/items", json.dumps(asked).encode(), {"content-type": "application/json"}
    )
    urllib.request.urlopen(request).close()
    for _ in range(60):
        found = service.get("/items?search=red%20house%20new")
        assert found["found"][0]["item"] == "new"
    pids = {line.split()[3] for line in service.log.splitlines() if "GET /items" in line}
    assert len(pids) == 2, pids


def test_requests_under_way_are_answered_before_the_service_stops(service):
    found = during_load(service, lambda: setattr(service, "code", service.stop()), seconds=4)
    assert service.code == 0 and set(found["statuses"]) == {200}
    assert set(found["failures"]) <= {"IncompleteReadError", "ConnectionRefusedError", "ConnectionResetError"}


def test_an_address_in_use_and_a_folder_that_is_no_export_are_told(service, tmp_path):
    from recbole_marn.cli import main

    port = service.address.rpartition(":")[2]
    assert main(["serve", str(tmp_path / "export"), "--port", port, "--added", str(tmp_path / "other")]) == 2
    assert main(["serve", str(tmp_path), "--port", "0", "--added", str(tmp_path / "other")]) == 2
