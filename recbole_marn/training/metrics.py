"""Metrics of labelled rows in RecBole's evaluator, and their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from recbole.evaluator.collector import Collector, DataStruct
from recbole.utils import EvaluatorType
from torch import Tensor

from recbole_marn.evaluation.metrics import gauc, uauc
from recbole_marn.settings.host import GAUC_NAME

__all__ = ["GAUC", "UAUC", "UserCollector", "metrics_of", "named_metrics"]

# What RecBole's collector calls the columns that metrics are made from.
COLLECTED = {"data.label": "label", "data.uid": "user"}
# RecBole's names of the metrics that read the order of scores alone.
RANKINGS = {"auc", "uauc", GAUC_NAME.lower()}


class UAUC:
    """RecBole metric: unweighted mean of per-user AUC, ties 0.5 (paper eq. 11)."""

    metric_type = EvaluatorType.VALUE
    metric_need = ["rec.score", "data.label", "data.uid"]
    smaller = False

    def __init__(self, config: Any):
        self.decimal_place = config["metric_decimal_place"]

    def calculate_metric(self, data: Any) -> dict[str, float]:
        value = uauc(data.get("data.uid").numpy(), data.get("data.label").numpy(), data.get("rec.score").numpy())
        return {"uauc": round(float(value), self.decimal_place)}


class GAUC(UAUC):
    """RecBole metric: mean of per-user AUC weighted by a user's rows (Zhou et al., KDD 2017).

    RecBole's own GAUC ranks whole lists of items and weights by clicks; it keeps its name `gauc` there.
    """

    def calculate_metric(self, data: Any) -> dict[str, float]:
        value = gauc(data.get("data.uid").numpy(), data.get("data.label").numpy(), data.get("rec.score").numpy())
        return {GAUC_NAME.lower(): round(float(value), self.decimal_place)}


class UserCollector(Collector):
    """RecBole's collector, which also keeps whose row each score is."""

    def eval_batch_collect(self, scores: Tensor, interaction: Any, positive_u: Any, positive_i: Any) -> None:
        super().eval_batch_collect(scores, interaction, positive_u, positive_i)
        self.data_struct.update_tensor("data.uid", interaction[self.config["USER_ID_FIELD"]])

    def get_data_struct(self) -> Any:
        collected = super().get_data_struct()
        del self.data_struct["data.uid"]
        return collected


def named_metrics(result: Mapping[str, float] | None) -> dict[str, float]:
    """RecBole's lower-case metric names as they are written in the field."""
    spelled = {"auc": "AUC", "uauc": "UAUC", "logloss": "LogLoss", GAUC_NAME.lower(): "GAUC"}
    return {spelled.get(name, name): float(value) for name, value in (result or {}).items()}


def metrics_of(evaluator: Any, columns: Mapping[str, np.ndarray]) -> dict[str, float]:
    """RecBole's metrics of a part from its scores; rankings are of the order before a calibration was fitted.

    Args:
        columns: as `CTRTrainer.scores` gives them.
    """

    def of(score: str) -> dict[str, float]:
        struct = DataStruct()
        for key, name in (COLLECTED | {"rec.score": score}).items():
            struct.set(key, torch.from_numpy(columns[name]))
        return dict(evaluator.evaluate(struct))

    found = of("score")
    if "uncalibrated" in columns:
        before = of("uncalibrated")
        found |= {name: before[name] for name in RANKINGS & before.keys()}
    return found
