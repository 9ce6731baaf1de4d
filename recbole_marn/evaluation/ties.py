"""Runs of equal scores inside groups (users, requests): what every ranking metric is computed from, sorted once."""

from dataclasses import dataclass

import numpy as np

__all__ = ["TieRuns", "tie_runs"]


@dataclass(frozen=True)
class TieRuns:
    """G groups cut into T runs of equal scores, groups ascending by id and runs ascending by score inside each.

    Attributes:
        group: (G,) ids.
        first: (G,) number of the first run of each group.
        positives, negatives: (T,) clicks and non-clicks of each run.
        negatives_below: (T,) non-clicks of the same group that score lower.
        rows_below: (T,) rows of the same group that score lower.
    """

    group: np.ndarray
    first: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    negatives_below: np.ndarray
    rows_below: np.ndarray

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sum over the runs of each group, (T,) to (G,)."""
        return np.add.reduceat(values, self.first)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """The value of its group for each run, (G,) to (T,)."""
        return np.repeat(values, np.diff(self.first, append=len(self.positives)))

    def doubled_wins(self) -> np.ndarray:
        """(G,) Mann-Whitney counts: 2 for each (click, non-click) pair of a group in order, 1 for each tie.

        Doubled, the counts are integers: the result is exact, whatever the order of the rows.
        """
        return self.total(self.positives * (2 * self.negatives_below + self.negatives))


def tie_runs(group: np.ndarray, label: np.ndarray, score: np.ndarray) -> TieRuns:
    """Sort B >= 1 checked rows by group and score and cut them where either changes.

    Args:
        group: (B,) integers or strings.
        label: (B,) boolean.
        score: (B,) without NaN.
    """
    order = np.lexsort((score, group))
    group, label, score = group[order], label[order], score[order]
    new_group = _change(group)
    start = np.flatnonzero(new_group | _change(score))
    positives = np.add.reduceat(label, start, dtype=np.int64)
    rows = np.diff(start, append=len(label))
    negatives = rows - positives
    first = np.flatnonzero(new_group[start])
    runs = np.diff(first, append=len(start))
    negatives_before, rows_before = np.cumsum(negatives) - negatives, start
    return TieRuns(
        group=group[start[first]],
        first=first,
        positives=positives,
        negatives=negatives,
        negatives_below=negatives_before - np.repeat(negatives_before[first], runs),
        rows_below=rows_before - np.repeat(rows_before[first], runs),
    )


def _change(column: np.ndarray) -> np.ndarray:
    """True (n,) where a sorted column starts a new value."""
    return np.concatenate(([True], column[1:] != column[:-1]))
