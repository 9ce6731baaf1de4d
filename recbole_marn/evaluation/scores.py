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
from recbole_marn.evaluation.metrics import (
    auc,
    expected_calibration_error,
    gauc,
    log_loss,
    normalised_entropy,
    predicted_over_observed,
    uauc,
)
from recbole_marn.evaluation.request_metrics import request_metrics
from recbole_marn.files import sha256

__all__ = [
    "calibration_metrics", "check_scores_file", "depths", "load_scores", "measured", "part_metrics", "ranked_by",
    "rows_sha256",
]  # fmt: skip

COLUMNS = ("user", "item", "label", "score")
# What a file may have besides: the request of each row, and its score before a calibration that was fitted.
FURTHER = ("request", "uncalibrated")
# What a library says of a file that is no archive of plain arrays.
UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, RuntimeError, MemoryError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


def part_metrics(columns: Mapping[str, Any], log: bool = False, topk: Sequence[int] = ()) -> dict[str, float]:
    """Every metric of one part.

    Args:
        columns: user, label and score (B,), request where rows have one, and `uncalibrated` where a step was fitted.
        log: rows are exposures of a log, with its own click rate; else clicks against drawn negatives.
        topk: K of nDCG, Recall and Hit of requests, beside 5 and 10.
    """
    user, label, score, order = columns["user"], columns["label"], columns["score"], ranked_by(columns)
    if log:
        ranking = {
            "AUC": auc(label, order),
            "UAUC": uauc(user, label, order),
            "GAUC": gauc(user, label, order),
            "GAUC-clicks": gauc(user, label, order, "clicks"),
        }
        return ranking | calibration_metrics(label, score) | _request_means(columns, topk)
    return {
        "AUC": auc(label, order),
        "UAUC": uauc(user, label, order),
        "LogLoss": log_loss(label, score),
        "ECE": expected_calibration_error(label, score),
        "predicted/observed": predicted_over_observed(label, score),
    }


def ranked_by(columns: Mapping[str, Any]) -> Any:
    """(B,) what rows are ranked by: their scores before a calibration was fitted.

    Isotonic steps make rows alike that are served in the model's order, and on the rows they were fitted on such ties
    raise AUC by themselves: there they join what stood in the wrong order.
    """
    return columns.get("uncalibrated", columns["score"])


def calibration_metrics(label: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """What a calibration changes, of labels and probabilities (B,); ECE over ten bins of equal mass."""
    return {
        "LogLoss": log_loss(label, score),
        "NE": normalised_entropy(label, score),
        "predicted/observed": predicted_over_observed(label, score),
        "ECE": expected_calibration_error(label, score, equal_frequency=True),
    }


def depths(topk: Sequence[int]) -> list[int]:
    """The K of nDCG, Recall and Hit of requests: 5, 10 and the run's own."""
    return sorted({5, 10, *topk})


def _request_means(columns: Mapping[str, Any], topk: Sequence[int]) -> dict[str, float]:
    """Means over the requests with both classes, and how many were left out."""
    if "request" not in columns:
        return {}
    depth = depths(topk)
    found = request_metrics(columns["request"], columns["label"], ranked_by(columns), ndcg_at=depth, top=depth)
    means = found.means()
    counts = {
        "requests": len(found.request),
        "requests without a click": found.without_click,
        "requests without a non-click": found.without_non_click,
    }
    return {"request AUC": means.pop("AUC"), **means, **counts}


def measured(
    parts: Mapping[str, Mapping[str, np.ndarray]], log: bool = False, topk: Sequence[int] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a record says of scores: its `metrics`, and what is added to its `data`.

    Args:
        parts: columns user, item, label and score (B,) by part.
        log, topk: as `part_metrics`.
    """
    rows = {part: rows_sha256(columns) for part, columns in parts.items()}
    users = {part: len(np.unique(columns["user"])) for part, columns in parts.items()}
    metrics = {part: part_metrics(columns, log, topk) for part, columns in parts.items()}
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
    """The columns (B,) of a score file by part, or of one part alone; `FURTHER` columns where the file has them.

    Raises:
        InputError: no archive of plain arrays, a column missing, or of another length or kind.
    """
    read = (*columns, *FURTHER)
    wanted = (lambda name: True) if part is None else {f"{part}_{column}" for column in read}.__contains__
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
        lengths = {len(values) for values in found.values()}
        if not set(columns) <= set(found) <= set(read) or kinds != {True} or len(lengths) != 1:
            raise _no_scores(path, f"{', '.join(found) or 'none'} of part '{name}'")
    return parts


def _no_scores(path: Path, got: str) -> InputError:
    return InputError(
        f"score file {path} to hold the columns {', '.join(COLUMNS)} of every part, equally long",
        got,
        "Restore it, or remove it together with its record and run again.",
    )
