"""A fair budget: as many trials for every row, on a stated space, compared on validation alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from recbole_marn.evaluation.record import FORMAT
from recbole_marn.leaderboard.grid import Row, Space

__all__ = ["FIRST_SEED", "best_trial", "search_told", "searched", "trial_of_run"]

FIRST_SEED = 2020
# A trial names metrics as RecBole does.
VALID = {"auc": "AUC", "uauc": "UAUC", "logloss": "LogLoss"}


def searched(row: Row, space: Space) -> dict[str, list[Any]]:
    """What a search varies for a row: the space without what the row itself says."""
    return {key: list(values) for key, values in space.of(row.model).items() if key not in row.settings}


def trial_of_run(trial: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any] | None:
    """A trial's record from that of a finished run of the same settings and seed; only its validation counts.

    Args:
        trial: what is known of the trial before it runs.

    Returns:
        None where the run kept no score of an epoch.
    """
    scores = [epoch["valid_score"] for epoch in run["history"] if epoch.get("valid_score") is not None]
    if not scores:
        return None
    bigger = bool(run["settings"]["valid_metric_bigger"])
    return {
        "leaderboard": "trial",
        "format": FORMAT,
        **trial,
        "valid": {name: run["metrics"]["valid"][metric] for name, metric in VALID.items()},
        "best_valid_score": max(scores) if bigger else min(scores),
        "valid_score_bigger": bigger,
        "seconds": run["seconds"],
    }


def best_trial(trials: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The trial with the best validation score; the first of equals. One that diverged has none and is last."""
    sign = 1 if trials[0]["valid_score_bigger"] else -1

    def goodness(trial: Mapping[str, Any]) -> float:
        score = trial["best_valid_score"]
        return -math.inf if score is None else sign * score

    return max(trials, key=goodness)


def search_told(trials: Sequence[Mapping[str, Any]], space: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """What a record says of the search that chose its settings.

    Args:
        trials: the records of the trials.
        space: what was varied.
    """
    best = best_trial(trials)
    return {
        "trials": len(trials),
        "space": json.loads(json.dumps(space)),
        "seed": FIRST_SEED,
        "chosen": best["run"],
        "best_valid_score": best["best_valid_score"],
        "compared": [trial["run"] for trial in trials],
    }
