"""One trial of a search of settings, selected on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recbole_marn.host.compat import report_to_ray
from recbole_marn.host.config import build_config
from recbole_marn.training.prepared import prepare_run

__all__ = ["objective_function"]


def objective_function(
    config_dict: Mapping[str, Any] | None = None, config_file_list: Sequence[str] | None = None, saved: bool = False
) -> dict[str, Any]:
    """One trial for RecBole's HyperTuning or Ray Tune. Selection is on validation: there is no test part."""
    config = build_config(config_file_list=config_file_list, config_dict=config_dict)
    parts = prepare_run(config, quiet=True, sealed=True)
    score, result = parts.trainer.fit(parts.train, parts.valid, verbose=False, saved=saved)
    report_to_ray(**result)
    return {
        "model": config["model"],
        "best_valid_score": score,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": result,
        "test_result": {},
    }
