"""The scores of a run: `<run>.scores.npz` beside its record, and what the record says of them."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.errors import InputError, first_line
from recbole_marn.evaluation.metrics import auc, expected_calibration_error, log_loss, predicted_over_observed, uauc
from recbole_marn.files import sha256

__all__ = ["check_scores_file", "load_scores", "measured", "part_metrics", "rows_sha256"]

COLUMNS = ("user", "item", "label", "score")
# What a library says of a file that is no archive of plain arrays.
UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, RuntimeError, MemoryError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


def part_metrics(columns: Mapping[str, Any]) -> dict[str, float]:
    """Every metric of one part, from its columns user, label and score (B,)."""
    user, label, score = columns["user"], columns["label"], columns["score"]
    return {
        "AUC": auc(label, score),
        "UAUC": uauc(user, label, score),
        "LogLoss": log_loss(label, score),
        "ECE": expected_calibration_error(label, score),
        "predicted/observed": predicted_over_observed(label, score),
    }


def measured(parts: Mapping[str, Mapping[str, np.ndarray]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a record says of scores: its `metrics`, and what is added to its `data`.

    Args:
        parts: columns user, item, label and score (B,) by part.
    """
    rows = {part: rows_sha256(columns) for part, columns in parts.items()}
    users = {part: len(np.unique(columns["user"])) for part, columns in parts.items()}
    metrics = {part: part_metrics(columns) for part, columns in parts.items()}
    return metrics, {"rows_sha256": rows, "users_scored": users}


def rows_sha256(columns: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of whose rows were scored: user, item and label, in order."""
    total = hashlib.sha256()
    for name in ("user", "item", "label"):
        total.update(np.ascontiguousarray(columns[name], dtype="<i8").tobytes())
    return total.hexdigest()


def check_scores_file(path: Path, digest: str) -> bool:
    """Whether the score file of a record is on this machine.

    Raises:
        InputError: it is there, and is not the one whose SHA-256 the record names.
    """
    if not path.is_file():
        return False
    found = sha256(path)
    if found != digest:
        raise InputError(
            f"score file {path} as recorded (SHA-256 {digest[:12]}...)",
            f"another content (SHA-256 {found[:12]}...): the score file was altered",
            "Restore it, or remove it together with its record and run again.",
        )
    return True


def load_scores(
    path: Path, part: str | None = None, columns: Sequence[str] = COLUMNS
) -> dict[str, dict[str, np.ndarray]]:
    """The columns (B,) of a score file by part, or of one part alone.

    Raises:
        InputError: no archive of plain arrays, a column missing, or of another length or kind.
    """
    wanted = (lambda name: True) if part is None else {f"{part}_{column}" for column in columns}.__contains__
    parts: dict[str, dict[str, np.ndarray]] = {}
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            for key in filter(wanted, file.files):
                name, _, column = key.rpartition("_")
                parts.setdefault(name, {})[column] = file[key]
    except UNREADABLE as error:
        raise _no_scores(path, first_line(error)) from None
    for name in parts if part is None else [part]:
        found = parts.get(name, {})
        kinds = {values.dtype.kind in "biuf" and values.ndim == 1 for values in found.values()}
        if set(found) != set(columns) or kinds != {True} or len({len(values) for values in found.values()}) != 1:
            raise _no_scores(path, f"{', '.join(found) or 'none'} of part '{name}'")
    return parts


def _no_scores(path: Path, got: str) -> InputError:
    return InputError(
        f"score file {path} to hold the columns {', '.join(COLUMNS)} of every part, equally long",
        got,
        "Restore it, or remove it together with its record and run again.",
    )
