"""What the record of `prepare` (`NAME.prepare.json`) says of files, lines, times and vectors, of clicks and of logs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.files import sha256
from recbole_marn.prepare.lines import Tally
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import Found, RawItems
from recbole_marn.prepare.times import day_of
from recbole_marn.prepare.vectors import VectorWriter

__all__ = [
    "FORMAT_VERSION", "RECORD", "coverage_of_items", "fingerprint", "item_notes", "origin", "span", "vector_notes",
    "vectors_described", "write_record",
]  # fmt: skip

FORMAT_VERSION = 1  # of the folder `prepare` writes, see docs/prepare.md
RECORD = "{}.prepare.json"  # by the name of the data set


def fingerprint(path: Path) -> dict[str, Any]:
    """Name, size and SHA-256 of a file."""
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def origin(data: Found, notes: Sequence[str], sources: Iterable[Path], folder: Path) -> dict[str, Any]:
    """What was read of which files, what there is to tell, and the files that were made of them in `folder`."""
    return {
        "read": _lines_read(data.tallies),
        "skipped": {tally.name: tally.describe() for tally in data.tallies if tally.describe()},
        "notes": [*data.notes, *notes],
        "sources": [fingerprint(path) for path in sources],
        "files": [fingerprint(path) for path in sorted(folder.iterdir())],
    }


def _lines_read(tallies: Iterable[Tally]) -> dict[str, dict[str, int]]:
    """Of each raw file, the lines read, those skipped, and those that belong to a field over several lines."""
    return {
        tally.name: {"lines": tally.read, "skipped": sum(tally.skipped.values()), "inside_fields": tally.inside}
        for tally in tallies
    }


def span(time: np.ndarray, counts: bool) -> dict[str, Any]:
    """First and last time, as dates unless the times count from an unknown start."""
    first, last = float(time.min()), float(time.max())
    return {"first": first, "last": last} if counts else {"first": day_of(first), "last": day_of(last)}


def coverage_of_items(
    popularity: np.ndarray, tokens: Sequence[str], items: RawItems, written: Mapping[str, VectorWriter]
) -> dict[str, dict[str, float]]:
    """Share of items, and of rows, whose item has each field and each vector.

    Args:
        popularity: (len(tokens),) rows of each item.
        written: the vectors of each modality.
    """
    present = {
        name: {token for token, row in items.rows.items() if row.get(name) not in (None, "")} for name in items.fields
    }
    present |= {name: set(writer.tokens) for name, writer in written.items()}
    shares = {}
    for name, having in present.items():
        has = np.fromiter((token in having for token in tokens), bool, len(tokens))
        shares[name] = {
            "items": float(has.mean()),
            "events": float(popularity[has].sum() / max(popularity.sum(), 1)),
            "missing_items": int((~has).sum()),
        }
    return shares


def vectors_described(data: Found, written: Mapping[str, VectorWriter]) -> dict[str, dict[str, Any]]:
    """Encoder, number, width and files of the vectors of each modality."""
    return {
        name: {"encoder": data.vectors[name].encoder, **data.vectors[name].details(), **writer.describe()}
        for name, writer in written.items()
    }


def item_notes(items: RawItems, unseen: Sequence[str], absent: str, options: Options) -> list[str]:
    """What to tell of the catalogue.

    Args:
        unseen: items of it without any row.
        absent: what is said of these, such as "were never shown".
    """
    notes = []
    if unseen:
        share = len(unseen) / len(items.rows)
        kept = "kept" if options.keep_unseen_items else "left out; --keep-unseen-items keeps them"
        notes.append(f"{len(unseen):,} items of the catalogue ({share:.1%}) {absent} ({kept})")
    if items.duplicates:
        notes.append(f"{items.duplicates:,} items are described twice; the first description was taken")
    if items.titles_cut:
        notes.append(f"{items.titles_cut:,} titles were cut to {options.title_words} words")
    return notes


def vector_notes(written: Mapping[str, VectorWriter]) -> list[str]:
    """What to tell of the vectors of each modality."""
    notes = []
    for name, writer in written.items():
        if writer.unusable:
            notes.append(
                f"{name}: {writer.unusable:,} of the vectors or photos cannot be used, and count as missing (the "
                f"first of {writer.first_unusable!r})"
            )
        if writer.kept_wide:
            notes.append(
                f"{name}: kept as float32, since float16 would lose {writer.kept_wide:,} vectors (the first of "
                f"{writer.first_wide!r})"
            )
        if writer.zeros:
            notes.append(f"{name}: {writer.zeros:,} vectors are nothing but zeros")
        if writer.duplicates:
            notes.append(f"{name}: {writer.duplicates:,} vectors of an id that had one already; the first was taken")
    return notes


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write the record; names of files that are no text are JSON all the same."""
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    path.write_bytes(text.encode("utf-8", "backslashreplace"))
