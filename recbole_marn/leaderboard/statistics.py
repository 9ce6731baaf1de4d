"""What the scores of several seeds say about the rows of a table: spread, intervals, tests.

A row's value is the mean over its seeds. Its interval and its tests are about that same mean: users are the independent
unit, all seeds are resampled by the same users, and the spread of training is told apart by the standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recbole_marn.errors import InputError
from recbole_marn.evaluation.bootstrap import bootstrap_over_users
from recbole_marn.evaluation.metrics import per_user_auc, relative_improvement
from recbole_marn.evaluation.significance import (
    delong_test,
    holm,
    mean_and_std,
    sign_flip_p_value,
    t_test_p_value,
)
from recbole_marn.evaluation.record import FORMAT

__all__ = [
    "CONFIDENCE",
    "PARTS",
    "TableRow",
    "auc_of_means_test",
    "best_row",
    "interval",
    "mean_of_seeds",
    "statistics_of",
    "tests_to_make",
    "uauc_of_means_test",
]

CONFIDENCE = 0.95
PARTS = ("test", "test_popularity", "test_matched")
# (metric, part): what has an interval, and what is tested.
INTERVALS = (("AUC", "test"), ("LogLoss", "test"), *(("UAUC", part) for part in PARTS))
TESTS = (("AUC", "test"), *(("UAUC", part) for part in PARTS))


@dataclass(frozen=True)
class TableRow:
    """A row of the table: the records of its seeds, in the order of the seeds."""

    label: str
    records: tuple[Mapping[str, Any], ...]

    @property
    def scores(self) -> list[str]:
        """SHA-256 of the score files: what its statistics are made from."""
        return [record["scores"]["sha256"] for record in self.records]

    @cached_property
    def parts(self) -> set[str]:
        """Parts that every seed was scored on."""
        return set.intersection(*(set(record["metrics"]) for record in self.records))

    def values(self, metric: str, part: str = "test") -> list[float]:
        """One value a seed; NaN where a metric is undefined, nothing where the part was not scored."""
        if part not in self.parts:
            return []
        found = [record["metrics"][part][metric] for record in self.records]
        return [float("nan") if value is None else value for value in found]


def mean_of_seeds(row: TableRow, metric: str, part: str = "test") -> tuple[float, float]:
    """Mean and standard deviation over the seeds; NaN for what is not known."""
    values = row.values(metric, part)
    if not values:
        return float("nan"), float("nan")
    mean, std = mean_and_std(values)
    return float(mean), float(std)


def best_row(rows: Sequence[TableRow], metric: str, part: str = "test") -> TableRow | None:
    """The row with the highest mean; the first of equals, None where no row has one."""
    means = [mean_of_seeds(row, metric, part)[0] for row in rows]
    known = [(mean, -index) for index, mean in enumerate(means) if not math.isnan(mean)]
    return rows[-max(known)[1]] if known else None


# ---------------------------------------------------------------------------------------------- intervals
Columns = Mapping[str, np.ndarray]


def interval(columns: Sequence[Columns], metric: str, resamples: int) -> list[float]:
    """Percentile interval of the mean over S seeds of a metric; every seed is resampled by the same users.

    Args:
        columns: user, item, label and score (B,) of each seed, rows in one order.

    Returns:
        [low, high]; NaN where the metric is undefined.
    """
    first = columns[0]
    table = np.stack([column["score"] for column in columns])
    drawn = bootstrap_over_users(first["user"], first["label"], table, metric, resamples, CONFIDENCE)
    means = drawn.samples.mean(axis=1)
    means = means[~np.isnan(means)]
    if len(means) < 2:
        return [float("nan"), float("nan")]
    return [float(end) for end in np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])]


# -------------------------------------------------------------------------------------------------- tests
def auc_of_means_test(a: Sequence[Columns], b: Sequence[Columns]) -> dict[str, float]:
    """DeLong's test, rows clustered by user, that two rows have the same mean AUC over their seeds.

    The seeds are laid one after another as one long column, the scores of each lifted above those before. Pairs
    within a seed keep their order, and pairs across seeds are ordered by the lift alone, alike for both models:
    they cancel in the difference and in its variance, which leaves the mean over the seeds. With one seed this is
    `delong_test` itself.
    """
    length = math.lcm(len(a), len(b))
    first = a[0]
    found = delong_test(
        np.tile(first["label"], length),
        _lifted([a[index % len(a)]["score"] for index in range(length)]),
        _lifted([b[index % len(b)]["score"] for index in range(length)]),
        user=np.tile(first["user"], length),
    )
    # The pairs within seeds are one in `length` of all pairs; z does not change by the factor.
    return {"difference": found.difference * length, "z": found.z, "p": found.p_value}


def _lifted(scores: Sequence[np.ndarray]) -> np.ndarray:
    # Ranks are whole numbers, so that no lift rounds two scores together.
    ranks = [np.unique(score, return_inverse=True)[1].reshape(-1) for score in scores]
    return np.concatenate([rank + index * (len(rank) + 1) for index, rank in enumerate(ranks)]).astype(np.float64)


def uauc_of_means_test(a: Sequence[Columns], b: Sequence[Columns]) -> dict[str, float]:
    """Student's test and the sign-flip test, paired over users, of the mean over seeds of per-user AUC."""
    return _paired_over_users(_user_means(a), _user_means(b))


def _paired_over_users(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    difference = a - b
    t, p = t_test_p_value(difference)
    mean = float(difference.mean()) if len(difference) else float("nan")
    return {"difference": mean, "t": t, "p": p, "p_sign_flip": sign_flip_p_value(difference)}


def _user_means(columns: Sequence[Columns]) -> np.ndarray:
    return np.mean([per_user_auc(column["user"], column["label"], column["score"]).auc for column in columns], axis=0)


# ------------------------------------------------------------------------------------------------- tables
Scores = Callable[[TableRow, str], Sequence[Columns] | None]


def tests_to_make(rows: Sequence[TableRow], baseline: str) -> Iterator[tuple[str, str, str, TableRow, TableRow]]:
    """(metric, part, "best" or "baseline", row, reference) of every test of a table."""
    named = next((row for row in rows if row.label == baseline), None)
    for metric, part in TESTS:
        for reference, name in ((best_row(rows, metric, part), "best"), (named, "baseline")):
            for row in rows:
                if reference is not None and row is not reference and part in row.parts and part in reference.parts:
                    yield metric, part, name, row, reference


def statistics_of(
    dataset: str,
    rows: Sequence[TableRow],
    scores: Scores,
    *,
    baseline: str,
    resamples: int,
    known: Mapping[str, Any] | None = None,
    recompute: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Intervals, and tests against the best row and the baseline, of every row of a table.

    Args:
        scores: (row, part) -> the score columns of each seed; None where a file is not on this machine.
        baseline: label of a row.
        known: an earlier result. What it says of the same score files is kept, so that a folder whose scores lie
            elsewhere can still be rendered; what nobody can compute is left out.
        recompute: keep of `known` only what the scores here cannot tell.
        progress: called once a row and once a test.

    Raises:
        InputError: the baseline is not a row, or fewer than two resamples.
    """
    if rows and baseline not in {row.label for row in rows}:
        raise InputError(
            f"--baseline to be a row of the table: {', '.join(row.label for row in rows)}",
            repr(baseline),
            "Name one of them.",
        )
    known = known if known and known.get("confidence") == CONFIDENCE else {}
    intervals: dict[str, Any] = {}
    earlier_intervals = {} if known.get("resamples") != resamples else known.get("intervals", {})
    for row in rows:
        earlier = next((dict(entry) for entry in earlier_intervals.values() if entry["of"] == row.scores), None)
        found = (None if recompute else earlier) or _intervals(row, scores, resamples) or earlier
        if found is not None:
            intervals[row.label] = found
        progress()
    user_means: dict[tuple[str, str], np.ndarray] = {}
    earlier_tests = {_of(test): test for test in known.get("tests", [])}
    tests = []
    for metric, part, against, row, reference in tests_to_make(rows, baseline):
        test = {"metric": metric, "part": part, "of": row.scores, "reference_of": reference.scores}
        earlier = earlier_tests.get(_of(test))
        found = (None if recompute else earlier) or _test(test, row, reference, scores, user_means) or earlier
        if found is not None:
            names = {"row": row.label, "against": against, "reference": reference.label}
            tests.append({**found, **names, "relative_improvement": _improvement(row, reference, metric, part)})
        progress()
    _add_holm(tests, len(rows))
    return {
        "leaderboard": "statistics",
        "format": FORMAT,
        "dataset": dataset,
        "baseline": baseline,
        "resamples": resamples,
        "confidence": CONFIDENCE,
        "records": {record["run"]: record["sha256"] for row in rows for record in row.records},
        "intervals": intervals,
        "tests": tests,
    }


def _of(test: Mapping[str, Any]) -> tuple[Any, ...]:
    return test["metric"], test["part"], tuple(test["of"]), tuple(test["reference_of"])


def _intervals(row: TableRow, scores: Scores, resamples: int) -> dict[str, Any] | None:
    found: dict[str, Any] = {"of": row.scores}
    for metric, part in INTERVALS:
        if part not in row.parts:
            continue
        columns = scores(row, part)
        if columns is None:
            return None
        undefined = any(math.isnan(value) for value in row.values(metric, part))
        found[f"{metric} {part}"] = [math.nan] * 2 if undefined else interval(columns, metric, resamples)
    return found


def _test(
    test: dict[str, Any],
    row: TableRow,
    reference: TableRow,
    scores: Scores,
    user_means: dict[tuple[str, str], np.ndarray],
) -> dict[str, Any] | None:
    part = test["part"]
    columns = {one.label: scores(one, part) for one in (row, reference)}
    if any(found is None for found in columns.values()):
        return None
    if test["metric"] == "AUC":
        return {**test, **auc_of_means_test(columns[row.label], columns[reference.label])}
    for label, found in columns.items():
        if (label, part) not in user_means:
            user_means[label, part] = _user_means(found)
    return {**test, **_paired_over_users(user_means[row.label, part], user_means[reference.label, part])}


def _improvement(row: TableRow, reference: TableRow, metric: str, part: str) -> float:
    mean, other = mean_of_seeds(row, metric, part)[0], mean_of_seeds(reference, metric, part)[0]
    return float("nan") if math.isnan(mean) or math.isnan(other) else relative_improvement(mean, other)


def _add_holm(tests: list[dict[str, Any]], rows: int) -> None:
    """Correct the p-values of one metric, part and reference together: they are read as one column.

    The best row is known from the same scores, so that its tests are chosen among those of all pairs of rows.
    """
    pairs = rows * (rows - 1) // 2
    columns = {(test["metric"], test["part"], test["against"]) for test in tests}
    for column in columns:
        members = [test for test in tests if (test["metric"], test["part"], test["against"]) == column]
        p_values = [float("nan") if test["p"] is None else test["p"] for test in members]
        for test, adjusted in zip(members, holm(p_values, pairs if column[2] == "best" else None), strict=True):
            test["p_holm"] = float(adjusted)
