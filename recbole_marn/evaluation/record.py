"""The record of a run, defined once: one JSON file, sealed by its own digest, its shape checked whenever it is read.

A training run writes the keys of `RUN` to `<run>.json`. A leaderboard keeps them and adds its own; beside them it has
records of trials, of the statistics of a table, and of the page over several.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError, first_line
from recbole_marn.files import without_nan

__all__ = ["FORMAT", "digest", "plain_name", "read_record", "read_records", "run_name_of", "sealed_text"]

FORMAT = 1
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
    "calibration?": {
        "kept_negatives": share, "fitted": str, "steps": [{"kind": str}], "before": {...: {...: measure}},
        "note?": str,
    },
    "parameters": whole,
    "epochs": whole,
    "seconds_per_epoch": measure,
    "history": [{"valid_score?": measure, "seconds?": number}],
    "notes": [str],
    "versions": {...: str},
    "scores": {"file": plain_name, "sha256": str},
    "evidence?": {"file": plain_name, "sha256": str},
    "command": str,
}  # fmt: skip


def _search(value: Any) -> bool:
    """What a record says of the search that chose its settings; null where there was none."""
    return value is None or (
        isinstance(value, dict)
        and whole(value.get("trials", 0)) and isinstance(value.get("space", {}), dict)
        and plain_name(value.get("chosen")) and isinstance(value.get("compared"), list) and value["compared"]
        and all(map(plain_name, value["compared"])) and all(map(_round, value.get("rounds", [])))
    )  # fmt: skip


def _round(value: Any) -> bool:
    """Passes of a round of trials, and their number."""
    return isinstance(value, list) and len(value) == 2 and all(map(whole, value))


def _interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(measure, value))


def _ends(value: Any) -> bool:
    """What an interval is of, or its two ends."""
    return _interval(value) or (isinstance(value, list) and all(isinstance(entry, str) for entry in value))


def _numbers(value: Any) -> bool:
    """What a curve is of, or its numbers."""
    return isinstance(value, list) and (all(isinstance(entry, str) for entry in value) or all(map(number, value)))


def _resamples(value: Any) -> bool:
    return whole(value) and 2 <= value <= 1_000_000


TEST: dict[str, Any] = {name: str for name in ("metric", "part", "row", "against", "reference")}
TEST |= {"of": [str], "reference_of": [str], "difference": measure, "p": share, "p_holm": share}
TEST |= {"over_seeds?": _interval}
# Kind of record -> its shape.
SHAPES: dict[str, dict[Any, Any]] = {
    "training": RUN,
    "run": RUN | {
        "row": str, "family?": str, "given": dict, "tuned?": _search, "data": {**RUN["data"], "files": {...: str}},
    },
    "trial": {
        "run": plain_name, "valid_score_bigger": bool, "best_valid_score": measure,
        "settings": {"model": str, "dataset": str}, "data": {"files": {...: str}},
    },
    "statistics": {
        "dataset": plain_name, "baseline": str, "resamples": _resamples, "confidence": share, "records": {...: str},
        "intervals": {...: {"of": [str], ...: _ends}}, "command": str,
        "unit?": str, "reliability?": {...: {"of": [str], ...: _numbers}},
        "tests": [TEST | {"relative_improvement": measure}],
    },
    "across": {"datasets": [plain_name]},
}  # fmt: skip


def _check_shape(content: Any, shape: Any, path: Path) -> None:
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
        faults = (_fault(entry, shape[0], f"{where}[{index}]") for index, entry in enumerate(value))
        return next((fault for fault in faults if fault), None)
    right = isinstance(value, shape) if isinstance(shape, type) else shape(value)
    return None if right else f"{where} = {repr(value)[:60]}"


# -------------------------------------------------------------------------------------------------- seal
def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a record without its own `sha256`."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, allow_nan=False).encode()).hexdigest()


def sealed_text(content: Mapping[str, Any]) -> str:
    """What is written to the file of a record: NaN is null, as JSON has no NaN, and its digest comes last."""
    clean = without_nan({key: value for key, value in content.items() if key != "sha256"})
    return json.dumps({**clean, "sha256": digest(clean)}, indent=1, allow_nan=False) + "\n"


def read_record(path: Path, kind: str = "run", sealed: bool = True) -> dict[str, Any]:
    """A record, its format, digest, shape and name checked.

    Args:
        kind: of `SHAPES`.
        sealed: False reads one that was altered too, so that what was altered can be named.

    Raises:
        InputError: names the file and what is wrong with it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        found = digest(content) if isinstance(content, dict) else ""
    except (ValueError, OSError, RecursionError, MemoryError) as error:
        raise InputError(
            f"a readable {kind} record in {path}", first_line(error), "Restore it, or remove it to run again."
        ) from None
    if not isinstance(content, dict) or content.get("leaderboard", "training") != kind:
        raise InputError(f"a {kind} record in {path}", "something else", "Move the file out of the folder.")
    if content.get("format") != FORMAT:
        raise InputError(
            f"{kind} records of format {FORMAT}",
            f"{path} of format {content.get('format')!r:.60}",
            "Use the version of recbole_marn that wrote them, or another folder; nothing was overwritten.",
        )
    if sealed and content.get("sha256") != found:
        raise InputError(
            f"{path} as it was written (SHA-256 {str(content.get('sha256'))[:12]}...)",
            f"other content (SHA-256 {found[:12]}...): the record was altered",
            "Restore it from version control, or remove it and run again.",
        )
    _check_shape(content, SHAPES[kind], path)
    if kind in ("run", "trial") and content["run"] != path.stem:
        raise InputError(f"the record of {path.stem} in {path}", repr(content["run"]), "Give the file its own name.")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}, which JSON does not have")


def read_records(folder: Path, kind: str = "run") -> list[dict[str, Any]]:
    """All records of a folder, by name.

    Raises:
        InputError: as `read_record`.
    """
    return [read_record(path, kind) for path in sorted(folder.glob("*.json"))]


# ------------------------------------------------------------------------------------------------ content
def run_name_of(settings: Mapping[str, Any]) -> str:
    """`MODEL-dataset-seed-hash` of a run's settings (those that make a difference: `training/identity.py`)."""
    found = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return f"{settings['model']}-{settings['dataset']}-{settings['seed']}-{found}"
