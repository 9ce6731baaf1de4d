"""Runs that take a moment: scores drawn from the run's name in place of a trained model's."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.evaluation.record import FORMAT, run_name_of, sealed_text
from recbole_marn.evaluation.scores import measured
from recbole_marn.files import sha256
from recbole_marn.leaderboard.publish import publish
from recbole_marn.leaderboard.records import Folders

USERS, NEGATIVES = 40, 4
PARTS = ("valid", "test", "test_popularity", "test_matched")
SKILL = {"MARN": 1.2, "DIN": 0.9, "LR": 0.5, "Popularity": 0.3}


def numbers_of(name: str) -> np.random.Generator:
    return np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:12], 16))


def columns(run: str, model: str, part: str, users: int = USERS) -> dict[str, np.ndarray]:
    """user, item, label and score of one part; users, items and labels are the same for every run."""
    rows = numbers_of(part)
    user = np.repeat(np.arange(1, users + 1), 1 + NEGATIVES)
    label = np.tile([1.0] + [0.0] * NEGATIVES, users)
    item = rows.integers(1, 100, len(user))
    noise = numbers_of(run + part).normal(size=len(user)) + rows.normal(size=len(user))
    logit = SKILL.get(model, 0.7) * label + 0.5 * noise
    return {"user": user, "item": item, "label": label, "score": (1 / (1 + np.exp(1 - logit))).astype(np.float32)}


def settings_of(model: str, seed: int, dataset: str = "tiny", **more: Any) -> dict[str, Any]:
    """As many settings as the tables show."""
    return {
        "model": model, "dataset": dataset, "seed": seed, "epochs": 3, "learner": "adam", "learning_rate": 0.001,
        "train_batch_size": 64, "eval_sampling": "uniform", "train_negatives": 1, "eval_negatives": NEGATIVES,
        "valid_metric": "UAUC", **more,
    }  # fmt: skip


def record_of(model: str, seed: int, row: str | None = None, dataset: str = "tiny", **more: Any) -> dict[str, Any]:
    """What a leaderboard knows of a run before it has run."""
    settings = settings_of(model, seed, dataset, **more)
    return {
        "run": run_name_of(settings), "row": row or model, "model": model, "dataset": dataset, "seed": seed,
        "paper": "a paper", "given": more, "settings": settings, "data": {"files": {f"{dataset}.inter": "a" * 64}},
        "command": "recbole-marn run", "tuned": None,
    }  # fmt: skip


def own_record(run: str, model: str, seed: int, scores: Path, parts: dict[str, Any]) -> dict[str, Any]:
    """What `training.record` writes of a run."""
    metrics, data = measured(parts)
    curve = metrics["valid"]["UAUC"] - np.array([0.1, 0.05, 0.0])
    return {
        "format": FORMAT, "run": run, "model": model, "dataset": "tiny", "seed": seed, "paper": "a paper",
        "settings": settings_of(model, seed), "command": "recbole-marn run",
        "data": {"split_sha256": "b" * 64, **data, "users": USERS, "items": 90, "catalogue": 100, "events": 300,
                 "train_rows": 400, "valid_rows": len(parts["valid"]["label"]),
                 "test_rows": len(parts["test"]["label"]), "steps_per_epoch": 7},
        "metrics": metrics,
        "parameters": 1000 * (1 + len(model)),
        "epochs": 3,
        "seconds_per_epoch": 1.5,
        "seconds": 4.5,
        "memory_mb": 100,
        "history": [
            {"epoch": epoch, "losses": {"click": 0.5}, "seconds": 1.5, "valid_score": round(float(value), 6)}
            for epoch, value in enumerate(curve)
        ],
        "notes": [],
        "versions": {"recbole_marn": "0.1.0", "python": "3.11"},
        "scores": {"file": scores.name, "sha256": sha256(scores)},
    }  # fmt: skip


def train(task: dict[str, Any], folder: Path) -> None:
    """A fake of `work.train`: a few epochs whose state outlives a kill, then the real `publish`."""
    run, model = task["record"]["run"], task["record"]["model"]
    state = folder / "state"
    while (done := int(state.read_text()) if state.exists() else 0) < 3:
        time.sleep(task.get("seconds", 0.0) / 3)
        (folder / "state.part").write_text(str(done + 1))
        os.replace(folder / "state.part", state)
    if task.get("error") == "fault":
        raise RuntimeError("the loss is not a number")
    if task.get("error") == "disk":
        raise OSError(28, "No space left on device")
    if task.get("error") == "library":
        raise ModuleNotFoundError("No module named 'absent'", name="absent")
    parts = {part: columns(run, model, part) for part in PARTS}
    flat = {f"{part}_{name}": values for part, found in parts.items() for name, values in found.items()}
    np.savez_compressed(folder / "own.scores.npz", **flat)
    own = own_record(run, model, task["record"]["seed"], folder / "own.scores.npz", parts)
    (folder / "own.json").write_text(sealed_text(own))
    if task.get("count"):
        with open(task["count"], "a") as file:
            file.write(run + "\n")
    publish(task, folder, {"record": str(folder / "own.json")})


def write_run(out: Path, model: str, seed: int, row: str | None = None, dataset: str = "tiny", **more: Any) -> Path:
    """A finished fake run in this process; returns its record."""
    record = record_of(model, seed, row, dataset, **more)
    folders = Folders(out, dataset)
    folders.prepare()
    folder = folders.unfinished / record["run"]
    folder.mkdir(parents=True)
    train({"record": record, "out": str(out), "dataset": dataset}, folder)
    shutil.rmtree(folder)
    return folders.records / f"{record['run']}.json"


def forget_evidence(out):
    """Make the records of a results folder as they were before evidence travelled with them."""
    folders = Folders(out, "tiny")
    statistics = folders.statistics.read_text()
    for path in folders.records.glob("*.json"):
        record = json.loads(path.read_text())
        evidence = record.pop("evidence")
        (folders.evidence / evidence["file"]).unlink()
        path.write_text(sealed_text(record))
        statistics = statistics.replace(evidence["sha256"], record["scores"]["sha256"])
    folders.statistics.write_text(sealed_text(json.loads(statistics)))
