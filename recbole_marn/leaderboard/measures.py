"""Which metrics a table has: those of clicks against drawn negatives, or those of a log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recbole_marn.evaluation.evidence import REQUEST_METRICS

__all__ = ["OF_REQUESTS", "Measures", "is_log", "measures_of"]



@dataclass(frozen=True)
class Measures:
    """(metric, part) pairs of a table.

    Attributes:
        log: rows are exposures of a log.
        main: what rows are ordered by.
        shown: columns of the results, with a spread over the seeds.
        intervals: what has an interval.
        tests: what is tested.
    """

    log: bool
    main: str
    shown: tuple[tuple[str, str], ...]
    intervals: tuple[tuple[str, str], ...]
    tests: tuple[tuple[str, str], ...]


PARTS = ("test", "test_popularity", "test_matched")
_UAUC = tuple(("UAUC", part) for part in PARTS)
OF_CLICKS = Measures(
    log=False,
    main="UAUC",
    shown=(*_UAUC, ("AUC", "test"), ("LogLoss", "test")),
    intervals=(("AUC", "test"), ("LogLoss", "test"), *_UAUC),
    tests=(("AUC", "test"), *_UAUC),
)


def _of_log(by_request: Iterable[str]) -> Measures:
    def on_test(*names: str) -> tuple[tuple[str, str], ...]:
        return tuple((name, "test") for name in names)

    ranked = ("AUC", "UAUC", "GAUC", *by_request)
    probable = ("LogLoss", "NE")
    return Measures(
        log=True,
        main="AUC",
        shown=on_test(*ranked, *probable),
        intervals=on_test(*ranked, *probable, "predicted/observed"),
        tests=on_test("AUC", "UAUC"),
    )


OF_LOG, OF_REQUESTS = _of_log(()), _of_log(REQUEST_METRICS)


def is_log(settings: Mapping[str, Any]) -> bool:
    """Whether a run's rows are exposures of a log, by its settings."""
    return settings.get("label") is not None


def measures_of(records: Iterable[Mapping[str, Any]]) -> Measures:
    """The measures that all records of a table have."""
    records = list(records)
    if not records or not all(is_log(record.get("settings", {})) for record in records):
        return OF_CLICKS
    ranked = all("MRR" in record["metrics"].get("test", {}) for record in records)
    return OF_REQUESTS if ranked else OF_LOG
