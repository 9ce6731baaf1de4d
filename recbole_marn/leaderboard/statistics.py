"""What the evidence of several seeds says about the rows of a table: spread, intervals, tests.

A row's value is the mean over its seeds. Its interval and its tests are about that same mean: users are the independent
unit, all seeds are resampled by the same users. What training anew would change is told apart: by the standard
deviation of a row, and by Welch's interval over the seeds of the difference of two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from recbole_marn.evaluation.evidence import Evidence
from recbole_marn.evaluation.metrics import relative_improvement
from recbole_marn.evaluation.record import FORMAT
from recbole_marn.evaluation.reliability import wilson_interval
from recbole_marn.evaluation.seeds import auc_of_means_test, interval, paired_over_users, user_means
from recbole_marn.evaluation.significance import holm, mean_and_std, welch_interval
from recbole_marn.leaderboard.measures import Measures, measures_of

__all__ = [
    "Comparison", "LEVEL", "TableRow", "best_row", "difference_over_seeds", "known_ends", "mean_of_seeds",
    "statistics_of", "tests_to_make",
]  # fmt: skip

CONFIDENCE = 0.95
# A p-value below is called significant.
LEVEL = 0.05


@dataclass(frozen=True)
class TableRow:
    """A row of the table: the records of its seeds, in the order of the seeds."""

    label: str
    records: tuple[Mapping[str, Any], ...]

    @property
    def sources(self) -> list[str]:
        """SHA-256 of what its statistics are of: of each seed its evidence, or its scores where a record has none."""
        return [record.get("evidence", record["scores"])["sha256"] for record in self.records]

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


def measures_of_rows(rows: Sequence[TableRow]) -> Measures:
    """The measures that all rows of a table have."""
    return measures_of(record for row in rows for record in row.records)


def mean_of_seeds(row: TableRow, metric: str, part: str = "test") -> tuple[float, float]:
    """Mean and standard deviation of a metric of a part over the seeds; NaN for what is not known."""
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


# ------------------------------------------------------------------------------------------------- tables
Found = Callable[[TableRow, str], Sequence[Evidence] | None]


def tests_to_make(rows: Sequence[TableRow], baseline: str) -> Iterator[tuple[str, str, str, TableRow, TableRow]]:
    """(metric, part, "best" or "baseline", row, reference) of every test of a table."""
    named = next((row for row in rows if row.label == baseline), None)
    for metric, part in measures_of_rows(rows).tests:
        for reference, name in ((best_row(rows, metric, part), "best"), (named, "baseline")):
            for row in rows:
                if reference is not None and row is not reference and part in row.parts and part in reference.parts:
                    yield metric, part, name, row, reference


@dataclass(frozen=True)
class Comparison:
    """What the rows of a table are held against, and how.

    Attributes:
        baseline: label of a row; nothing is tested against one that is not there.
        resamples: of the bootstrap, at least 2.
        unit: "user" or "request", what is independent and drawn anew.
    """

    baseline: str
    resamples: int
    unit: str = "user"


def statistics_of(
    dataset: str,
    rows: Sequence[TableRow],
    found: Found,
    comparison: Comparison,
    *,
    known: Mapping[str, Any] | None = None,
    recompute: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Intervals, and tests against the best row and the baseline, of every row of a table.

    Args:
        found: (row, part) -> the evidence of each seed; None where there is none of a seed.
        known: an earlier result. What it says of the same evidence or scores is kept, so that records older than
            evidence can still be rendered; what nobody can compute is left out.
        recompute: keep of `known` only what the evidence here cannot tell.
        progress: called once a row and once a test.

    Raises:
        InputError: fewer than two resamples.
    """
    measures = measures_of_rows(rows)
    earlier = _Earlier(known or {}, comparison, recompute)
    intervals, reliability = {}, {}
    for row in rows:
        of = tuple(row.sources)
        computed = partial(_intervals, row, found, measures, comparison)
        intervals[row.label] = earlier.or_computed(("intervals", of), computed)
        if measures.log:
            reliability[row.label] = earlier.or_computed(("reliability", of), partial(_reliability, row, found))
        progress()
    return {
        "leaderboard": "statistics",
        "format": FORMAT,
        "dataset": dataset,
        "baseline": comparison.baseline,
        "resamples": comparison.resamples,
        **({"unit": comparison.unit, "reliability": _of_known(reliability)} if measures.log else {}),
        "confidence": CONFIDENCE,
        "records": {record["run"]: record["sha256"] for row in rows for record in row.records},
        "intervals": _of_known(intervals),
        "tests": _tests(rows, found, comparison, earlier, progress),
    }


def _tests(
    rows: Sequence[TableRow], found: Found, comparison: Comparison, earlier: _Earlier, progress: Callable[[], None]
) -> list[dict[str, Any]]:
    """Every test of a table that is known or can be made, with Holm's correction."""
    tests, means = [], {}
    for metric, part, against, row, reference in tests_to_make(rows, comparison.baseline):
        test = {"metric": metric, "part": part, "of": row.sources, "reference_of": reference.sources}
        computed = partial(_test, metric, part, (row, reference), found, means, comparison.unit)
        if (entry := earlier.or_computed(_of(test), computed)) is not None:
            test |= {**entry, "row": row.label, "against": against, "reference": reference.label}
            over_seeds = welch_interval(row.values(metric, part), reference.values(metric, part), CONFIDENCE)
            test["over_seeds"] = list(over_seeds)
            tests.append({**test, "relative_improvement": _improvement(row, reference, metric, part)})
        progress()
    _add_holm(tests, len(rows))
    return tests


class _Earlier:
    """What an earlier result says of the same evidence or scores, as far as it was made in the same way."""

    def __init__(self, known: Mapping[str, Any], comparison: Comparison, recompute: bool):
        self._recompute = recompute
        self._kept: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        if known.get("confidence") != CONFIDENCE or known.get("unit", "user") != comparison.unit:
            return
        for kind in ("intervals", "reliability"):
            if kind == "reliability" or known.get("resamples") == comparison.resamples:
                self._kept |= {(kind, tuple(entry["of"])): entry for entry in known.get(kind, {}).values()}
        self._kept |= {_of(test): test for test in known.get("tests", [])}

    def or_computed(self, key: tuple[Any, ...], compute: Callable[[], Any]) -> Mapping[str, Any] | None:
        """What is kept of `key`, else what is computed of it; the other way round where all is to be recomputed."""
        kept = self._kept.get(key)
        return compute() or kept if self._recompute else kept or compute()


def _of_known(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {label: entry for label, entry in entries.items() if entry is not None}


def difference_over_seeds(test: Mapping[str, Any]) -> tuple[float, float]:
    """Ends of the interval over seeds of a test's difference; NaN where seeds do not tell."""
    return known_ends(test.get("over_seeds"))


def known_ends(interval: Sequence[float | None] | None) -> tuple[float, float]:
    """Ends of an interval as a record has it; NaN where there is none, or one that could not be drawn."""
    low, high = interval or (None, None)
    return (math.nan, math.nan) if low is None or high is None else (low, high)


def _of(test: Mapping[str, Any]) -> tuple[Any, ...]:
    return test["metric"], test["part"], tuple(test["of"]), tuple(test["reference_of"])


def _intervals(row: TableRow, found: Found, measures: Measures, comparison: Comparison) -> dict[str, Any] | None:
    entry: dict[str, Any] = {"of": row.sources}
    for metric, part in measures.intervals:
        if part not in row.parts:
            continue
        seeds = found(row, part)
        if seeds is None:
            return None
        undefined = any(math.isnan(value) for value in row.values(metric, part))
        how = (comparison.resamples, CONFIDENCE, comparison.unit)
        entry[f"{metric} {part}"] = [math.nan] * 2 if undefined else interval(seeds, metric, *how)
    return entry


def _reliability(row: TableRow, found: Found) -> dict[str, Any] | None:
    """Predicted and observed click rates of the first seed, by bins of equal mass, with Wilson intervals."""
    seeds = found(row, "test")
    if seeds is None:
        return None
    bins = seeds[0].bins
    low, high = wilson_interval(bins.clicks, bins.rows, CONFIDENCE)
    curve = {"predicted": bins.predicted / bins.rows, "observed": bins.clicks / bins.rows, "low": low, "high": high}
    return {"of": row.sources, **{name: values.tolist() for name, values in {**curve, "rows": bins.rows}.items()}}


def _test(
    metric: str,
    part: str,
    pair: Sequence[TableRow],
    found: Found,
    means: dict[tuple[str, str], np.ndarray],
    unit: str,
) -> dict[str, float] | None:
    of_both = [found(row, part) for row in pair]
    if any(seeds is None for seeds in of_both):
        return None
    if metric == "AUC":
        return auc_of_means_test(*of_both, unit)
    for row, seeds in zip(pair, of_both, strict=True):
        if (row.label, part) not in means:
            means[row.label, part] = user_means(seeds)
    return paired_over_users(*(means[row.label, part] for row in pair))


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
