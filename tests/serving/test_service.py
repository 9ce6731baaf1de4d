"""The service over HTTP: answers as the export's, reasons for what it cannot answer, items and exports that come."""

import json
import shutil

import numpy as np
import pytest

from recbole_marn.evaluation.record import sealed_text
from recbole_marn.serving import scores
from recbole_marn.serving.exported import ExportedScorer
from recbole_marn.serving.histories import Behaviours, History
from recbole_marn.serving.service.options import ServiceOptions

HISTORY = [{"item": "003", "time": 1e5, "type": "view"}, {"item": "004", "time": 2e5, "type": "buy"}]
ASKED = {"history": HISTORY, "time": 3e5, "items": ["001", "002"]}
NEW = {"item": "new", "fields": {"title": "red house", "price": "12"}, "vectors": {"image": [0.1] * 6}}


@pytest.fixture
def folder(exported, tmp_path):
    shutil.copytree(exported()[1], tmp_path / "export")
    return tmp_path / "export"


@pytest.fixture
def start(folder, tmp_path):
    """A function that starts a service, with options."""
    for package in ("fastapi", "prometheus_client", "httpx"):
        pytest.importorskip(package, exc_type=ImportError)
    from starlette.testclient import TestClient

    from recbole_marn.serving.service.app import create_app

    clients = []

    def started(**options):
        options = ServiceOptions(folder, tmp_path / "added", look_every=0.01, **options)
        app = TestClient(create_app(options), base_url="http://127.0.0.1", raise_server_exceptions=False)
        clients.append(app.__enter__())
        return clients[-1]

    yield started
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(start):
    return start()


def reasons(answer):
    """Status and the reasons of a refusal, whose form is checked."""
    content = answer.json()
    assert set(content) == {"request_id", "problems"} and answer.headers["x-request-id"] == content["request_id"]
    return answer.status_code, " ".join(f"{one['where']}: {one['reason']}" for one in content["problems"])


def post(client, path, body, **headers):
    content = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return client.post(path, content=content, headers={"content-type": "application/json", **headers})


# ---------------------------------------------------------------------------------------------------- answers
def test_scores_are_those_of_the_export(client, folder):
    answer = post(client, "/score", ASKED).json()
    expected = ExportedScorer(folder).score_request(
        History(["003", "004"], [1e5, 2e5], ["view", "buy"]), ["001", "002"], time=3e5
    )
    assert [one["item"] for one in answer["scores"]] == ["001", "002"]
    np.testing.assert_allclose([one["probability"] for one in answer["scores"]], expected, atol=1e-7)
    assert answer["behaviours"] == 2 and answer["left_out"] == answer["unknown_values"] == []
    assert answer["export"] == client.get("/health").json()["export"]


def test_a_ranking_is_that_of_the_export_and_says_why(client, folder):
    scorer, history = ExportedScorer(folder), History(["003", "004"], [1e5, 2e5], ["view", "buy"])
    expected = scorer.top(history, 5, time=3e5, unseen=True)
    asked = {"history": HISTORY, "time": 3e5, "k": 5}
    ranking = post(client, "/recommend", asked | {"why": True}).json()["ranking"]
    assert [one["item"] for one in ranking] == expected.items
    less = scorer.without_modalities(history, expected.items, time=3e5)
    for place, one in enumerate(ranking):
        changes = {part["modality"]: part["change"] for part in one["why"]}
        has = [name for name, value in zip(scorer.modalities, less[place], strict=True) if np.isfinite(value)]
        assert list(changes) == has != []
        of_first = expected.probability[place] - less[place, scorer.modalities.index(has[0])]
        assert changes[has[0]] == pytest.approx(float(of_first), abs=1e-6)
    assert post(client, "/recommend", asked).json()["ranking"][0]["why"] is None
    seen = post(client, "/recommend", asked | {"k": 100, "unseen": False}).json()["ranking"]
    assert len(seen) == 25 and {"003", "004"} <= {one["item"] for one in seen}
    some = post(client, "/recommend", asked | {"items": ["001", "009", "003"]}).json()["ranking"]
    assert {one["item"] for one in some} == {"001", "009"}


def test_a_short_list_is_scored_in_place_of_all_and_told(start, folder):
    asked = {"history": HISTORY, "time": 3e5, "k": 25}
    full, client = start(), start(retrieve=5)
    every = post(full, "/recommend", asked).json()
    assert every["scored"] == 23 and full.get("/health").json()["retrieve"] is None
    answer = post(client, "/recommend", asked).json()
    assert answer["scored"] == len(answer["ranking"]) <= 2 * 5 + 2 < 23
    probability = {one["item"]: one["probability"] for one in every["ranking"]}
    assert all(one["probability"] == pytest.approx(probability[one["item"]], abs=1e-6) for one in answer["ranking"])
    assert post(client, "/recommend", asked | {"items": ["001", "009"]}).json()["scored"] == 2
    post(client, "/items", {"items": [NEW]})
    assert "new" in [one["item"] for one in post(client, "/recommend", asked).json()["ranking"]]
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["parity"]["retrieval"] = {"top": 20, "rows": 50, "recall_of_full_scoring": {"5": 0.5}}
    (folder / "manifest.json").write_text(sealed_text(manifest))
    health = start(retrieve=5).get("/health").json()
    assert (health["retrieve"], health["recall"]) == (5, manifest["parity"]["retrieval"])
    assert start(retrieve=13).get("/health").json()["retrieve"] is None, "lists of more than half of the items"


def test_values_that_training_never_saw_are_named(client):
    strolled = ASKED | {"history": [HISTORY[0], HISTORY[1] | {"type": "stroll"}]}
    for endpoint in ("/score", "/recommend"):
        assert post(client, endpoint, strolled).json()["unknown_values"] == ["kind"]


@pytest.mark.parametrize("path, asked", [
    ("/score", {"items": ["001", "002"]}), ("/recommend", {"k": 5}), ("/recommend", {"k": 5, "why": True}),
])  # fmt: skip
def test_a_request_is_coded_and_its_history_read_once(client, monkeypatch, path, asked):
    calls = []

    def counted(name, function):
        return lambda *given: calls.append(name) or function(*given)

    monkeypatch.setattr(scores, "context_of", counted("context", scores.context_of))
    monkeypatch.setattr(Behaviours, "of_rows", counted("history", Behaviours.of_rows))
    assert post(client, path, {"history": HISTORY, "time": 3e5} | asked).status_code == 200
    assert sorted(calls) == ["context", "history"]


def test_nobody_knows_is_refused_or_left_out(client):
    unknown = ASKED | {"history": [*HISTORY[:1], {"item": "gone", "time": 1.5e5, "type": "buy"}],
                       "items": ["001", "nobody"]}  # fmt: skip
    status, why = reasons(post(client, "/score", unknown))
    assert status == 422 and "'gone' and 1 more" in why
    answer = post(client, "/score", unknown | {"unknown": "leave_out"}).json()
    assert answer["left_out"] == ["gone", "nobody"] and answer["behaviours"] == 1
    assert [one["item"] for one in answer["scores"]] == ["001"]
    alone = post(client, "/score", ASKED | {"history": HISTORY[:1], "items": ["001"]}).json()
    assert alone["scores"] == answer["scores"]


def test_items_are_found_by_title(client):
    found = client.get("/items", params={"search": "red", "limit": 3}).json()["found"]
    assert 0 < len(found) <= 3 and all("red" in one["title"] for one in found)
    assert client.get("/items", params={"search": "nothing like it"}).json()["found"] == []


# --------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(("body", "status", "told"), [
    ("{", 400, "JSON"), ("[" * 100_000, 400, "pars"), (b"\xff", 400, ""), ("", 422, "required"), ("[]", 422, "body"),
    ({}, 422, "body.items"),
    (ASKED | {"itmes": []}, 422, "body.itmes: Expected one of history, time, profile,"),
    (ASKED | {"items": []}, 422, "body.items"),
    (ASKED | {"items": [5]}, 422, "string"), (ASKED | {"items": ["a\nb"]}, 422, "pattern"),
    ('{"items": ["001"], "time": NaN}', 422, "finite"), ('{"items": ["001"], "time": 1e999}', 422, "finite"),
    ('{"items": ["\\ud800"], "time": 3}', 422, "unicode"),
    ('{"items": ["001"], "time": 3, "profile": {"\\udc00": 1}}', 422, ""),
    (ASKED | {"items": ["001"] * 1001}, 422, "1000"), (ASKED | {"history": HISTORY * 501}, 422, "1000"),
    (ASKED | {"time": None}, 422, "time since"), (ASKED | {"time": 1.5e5}, 422, "before the time of their row"),
    (ASKED | {"time": 1e12}, 422, "unit"), (ASKED | {"history": HISTORY[::-1]}, 422, "oldest"),
    (ASKED | {"history": [{"item": "003", "time": 1e5}]}, 422, 'Got 0 for 1. Give each as "type" beside its "item".'),
    (ASKED | {"history": [HISTORY[0] | {"kind": "buy"}]}, 422, "history.0.kind: Expected one of item, time, type."),
    (ASKED | {"history": [HISTORY[0], {"item": "003", "time": 2e5}]}, 422, "type of every behaviour"),
    (ASKED | {"profile": {"age": 3}}, 422, "profile"), (ASKED | {"unknown": "maybe"}, 422, "refuse"),
])  # fmt: skip
def test_what_cannot_be_answered_is_refused_with_a_reason(client, body, status, told):
    found, why = reasons(post(client, "/score", body))
    assert found == status and told in why


def test_requests_that_are_too_large_or_no_json_are_refused(start):
    client = start(largest_body=1000)
    assert reasons(post(client, "/score", "x" * 1001))[0] == 413
    in_pieces = iter([b"x" * 600] * 2)  # without a length
    assert reasons(client.post("/score", content=in_pieces, headers={"content-type": "application/json"}))[0] == 413
    assert reasons(client.post("/score", content="{}", headers={"content-type": "text/plain"}))[0] == 415
    assert reasons(client.post("/score"))[0] == 415
    assert reasons(client.get("/nothing")) == (404, ": Not Found") and reasons(client.get("/score"))[0] == 405


def test_another_name_for_this_machine_is_refused(start):
    assert start().get("/health", headers={"host": "evil.example"}).status_code == 400
    assert start(names=("rank.example",)).get("/health", headers={"host": "rank.example:80"}).status_code == 200
    assert start(host="0.0.0.0").get("/health", headers={"host": "any.example"}).status_code == 200


def test_too_much_at_a_time_and_too_slow_are_told(start):
    status, why = reasons(start(waiting=0).get("/health"))
    assert status == 503 and "Try again" in why
    assert reasons(post(start(timeout=1e-6), "/score", ASKED))[0] == 504


def test_a_fault_of_ours_tells_its_request_and_no_more(client, monkeypatch):
    from recbole_marn.serving.service.answers import Endpoints

    monkeypatch.setattr(Endpoints, "health", lambda self: 1 / 0)
    status, why = reasons(client.get("/health", headers={"x-request-id": "mine-1"}))
    assert status == 500 and "division" not in why


def test_request_ids_are_kept_if_they_are_harmless(client, caplog):
    caplog.set_level("INFO", logger="recbole_marn.serve")
    assert client.get("/health", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert client.get("/health", headers={"x-request-id": "a b\tstatus=200"}).headers["x-request-id"].isalnum()
    first, second = caplog.messages
    assert first.startswith("request=mine-1 GET /health status=200 ms=") and "a b" not in second


# ------------------------------------------------------------------------------------------ items and exports
def test_an_added_item_is_known_to_every_worker_and_after_a_restart(start):
    one, other = start(), start()
    told = post(one, "/items", {"items": [NEW]}).json()
    assert (told["added"], told["replaced"], told["without"]) == (1, 0, {})
    scores = [post(client, "/score", ASKED | {"items": ["new"]}).json()["scores"] for client in (one, other, start())]
    assert scores[0] == scores[1] == scores[2]
    assert other.get("/health").json()["added"] == 1
    again = post(other, "/items", {"items": [NEW | {"fields": {"title": "old river"}}]}).json()
    assert (again["added"], again["replaced"], again["without"]) == (0, 1, {})
    assert post(one, "/score", ASKED | {"items": ["new"]}).json()["scores"] != scores[0]
    assert one.get("/items", params={"search": "old river new"}).json()["found"][0]["item"] == "new"


@pytest.mark.parametrize(("items", "told"), [
    ([NEW, NEW], "each item once"), ([NEW | {"vectors": {"image": [1.0]}}], "6 numbers"),
    ([NEW | {"vectors": {"sound": [1.0]}}], "'sound'"), ([], "body.items"),
    ([NEW | {"title": "old"}], "items.0.title: Expected one of item, fields, vectors."),
])  # fmt: skip
def test_items_that_cannot_be_taken_leave_nothing(client, tmp_path, items, told):
    status, why = reasons(post(client, "/items", {"items": items}))
    assert status == 422 and told in why and (tmp_path / "added").read_bytes() == b""


def test_there_is_a_most_of_added_items(start):
    client = start(most_added=1)
    assert post(client, "/items", {"items": [NEW]}).status_code == 200
    assert post(client, "/items", {"items": [NEW]}).status_code == 200
    assert "at most 1" in reasons(post(client, "/items", {"items": [NEW | {"item": "newer"}]}))[1]


def test_who_may_add(start):
    body = {"items": [NEW]}
    assert reasons(post(start(host="0.0.0.0"), "/items", body))[0] == 403
    client = start(token="a" * 16)
    assert reasons(post(client, "/items", body))[0] == 401
    assert reasons(post(client, "/items", body, authorization="Bearer " + "b" * 16))[0] == 401
    assert post(client, "/items", body, authorization="Bearer " + "a" * 16).status_code == 200


def until(client, condition):
    for _ in range(500):
        if condition(found := client.get("/health").json()):
            return found
    raise AssertionError(found)


def test_an_export_in_the_place_of_another_is_taken_and_a_broken_one_is_not(client, exported, folder):
    before = client.get("/health").json()
    post(client, "/items", {"items": [NEW]})
    vectors = (folder / "items.npy").read_bytes()
    (folder / "items.npy").write_bytes(vectors[:-4])
    broken = until(client, lambda found: found["reload_problem"])
    assert "items.npy" in broken["reload_problem"] and broken["export"] == before["export"]
    assert post(client, "/score", ASKED).status_code == 200
    aside = folder.with_name("aside")
    shutil.copytree(exported("NAML")[1], aside)
    folder.rename(folder.with_name("old"))
    aside.rename(folder)
    after = until(client, lambda found: found["model"] == "NAML")
    assert after["export"] != before["export"] and after["reload_problem"] is None and after["added"] == 1
    assert post(client, "/score", {"items": ["new"]}).json()["export"] == after["export"]


def test_numbers_for_prometheus(client):
    post(client, "/score", ASKED)
    client.get("/made-up/path")
    text = client.get("/metrics").text
    assert 'recbole_marn_requests_total{path="/score",status="200"} 1.0' in text
    assert 'recbole_marn_requests_total{path="other",status="404"} 1.0' in text and "made-up" not in text
    assert "recbole_marn_scored_items_total 2.0" in text and 'le="0.005",path="/score"' in text


def test_the_page_and_what_it_loads_come_from_here_alone(client):
    page = client.get("/")
    assert page.status_code == 200 and "default-src 'self'" in page.headers["content-security-policy"]
    for text in (page.text, client.get("/page.js").text, client.get("/page.css").text):
        assert not [word for word in ("http://", "https://", "@import") if word in text]
    assert client.get("/docs").status_code == 404  # loads scripts from elsewhere


def test_photos(start, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "001.png").write_bytes(b"\x89PNG")
    client = start(photos=tmp_path / "photos")
    answer = client.get("/photos/001")
    assert answer.content == b"\x89PNG" and answer.headers["content-type"] == "image/png"
    for path in ("/photos/002", "/photos/../added", "/photos/%2e%2e%2fadded", "/photos//etc/passwd"):
        assert client.get(path).status_code == 404
    ranking = post(client, "/recommend", {"time": 3e5, "items": ["001", "002"]}).json()["ranking"]
    assert {one["item"]: one["photo"] for one in ranking} == {"001": "/photos/001", "002": None}
