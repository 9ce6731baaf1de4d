"""The record of a run: what it was, what came of it, and the raw scores behind its metrics."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_marn import __version__
from recbole_marn.data.part import Part
from recbole_marn.data.rows import PARTS
from recbole_marn.errors import InputError
from recbole_marn.evaluation.calibration import too_few_to_mean_much
from recbole_marn.evaluation.record import FORMAT, read_record, sealed_text
from recbole_marn.evaluation.scores import calibration_metrics, measured
from recbole_marn.files import plain, sha256, write_aside, write_text
from recbole_marn.registry import MODELS
from recbole_marn.training.prepared import Prepared

__all__ = ["calibration_told", "data_facts", "note_on_replaced", "with_request", "write_record"]

LIBRARIES = ("recbole", "torch", "numpy", "pandas", "scipy")


def data_facts(parts: Prepared) -> dict[str, int]:
    """Sizes of the data set and its parts, for the record."""
    facts = parts.train.part.facts()
    del facts["rows"]
    loaders = zip(PARTS, (parts.train, parts.valid, parts.test), strict=True)
    return facts | {
        **{f"{name}_rows": len(loader.part) for name, loader in loaders},
        "steps_per_epoch": len(parts.train),
    }


def with_request(columns: Mapping[str, np.ndarray], part: Part) -> dict[str, np.ndarray]:
    """Columns of all rows of a part, and the request of each where the log says what was shown together."""
    if not part.is_log or part.settings.request is None:
        return dict(columns)
    return {**columns, "request": part.rows.group_of(np.arange(len(part)))}


def calibration_told(trainer: Any, scores: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """How probabilities were corrected and calibrated, and what metrics they had before the fitted step.

    Args:
        scores: columns by part, with `uncalibrated` where a step was fitted.
    """
    rates, kind = trainer.click_rates, trainer.settings.calibration
    doubt = "" if rates.fitted is None else too_few_to_mean_much(kind, scores["valid"]["label"])
    return {
        "kept_negatives": 1.0 if rates.correction is None else float(trainer.config["keep_negatives"]),
        "fitted": kind,
        "steps": rates.state(),
        **({"note": doubt} if doubt else {}),
        "before": {
            part: calibration_metrics(columns["label"], columns["uncalibrated"])
            for part, columns in scores.items()
            if "uncalibrated" in columns
        },
    }


def note_on_replaced(parts: Prepared) -> str | None:
    """What to say where a run of this name on other rows, such as yesterday's, is to be written over; else None."""
    base = Path(parts.trainer.checkpoint_dir) / parts.trainer.run_name
    try:
        before = read_record(base.with_name(base.name + ".json"), "training")["data"]["split_sha256"]
    except InputError:  # none, or none that can be read
        return None
    if before == parts.train.part.split_sha256:
        return None
    return (
        f"{base}.pth of other rows (split_sha256 {before[:12]}...) and its record are written over: give a run_name"
        " or another checkpoint_dir to keep both"
    )


def write_record(parts: Prepared, result: Mapping[str, Any], scores: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Write `<run>.scores.npz` and `<run>.json` (`evaluation/record.py`), which names the scores by their SHA-256."""
    base = Path(parts.trainer.checkpoint_dir) / parts.trainer.run_name
    scores_file, record_file = base.with_name(base.name + ".scores.npz"), base.with_name(base.name + ".json")
    flat = {f"{part}_{name}": value for part, columns in scores.items() for name, value in columns.items()}

    def write_scores(path: Path) -> None:
        with open(path, "wb") as file:
            np.savez_compressed(file, **flat)

    write_aside(scores_file, write_scores)
    metrics, data = measured(scores, parts.test.part.is_log, parts.config["topk"])
    record = {
        "format": FORMAT,
        "run": base.name,
        **{key: result[key] for key in ("model", "dataset", "seed", "parameters", "epochs", "seconds_per_epoch")},
        "seconds": round(sum(epoch.get("seconds", 0.0) for epoch in parts.trainer.history), 2),
        "memory_mb": _peak_memory_mb(),
        "paper": MODELS[parts.config["model"]].paper,
        "settings": parts.trainer.plain_settings(),
        "data": {"split_sha256": result["split_sha256"], **data, **data_facts(parts)},
        "metrics": metrics,
        "calibration": result["calibration"],
        "notes": parts.train.part.notes,
        "history": parts.trainer.history,
        "scores": {"file": scores_file.name, "sha256": sha256(scores_file)},
        "versions": {"recbole_marn": __version__, "python": platform.python_version()}
        | {name: metadata.version(name) for name in LIBRARIES}
        | ({"numba": metadata.version("numba")} if "recbole_marn.layers.kernels.loops" in sys.modules else {})
        | _device(parts.config["device"]),
        "command": " ".join(sys.argv),
    }
    write_text(record_file, sealed_text(plain(record)))
    return str(record_file)


def _device(device: torch.device) -> dict[str, str]:
    """The GPU that trained, by its name; nothing of a CPU."""
    return {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}


def _peak_memory_mb() -> int | None:
    """Most memory this process held, in MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))
