"""What came out of `prepare`: counts beside the published ones, coverage, histograms, leak checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recbole_marn.prepare.pictures import histograms_svg
from recbole_marn.prepare.tables import Events, ItemTable

__all__ = ["coverage", "histograms", "leak_checks", "render", "summarise"]


def summarise(events: Events, items: ItemTable, tokens: Sequence[str]) -> dict[str, int]:
    """Counts of the data; `samples` is 2 (events - users), the paper's and DIN's one negative a positive."""
    return {
        "users": len(events.users),
        "items": len(tokens),
        "categories": len({category for category in items.column("category", tokens) if category}),
        "events": len(events),
        "distinct_pairs": int(len(np.unique(_pairs(events)))),
        "samples": 2 * (len(events) - len(events.users)),
    }


def _pairs(events: Events) -> np.ndarray:
    return events.user.astype(np.int64) * max(len(events.items), 1) + events.item


def coverage(events: Events, tokens: Sequence[str], present: Mapping[str, set[str]]) -> dict[str, dict[str, float]]:
    """Share of items, and of events, whose item has each modality.

    Args:
        tokens: the items of the dataset, those with events first and in the order of `events.items`.
        present: modality or field name -> the item tokens that have it.
    """
    popularity = np.bincount(events.item, minlength=len(tokens))
    shares = {}
    for name, having in present.items():
        has = np.fromiter((token in having for token in tokens), bool, len(tokens))
        shares[name] = {
            "items": float(has.mean()),
            "events": float(popularity[has].sum() / max(len(events), 1)),
            "missing_items": int((~has).sum()),
        }
    return shares


def histograms(events: Events) -> str:
    """Events per user (history length) and per item (popularity) as SVG text."""
    return histograms_svg(
        [
            ("History length", "users", np.bincount(events.user)),
            ("Popularity", "items", np.bincount(events.item)),
        ]
    )


def leak_checks(events: Events) -> dict[str, Any]:
    """What the data alone say about leaks, for the split `leave_last` with repeated pairs dropped (the default).

    Returns:
        repeated_events: events whose (user, item) pair happened before; kept, they put the target in its history.
        tied_events: share of events with the same user and second as another: their order is the file's.
        users_below_three: users who can give no validation row.
        cold_valid, cold_test: share of targets whose item occurs in no training row.
        training_after_test: share of training events later than the median test event: with leave_last, a count
            over all training events would know the future of most test rows.
    """
    order = np.lexsort((np.arange(len(events)), events.time, events.user))
    user, item, time = events.user[order], events.item[order], events.time[order]
    pairs = user.astype(np.int64) * max(len(events.items), 1) + item
    first = np.zeros(len(pairs), bool)
    first[np.unique(pairs, return_index=True)[1]] = True
    same = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
    tied = np.zeros(len(user), bool)
    tied[1:] |= same
    tied[:-1] |= same

    user, item, time = user[first], item[first], time[first]
    counts = np.bincount(user, minlength=len(events.users))
    ends = np.cumsum(counts)
    from_end = ends[user] - 1 - np.arange(len(user))  # 0 for each user's last event
    test = (from_end == 0) & (counts[user] >= 2)
    valid = (from_end == 1) & (counts[user] >= 3)
    training = ~test & ~valid
    known = np.zeros(len(events.items), bool)
    known[item[training]] = True

    def cold(rows: np.ndarray) -> float:
        return float((~known[item[rows]]).mean()) if rows.any() else 0.0

    after = float((time[training] > np.median(time[test])).mean()) if test.any() else 0.0
    return {
        "repeated_events": int((~first).sum()),
        "tied_events": float(tied.mean()) if len(tied) else 0.0,
        "users_below_three": int((counts < 3).sum()),
        "cold_valid": cold(valid),
        "cold_test": cold(test),
        "training_after_test": after,
    }


def render(record: Mapping[str, Any]) -> str:
    """The report as text, from the record kept in the sidecar file."""
    counts, published, checks = record["counts"], record["published"], record["checks"]
    lines = [record["dataset"], "", f"{'':16}{'here':>14}{'published':>14}"]
    for name, count in counts.items():
        beside = f"{published[name]:>14,}" if name in published else ""
        lines.append(f"{name.replace('_', ' '):16}{count:>14,}{beside}")
    lines += ["", f"{'coverage':16}{'items':>14}{'events':>14}"]
    for name, share in record["coverage"].items():
        lines.append(f"{name:16}{share['items']:>14.2%}{share['events']:>14.2%}")
    for name, vectors in record["vectors"].items():
        lines.append(f"{name}: {vectors['count']:,} x {vectors['width']} ({vectors['encoder']})")
    lines += ["", "skipped"]
    lines += [f"  {name}: {text}" for name, text in record["skipped"].items()] or ["  nothing"]
    lines += ["", "leak checks (split leave_last, repeats first)"]
    lines += [
        f"  target in history: {checks['repeated_events']:,} events repeat an earlier (user, item) pair; "
        "`repeats: first` drops them",
        f"  future items: {checks['training_after_test']:.1%} of training events lie after the median test event; "
        "statistics must be as of the row's time",
        "  statistics: none is written; the dataset class computes them from training events only",
        "  negatives: none is written; the dataset class never draws an item the user touched",
        f"  cold targets: {checks['cold_valid']:.1%} of validation, {checks['cold_test']:.1%} of test "
        "(item in no training row)",
        f"  ties: {checks['tied_events']:.1%} of events share user and time with another, their order is the file's",
        f"  short: {checks['users_below_three']:,} users have fewer than three distinct items, so no validation row",
    ]
    lines += [f"note: {note}" for note in record["notes"]]
    return "\n".join(lines)
