"""Load on a running service from one process: requests at a fixed rate, or as many as it answers.

`python -m recbole_marn.benchmarks.service_load http://127.0.0.1:8000 --rate 200 --seconds 20`. Requests are drawn from
the items of the service. At a fixed rate a latency runs from the moment at which the request was due, ready or not the
service; without a rate, each connection asks again as soon as it is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import itertools
import json
import sys
import time
import urllib.parse
import urllib.request
from typing import Any

import numpy as np

__all__ = ["load", "main"]

RANGE = {"history": 50, "drawn": 200}  # behaviours of a request, and how many different requests there are


async def load(address: str, bodies: list[bytes], *, rate: float | None, seconds: float, connections: int) -> dict:
    """Ask for `seconds`; latencies in milliseconds, answers by status, and failures by kind.

    Args:
        bodies: of POST /score, in turns.
        rate: requests a second; None: as many as are answered.
        connections: kept open.
    """
    asking = _Load(address, seconds)
    own = [bodies[number::connections] or bodies for number in range(connections)]
    clocks = [] if rate is None else [asking.clock(rate, connections)]
    await asyncio.gather(*clocks, *(asking.connection(some, timed=rate is not None) for some in own))
    return asking.told()


class _Load:
    """Requests from now on, and what came of them."""

    def __init__(self, address: str, seconds: float):
        self.place = urllib.parse.urlsplit(address)
        self.statuses: collections.Counter[int] = collections.Counter()
        self.failures: collections.Counter[str] = collections.Counter()
        self.latencies: list[float] = []
        self.due: asyncio.Queue[float | None] = asyncio.Queue()  # moments at which requests are due; None: no more
        self.start = time.perf_counter()
        self.end = self.start + seconds

    async def clock(self, rate: float, connections: int) -> None:
        """Let requests become due at a rate, whether or not the service is ready."""
        moment = self.start
        while moment < self.end:
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))
            self.due.put_nowait(moment)
            moment += 1 / rate
        for _ in range(connections):
            self.due.put_nowait(None)

    async def connection(self, bodies: list[bytes], *, timed: bool) -> None:
        """Ask one request after another, when each is due or as soon as the one before is answered."""
        reader = writer = None
        for body in itertools.cycle(bodies):
            asked = await self.due.get() if timed else time.perf_counter()
            if asked is None or (not timed and asked >= self.end):
                break
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(self.place.hostname, self.place.port)
                writer.write(self.head(len(body)) + body)
                self.statuses[await answer(reader)] += 1
                self.latencies.append(1000 * (time.perf_counter() - asked))
            except (OSError, EOFError) as error:
                self.failures[type(error).__name__] += 1
                if writer is not None:
                    writer.close()
                reader = writer = None
        if writer is not None:
            writer.close()

    def head(self, length: int) -> bytes:
        """Of a request with a body so long."""
        return (
            f"POST /score HTTP/1.1\r\nHost: {self.place.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n"
        ).encode()

    def told(self) -> dict[str, Any]:
        """Requests a second until now, answers and failures, and percentiles of the latencies."""
        rate = len(self.latencies) / (time.perf_counter() - self.start)
        told = {"requests_per_second": round(rate, 1), "statuses": dict(self.statuses), "failures": dict(self.failures)}
        latencies = self.latencies or [0.0]
        return told | {f"p{q}_ms": round(float(np.percentile(latencies, q)), 1) for q in (50, 95, 99)}


async def answer(reader: asyncio.StreamReader) -> int:
    """Read one answer; its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    length = next(int(line.partition(":")[2]) for line in lines if line.lower().startswith("content-length:"))
    await reader.readexactly(length)
    return int(lines[0].split()[1])


def bodies(address: str, candidates: int) -> list[bytes]:
    """Requests of users with 50 behaviours and as many candidates as asked for, at random."""
    rng = np.random.default_rng(0)
    health = fetch(f"{address}/health")
    items = [found["item"] for found in fetch(f"{address}/items?limit=100")["found"]]
    now, types, drawn = health["latest"] + 86_400, health["reads"]["types"], []
    for _ in range(RANGE["drawn"]):
        history = [
            {"item": items[item], "time": now - 60 * (RANGE["history"] - place)} | ({"type": types[0]} if types else {})
            for place, item in enumerate(rng.integers(len(items), size=RANGE["history"]))
        ]
        asked = [items[item] for item in rng.integers(len(items), size=candidates)]
        drawn.append(json.dumps({"history": history, "time": now, "items": asked}).encode())
    return drawn


def fetch(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=60) as found:
        return json.load(found)


def main(arguments: list[str] | None = None) -> int:
    """Ask, and print what came of it as one line of JSON."""
    parser = argparse.ArgumentParser(description="Load on a running service.")
    parser.add_argument("address")
    parser.add_argument("--rate", type=float, help="requests a second (default: as many as are answered)")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--candidates", type=int, default=100)
    args = parser.parse_args(arguments)
    asked = bodies(args.address, args.candidates)
    found = asyncio.run(
        load(args.address, asked, rate=args.rate, seconds=args.seconds, connections=args.connections)
    )
    print(json.dumps(vars(args) | found))
    return int(set(found["statuses"]) != {200} or bool(found["failures"]))


if __name__ == "__main__":
    sys.exit(main())
