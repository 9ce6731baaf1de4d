"""Leak checks on the rows that the default protocol makes of these events, counted and not assumed.

Protocol: split leave_last, repeats first, one uniform negative a target, histories of at most 50 events.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from recbole_marn.data import rows
from recbole_marn.data.negatives import NegativeSampler
from recbole_marn.data.statistics import InteractionCounts
from recbole_marn.prepare.tables import RawEvents

__all__ = ["MOST_EVENTS", "describe_checks", "leak_checks"]

MOST_EVENTS = 5_000_000  # of more events, the checks take every k-th user
_HISTORY = 50
_PARTS = {"training": rows.TRAIN, "validation": rows.VALID, "test": rows.TEST}


def leak_checks(events: RawEvents, most_events: int = MOST_EVENTS) -> dict[str, Any]:
    """Build the rows and count what must not be.

    Returns:
        one_user_in: 1, or k if only every k-th user was looked at.
        repeats: events whose (user, item) pair happened before; `repeats: first` drops them.
        target_in_history, future_in_history, negatives_touched: rows of any part with such a fault; 0 if all is well.
        counts_differ: share of test targets that have another count over all training events than over those before
            the row: what a statistic that is not as of the row's time would give away.
        no_negative: users who touched so much that no item is left to be drawn.
        rows, cold: per part, the rows and the share whose target occurs in no training event.
        tied: share of events with the user and time of another, whose order the tie-break decides.
    """
    step = -(-len(events) // most_events)
    chosen = events.user % step == 0
    user, item, time = events.user[chosen] + 1, events.item[chosen] + 1, events.time[chosen]
    ordered = rows.sort_events(user, item, time, user_key=_hashes(events.users), item_key=_hashes(events.items))
    repeats = rows.count_repeats(ordered)
    kept = rows.first_of_each_pair(ordered)
    part = rows.split_leave_last(kept)
    training = part == rows.TRAIN
    counts = InteractionCounts(item=kept.item[training], time=kept.time[training], n_items=len(events.items) + 1)

    found: dict[str, Any] = {"one_user_in": int(step), "repeats": repeats, "rows": {}, "cold": {}}
    faults = {"target_in_history": 0, "future_in_history": 0, "negatives_touched": 0, "no_negative": 0}
    leaking = 0.0
    for name, which in _PARTS.items():
        part_rows = rows.rows_of_part(kept, part, which, max_history=_HISTORY)
        found["rows"][name] = part_rows.n_rows
        target = kept.item[part_rows.position]
        seen = counts.snapshot()[target] > 0
        found["cold"][name] = float((~seen).mean()) if len(seen) else 0.0
        faults["target_in_history"] += _targets_in_history(kept, part_rows)
        last = part_rows.position - 1  # times increase within a history, so its last event is the latest
        faults["future_in_history"] += int((kept.time[last] > kept.time[part_rows.position]).sum())
        touched, without = _negatives(kept, part_rows, len(events.items) + 1, counts.snapshot())
        faults["negatives_touched"] += touched
        faults["no_negative"] += without
        if which == rows.TEST and len(target):
            leaking = float((counts.snapshot()[target] != counts.as_of(target, kept.time[part_rows.position])).mean())
    tied = np.zeros(ordered.n_events, bool)
    same = (np.diff(ordered.user) == 0) & (np.diff(ordered.time) == 0)
    tied[1:] |= same
    tied[:-1] |= same
    return found | faults | {"counts_differ": leaking, "tied": float(tied.mean())}


def _hashes(tokens: Sequence[str]) -> np.ndarray:
    """(n + 1,) uint64 keys for the tie-break; entry 0 is padding."""
    return np.array([0] + [zlib.crc32(token.encode("utf-8")) for token in tokens], np.uint64)


def _targets_in_history(kept: rows.Events, part_rows: rows.Rows) -> int:
    """Rows whose target is in their history, that is, whose pair occurred before within the window."""
    pair = kept.user.astype(np.int64) * (int(kept.item.max()) + 1) + kept.item
    order = np.argsort(pair, kind="stable")
    earlier = np.full(len(pair), -1)
    same = pair[order][1:] == pair[order][:-1]
    earlier[order[1:][same]] = order[:-1][same]
    return int((earlier[part_rows.position] >= part_rows.history_start).sum())


def _negatives(kept: rows.Events, part_rows: rows.Rows, n_items: int, train_count: np.ndarray) -> tuple[int, int]:
    """Negatives that their user touched in any part, and rows for which none could be drawn."""
    sampler = NegativeSampler(n_items=n_items, events=(kept.user, kept.item), train_count=train_count)
    user, time = kept.user[part_rows.position], kept.time[part_rows.position]
    enough = sampler.eligible_count(user=user, time=time) > 0
    user = user[enough]
    if not len(user):
        return 0, int((~enough).sum())
    positive, time = kept.item[part_rows.position][enough], time[enough]
    drawn = sampler.draw(user=user, positive=positive, time=time, number=1, seed=0)
    pairs = kept.user.astype(np.int64) * n_items + kept.item
    touched = np.isin(user.astype(np.int64) * n_items + drawn[:, 0], pairs)
    return int(touched.sum()), int((~enough).sum())


def describe_checks(checks: dict[str, Any]) -> list[str]:
    """Lines for the report."""
    sampled = "" if checks["one_user_in"] == 1 else f", one user in {checks['one_user_in']}"
    dropped = ", dropped by `repeats: first`" if checks["repeats"] else ""
    cold = ", ".join(f"{name} {share:.1%} of {checks['rows'][name]:,}" for name, share in checks["cold"].items())
    return [
        f"leak checks on the rows of split leave_last{sampled}",
        f"  repeated (user, item) pairs: {checks['repeats']:,} events{dropped}",
        f"  target in its own history: {checks['target_in_history']:,} rows",
        f"  later event in a history: {checks['future_in_history']:,} rows",
        f"  negative the user touched: {checks['negatives_touched']:,} rows; none left: {checks['no_negative']:,}",
        f"  statistics: prepare writes none; for {checks['counts_differ']:.1%} of test targets the training count "
        "at the row's time is not the final one",
        f"  cold targets (item in no training event): {cold}",
        f"  order decided by the tie-break: {checks['tied']:.1%} of events",
    ]
