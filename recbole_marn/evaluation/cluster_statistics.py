"""What must be kept of each user (or request) so that metrics, intervals and tests need no scores any more.

All metrics here are sums over clusters, or functions of such sums, so that a record of a few bytes a user can travel
where scores of every row cannot.
"""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recbole_marn.errors import InputError
from recbole_marn.evaluation.inputs import check_ids, check_labels, check_scores
from recbole_marn.evaluation.metrics import PerUserAUC, base_rate_entropy, placements, row_losses
from recbole_marn.evaluation.ties import tie_runs

__all__ = ["ClusterStatistics", "cluster_statistics", "pack", "unpack"]

_CLUSTER_ARRAYS = ("cluster", "positives", "negatives")
_MODEL_ARRAYS = ("doubled_wins", "positive_placements", "negative_placements")
_PROBABILITY_ARRAYS = ("loss", "predicted", "clipped")
# What a sum can gain where one bit of its mantissa is kept.
_MOST_ROUNDED = 0.25


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
    """

    cluster: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    doubled_wins: np.ndarray
    positive_placements: np.ndarray
    negative_placements: np.ndarray
    loss: np.ndarray | None
    predicted: np.ndarray | None
    clipped: np.ndarray | None

    @property
    def rows(self) -> np.ndarray:
        """(C,) rows."""
        return self.positives + self.negatives

    def check_same_rows(self, other: "ClusterStatistics") -> None:
        """Raises InputError unless both have the same clusters with the same clicks and non-clicks."""
        for name in _CLUSTER_ARRAYS:
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
        return float(self.positive_placements.sum() / clicks) if clicks and rest else float("nan")

    def uauc(self) -> float:
        """As ``metrics.uauc``, with clusters as users."""
        values = self.per_cluster_auc().auc
        return float(values.mean()) if len(values) else float("nan")

    def gauc(self, weight: str = "impressions") -> float:
        """As ``metrics.gauc``, with clusters as users."""
        return self.per_cluster_auc().weighted_mean(weight)

    def log_loss(self) -> float:
        """As ``metrics.log_loss``.

        Raises:
            InputError: the scores were no probabilities; so do the next two.
        """
        return float(self.probability_sums("loss").sum() / self.rows.sum())

    def normalised_entropy(self) -> float:
        """As ``metrics.normalised_entropy``."""
        return float(self.log_loss() / base_rate_entropy(self.positives.sum() / self.rows.sum()))

    def predicted_over_observed(self) -> float:
        """As ``metrics.predicted_over_observed``."""
        predicted, clicks = self.probability_sums("predicted").sum(), self.positives.sum()
        return float(predicted / clicks) if clicks else float("nan")

    def probability_sums(self, name: str) -> np.ndarray:
        """``loss`` or ``predicted`` (C,), InputError where there is none."""
        values = getattr(self, name)
        if values is None:
            raise InputError(
                "statistics of probabilities", "statistics of scores alone", "Such a model has AUC, UAUC and GAUC only."
            )
        return values


def cluster_statistics(
    cluster: ArrayLike, label: ArrayLike, score: ArrayLike, probabilities: bool = True, clip: float = 1e-7
) -> ClusterStatistics:
    """Sums by cluster of one model's scores.

    Args:
        cluster: (B,) integer ids or tokens of users or requests, in any order.
        label: (B,) of 0 and 1.
        score: (B,), probabilities unless `probabilities` is False.
        probabilities: False for scores without a scale, which have no LogLoss and no calibration.
        clip: as ``log_loss``.

    Raises:
        InputError: as ``log_loss``, or ids that are neither integers nor strings.
    """
    label = check_labels(label)
    score = check_scores(score, len(label))
    cluster = check_ids(cluster, len(label), "cluster")
    runs = tie_runs(cluster, label, score)
    ids, row_cluster = np.unique(cluster, return_inverse=True)
    row_placement = np.zeros(len(label))
    if label.any() and not label.all():
        row_placement[label], row_placement[~label] = placements(label, score)

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


def pack(statistics: ClusterStatistics, clusters: bool = True, bits: int = 23) -> bytes:
    """A compressed npz of the smallest integers and of float32: the same bytes for the same statistics.

    Counts are exact, so that per-cluster AUC, UAUC and GAUC come back as they were. Sums are rounded to `bits` bits
    after the first: to 1 part in 2^(bits + 1) each. Their roundings are independent, and metrics over many clusters
    are off by less than that.

    Args:
        statistics: of one model.
        clusters: False leaves out ids, clicks and non-clicks, which all models of one part share; their SHA-256 stays.
        bits: of float32's mantissa that are kept, 1 to 23. 23 cost about 13 bytes a cluster and model, 10 about 7.

    Raises:
        InputError: bits out of range.
    """
    if not 1 <= bits <= 23:
        raise InputError("1 to 23 bits", f"{bits}", "23 keep all that a float32 has.")
    names = [*(_CLUSTER_ARRAYS if clusters else ()), *_MODEL_ARRAYS]
    if statistics.loss is not None:
        names += _PROBABILITY_ARRAYS
    arrays = {name: getattr(statistics, name) for name in names}
    arrays = {
        name: _planes(values, bits) if values.dtype.kind == "f" else _small(values) for name, values in arrays.items()
    }
    if not clusters:
        arrays["clusters_sha256"] = np.array(_digest(statistics))
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    return packed.getvalue()


def unpack(packed: bytes, clusters: ClusterStatistics | None = None) -> ClusterStatistics:
    """Statistics from ``pack``.

    Args:
        packed: its bytes.
        clusters: statistics of any model on the same rows, where `packed` was written without clusters.

    Raises:
        InputError: not written by ``pack``, arrays that contradict each other, or clusters missing or of other rows.
    """
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: _wide(file[name]) for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _unusable(str(error)) from error
    if digest := arrays.pop("clusters_sha256", None):
        if clusters is None:
            raise InputError(
                "the clusters these statistics were packed without", "none", "Unpack the part's shared file first."
            )
        if str(digest) != _digest(clusters):
            raise InputError("the clusters these statistics belong to", "those of other rows", "Unpack the right part.")
        arrays |= {name: getattr(clusters, name) for name in _CLUSTER_ARRAYS}
    needed = {*_CLUSTER_ARRAYS, *_MODEL_ARRAYS}
    if not needed <= set(arrays) <= needed | set(_PROBABILITY_ARRAYS) or len(arrays) not in (6, 9):
        raise _unusable(f"arrays {sorted(arrays)}")
    statistics = ClusterStatistics(**{name: None for name in _PROBABILITY_ARRAYS} | arrays)
    _check(statistics)
    return statistics


def _check(statistics: ClusterStatistics) -> None:
    """That no array contradicts the counts, but for a sum that was rounded up."""
    lengths = {one.shape for one in vars(statistics).values() if one is not None}
    if len(lengths) != 1 or len(lengths.pop()) != 1 or not len(statistics.cluster):
        raise _unusable("arrays of different lengths")
    for name in (*_CLUSTER_ARRAYS[1:], "doubled_wins"):
        if getattr(statistics, name).dtype.kind not in "iu":
            raise _unusable(f"{name} that are no whole numbers")
    positives, negatives, rows = statistics.positives, statistics.negatives, statistics.rows
    upper = {
        "doubled_wins": 2 * positives * negatives,
        "positive_placements": positives,
        "negative_placements": negatives,
        "loss": np.full(len(rows), np.inf),
        "predicted": rows,
        "clipped": rows,
    }
    unsorted = np.any(statistics.cluster[1:] <= statistics.cluster[:-1])
    if unsorted or np.any(np.minimum(positives, negatives) < 0) or np.any(rows < 1):
        raise _unusable("clusters out of order or without rows")
    for name, most in upper.items():
        values = getattr(statistics, name)
        slack = 1 if name in ("doubled_wins", "clipped") else 1 + _MOST_ROUNDED
        if values is not None and not np.all((values >= 0) & (values <= most * slack) & np.isfinite(values)):
            raise _unusable(f"{name} that the counts do not allow")


def _small(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "iu":
        # An array of its least and greatest value has the type that holds both.
        return values.astype(np.result_type(*(np.min_scalar_type(end) for end in (values.min(), values.max()))))
    return values


def _planes(values: np.ndarray, bits: int) -> np.ndarray:
    """Float32 (C,) as bytes (4, C), the mantissa rounded: like bytes lie together, which compresses better."""
    dropped = 23 - bits
    whole = values.astype("<f4").view("<u4").astype(np.uint64)
    # A carry out of the mantissa moves the exponent, as it should; values are finite.
    rounded = (whole + (1 << dropped >> 1)) >> dropped << dropped
    # Contiguous: a transposed view would be written in its old order.
    return np.ascontiguousarray(rounded.astype("<u4").view(np.uint8).reshape(-1, 4).T)


def _wide(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8 and values.ndim == 2 and len(values) == 4:
        return np.ascontiguousarray(values.T).view("<f4")[:, 0].astype(np.float64)
    return values.astype({"f": np.float64, "i": np.int64, "u": np.int64}.get(values.dtype.kind, values.dtype))


def _digest(statistics: ClusterStatistics) -> str:
    digest = hashlib.sha256()
    for name in _CLUSTER_ARRAYS:
        values = _small(getattr(statistics, name))
        digest.update(f"{name} {values.dtype.str} {len(values)}\n".encode() + values.tobytes())
    return digest.hexdigest()


def _unusable(got: str) -> InputError:
    return InputError("statistics written by pack", got, "Was the file cut off or edited?")
