"""What came out of `prepare`: counts beside the published ones, coverage, histograms, leak checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recbole_marn.prepare.checks import describe_checks
from recbole_marn.prepare.log_files import render_log
from recbole_marn.prepare.pictures import histograms_svg
from recbole_marn.prepare.tables import RawEvents, RawItems

__all__ = ["histograms", "render", "summarise"]


def summarise(events: RawEvents, items: RawItems, tokens: Sequence[str]) -> dict[str, int]:
    """Counts of the data; `samples` is 2 (events - users), the paper's and DIN's one negative a positive."""
    return {
        "users": len(events.users),
        "items": len(tokens),
        "categories": len({category for category in items.column("category", tokens) if category}),
        "events": len(events),
        "distinct_pairs": events.distinct_pairs(),
        "samples": 2 * (len(events) - len(events.users)),
    }


def histograms(events: RawEvents) -> str:
    """Events per user (history length) and per item (popularity) as SVG text."""
    return histograms_svg(
        [
            ("History length", "users", np.bincount(events.user)),
            ("Popularity", "items", np.bincount(events.item)),
        ]
    )


def _columns(roles: Mapping[str, Any]) -> list[str]:
    """What each column of a table was taken as, or that it was not."""
    lines = [
        f"  {entry['column']!r} as {role}" + (f":{entry['type']}" if "type" in entry else "")
        for role, entry in roles["taken"].items()
    ]
    lines += [f"  {name!r} not taken" + (f": {why}" if why else "") for name, why in roles["not_taken"].items()]
    return lines


def render(record: Mapping[str, Any]) -> str:
    """The report as text, from the record kept in the sidecar file."""
    counts, published, checks = record["counts"], record["published"], record["checks"]
    lines = [record["dataset"], "", f"{'':16}{'here':>14}{'published' if published else '':>14}".rstrip()]
    for name, count in counts.items():
        if name == "samples" and name not in published:
            continue  # says something beside the paper's number alone
        beside = f"{published[name]:>14,}" if name in published else ""
        lines.append(f"{name.replace('_', ' '):16}{count:>14,}{beside}")
    lines += ["", f"{'coverage':16}{'items':>14}{'events':>14}"]
    for name, share in record["coverage"].items():
        lines.append(f"{name:16}{share['items']:>14.2%}{share['events']:>14.2%}")
    for name, vectors in record["vectors"].items():
        shape = f"{vectors['count']:,} x {vectors['width']} {vectors.get('dtype', '')}".rstrip()
        lines.append(f"{name}: {shape} ({vectors['encoder']})")
    if time := record.get("time"):
        lines += ["", f"time: {time['first']} to {time['last']}"]
    for table, roles in record.get("columns", {}).items():
        lines += ["", f"columns of {table}", *_columns(roles)]
    lines += ["", "read"]
    for name, count in record.get("read", {}).items():
        inside = f", {count['inside_fields']:,} of them inside fields" if count["inside_fields"] else ""
        lines.append(f"  {name}: {count['lines']:,} lines{inside}, {count['skipped']:,} skipped")
    lines += ["", "skipped"]
    lines += [f"  {name}: {text}" for name, text in record["skipped"].items()] or ["  nothing"]
    lines += ["", *(render_log(record) if record.get("log") else describe_checks(checks))]
    lines += [f"note: {note}" for note in record["notes"]]
    return "\n".join(lines)
