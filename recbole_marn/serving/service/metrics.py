"""Counters for Prometheus, added up over the workers of a service."""

from __future__ import annotations

import os

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

# Several processes count into files of this folder, which must be there before prometheus_client is imported.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """What a service counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "recbole_marn_requests", "Requests answered", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "recbole_marn_request_seconds", "Seconds from a request's head to its answer", ["path"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.scored = Counter("recbole_marn_scored_items", "Candidates scored", registry=self.registry)
        self.unknown = Counter("recbole_marn_unknown_ids", "Ids in requests that nobody knew", registry=self.registry)
        self.reloads = Counter("recbole_marn_reloads", "Exports taken while running", registry=self.registry)
        self.items = Gauge(
            "recbole_marn_items", "Items that can be ranked", registry=self.registry,
            multiprocess_mode="mostrecent",
        )  # fmt: skip

    def text(self) -> bytes:
        """In Prometheus' format, of all workers."""
        if FOLDER not in os.environ:
            return generate_latest(self.registry)
        every = CollectorRegistry()
        MultiProcessCollector(every)
        return generate_latest(every)
