"""The record of a run, defined once: what stands in `<run>.json` and in `<run>.scores.npz` beside it.

A record is one JSON file, sealed by its own digest, and checked for its shape whenever it is read. A training run writes
the keys of `RUN`; a leaderboard keeps them and adds its own (`leaderboard/records.py`).
"""

from __future__ import annotations

import hashlib
import json
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
    log_loss,
    predicted_over_observed,
    uauc,
)
from recbole_marn.files import sha256

__all__ = [
    "FORMAT",
    "RUN",
    "check_scores_file",
    "check_seal",
    "check_shape",
    "digest",
    "load_scores",
    "measured",
    "part_metrics",
    "plain_name",
    "read_content",
    "read_sealed",
    "rows_sha256",
    "run_name_of",
    "sealed_text",
]

FORMAT = 1
COLUMNS = ("user", "item", "label", "score")
# What a library says of a file that is no archive of plain arrays.
UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, RuntimeError, MemoryError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


# ------------------------------------------------------------------------------------------------- shape
def number(value: Any) -> bool:
    """A finite number that a table can hold."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18


def whole(value: Any) -> bool:
    """An integer from 0 up."""
    return number(value) and isinstance(value, int) and value >= 0


def share(value: Any) -> bool:
    """A number from 0 to 1, null where it is undefined."""
    return value is None or (number(value) and 0 <= value <= 1)


def measure(value: Any) -> bool:
    """A number, null where it is undefined."""
    return value is None or number(value)


def plain_name(value: Any) -> bool:
    """The name of a file, which leads nowhere else."""
    return isinstance(value, str) and value not in ("", ".", "..") and not set(value) & set("/\\\0:")


# Key -> type, test, or shape of what it holds; "key?" may be absent, `...` stands for every key, [x] for a list of x.
RUN: dict[Any, Any] = {
    "run": plain_name,
    "model": str,
    "dataset": plain_name,
    "seed": whole,
    "paper": str,
    "settings": {"model": str, "dataset": str, "seed": whole},
    "data": {
        "split_sha256": str,
        "rows_sha256": {...: str},
        "users_scored?": {...: whole},
        **{f"{name}?": whole for name in ("users", "items", "catalogue", "events", "train_rows", "valid_rows",
                                          "test_rows", "steps_per_epoch")},
    },
    "metrics": {
        ...: {"AUC": share, "UAUC": share, "LogLoss": measure, "ECE": measure, "predicted/observed": measure}
    },
    "parameters": whole,
    "epochs": whole,
    "seconds_per_epoch": measure,
    "history": [{"valid_score?": measure, "seconds?": number}],
    "notes": [str],
    "versions": {...: str},
    "scores": {"file": plain_name, "sha256": str},
    "command": str,
}  # fmt: skip


def check_shape(content: Any, shape: Any, path: Path) -> None:
    """Whether a record has the keys and kinds of values it must have, whoever sealed it.

    Raises:
        InputError: names the file and the key.
    """
    if fault := _fault(content, shape, "the record"):
        raise InputError(f"{path} to be a whole record", fault, "Restore it, or remove it to run again.")


def _fault(value: Any, shape: Any, where: str) -> str | None:
    """What is wrong first; None where nothing is."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{where} of another kind ({type(value).__name__})"
        pairs = [(name, shape[...]) for name in value] if ... in shape else list(shape.items())
        for key, inner in pairs:
            name = key if ... in shape else key.removesuffix("?")
            if name in value:
                if found := _fault(value[name], inner, name if where == "the record" else f"{where}.{name}"):
                    return found
            elif name == key:
                return f"no '{name}' in {where}"
        return None
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} of another kind ({type(value).__name__})"
        found = (_fault(entry, shape[0], f"{where}[{index}]") for index, entry in enumerate(value))
        return next((fault for fault in found if fault), None)
    right = isinstance(value, shape) if isinstance(shape, type) else shape(value)
    return None if right else f"{where} = {repr(value)[:60]}"


# -------------------------------------------------------------------------------------------------- seal
def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a record without its own `sha256`."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, allow_nan=False).encode()).hexdigest()


def sealed_text(content: Mapping[str, Any]) -> str:
    """What is written to the file of a record: NaN is null, as JSON has no NaN, and its digest comes last."""
    clean = _without_nan({key: value for key, value in content.items() if key != "sha256"})
    return json.dumps({**clean, "sha256": digest(clean)}, indent=1, allow_nan=False) + "\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(entry) for entry in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def read_content(path: Path, kind: str) -> dict[str, Any]:
    """What stands in the file of a record, its seal not yet checked.

    Raises:
        InputError: unreadable, no JSON object, too deeply nested, with NaN, or of another format version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        if isinstance(content, dict):
            digest(content)
    except (ValueError, OSError, RecursionError, MemoryError) as error:
        raise InputError(
            f"a readable {kind} record in {path}", first_line(error), "Restore it, or remove it to run again."
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"a {kind} record in {path}", "something else", "Move the file out of the folder.")
    if content.get("format") != FORMAT:
        raise InputError(
            f"{kind} records of format {FORMAT}",
            f"{path} of format {content.get('format')!r:.60}",
            "Use the version of recbole_marn that wrote them, or another folder; nothing was overwritten.",
        )
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}, which JSON does not have")


def read_sealed(path: Path, shape: Mapping[Any, Any], kind: str = "run") -> dict[str, Any]:
    """A record, its format, digest and shape checked.

    Raises:
        InputError: as `read_content`, altered, or of another shape.
    """
    content = read_content(path, kind)
    check_seal(content, path)
    check_shape(content, shape, path)
    return content


def check_seal(content: Mapping[str, Any], path: Path) -> None:
    """Whether the record is the one that was written.

    Raises:
        InputError: its digest is another.
    """
    if content.get("sha256") != digest(content):
        raise InputError(
            f"{path} as it was written (SHA-256 {str(content.get('sha256'))[:12]}...)",
            f"other content (SHA-256 {digest(content)[:12]}...): the record was altered",
            "Restore it from version control, or remove it and run again.",
        )


# ------------------------------------------------------------------------------------------------ content
def run_name_of(settings: Mapping[str, Any]) -> str:
    """`MODEL-dataset-seed-hash` of a run's settings (those that make a difference: `training/identity.py`)."""
    found = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return f"{settings['model']}-{settings['dataset']}-{settings['seed']}-{found}"


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
        with np.load(path, allow_pickle=False) as file:
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
