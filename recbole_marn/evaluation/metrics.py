"""Metrics of click predictions: AUC over all rows and per user, LogLoss, normalised entropy, calibration, RelaImpr."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recbole_marn.errors import InputError
from recbole_marn.evaluation.bins import equal_frequency_groups, equal_width_bins
from recbole_marn.evaluation.inputs import check_ids, check_labels, check_probabilities, check_scores
from recbole_marn.evaluation.ties import tie_runs

__all__ = [
    "PerUserAUC",
    "auc",
    "base_rate_entropy",
    "expected_calibration_error",
    "gauc",
    "log_loss",
    "normalised_entropy",
    "per_user_auc",
    "placements",
    "predicted_over_observed",
    "relative_improvement",
    "row_losses",
    "uauc",
]


@dataclass(frozen=True)
class PerUserAUC:
    """AUC of each user (U,) who has a click and a non-click, sorted by user id."""

    user: np.ndarray
    auc: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray

    @classmethod
    def of_wins(
        cls, user: np.ndarray, doubled_wins: np.ndarray, positives: np.ndarray, negatives: np.ndarray
    ) -> "PerUserAUC":
        """From Mann-Whitney counts of all users (``TieRuns.doubled_wins``), those of one class left out."""
        both = (positives > 0) & (negatives > 0)
        user, doubled_wins, positives, negatives = (
            column[both] for column in (user, doubled_wins, positives, negatives)
        )
        return cls(user, doubled_wins / (2 * positives * negatives), positives, negatives)

    def mean(self) -> float:
        """Each user alike: UAUC, or NaN without a user."""
        return float(self.auc.mean()) if len(self.auc) else float("nan")

    def weights(self, weight: str) -> np.ndarray:
        """(U,) rows for ``impressions``, positives for ``clicks``; InputError for another word."""
        if weight not in ("impressions", "clicks"):
            raise InputError(
                "weight to be 'impressions' or 'clicks'", repr(weight), "For equal weights use uauc."
            )
        return self.positives if weight == "clicks" else self.positives + self.negatives

    def weighted_mean(self, weight: str) -> float:
        """GAUC with the weights of that name, NaN without a user."""
        weights = self.weights(weight)
        return float(np.average(self.auc, weights=weights)) if len(self.auc) else float("nan")


def auc(label: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve over all rows: the share of (click, non-click) pairs in order, ties one half.

    Args:
        label: (B,) of 0 and 1.
        score: (B,) logits or probabilities; only their order counts.

    Returns:
        AUC in [0, 1], or NaN where only one class is present: without a pair there is nothing to be right or
        wrong about, and 0.5 would read as a measured coin toss.

    Raises:
        InputError: no rows, labels other than 0 and 1, a NaN score, or lengths that differ.
    """
    label = check_labels(label)
    score = check_scores(score, len(label))
    runs = tie_runs(np.zeros(len(label), np.int8), label, score)
    positives = int(label.sum())
    pairs = positives * (len(label) - positives)
    return int(runs.doubled_wins()[0]) / (2 * pairs) if pairs else float("nan")


def per_user_auc(user: ArrayLike, label: ArrayLike, score: ArrayLike) -> PerUserAUC:
    """AUC of every user who has both classes; the others have none and are left out.

    Args:
        user: (B,) integer ids or tokens, in any order.
        label: (B,) of 0 and 1.
        score: (B,).

    Raises:
        InputError: as ``auc``, or user ids that are neither integers nor strings.
    """
    label = check_labels(label)
    score = check_scores(score, len(label))
    runs = tie_runs(check_ids(user, len(label)), label, score)
    return PerUserAUC.of_wins(
        runs.group, runs.doubled_wins(), runs.total(runs.positives), runs.total(runs.negatives)
    )


def placements(label: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's structural components: the share of the other class that a row beats, ties one half.

    Returns:
        V10 (P,) of the positives and V01 (N,) of the negatives, in row order. The mean of either is the AUC.
    """
    positive, negative = score[label], score[~label]
    return _share_below(negative, positive), 1.0 - _share_below(positive, negative)


def _share_below(reference: np.ndarray, values: np.ndarray) -> np.ndarray:
    # By ranks (Sun and Xu, 2014): O(n log n) where the definition compares all P x N pairs.
    reference = np.sort(reference)
    below = np.searchsorted(reference, values, side="left")
    return (below + np.searchsorted(reference, values, side="right")) / (2 * len(reference))


def uauc(user: ArrayLike, label: ArrayLike, score: ArrayLike) -> float:
    """Unweighted mean of per-user AUC: MARN's metric, paper eq. (11), with ties counted one half.

        UAUC = 1/|U| sum_u 1/(|I_u+| |I_u-|) sum_{i in I_u+, j in I_u-} 1[y_ui > y_uj] + 1[y_ui = y_uj] / 2

    U holds the users who have both classes. With one click and one non-click a user it is pair accuracy.

    Args and errors as ``per_user_auc``.

    Returns:
        UAUC in [0, 1], or NaN where no user has both classes.
    """
    return per_user_auc(user, label, score).mean()


def gauc(user: ArrayLike, label: ArrayLike, score: ArrayLike, weight: str = "impressions") -> float:
    """Weighted mean of per-user AUC, over the users who have both classes (Zhu et al., KDD 2017).

    Args:
        user: (B,) integer ids or tokens, in any order.
        label: (B,) of 0 and 1.
        score: (B,).
        weight: ``impressions`` (a user's rows) or ``clicks`` (a user's positives, as RecBole's GAUC does).

    Returns:
        GAUC in [0, 1], or NaN where no user has both classes.

    Raises:
        InputError: as ``per_user_auc``, or an unknown weight.
    """
    return per_user_auc(user, label, score).weighted_mean(weight)


def log_loss(label: ArrayLike, probability: ArrayLike, clip: float = 1e-7) -> float:
    """Mean negative log-likelihood, in nats.

    Probabilities are first clipped to [clip, 1 - clip]. The default is about the gap between 1 and its
    float32 neighbours, so that one saturated sigmoid costs at most 16.1 nats and not what rounding makes of
    it.

    Args:
        label: (B,) of 0 and 1.
        probability: (B,) in [0, 1].
        clip: in (0, 0.5).

    Raises:
        InputError: as ``auc``, a probability outside [0, 1], or a clip out of range.
    """
    return float(row_losses(label, probability, clip).mean())


def row_losses(label: ArrayLike, probability: ArrayLike, clip: float = 1e-7) -> np.ndarray:
    """What each row adds to ``log_loss`` before the mean, (B,); args and errors as there."""
    label = check_labels(label)
    probability = check_probabilities(probability, len(label))
    if not 0 < clip < 0.5:
        raise InputError("clip between 0 and 0.5", f"{clip}", "Leave it at its default of 1e-7.")
    inside = np.clip(probability, clip, 1 - clip)
    return np.where(label, -np.log(inside), -np.log1p(-inside))


def normalised_entropy(label: ArrayLike, probability: ArrayLike, clip: float = 1e-7) -> float:
    """Normalised entropy (He et al., ADKDD 2014, eq. (1)): LogLoss over that of the base rate.

        NE = LogLoss / -(r log r + (1 - r) log(1 - r)),   r the click rate of the same rows

    A constant prediction of r has 1, a useful model less. Unlike LogLoss it can be compared between data of
    different click rates.

    Args and errors as ``log_loss``.

    Returns:
        The ratio, or NaN where only one class is present: the base rate then leaves no entropy.
    """
    loss = log_loss(label, probability, clip)
    return float(loss / base_rate_entropy(float(check_labels(label).mean())))


def base_rate_entropy(rate: ArrayLike) -> np.ndarray:
    """LogLoss (...) in nats of a constant prediction of the click rate (...), NaN for rates of 0 and 1."""
    rate = np.asarray(rate, dtype=np.float64)
    rate = np.where((rate > 0) & (rate < 1), rate, np.nan)
    return -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))


def relative_improvement(auc: float, baseline: float) -> float:
    """RelaImpr (Yan et al., ICML 2014): the gain in AUC over the baseline's own gain over chance.

        RelaImpr = (auc - 0.5) / (baseline - 0.5) - 1

    Args:
        auc: AUC, UAUC or GAUC of the model, in [0, 1].
        baseline: the same metric of the baseline.

    Returns:
        A fraction, 0.05 for 5 %. NaN where the baseline is no better than chance (the ratio then has no
        meaning, or the wrong sign) and where either value is NaN.

    Raises:
        InputError: a value outside [0, 1], such as a percentage.
    """
    for name, value in (("auc", auc), ("baseline", baseline)):
        if value < 0 or value > 1:
            raise InputError(f"{name} between 0 and 1", f"{value}", "Divide percentages by 100.")
    if not baseline > 0.5:
        return float("nan")
    return float((auc - 0.5) / (baseline - 0.5) - 1)


def expected_calibration_error(
    label: ArrayLike, probability: ArrayLike, bins: int = 10, equal_frequency: bool = False
) -> float:
    """ECE (Naeini et al., AAAI 2015): mean gap between predicted and observed click rate over bins.

        ECE = sum_b n_b / n |mean predicted in b - mean observed in b|

    Args:
        label: (B,) of 0 and 1.
        probability: (B,) in [0, 1].
        bins: at least 1.
        equal_frequency: bins of about as many rows each rather than of equal width. Click rates crowd near
            zero, where equal widths put almost every row into one bin. Equal predictions always share a bin.

    Returns:
        A value in [0, 1]; empty bins count nothing.

    Raises:
        InputError: as ``log_loss``, or fewer than one bin.
    """
    label = check_labels(label)
    probability = check_probabilities(probability, len(label))
    if bins < 1:
        raise InputError("at least 1 bin", f"{bins}", "10 to 20 are usual.")
    row_bin = (equal_frequency_groups if equal_frequency else equal_width_bins)(probability, bins)
    gap = np.bincount(row_bin, weights=probability - label, minlength=bins)
    return float(np.abs(gap).sum() / len(label))


def predicted_over_observed(label: ArrayLike, probability: ArrayLike) -> float:
    """Sum of predicted probabilities over the number of clicks: 1 is right on average, above 1 too hopeful.

    Args and errors as ``log_loss``.

    Returns:
        The ratio, or NaN without a click.
    """
    label = check_labels(label)
    probability = check_probabilities(probability, len(label))
    clicks = label.sum()
    return float(probability.sum() / clicks) if clicks else float("nan")
