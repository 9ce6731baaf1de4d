"""What the trials of a search say, and which of them go on where worse ones end early."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from recbole_marn.evaluation.record import FORMAT
from recbole_marn.leaderboard.grid import FIRST_SEED, config_id

__all__ = [
    "best_trials", "going_on", "number_going_on", "passes_of_rounds", "search_told", "trial_of_run", "unfair_rounds",
]  # fmt: skip

# A trial names metrics as RecBole does.
VALID = {"auc": "AUC", "uauc": "UAUC", "logloss": "LogLoss"}
REDUCTION = 3  # of the trials of a round one in so many goes on (Jamieson and Talwalkar, AISTATS 2016)


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
        "valid": {name: run["metrics"].get("valid", {}).get(metric) for name, metric in VALID.items()},
        "best_valid_score": max(scores) if bigger else min(scores),
        "valid_score_bigger": bigger,
        "seconds": run.get("seconds"),
    }


def best_trials(trials: Sequence[Mapping[str, Any]], number: int) -> list[Mapping[str, Any]]:
    """The trials with the best validation scores, the best first and of equals the first.

    One that diverged has no score and is last.
    """

    def loss(trial: Mapping[str, Any]) -> tuple[bool, float]:
        score = trial["best_valid_score"]
        return score is None, 0.0 if score is None else -score if trial["valid_score_bigger"] else score

    return sorted(trials, key=loss)[:number]


def search_told(
    trials: Sequence[Mapping[str, Any]], space: Mapping[str, Sequence[Any]], *, halving: bool = False
) -> dict[str, Any]:
    """What a record says of the search that chose its settings.

    Args:
        trials: the records of the trials.
        space: what was varied.
        halving: worse trials ended early, so that the last round alone decides.
    """
    rounds = list(_rounds(trials).values()) if halving else [trials]
    (best,) = best_trials(rounds[-1], 1)
    told = {
        "trials": len(rounds[0]),
        "space": json.loads(json.dumps(space)),
        "seed": FIRST_SEED,
        "chosen": best["run"],
        "best_valid_score": best["best_valid_score"],
        "compared": [trial["run"] for trial in trials],
    }
    if halving:
        told["rounds"] = [[passes, len(members)] for passes, members in _rounds(trials).items()]
    return told


# ------------------------------------------------------------------------------------------------ halving
def passes_of_rounds(epochs: int) -> list[int]:
    """Passes of the trials of one round after another: 1, 3, 9, ..., and all in the last."""
    passes = [1]
    while passes[-1] * REDUCTION < epochs:
        passes.append(passes[-1] * REDUCTION)
    return [*passes, epochs] if epochs > 1 else passes


def number_going_on(number: int) -> int:
    """Of the trials of a round, so many go on: a third, rounded up."""
    return -(-number // REDUCTION)


def going_on(trials: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The trials of a round that go on, the best first."""
    return best_trials(trials, number_going_on(len(trials)))


def unfair_rounds(trials: Sequence[Mapping[str, Any]], epochs: int) -> list[int]:
    """Passes of the rounds of a search that are missing, or had other settings than the best of the round before.

    Args:
        trials: the records of all rounds.
        epochs: passes of a run that is not cut short.
    """
    rounds, expected, wrong = _rounds(trials), None, []
    for passes in passes_of_rounds(epochs):
        members = rounds.pop(passes, [])
        if not members or expected not in (None, set(map(_but_passes, members))):
            wrong.append(passes)
        going = going_on(members)
        expected = set(map(_but_passes, going))
        if len(going) < 2:
            break
    return [*wrong, *rounds]


def _rounds(trials: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    """Passes -> trials of so many, the first round first."""
    rounds: dict[int, list[Mapping[str, Any]]] = {}
    for trial in trials:
        rounds.setdefault(trial["settings"]["epochs"], []).append(trial)
    return dict(sorted(rounds.items()))


def _but_passes(trial: Mapping[str, Any]) -> str:
    return config_id({**trial["settings"], "epochs": None})
