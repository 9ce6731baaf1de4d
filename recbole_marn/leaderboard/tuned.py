"""A fair budget: as many trials for every row, on a stated space, compared on validation alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recbole_marn.errors import InputError
from recbole_marn.leaderboard.grid import FIRST_SEED, Plan, Row, Run, Space, runs_of
from recbole_marn.leaderboard.records import FORMAT

__all__ = ["best_trial", "searched", "shipped_space", "trial_of_run", "trials_of", "tuned_row"]

DRAW_SEED = 2020
# A trial names metrics as RecBole does.
VALID = {"auc": "AUC", "uauc": "UAUC", "logloss": "LogLoss"}


def shipped_space() -> Space:
    """The choices of the search spaces that come with the package, one a model: those of `recbole-marn tune`."""
    from recbole_marn.registry import properties_folder
    from recbole_marn.tuning.space import read_space

    spaces = {file.stem: read_space(file) for file in sorted((properties_folder() / "tune").glob("*.hyper"))}
    return Space({model: {key: values for key, (_, values) in space.items()} for model, space in spaces.items()})


def searched(row: Row, space: Space) -> dict[str, list[Any]]:
    """What a search varies for a row: the space without what the row itself says."""
    return {key: list(values) for key, values in space.of(row.model).items() if key not in row.settings}


def trials_of(plan: Plan, row: Row, space: Space, number: int) -> list[Run]:
    """`number` different settings of a row: its own first, then draws from the space without repetition.

    A space with fewer combinations is tried in full.

    Raises:
        InputError: as `runs_of`, no trial, or trials that are not validated by one metric.
    """
    if number < 1:
        raise InputError("at least one trial", f"--tune={number}", "Leave --tune out for no search.")
    choices = searched(row, space)
    sizes = [len(values) for values in choices.values()]
    total = math.prod(sizes)
    rng = np.random.default_rng(DRAW_SEED)
    order = rng.permutation(total) if total <= 1_000_000 else rng.integers(total, size=10 * number)
    trials: dict[tuple[str, int], Run] = {}
    for index in [None, *order]:
        drawn = {} if index is None else _combination(choices, np.unravel_index(int(index), sizes) if sizes else ())
        run = runs_of(plan, [Row(row.label, row.model, {**row.settings, **drawn})], 1)[0]
        trials.setdefault(run.identity, run)
        if len(trials) == number:
            break
    metrics = {run.settings["valid_metric"] for run in trials.values()}
    if len(metrics) > 1:
        raise InputError(
            f"trials of '{row.label}' that are compared by one metric",
            f"valid_metric in {sorted(metrics)}",
            "Take valid_metric out of the search space.",
        )
    return list(trials.values())


def _combination(choices: Mapping[str, Sequence[Any]], at: Sequence[Any]) -> dict[str, Any]:
    return {key: values[int(index)] for (key, values), index in zip(choices.items(), at, strict=True)}


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


def tuned_row(
    runs: Sequence[Run], trials: Sequence[Mapping[str, Any]], space: Mapping[str, Sequence[Any]]
) -> tuple[Row, dict[str, Any]]:
    """The row under its best trial's settings, and what a record says of the search.

    Args:
        runs: the planned trials of the row. Settings are taken from these: a trial's record may come from an earlier
            command, which gave the same settings in another way.
        trials: their records.
        space: what was varied.
    """
    best = best_trial(trials)
    told = {
        "trials": len(trials),
        "space": json.loads(json.dumps(space)),
        "seed": FIRST_SEED,
        "chosen": best["run"],
        "best_valid_score": best["best_valid_score"],
        "compared": [trial["run"] for trial in trials],
    }
    return next(run.row for run in runs if run.name == best["run"]), told
