"""Metrics of requests (impressions, slates, candidate lists): AUC, MRR, nDCG@K, Recall@K, Hit@K of each.

Equal scores are counted in expectation: each value is the mean over all orders of the tied rows. A stable order would
reward whoever listed the clicks first, and a constant score would have the metrics of the file's order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from recbole_marn.errors import InputError
from recbole_marn.evaluation.inputs import check_ids, check_labels, check_scores
from recbole_marn.evaluation.ties import TieRuns, tie_runs

__all__ = ["RequestMetrics", "always_one", "request_metrics"]


@dataclass(frozen=True)
class RequestMetrics:
    """Metrics of each of R requests that have a click and a non-click, sorted by request id.

    Attributes:
        request: (R,) ids.
        positives: (R,) clicks.
        negatives: (R,) non-clicks.
        values: (R,) of each metric by name: ``AUC``, ``MRR``, ``nDCG@K``, ``Recall@K``, ``Hit@K``.
        without_click: requests that were left out, since there is nothing to rank high.
        without_non_click: requests that were left out, since there is nothing to rank low.
    """

    request: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    values: dict[str, np.ndarray]
    without_click: int
    without_non_click: int

    def means(self) -> dict[str, float]:
        """Mean over the R requests of each metric, NaN where all requests were left out."""
        return {name: float(one.mean()) if len(one) else float("nan") for name, one in self.values.items()}


def request_metrics(
    request: ArrayLike,
    label: ArrayLike,
    score: ArrayLike,
    ndcg_at: Sequence[int] = (5, 10),
    top: Sequence[int] = (5, 10),
) -> RequestMetrics:
    """Metrics of every request that has both classes; ties in expectation.

    AUC, MRR and nDCG@K are those of MIND's evaluation (Wu et al., ACL 2020), where P is the number of clicks of a
    request and rank 1 its highest score:

        MRR    = 1/P sum over clicks of 1/rank          (all clicks, not the first alone)
        nDCG@K = sum over clicks with rank <= K of 1/log2(1 + rank)  /  the same of P clicks ranked first
        Recall@K = share of the P clicks with rank <= K
        Hit@K  = 1 where any click has rank <= K

    With one click a request, MRR is the reciprocal rank and Recall@K is Hit@K.

    Args:
        request: (B,) integer ids or tokens, in any order.
        label: (B,) of 0 and 1.
        score: (B,) logits or probabilities; only their order counts.
        ndcg_at: the K of nDCG@K.
        top: the K of Recall@K and Hit@K.

    Raises:
        InputError: as ``auc``, ids that are neither integers nor strings, or a K below 1.
    """
    for k in (*ndcg_at, *top):
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise InputError("every K to be a whole number from 1 up", repr(k), "5 and 10 are usual.")
    label = check_labels(label)
    score = check_scores(score, len(label))
    runs = tie_runs(check_ids(request, len(label), "request"), label, score)
    positives, negatives = runs.total(runs.positives), runs.total(runs.negatives)
    both = (positives > 0) & (negatives > 0)
    values = _values(runs, positives, negatives, ndcg_at, top)
    return RequestMetrics(
        request=runs.group[both],
        positives=positives[both],
        negatives=negatives[both],
        values={name: value[both] for name, value in values.items()},
        without_click=int(np.count_nonzero(positives == 0)),
        without_non_click=int(np.count_nonzero(negatives == 0)),
    )


def always_one(longest: int, top: Sequence[int]) -> str:
    """What to say of Recall@K and Hit@K where no request has more than `longest` rows, or ""."""
    names = [f"{name}@{k}" for k in top if k >= longest for name in ("Recall", "Hit")]
    if not names:
        return ""
    return f"{', '.join(names)} of requests are 1 whatever the scores: no request of test has more than {longest} rows"


def _values(
    runs: TieRuns, positives: np.ndarray, negatives: np.ndarray, ndcg_at: Sequence[int], top: Sequence[int]
) -> dict[str, np.ndarray]:
    """Each metric (G,) of all requests; those of one class hold numbers without a meaning."""
    clicks = runs.positives
    tied = clicks + runs.negatives
    above = runs.spread(positives + negatives) - runs.rows_below - tied  # rows that score higher
    last = above + tied  # the run fills ranks above + 1 .. last
    rank = np.arange(1, int(last.max()) + 1)
    at_least_one = np.maximum(positives, 1)
    # Each of a run's ranks holds a click with probability clicks / tied.
    share = clicks / tied
    reciprocal = np.concatenate(([0.0], np.cumsum(1 / rank)))
    discount = np.concatenate(([0.0], np.cumsum(1 / np.log2(1 + rank))))
    values = {
        "AUC": runs.doubled_wins() / np.maximum(2 * positives * negatives, 1),
        "MRR": runs.total(share * (reciprocal[last] - reciprocal[above])) / at_least_one,
    }
    for k in ndcg_at:
        gain = runs.total(share * (discount[np.minimum(last, k)] - discount[np.minimum(above, k)]))
        values[f"nDCG@{k}"] = gain / discount[np.minimum(at_least_one, k)]
    for k in top:
        places = np.clip(k - above, 0, tied)  # ranks of the run that are among the first K
        values[f"Recall@{k}"] = runs.total(share * places) / at_least_one
        values[f"Hit@{k}"] = 1 - np.exp(runs.total(_log_chance_of_none(clicks, tied, places)))
    return values


def _log_chance_of_none(clicks: np.ndarray, tied: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Logarithm (T,) of C(n - c, k) / C(n, k): none of c clicks is among k places drawn of a run of n rows."""
    rest = tied - clicks
    possible = places <= rest
    left = np.where(possible, rest - places, 0)
    log_chance = gammaln(rest + 1) - gammaln(left + 1) + gammaln(tied - places + 1) - gammaln(tied + 1)
    # Exact where nothing is drawn or there is no click: the sums of logarithms leave rounding.
    log_chance = np.where((places == 0) | (clicks == 0), 0.0, log_chance)
    return np.where(possible, log_chance, -np.inf)
