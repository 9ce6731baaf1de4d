"""The package as its users call it, for mypy: what comes out of each public name has a type. Nothing here is run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import recbole_marn
from recbole_marn.evaluation.metrics import auc, uauc
from recbole_marn.evaluation.reliability import ReliabilityCurve, reliability_curve


def train() -> Sequence[float]:
    result: dict[str, Any] = recbole_marn.run("MARN", "ml-100k", config_dict={"epochs": 2})
    parts = recbole_marn.load_run(Path(result["checkpoint"]), data_path="elsewhere")
    columns = parts.trainer.scores(parts.test)
    return [auc(columns["label"], columns["score"]), uauc(columns["user"], columns["label"], columns["score"])]


def ask(scorer: recbole_marn.CTRScorer) -> list[str]:
    ann = recbole_marn.History(["50", "172"], times=[893286638, 893286700])
    ranking = scorer.top(ann, k=5, time=893290000, unseen=True)
    curve: ReliabilityCurve = reliability_curve(np.array([0, 1]), scorer.score({"item_id": ["181", "242"]}, [ann] * 2))
    return ranking.items if curve.rows.sum() else []


def load(path: str) -> recbole_marn.CTRScorer | str:
    try:
        return recbole_marn.load_scorer(path)
    except recbole_marn.InputError as error:
        return f"{error.expected}, not {error.got}. {error.hint}"
