"""Whether a difference is more than chance: DeLong, paired tests over users, Holm, spread over seeds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtr, stdtrit

from recbole_marn.errors import InputError
from recbole_marn.evaluation.cluster_statistics import PLACEMENTS, ClusterStatistics
from recbole_marn.evaluation.inputs import check_ids, check_labels, check_scores
from recbole_marn.evaluation.metrics import PerUserAUC, auc, per_user_auc, placements

__all__ = [
    "DeLongTest",
    "PairedUserTest",
    "delong_test",
    "delong_test_of_statistics",
    "delong_variance",
    "delong_variance_of_statistics",
    "holm",
    "mean_and_std",
    "paired_user_test",
    "paired_user_test_of_statistics",
    "sign_flip_p_value",
    "t_test_p_value",
    "welch_interval",
]

# A spread of AUC differences below this is rounding, not evidence: AUC is of order one, in float64.
_NO_SPREAD = 1e-12
# Random numbers held at once by the resampling loops: 4 million float64 are 32 MB.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class DeLongTest:
    """Paired comparison of two AUCs on the same rows; ``difference`` is a minus b."""

    auc_a: float
    auc_b: float
    difference: float
    standard_error: float
    z: float
    p_value: float


@dataclass(frozen=True)
class PairedUserTest:
    """Paired comparison of two UAUCs on the same users; ``difference`` is a minus b."""

    uauc_a: float
    uauc_b: float
    difference: float
    users: int
    t: float
    p_value_t: float
    p_value_sign_flip: float


def _component_variance(v10: np.ndarray, v01: np.ndarray, label: np.ndarray, cluster: np.ndarray) -> float:
    """Variance of mean(v10) = mean(v01), rows of one cluster being dependent (Obuchowski, 1997).

    With one row in each cluster this is DeLong's var(V10)/P + var(V01)/N. NaN where a class is in one cluster
    only.
    """
    clusters, row_cluster = np.unique(cluster, return_inverse=True)
    positive, negative = row_cluster[label], row_cluster[~label]
    total = len(clusters)
    return _variance_of_sums(
        np.bincount(positive, weights=v10 - v10.mean(), minlength=total) / len(v10),
        np.bincount(negative, weights=v01 - v01.mean(), minlength=total) / len(v01),
        np.bincount(positive, minlength=total),
        np.bincount(negative, minlength=total),
    )


def _variance_of_sums(
    sum10: np.ndarray, sum01: np.ndarray, positives: np.ndarray, negatives: np.ndarray
) -> float:
    """Obuchowski's variance from the centred components of each cluster (C,), divided by their number in all."""
    total = len(sum10)
    with_positive, with_negative = np.count_nonzero(positives), np.count_nonzero(negatives)
    if min(with_positive, with_negative) < 2:
        return float("nan")
    variance = (
        with_positive / (with_positive - 1) * (sum10 @ sum10)
        + with_negative / (with_negative - 1) * (sum01 @ sum01)
        + 2 * total / (total - 1) * (sum10 @ sum01)
    )
    return float(max(variance, 0.0))


def _clusters(user: ArrayLike | None, rows: int) -> np.ndarray:
    return np.arange(rows) if user is None else check_ids(user, rows)


def delong_variance(label: ArrayLike, score: ArrayLike, user: ArrayLike | None = None) -> float:
    """Variance of the AUC over all rows (DeLong et al., Biometrics 1988, by ranks as Sun and Xu, 2014).

    Args:
        label: (B,) of 0 and 1.
        score: (B,).
        user: (B,) where rows of one user depend on each other, as in every test set of one positive and its
            negatives; rows then count as clustered (Obuchowski, Biometrics 1997). Without it rows are taken
            as independent.

    Returns:
        The variance, or NaN with fewer than two rows (two users) of either class.

    Raises:
        InputError: as ``auc``.
    """
    label = check_labels(label)
    score = check_scores(score, len(label))
    cluster = _clusters(user, len(label))
    if label.all() or not label.any():
        return float("nan")
    return _component_variance(*placements(label, score), label, cluster)


def delong_test(
    label: ArrayLike, score_a: ArrayLike, score_b: ArrayLike, user: ArrayLike | None = None
) -> DeLongTest:
    """Two-sided test that two models, scored on the same rows, have the same AUC.

    Args:
        label: (B,) of 0 and 1.
        score_a: (B,) of the first model.
        score_b: (B,) of the second.
        user: (B,) to count the rows of a user as dependent, as in ``delong_variance``.

    Returns:
        z and p_value are 0 and 1 where both models order all pairs alike, and NaN where they differ without
        any spread to measure the difference by, or a class has fewer than two rows.

    Raises:
        InputError: as ``auc``.
    """
    label = check_labels(label)
    score_a = check_scores(score_a, len(label), "score_a")
    score_b = check_scores(score_b, len(label), "score_b")
    cluster = _clusters(user, len(label))
    auc_a, auc_b = auc(label, score_a), auc(label, score_b)
    error = float("nan")
    if label.any() and not label.all():
        a, b = placements(label, score_a), placements(label, score_b)
        # Components of the difference rather than var(a) + var(b) - 2 cov: nothing cancels for near twins.
        error = float(np.sqrt(_component_variance(a[0] - b[0], a[1] - b[1], label, cluster)))
    return _delong(auc_a, auc_b, error)


def _delong(auc_a: float, auc_b: float, error: float) -> DeLongTest:
    z = _standardised(auc_a - auc_b, error)
    return DeLongTest(auc_a, auc_b, auc_a - auc_b, error, z, float(2 * ndtr(-abs(z))))


def delong_variance_of_statistics(statistics: ClusterStatistics) -> float:
    """``delong_variance`` with clusters as users, from their statistics, without the scores."""
    return _variance_of_components(statistics, *(statistics.sums_of(name) for name in PLACEMENTS))


def delong_test_of_statistics(a: ClusterStatistics, b: ClusterStatistics) -> DeLongTest:
    """``delong_test`` of two models with clusters as users, from their statistics, without the scores.

    Raises:
        InputError: statistics of different rows.
    """
    a.check_same_rows(b)
    variance = _variance_of_components(a, *(a.sums_of(name) - b.sums_of(name) for name in PLACEMENTS))
    return _delong(a.auc(), b.auc(), float(np.sqrt(variance)))


def _variance_of_components(statistics: ClusterStatistics, v10: np.ndarray, v01: np.ndarray) -> float:
    """From sums of the components over each cluster (C,)."""
    positives, negatives = statistics.positives, statistics.negatives
    clicks, rest = positives.sum(), negatives.sum()
    if not clicks or not rest:
        return float("nan")
    return _variance_of_sums(
        (v10 - positives * (v10.sum() / clicks)) / clicks,
        (v01 - negatives * (v01.sum() / rest)) / rest,
        positives,
        negatives,
    )


def _standardised(difference: float, error: float) -> float:
    if error < _NO_SPREAD:
        return 0.0 if abs(difference) < _NO_SPREAD else float("nan")
    return difference / error


def t_test_p_value(difference: ArrayLike) -> tuple[float, float]:
    """Student's t and its two-sided p-value for a mean of zero.

    Args:
        difference: (U,) one difference a user.

    Returns:
        (t, p). (0, 1) where all differences are zero; NaN where they are equal but not zero, or fewer than
        two.

    Raises:
        InputError: a NaN, or more than one axis.
    """
    difference = _differences(difference)
    users = len(difference)
    if users < 2:
        return float("nan"), float("nan")
    t = _standardised(float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(users)))
    return t, float(2 * stdtr(users - 1, -abs(t)))


def welch_interval(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the difference of two means by Welch's t, spreads not taken as equal (Welch, Biometrika 1947).

    Args:
        a: (S,) values, such as a metric of each seed.
        b: (T,) of the other, independent of them.
        confidence: share of such intervals that hold the true difference.

    Returns:
        (low, high) of mean(a) - mean(b). NaN with fewer than two values of either, an undefined one, or no spread in
        both: seeds that all end alike do not say what others would.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if min(len(a), len(b)) < 2:
        return float("nan"), float("nan")
    of_a, of_b = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    variance = of_a + of_b
    if not variance > 0:
        return float("nan"), float("nan")
    freedom = variance**2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
    reach = stdtrit(freedom, (1 + confidence) / 2) * np.sqrt(variance)
    difference = a.mean() - b.mean()
    return float(difference - reach), float(difference + reach)


def sign_flip_p_value(difference: ArrayLike, permutations: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of a zero mean, by turning the sign of each user's difference at random.

    Swapping the two models for a user only turns the sign of that user's difference, so that under the null
    hypothesis all 2^U sign patterns are equally likely. All are counted where they are no more than
    ``permutations``; otherwise that many are drawn and the observed one is added (Phipson and Smyth, 2010),
    so that p is never 0.

    Args:
        difference: (U,) one difference a user. Zeros change nothing.
        permutations: patterns to draw, at least 1.
        seed: of the draw.

    Returns:
        p in (0, 1]; NaN without a user.

    Raises:
        InputError: a NaN, more than one axis, or no permutation.
    """
    differences = _differences(difference)
    if permutations < 1:
        raise InputError(
            "at least 1 permutation", f"{permutations}", "10,000 resolve p-values down to 0.0001."
        )
    if not len(differences):
        return float("nan")
    differences = differences[np.abs(differences) > _NO_SPREAD]
    size = np.abs(differences)
    # Sums of the same terms in another order differ by rounding; they are as extreme as the observed one.
    observed = abs(differences.sum()) - 1e-10 * size.sum()
    if len(size) < 60 and 2 ** len(size) <= permutations:
        bits = np.arange(2 ** len(size))[:, None] >> np.arange(len(size)) & 1
        return float(np.mean(np.abs((2 * bits - 1) @ size) >= observed))
    sums = _sign_flipped_sums(size, permutations, np.random.default_rng(seed))
    return float((1 + np.count_nonzero(np.abs(sums) >= observed)) / (1 + permutations))


def _sign_flipped_sums(size: np.ndarray, permutations: int, rng: np.random.Generator) -> np.ndarray:
    """Sums (R,) of ``size`` under random signs.

    Per-user AUCs take few values, and the positive signs among n users of one size are Binomial(n, 1/2): one
    draw a size replaces n draws. Sizes that occur once are drawn sign by sign, eight to a random byte.
    """
    values, counts = np.unique(np.round(size, 12), return_counts=True)
    often, single = counts > 1, values[counts == 1]
    sums = np.empty(permutations)
    step = max(1, _CHUNK // len(values))
    for start in range(0, permutations, step):
        rows = min(step, permutations - start)
        up = rng.binomial(counts[often], 0.5, size=(rows, int(often.sum())))
        random_bytes = rng.integers(0, 256, size=(rows, -(-len(single) // 8)), dtype=np.uint8)
        bits = np.unpackbits(random_bytes, axis=1, count=len(single))
        sums[start : start + rows] = (
            (2 * up - counts[often]) @ values[often] + 2 * (bits @ single) - single.sum()
        )
    return sums


def _differences(difference: ArrayLike) -> np.ndarray:
    column = np.asarray(difference, dtype=np.float64)
    if column.ndim != 1 or np.isnan(column).any():
        raise InputError(
            "one difference per user (U,), none of them NaN",
            f"shape {column.shape} with {np.isnan(column).sum()} NaN",
            "Take per_user_auc of both models on the same rows and subtract.",
        )
    return column


def paired_user_test(
    user: ArrayLike,
    label: ArrayLike,
    score_a: ArrayLike,
    score_b: ArrayLike,
    permutations: int = 10_000,
    seed: int = 0,
) -> PairedUserTest:
    """Two-sided tests that two models, scored on the same rows, have the same UAUC (paper eq. (11)).

    Users are the independent unit: each contributes the difference of the two AUCs on that user's own rows.

    Args:
        user: (B,) integer ids or tokens.
        label: (B,) of 0 and 1.
        score_a: (B,) of the first model.
        score_b: (B,) of the second.
        permutations: as ``sign_flip_p_value``.
        seed: as ``sign_flip_p_value``.

    Raises:
        InputError: as ``uauc``.
    """
    return _paired(
        per_user_auc(user, label, score_a), per_user_auc(user, label, score_b), permutations, seed
    )


def paired_user_test_of_statistics(
    a: ClusterStatistics, b: ClusterStatistics, permutations: int = 10_000, seed: int = 0
) -> PairedUserTest:
    """``paired_user_test`` with clusters as users, from their statistics, without the scores.

    Raises:
        InputError: statistics of different rows, or as ``sign_flip_p_value``.
    """
    a.check_same_rows(b)
    return _paired(a.per_cluster_auc(), b.per_cluster_auc(), permutations, seed)


def _paired(a: PerUserAUC, b: PerUserAUC, permutations: int, seed: int) -> PairedUserTest:
    difference = a.auc - b.auc
    t, p_value_t = t_test_p_value(difference)
    mean_a, mean_b = a.mean(), b.mean()
    p_value_flip = sign_flip_p_value(difference, permutations, seed)
    return PairedUserTest(mean_a, mean_b, mean_a - mean_b, len(difference), t, p_value_t, p_value_flip)


def holm(p_values: ArrayLike, family: int | None = None) -> np.ndarray:
    """Holm's step-down correction (Scand. J. Stat. 1979): bounds the chance of any false positive.

        adjusted p_(k) = max over j <= k of min(1, (m - j + 1) p_(j)),   p_(1) <= ... <= p_(m)

    Args:
        p_values: (m,) of all the tests that are reported together. A NaN (a test that could not be made)
            stays NaN and counts as a test, so that it cannot make the others look better.
        family: tests among which these were chosen after a look at the data, at least m (default: m). The k-th
            smallest of these is at best the k-th smallest of all, so that factors from `family` downwards bound
            the chance of a false positive whatever the choice.

    Returns:
        Adjusted p-values (m,) in the order given; compare them with the level itself.

    Raises:
        InputError: a value outside [0, 1], more than one axis, or a family of fewer tests than there are.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    if family is not None and family < p_values.size:
        raise InputError(f"a family of at least the {p_values.size} tests", f"{family}", "Count all of them.")
    if p_values.ndim != 1 or np.any((p_values < 0) | (p_values > 1)):
        raise InputError(
            "p-values (m,) between 0 and 1", f"{p_values.tolist()}", "Pass the uncorrected p-values."
        )
    order = np.argsort(p_values, kind="stable")  # NaN sorts last, where it touches no other value
    factor = (family or len(p_values)) - np.arange(len(p_values))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(factor * p_values[order]), 1.0)
    return adjusted


def mean_and_std(values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sample standard deviation (divisor S - 1) over seeds.

    Args:
        values: (S, ...) with one entry a seed along the first axis.

    Returns:
        Both of shape (...). The standard deviation of a single seed is NaN, not 0: nothing is known of it.

    Raises:
        InputError: no seed.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0 or not len(values):
        raise InputError(
            "values of at least one seed (S, ...)", f"shape {values.shape}", "Pass one entry per seed."
        )
    if len(values) == 1:
        return values[0], np.full(values.shape[1:], np.nan)[()]
    return values.mean(axis=0), values.std(axis=0, ddof=1)
