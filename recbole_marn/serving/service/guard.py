"""Around every request: an id, a limit of bytes, time and number, a line in the log and a count."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from typing import Any

import anyio

from recbole_marn.serving.service.metrics import Metrics
from recbole_marn.serving.service.options import ServiceOptions

__all__ = ["FAULT", "Guard", "Refused", "refusal"]

log = logging.getLogger("recbole_marn.serve")

FAULT = "A fault of the service; its log has more under this request's id."
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# A page elsewhere can make a browser send other types here without asking, but not this one.
JSON = b"application/json"
OUTSIDE = "other"  # the path of requests that no endpoint took, of which there are as many as somebody makes up
# A page of ours runs what comes from here alone, and nobody else's page may show it.
HEADERS = [
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        problems: (place in the request, reason) pairs.
    """

    def __init__(self, status: int, *problems: tuple[str, str]):
        super().__init__(status, problems)
        self.status, self.problems = status, problems


def refusal(request_id: str, problems: Any) -> bytes:
    """The body of an answer that says why there is none. What a request said is escaped, lone surrogates included."""
    listed = [{"where": where, "reason": reason} for where, reason in problems]
    return json.dumps({"request_id": request_id, "problems": listed}).encode("ascii")


class Guard:
    """ASGI middleware; the outermost."""

    def __init__(self, app: Any, options: ServiceOptions, metrics: Metrics):
        self.app, self.options, self.metrics = app, options, metrics
        self._under_way = 0

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = given.decode() if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def answer(message: dict) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode()), *HEADERS]
            await send(message)

        self._under_way += 1
        try:
            await self._within_limits(scope, receive, answer)
        except Refused as error:
            if not status:
                await _send(answer, error.status, refusal(request_id, error.problems))
        except Exception:
            log.exception("request=%s failed", request_id)
            if not status:
                await _send(answer, 500, refusal(request_id, [("", FAULT)]))
        finally:
            self._under_way -= 1
            seconds, path = time.perf_counter() - start, getattr(scope.get("route"), "path", OUTSIDE)
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(seconds)
            log.info("request=%s %s %s status=%d ms=%.1f", request_id, scope["method"], path, status, 1000 * seconds)

    async def _within_limits(self, scope: dict, receive: Any, send: Any) -> None:
        if self._under_way > self.options.waiting:
            raise Refused(503, ("", f"Expected at most {self.options.waiting} requests at a time. Try again."))
        headers = dict(scope["headers"])
        if scope["method"] == "POST" and headers.get(b"content-type", b"").split(b";")[0].strip().lower() != JSON:
            raise Refused(415, ("content-type", f"Expected {JSON.decode()}. Say so in the header, and send JSON."))
        try:
            with anyio.fail_after(self.options.timeout):
                length = headers.get(b"content-length", b"")
                self._check_size(int(length) if length.isdigit() else 0)
                await self.app(scope, await self._read(receive), send)
        except TimeoutError:
            raise Refused(504, ("", f"Expected an answer within {self.options.timeout:g} s. Ask for less.")) from None

    async def _read(self, receive: Any) -> Any:
        """The whole body, as what gives it again."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the other side has gone
                return _again(message, receive)
            body, more = body + message.get("body", b""), message.get("more_body", False)
            self._check_size(len(body))
        return _again({"type": "http.request", "body": body, "more_body": False}, receive)

    def _check_size(self, size: int) -> None:
        most = self.options.largest_body
        if size > most:
            raise Refused(413, ("body", f"Expected at most {most} bytes. Got {size} or more. Send less at a time."))


def _again(first: dict, receive: Any) -> Any:
    messages = [first]

    async def again() -> dict:
        return messages.pop() if messages else await receive()

    return again


async def _send(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
