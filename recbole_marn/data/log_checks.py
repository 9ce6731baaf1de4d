"""What a click log must be before its rows are trained on: labels, requests, splits, columns known after the click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recbole_marn.data.event_checks import CLICKED
from recbole_marn.data.log_requests import Exposures
from recbole_marn.errors import InputError
from recbole_marn.evaluation.leak import tells_label

__all__ = ["check_classes", "check_one_each", "check_tells", "labels_of"]

PAIRS = ({"0", "1"}, {"0.0", "1.0"}, {"false", "true"}, {"no", "yes"})
# Rows that are enough for `check_tells`.
LEAK_SAMPLE = 200_000


def labels_of(values: np.ndarray, *, field: str, file: str, at_least: float | None = None) -> np.ndarray:
    """(R,) bool: which rows were clicked.

    Args:
        values: numbers, or tokens as text; NaN or empty where missing.
        at_least: clicks are numbers of at least this; None: the column holds labels.

    Raises:
        InputError: a missing value, other values than two that mean no and yes, or text where a number is needed.
    """
    numbers = values.dtype.kind in "fiub"
    missing = int(np.isnan(values).sum()) if numbers else int((values == "").sum())
    if missing:
        raise InputError(
            f"a value in every {field} of {file}, which the label is read from",
            f"{missing} of {len(values)} empty",
            "Fill them in, or leave those rows out: nobody knows whether they were clicked.",
        )
    if at_least is not None:
        if not numbers:
            raise InputError(
                f"a column of numbers for label: {{field: {field}, at_least: {at_least:g}}}",
                f"a column of tokens in {file}",
                f"Write its header as {field}:float, or leave at_least out.",
            )
        clicked = values >= at_least
    else:
        found = np.unique(values)
        words = [f"{value:g}" if numbers else str(value).strip().lower() for value in found[:10].tolist()]
        if len(found) > 2 or not any(set(words) <= pair for pair in PAIRS):
            higher = f"{found[-1]:g}" if numbers and len(found) == 2 else "4"
            raise InputError(
                f"two values in {field} of {file}: 0 and 1, false and true, or no and yes",
                f"{len(found)} values ({', '.join(sorted(set(words))[:5])}{', ...' if len(found) > 5 else ''})",
                f"Name the column of the labels, or say from which number on it is a click:"
                f" label: {{field: {field}, at_least: {higher}}}.",
            )
        clicked = np.array([word in CLICKED for word in words])[np.searchsorted(found, values)]
    check_classes(clicked, f"{file} ({field}{'' if at_least is None else f' of at least {at_least:g}'})")
    return clicked


def check_classes(clicked: np.ndarray, where: str) -> None:
    """Both classes must occur.

    Raises:
        InputError: only clicks, only rows without one, or no row.
    """
    clicks = int(clicked.sum())
    if not 0 < clicks < len(clicked):
        raise InputError(
            f"rows with and without a click in {where}",
            f"{clicks} clicks in {len(clicked)} rows",
            "Check the label and the split. Where every line is a click, leave the key label out.",
        )


def check_one_each(rows: Exposures, values: np.ndarray, tokens: np.ndarray, *, what: str, how: str) -> None:
    """Every request must have one value.

    Args:
        values: (R,) numbers.
        tokens: the name of each request.
        what: e.g. "a request of one user".
        how: what to do.

    Raises:
        InputError: naming one.
    """
    # Rows of a run are compared side by side, then a request's further runs with its first.
    change = np.flatnonzero(values[1:] != values[:-1]) + 1
    inside = change[rows.request[change] == rows.request[change - 1]]
    first = rows.first_line[rows.request[rows.run]]
    again = rows.run != first
    run, first = rows.run[again], first[again]
    other = np.sort(np.concatenate([inside, run[values[run] != values[first]]]))
    if other.size:
        several = rows.request[other]
        got = f"{len(np.unique(several))} that have several (first {str(tokens[several[0]])!r})"
        raise InputError(what, got, how)


def check_tells(
    columns: Mapping[str, np.ndarray], label: np.ndarray, *, sources: Mapping[str, str], allowed: Sequence[str]
) -> list[str]:
    """Columns of profile and context that alone tell the label almost perfectly: known only after the click?

    Args:
        columns: (R,) codes or numbers by name.
        label: (R,) bool.
        sources: "user" or "context" by name.
        allowed: names that may.

    Returns:
        A note on each allowed one.

    Raises:
        InputError: naming one that is not allowed.
    """
    notes = []
    for name, values in columns.items():
        told = tells_label(values, label)
        if not told.almost_perfect:
            continue
        text = f"AUC {told.auc:.3f} of {name} alone"
        if name not in allowed:
            raise InputError(
                f"{sources[name]} fields that are known before the click",
                text,
                f"Leave {name} out of the fields: it looks like something known only after the click. If it is not,"
                f" name it under {sources[name]}: {{allow: [{name}]}}.",
            )
        notes.append(f"{sources[name]}: {text}; it may, as {sources[name]}: allow says")
    return notes
