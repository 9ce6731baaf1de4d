"""What must be kept of each user (or request) so that metrics, intervals and tests need no scores any more.

All metrics here are sums over clusters, or functions of such sums, so that a record of a few bytes a user can travel
where scores of every row cannot.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from recbole_marn.errors import InputError
from recbole_marn.evaluation.inputs import check_ids, check_labels, check_scores
from recbole_marn.evaluation.metrics import PerUserAUC, base_rate_entropy, placements, row_losses
from recbole_marn.evaluation.ties import tie_runs

__all__ = ["PLACEMENTS", "ClusterStatistics", "cluster_statistics", "mean_placements"]

PLACEMENTS = ("positive_placements", "negative_placements")


@dataclass(frozen=True)
class ClusterStatistics:
    """Sufficient statistics of one model's scores by cluster (C,), sorted by cluster id.

    Attributes:
        cluster: ids of users, or of requests.
        positives: clicks.
        negatives: non-clicks.
        doubled_wins: 2 for each (click, non-click) pair of the cluster in order, 1 for each tie.
        positive_placements: sum over the cluster's clicks of the share of all rows' non-clicks that score lower, ties
            one half (DeLong's V10); its sum over clusters is the number of clicks times AUC.
        negative_placements: sum over the cluster's non-clicks of the share of all clicks that score higher (V01).
        loss: sum of LogLoss, in nats; None for scores that are no probabilities.
        predicted: sum of probabilities, or None.
        clipped: rows whose probability was clipped for the loss, or None.

    All from the placements on are None in `wins_alone`.
    """

    cluster: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    doubled_wins: np.ndarray
    positive_placements: np.ndarray | None
    negative_placements: np.ndarray | None
    loss: np.ndarray | None
    predicted: np.ndarray | None
    clipped: np.ndarray | None

    @property
    def rows(self) -> np.ndarray:
        """(C,) rows."""
        return self.positives + self.negatives

    def check_same_rows(self, other: "ClusterStatistics") -> None:
        """Raises InputError unless both have the same clusters with the same clicks and non-clicks."""
        for name in ("cluster", "positives", "negatives"):
            if not np.array_equal(getattr(self, name), getattr(other, name)):
                raise InputError(
                    "statistics of the same rows", f"{name} that differ", "Score both models on the same part."
                )

    def per_cluster_auc(self) -> PerUserAUC:
        """As ``per_user_auc``, with clusters as users."""
        return PerUserAUC.of_wins(self.cluster, self.doubled_wins, self.positives, self.negatives)

    def auc(self) -> float:
        """As ``metrics.auc``, over all rows."""
        clicks, rest = int(self.positives.sum()), int(self.negatives.sum())
        return float(self.sums_of("positive_placements").sum() / clicks) if clicks and rest else float("nan")

    def uauc(self) -> float:
        """As ``metrics.uauc``, with clusters as users."""
        return self.per_cluster_auc().mean()

    def gauc(self, weight: str = "impressions") -> float:
        """As ``metrics.gauc``, with clusters as users."""
        return self.per_cluster_auc().weighted_mean(weight)

    def log_loss(self) -> float:
        """As ``metrics.log_loss``.

        Raises:
            InputError: the scores were no probabilities; so does the next.
        """
        return float(self.sums_of("loss").sum() / self.rows.sum())

    def normalised_entropy(self) -> float:
        """As ``metrics.normalised_entropy``."""
        return float(self.log_loss() / base_rate_entropy(self.positives.sum() / self.rows.sum()))

    def sums_of(self, name: str) -> np.ndarray:
        """One of the attributes that may be None (C,), InputError where it is."""
        values: np.ndarray | None = getattr(self, name)
        if values is None:
            raise InputError(
                f"statistics with the sums of {name}",
                "statistics without",
                "Scores without a scale have no probabilities; `wins_alone` has pairs inside clusters.",
            )
        return values

    def wins_alone(self) -> "ClusterStatistics":
        """What UAUC and GAUC need, all of it small whole numbers."""
        return replace(
            self, positive_placements=None, negative_placements=None, loss=None, predicted=None, clipped=None
        )

    def in_total(self) -> "ClusterStatistics":
        """All rows as one cluster, 0: what AUC and the metrics of probabilities need."""
        clicks, rest = (values.sum(keepdims=True) for values in (self.positives, self.negatives))
        v10, v01 = (self.sums_of(name).sum(keepdims=True) for name in PLACEMENTS)
        of_probabilities = (self.loss, self.predicted, self.clipped)
        loss, predicted, clipped = (one if one is None else one.sum(keepdims=True) for one in of_probabilities)
        wins = np.rint(2 * rest * v10).astype(np.int64)
        return ClusterStatistics(np.zeros(1, np.int64), clicks, rest, wins, v10, v01, loss, predicted, clipped)


def cluster_statistics(
    cluster: ArrayLike,
    label: ArrayLike,
    score: ArrayLike,
    probabilities: bool = True,
    clip: float = 1e-7,
    order: ArrayLike | None = None,
) -> ClusterStatistics:
    """Sums by cluster of one model's scores.

    Args:
        cluster: (B,) integer ids or tokens of users or requests, in any order.
        label: (B,) of 0 and 1.
        score: (B,), probabilities unless `probabilities` is False.
        probabilities: False for scores without a scale, which have no LogLoss and no calibration.
        clip: as ``log_loss``.
        order: (B,) what rows are ranked by where that is not the score.

    Raises:
        InputError: as ``log_loss``, or ids that are neither integers nor strings.
    """
    label = check_labels(label)
    score = check_scores(score, len(label))
    order = score if order is None else check_scores(order, len(label))
    cluster = check_ids(cluster, len(label), "cluster")
    runs = tie_runs(cluster, label, order)
    ids, row_cluster = np.unique(cluster, return_inverse=True)
    row_placement = np.zeros(len(label))
    if label.any() and not label.all():
        row_placement[label], row_placement[~label] = placements(label, order)

    def by_cluster(values: np.ndarray) -> np.ndarray:
        return np.bincount(row_cluster, weights=values, minlength=len(ids))

    loss = predicted = clipped = None
    if probabilities:
        loss = by_cluster(row_losses(label, score, clip))
        predicted = by_cluster(score)
        clipped = by_cluster((score < clip) | (score > 1 - clip)).astype(np.int64)
    return ClusterStatistics(
        cluster=ids,
        positives=runs.total(runs.positives),
        negatives=runs.total(runs.negatives),
        doubled_wins=runs.doubled_wins(),
        positive_placements=by_cluster(np.where(label, row_placement, 0.0)),
        negative_placements=by_cluster(np.where(label, 0.0, row_placement)),
        loss=loss,
        predicted=predicted,
        clipped=clipped,
    )


def mean_placements(statistics: Sequence[ClusterStatistics]) -> ClusterStatistics:
    """Of several models on the same rows one whose AUC is the mean of theirs, and whose variance is that mean's.

    AUC is linear in the placements; all else is the first model's.

    Raises:
        InputError: statistics of different rows.
    """
    first = statistics[0]
    for other in statistics[1:]:
        first.check_same_rows(other)
    return replace(first, **{name: np.mean([one.sums_of(name) for one in statistics], axis=0) for name in PLACEMENTS})
