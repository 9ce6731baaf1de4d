"""10,000 requests made from the service's own OpenAPI, valid and invalid ones: none is answered by a fault.

RECBOLE_MARN_FUZZ sets the number of each operation and mode.
"""

import collections
import os
import random

import pytest

from recbole_marn.serving.service.options import ServiceOptions

pytestmark = pytest.mark.slow
CASES = int(os.environ.get("RECBOLE_MARN_FUZZ", 1250))  # of each operation with a body or parameters, in each mode
KNOWN = [f"{number:03d}" for number in range(1, 26)]


def with_known_items(body, rng):
    """Most of the valid requests get ids that the export knows, or none would be scored."""
    if not isinstance(body, dict) or rng.random() < 0.3:
        return
    for place, behaviour in enumerate(body.get("history") or []):
        behaviour |= {"item": rng.choice(KNOWN), "time": 1e5 + place, "type": rng.choice(["view", "buy", "never"])}
    body["time"] = rng.choice([1e5, 3e5, 9e5])
    if body.get("items"):
        body["items"] = [rng.choice(KNOWN) for _ in body["items"]]
    if rng.random() < 0.8:
        body.pop("profile", None), body.pop("context", None)


def test_no_request_is_answered_by_a_fault(exported, tmp_path):
    schemathesis = pytest.importorskip("schemathesis")
    for package in ("fastapi", "prometheus_client"):
        pytest.importorskip(package, exc_type=ImportError)
    import hypothesis
    from schemathesis.generation import GenerationMode

    from recbole_marn.serving.service.app import create_app

    app = create_app(ServiceOptions(exported()[1], tmp_path / "added", timeout=60, retrieve=5))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"host": "127.0.0.1"})
    rng, statuses, faults = random.Random(0), collections.Counter(), []

    def fuzz(operation, mode):
        @hypothesis.settings(
            max_examples=CASES, deadline=None, database=None, derandomize=True, phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def ask(case):
            if mode is GenerationMode.POSITIVE and operation.label in ("POST /score", "POST /recommend"):
                with_known_items(case.body, rng)
            status = case.call(headers={"host": "127.0.0.1"}).status_code
            statuses[operation.label, status] += 1
            if status >= 500:
                faults.append((operation.label, status, repr(case.body)[:300]))

        ask()

    for operation in (found.ok() for found in schema.get_all_operations()):
        if operation.label in ("GET /health", "GET /metrics"):  # take nothing
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            fuzz(operation, mode)
    print(f"\n{statuses.total()} cases: {dict(sorted(statuses.items()))}")
    assert not faults, faults[:3]
    for label in ("POST /score", "POST /recommend", "POST /items", "GET /items"):
        assert statuses[label, 200] > CASES / 10 and statuses[label, 422] > CASES / 10, statuses
