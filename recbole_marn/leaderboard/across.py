"""Rows over several data sets: mean rank, win rate, improvability, critical difference, default against tuned.

A task is a data set and one kind of negatives, or the test part of a log; a row's score on it is the mean over its
seeds of the metric that orders the table. Only rows that every data set has are compared: ranks among different rivals
say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy  # its stats are imported where they are asked for: that takes longer than most commands do

from recbole_marn.errors import InputError
from recbole_marn.evaluation.significance import holm
from recbole_marn.leaderboard.board import rows_of_records, sampling_of
from recbole_marn.leaderboard.measures import measures_of
from recbole_marn.leaderboard.records import check_alike
from recbole_marn.leaderboard.statistics import LEVEL, TableRow, mean_of_seeds

__all__ = ["Standings", "Task", "standings_of"]


@dataclass(frozen=True)
class Task:
    """A data set, a part of its test rows and the metric that orders rows there."""

    dataset: str
    part: str
    metric: str
    sampling: str


@dataclass(frozen=True)
class Standings:
    """Rows over tasks, the best mean rank first.

    Attributes:
        names: R rows.
        tasks: T tasks.
        scores: (R, T).
        validation: data set -> row -> validation scores of a tuned row's own settings and of those its search chose.
        left_out: data set -> rows that another data set does not have, or not a score of every task.
        splits: data set -> the start of the SHA-256 of its rows.
        seeds: data set -> how many each row has.
        unscored: data set -> parts that not every row was scored on, which are no task.
    """

    names: tuple[str, ...]
    tasks: tuple[Task, ...]
    scores: np.ndarray
    validation: Mapping[str, Mapping[str, tuple[float, float]]]
    left_out: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, str]
    seeds: Mapping[str, Mapping[str, int]]
    unscored: Mapping[str, tuple[str, ...]]

    @cached_property
    def ranks(self) -> np.ndarray:
        """(R, T) 1 for the best score; equal scores share the mean of their ranks."""
        return scipy.stats.rankdata(-self.scores, axis=0)

    @property
    def mean_rank(self) -> np.ndarray:
        """(R,) mean rank over the tasks, 1 for the best."""
        return self.ranks.mean(1)

    @property
    def win_rate(self) -> np.ndarray:
        """(R,) share of rivals and tasks with a lower score, ties as half a win: a row's mean rank as a share."""
        return (len(self.names) - self.mean_rank) / (len(self.names) - 1)

    @property
    def improvability(self) -> np.ndarray:
        """(R,) mean share of a row's error, 1 - score, that the best row of the task does not make."""
        error = 1 - self.scores
        return ((error - error.min(0)) / np.where(error > 0, error, 1)).mean(1)

    @property
    def friedman(self) -> float:
        """p of Friedman's test that all rows rank alike; NaN where there are fewer than three rows or two tasks."""
        if min(len(self.names) - 1, len(self.tasks)) < 2:
            return math.nan
        return float(scipy.stats.friedmanchisquare(*self.scores).pvalue)

    @property
    def critical_difference(self) -> float:
        """Mean ranks further apart than this differ by Nemenyi's test at the level .05 (Demšar, JMLR 2006)."""
        number = len(self.names)
        quantile = scipy.stats.studentized_range.ppf(1 - LEVEL, number, np.inf) / math.sqrt(2)
        return float(quantile * math.sqrt(number * (number + 1) / (6 * len(self.tasks))))

    @property
    def against_leader(self) -> np.ndarray:
        """(R,) p of Wilcoxon's signed-rank test over the tasks against the first row, after Holm; NaN for itself."""
        p = [_signed_rank(self.scores[0] - scores) for scores in self.scores[1:]]
        return np.array([math.nan, *holm(p)])


def _signed_rank(difference: np.ndarray) -> float:
    return float(scipy.stats.wilcoxon(difference).pvalue) if difference.any() else 1.0


# ---------------------------------------------------------------------------------------------- from records
def standings_of(
    records: Mapping[str, Sequence[Mapping[str, Any]]], trials: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Standings:
    """The standings of data sets.

    Args:
        records: data set -> records of its runs.
        trials: data set -> records of the trials of its searches.

    Raises:
        InputError: fewer than two data sets, or than two rows that all have, or records of a data set that do not
            belong together.
    """
    if len(records) < 2:
        raise InputError("at least two data sets with records", ", ".join(records), "Name more in --datasets.")
    for found in records.values():
        check_alike(found)
    tables = {dataset: _named(rows_of_records(found)) for dataset, found in records.items()}
    common = set.intersection(*map(set, tables.values()))
    scored = {
        dataset: set.intersection(*(table[name].parts for name in common)) if common else set()
        for dataset, table in tables.items()
    }
    every = [task for dataset in records for task in _tasks(dataset, records[dataset])]
    tasks = tuple(task for task in every if task.part in scored[task.dataset])
    scores = {
        name: [mean_of_seeds(tables[task.dataset][name], task.metric, task.part)[0] for task in tasks]
        for name in common
    }
    names = sorted(name for name in common if not np.isnan(scores[name]).any())
    if len(names) < 2:
        raise InputError(
            "at least two rows that every data set has",
            f"{', '.join(names) or 'none'} in {', '.join(records)}",
            "Name fewer data sets in --datasets, or run the same models on all of them.",
        )
    values = np.array([scores[name] for name in names])
    order = np.argsort(scipy.stats.rankdata(-values, axis=0).mean(1), kind="stable")
    return Standings(
        names=tuple(names[at] for at in order),
        tasks=tasks,
        scores=values[order],
        validation={dataset: _validation(table, trials[dataset]) for dataset, table in tables.items()},
        left_out={dataset: tuple(name for name in table if name not in names) for dataset, table in tables.items()},
        splits={dataset: found[0]["data"]["split_sha256"][:12] for dataset, found in records.items()},
        seeds={
            dataset: {name: len(table[name].records) for name in (names[at] for at in order)}
            for dataset, table in tables.items()
        },
        unscored={
            dataset: tuple(task.sampling for task in every if task.dataset == dataset and task not in tasks)
            for dataset in records
        },
    )


def _named(rows: Sequence[TableRow]) -> dict[str, TableRow]:
    """Rows by the names that they have in every table: of several of one name the one whose settings a search chose."""
    alike: dict[str, list[TableRow]] = {}
    for row in rows:
        alike.setdefault(row.records[0]["row"], []).append(row)
    named = {}
    for name, members in alike.items():
        tuned = [row for row in members if row.records[0].get("tuned")]
        chosen = tuned[0] if len(tuned) == 1 else members[0] if len(members) == 1 else None
        named |= {name if row is chosen else row.label: row for row in members}
    return named


def _tasks(dataset: str, records: Sequence[Mapping[str, Any]]) -> list[Task]:
    measures = measures_of(records)
    settings = records[0]["settings"]
    parts = ["test"] if measures.log else [part for metric, part in measures.tests if metric == measures.main]
    there = set().union(*(record["metrics"] for record in records))
    return [Task(dataset, part, measures.main, sampling_of(part, settings)) for part in parts if part in there]


def _validation(
    table: Mapping[str, TableRow], trials: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[float, float]]:
    """Of each tuned row the validation score of its own settings, which are tried first, and of the chosen ones.

    Without rows whose worse trials ended early: their scores are of trainings of different lengths.
    """
    score = {trial["run"]: trial["best_valid_score"] for trial in trials if trial["valid_score_bigger"]}
    found = {}
    for name, row in table.items():
        tuned = row.records[0].get("tuned")
        if not tuned or "rounds" in tuned:
            continue
        if all(score.get(run) is not None for run in (tuned["compared"][0], tuned["chosen"])):
            found[name] = score[tuned["compared"][0]], score[tuned["chosen"]]
    return found
