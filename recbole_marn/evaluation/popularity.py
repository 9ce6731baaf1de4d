"""Popularity levels of items, and how well each level is predicted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recbole_marn.errors import InputError
from recbole_marn.evaluation.bins import equal_frequency_groups
from recbole_marn.evaluation.inputs import check_ids, check_labels, check_scores
from recbole_marn.evaluation.metrics import auc, per_user_auc

__all__ = ["LevelMetrics", "metrics_by_level", "popularity_levels"]


@dataclass(frozen=True)
class LevelMetrics:
    """What one popularity level shows: counts of what was compared, and NaN metrics where nothing was."""

    level: int
    positives: int
    negatives: int
    users: int
    uauc: float
    auc: float


def popularity_levels(count: ArrayLike, levels: int = 10, padding: bool = False) -> np.ndarray:
    """Popularity level of each item, 0 the coldest, from how often it occurs in training.

    Levels hold about as many items each; items with equal counts are never parted, so level 0 always has
    every item with the lowest count (those never seen, where there are any), and heavy ties leave some levels
    empty.

    Args:
        count: (I,) events of each item in the training part, by internal item id.
        levels: at least 1.
        padding: whether row 0 is RecBole's padding item. It then gets level -1 and takes no share.

    Returns:
        (I,) int64.

    Raises:
        InputError: counts that are negative or not whole, no items, or fewer than one level.
    """
    count = np.asarray(count)
    if levels < 1:
        raise InputError("at least 1 popularity level", f"{levels}", "10 is usual.")
    if count.ndim != 1 or len(count) <= int(padding):
        raise InputError(
            "counts (I,) of at least one item", f"shape {count.shape}", "Count training events by item."
        )
    if count.dtype.kind not in "iuf" or not np.all(count >= 0) or not np.all(count == np.floor(count)):
        raise InputError(
            "counts that are whole numbers from 0 up",
            f"dtype {count.dtype}, least {count.min()}",
            "Count by bincount.",
        )
    result = np.full(len(count), -1, dtype=np.int64)
    result[int(padding) :] = equal_frequency_groups(count[int(padding) :], levels)
    return result


def metrics_by_level(
    user: ArrayLike,
    group: ArrayLike,
    label: ArrayLike,
    score: ArrayLike,
    level: ArrayLike,
    levels: int | None = None,
) -> list[LevelMetrics]:
    """AUC and per-user AUC of the positives of each popularity level, against the negatives drawn for them.

    A group is one positive and its negatives; it belongs to the level of its positive, whatever the levels of
    the negatives. With a single level the results equal ``uauc`` and ``auc`` over all rows.

    Args:
        user: (B,) integer ids or tokens.
        group: (B,) id of the positive that each row belongs to, exactly one positive in each.
        label: (B,) of 0 and 1.
        score: (B,).
        level: (B,) popularity level of each row's item; read for positives only.
        levels: how many to report, empty ones included; up to the highest one present if left out.

    Returns:
        One entry a level, coldest first.

    Raises:
        InputError: as ``uauc``, a group without exactly one positive, or a positive outside the levels.
    """
    label = check_labels(label)
    score = check_scores(score, len(label))
    user = check_ids(user, len(label))
    level = check_ids(level, len(label), "level", strings=False)
    groups, row_group = np.unique(check_ids(group, len(label), "group"), return_inverse=True)
    positives = np.bincount(row_group[label], minlength=len(groups))
    wrong = np.flatnonzero(positives != 1)
    if len(wrong):
        raise InputError(
            "exactly one positive in each group",
            f"{positives[wrong[0]]} in group {groups[wrong[0]]}",
            "Number the positives and give each negative the number of the positive it was drawn for.",
        )
    levels = int(level[label].max()) + 1 if levels is None else levels
    outside = level[label & ((level < 0) | (level >= levels))]
    if len(outside):
        raise InputError(
            f"levels of positives from 0 to {levels - 1}",
            f"{outside[0]}",
            "Look levels up by popularity_levels.",
        )
    group_level = np.empty(len(groups), dtype=np.int64)
    group_level[row_group[label]] = level[label]
    row_level = group_level[row_group]
    return [_one_level(index, row_level == index, user, label, score) for index in range(levels)]


def _one_level(
    index: int, rows: np.ndarray, user: np.ndarray, label: np.ndarray, score: np.ndarray
) -> LevelMetrics:
    user, label, score = user[rows], label[rows], score[rows]
    if not len(label):
        return LevelMetrics(index, 0, 0, 0, float("nan"), float("nan"))
    users = per_user_auc(user, label, score)
    return LevelMetrics(
        level=index,
        positives=int(label.sum()),
        negatives=int(np.count_nonzero(~label)),
        users=len(users.auc),
        uauc=users.mean(),
        auc=auc(label, score),
    )
