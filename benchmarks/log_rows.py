"""CPU seconds and bytes a row of a click log made in memory, against rows of clicks with one drawn negative each.

recbole-marn bench --only log

One negative each is what training has, and three of four rows of the log are for training. Twenty negatives of one
click, as evaluation has them, cost less a row than any row with a label and a context of its own: half.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from recbole_marn.data.context_codes import Column
from recbole_marn.data.log_histories import LogBehaviours
from recbole_marn.data.log_protocol import LogProtocol
from recbole_marn.data.log_requests import Exposures
from recbole_marn.data.logged_rows import Requests
from recbole_marn.data.protocol import Protocol
from recbole_marn.data.rows import PARTS, Events, sort_events
from recbole_marn.settings.data import DataSettings

from .gates import Gate
from .log_step import step_gate
from .synthetic import CLOTHING

ROWS = 10_000_000
SLATE = 10
COSTS = {
    "row_microseconds": "CPU microseconds a row",
    "row_bytes": "bytes a row",
    "batch_milliseconds": "CPU milliseconds of a batch of 1,024 rows",
}
BATCH = 1_024
MODALITIES = {
    "ids": {"kind": "id", "fields": {"item_id": 16}},
    "statistic": {"kind": "statistic", "fields": ["exposures", "click_rate"]},
}


def costs(build: Callable[..., tuple[list, int, float]], rows: int) -> dict[str, float]:
    """The `COSTS` of a protocol at about so many rows."""
    rng = np.random.default_rng(0)
    parts, held, seconds = build(rows, rng)
    number = sum(part.n_rows for part in parts)
    batch = batch_seconds(parts[0], rng)
    return {"row_microseconds": 1e6 * seconds / number, "row_bytes": held / number, "batch_milliseconds": 1e3 * batch}


def log_gates(rounds: int) -> list[Gate]:
    """What a row of a log of ten million exposures costs, and a step, over those of clicks and drawn negatives."""
    found: dict[Callable[..., Any], list[dict[str, float]]] = {log: [], clicks: []}
    for number in range(rounds):
        for build in (log, clicks) if number % 2 == 0 else (clicks, log):
            found[build].append(costs(build, ROWS))
    gates = []
    for name, what in COSTS.items():
        here, there = ([cost[name] for cost in found[build]] for build in (log, clicks))
        ratio = statistics.median(a / b for a, b in zip(here, there, strict=True))
        said = f"{statistics.median(here):.3g} against {statistics.median(there):.3g}"
        gates.append(Gate(f"log of {ROWS:,} rows / clicks and negatives, {what}", ratio, 1, at_most=True, spread=said))
    gates.append(step_gate(CLOTHING, rounds))
    return gates


def log(rows: int, rng: np.random.Generator) -> tuple[list, int, float]:
    """Requests of ten, two context columns, statistics; histories of clicked rows."""
    users, items, requests = max(1, rows // 200), max(1, rows // 500), rows // SLATE
    user = np.repeat(rng.integers(1, users + 1, requests), SLATE)
    moment = np.repeat(np.floor(rng.random(requests) * 8 * 86_400), SLATE)
    item, label = rng.integers(1, items + 1, len(user)), rng.random(len(user)) < 0.04
    order = rng.permutation(requests).repeat(SLATE) * SLATE + np.tile(np.arange(SLATE), requests)
    user, moment = user[order], moment[order]
    request = order // SLATE + 1
    columns = [
        Column(name, 4, "context", rng.integers(1, 6, len(user), np.uint8), "token", False, np.arange(6).astype(str))
        for name in ("device", "position")
    ]
    keys = {"user_key": rng.integers(0, 2**62, users + 1).astype(np.uint64)}
    keys["item_key"] = rng.integers(0, 2**62, items + 1).astype(np.uint64)
    settings = DataSettings(modalities=MODALITIES, label={"field": "label"}, split="time")
    begun = time.process_time()
    events = sort_events(user[label], item[label], moment[label], **keys)
    protocol = LogProtocol(
        Exposures(user, item, moment, label, request), LogBehaviours(events), columns, {}, settings, items + 1,
        users + 1, 50, np.arange(request.max() + 1),
    )  # fmt: skip
    parts = [protocol.labelled(name) for name in PARTS]
    protocol.sha256(dict(zip(PARTS, parts, strict=True)), keys["user_key"], keys["item_key"])
    seconds = time.process_time() - begun
    held = held_by(events) + sum(held_by(part.requests) + held_by(part) for part in parts)
    return parts, held + sum(block.nbytes for part in parts for block in part.codes.blocks), seconds


def clicks(rows: int, rng: np.random.Generator) -> tuple[list, int, float]:
    """Ten clicks a user and one negative each, as many rows in all."""
    number = rows // 2
    users, items = max(1, number // 10), max(1, rows // 500)
    user, item = rng.integers(1, users + 1, number), rng.integers(1, items + 1, number)
    moment = np.floor(rng.random(number) * 8 * 86_400)
    keys = {"user_key": rng.integers(0, 2**62, users + 1).astype(np.uint64)}
    keys["item_key"] = rng.integers(0, 2**62, items + 1).astype(np.uint64)
    begun = time.process_time()
    events = sort_events(user, item, moment, **keys)
    protocol = Protocol(events, DataSettings(repeats="keep", eval_negatives=1), items + 1, 50)
    parts = [protocol.labelled(name) for name in PARTS]
    protocol.sha256(dict(zip(PARTS, parts, strict=True)), keys["user_key"], keys["item_key"])
    seconds = time.process_time() - begun
    return parts, held_by(events) + sum(held_by(part.rows) + part.negatives.nbytes for part in parts), seconds


def held_by(value: object) -> int:
    """Bytes of the arrays that are fields of a dataclass."""
    if not isinstance(value, Events | Requests) and not dataclasses.is_dataclass(value):
        raise TypeError(type(value))
    fields = (getattr(value, field.name) for field in dataclasses.fields(value))
    return sum(field.nbytes for field in fields if isinstance(field, np.ndarray))


def batch_seconds(part: object, rng: np.random.Generator) -> float:
    """CPU seconds of a ragged batch of `BATCH` rows, without statistics."""
    static = np.zeros((int(part.events.item.max()) + 100_000, 0), dtype=np.int64)
    begun = time.process_time()
    for _ in range(50):
        group = rng.choice(part.n_groups, part.groups_a_batch(BATCH), replace=False)
        part.ragged(part.rows_of_groups(group), static=static)
    return (time.process_time() - begun) / 50
