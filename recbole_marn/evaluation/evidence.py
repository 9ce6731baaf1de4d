"""What travels with a record so that its metrics, intervals and tests are made again without the scores of rows.

Sums by user, and by request where rows come in requests: some ten bytes each, where scores of every row are megabytes.
Intervals and tests are of the test part alone: of the others the pairs in order are kept by user, the rest in total.
Placements travel as what they are shares of, whole numbers of pairs: exact, and half as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from recbole_marn.evaluation.bins import equal_frequency_groups, equal_width_bins
from recbole_marn.evaluation.cluster_statistics import PLACEMENTS, ClusterStatistics, cluster_statistics
from recbole_marn.evaluation.packing import packed, packed_alike, unpacked, unusable
from recbole_marn.evaluation.request_metrics import request_metrics
from recbole_marn.evaluation.scores import ranked_by

__all__ = [
    "REQUEST_METRICS",
    "CalibrationBins",
    "Evidence",
    "RankedRequests",
    "alike",
    "evidence_of",
    "evidence_of_parts",
    "pack",
    "unpack",
]

# All rows of a part as one cluster.
TOTAL = "total"
# Metrics of requests with both classes, as a record calls them.
REQUEST_METRICS = {"request AUC": "AUC", "MRR": "MRR", "nDCG@5": "nDCG@5", "nDCG@10": "nDCG@10"}
CLUSTER_ARRAYS = tuple(field.name for field in fields(ClusterStatistics))
PAIR_ARRAYS = ("cluster", "positives", "negatives", "doubled_wins")
BINS = 10
# What rounding to 16 bits can add to a sum at its limit.
SLACK = 1 + 2e-5


@dataclass(frozen=True)
class RankedRequests:
    """Sums over the requests of a cluster that have a click and a non-click.

    Attributes:
        number: (C,) such requests.
        sums: (C,) of each metric of `REQUEST_METRICS`.
    """

    number: np.ndarray
    sums: Mapping[str, np.ndarray]

    def mean(self, metric: str) -> float:
        """Over all requests; NaN without any."""
        number = self.number.sum()
        return float(self.sums[metric].sum() / number) if number else float("nan")

    def in_total(self) -> RankedRequests:
        """All clusters as one."""
        sums = {name: values.sum(keepdims=True) for name, values in self.sums.items()}
        return RankedRequests(self.number.sum(keepdims=True), sums)


@dataclass(frozen=True)
class CalibrationBins:
    """Rows, clicks and the sum of probabilities of bins (M,) by probability; empty bins are left out."""

    rows: np.ndarray
    clicks: np.ndarray
    predicted: np.ndarray

    def expected_calibration_error(self) -> float:
        """As ``metrics.expected_calibration_error`` over these bins."""
        return float(np.abs(self.predicted - self.clicks).sum() / self.rows.sum())

    def predicted_over_observed(self) -> float:
        """As ``metrics.predicted_over_observed``."""
        clicks = self.clicks.sum()
        return float(self.predicted.sum() / clicks) if clicks else float("nan")


@dataclass(frozen=True)
class Evidence:
    """Of one model on one part.

    Attributes:
        clusters: sums by "user", and by "request" where rows have one; or of these the pairs alone and sums in "total".
            Probabilities are summed by them for a log alone, where predicted over observed has an interval.
        requests: the metrics of requests by the same units, or in "total"; empty without requests.
        bins: of equal mass for a log, else of equal width.
    """

    clusters: Mapping[str, ClusterStatistics]
    requests: Mapping[str, RankedRequests]
    bins: CalibrationBins

    def metrics(self, log: bool) -> dict[str, float]:
        """What ``scores.part_metrics`` says of the scores, to the rounding of the sums."""
        users = self.clusters["user"]
        rows = self.clusters.get(TOTAL, users)
        found = {
            "AUC": rows.auc(),
            "UAUC": users.uauc(),
            "LogLoss": rows.log_loss(),
            "ECE": self.bins.expected_calibration_error(),
            "predicted/observed": self.bins.predicted_over_observed(),
        }
        if not log:
            return found
        found |= {"GAUC": users.gauc(), "GAUC-clicks": users.gauc("clicks"), "NE": rows.normalised_entropy()}
        if self.requests:
            requests = self.clusters["request"]
            ranked = self.requests.get(TOTAL) or self.requests["request"]
            found |= {name: ranked.mean(name) for name in ranked.sums}
            found |= {
                "requests": int(ranked.number.sum()),
                "requests without a click": int((requests.positives == 0).sum()),
                "requests without a non-click": int((requests.negatives == 0).sum()),
            }
        return found

    def in_total(self) -> Evidence:
        """The same metrics from less: pairs by user and request, everything else in total."""
        users, ranked = self.clusters["user"], self.requests.get("user")
        pairs = {unit: one.wins_alone() for unit, one in self.clusters.items()}
        requests = {} if ranked is None else {TOTAL: ranked.in_total()}
        total = replace(users.in_total(), predicted=None)  # the bins have it
        return Evidence({**pairs, TOTAL: total}, requests, self.bins)


# -------------------------------------------------------------------------------------------- from scores
def evidence_of_parts(parts: Mapping[str, Mapping[str, np.ndarray]], log: bool) -> dict[str, Evidence]:
    """What a record keeps of its parts: the test part in full, the others in total; columns as `evidence_of`."""
    made = {part: evidence_of(columns, log) for part, columns in parts.items()}
    return {part: one if part == "test" else one.in_total() for part, one in made.items()}


def evidence_of(columns: Mapping[str, np.ndarray], log: bool) -> Evidence:
    """The evidence of one part's scores.

    Args:
        columns: as `scores.part_metrics`.
        log: rows are exposures of a log.
    """
    label, score, order = columns["label"], columns["score"], ranked_by(columns)
    units = [unit for unit in ("user", "request") if unit in columns]
    clusters = {unit: cluster_statistics(columns[unit], label, score, order=order) for unit in units}
    requests = _ranked(columns, clusters) if log and "request" in columns else {}
    if not requests:
        clusters.pop("request", None)
    if not log:
        clusters = {unit: replace(one, predicted=None) for unit, one in clusters.items()}
    return Evidence(clusters, requests, _bins(label, score, log))


def _ranked(
    columns: Mapping[str, np.ndarray], clusters: Mapping[str, ClusterStatistics]
) -> dict[str, RankedRequests]:
    found = request_metrics(columns["request"], columns["label"], ranked_by(columns), top=())
    request, first = np.unique(columns["request"], return_index=True)
    at = np.searchsorted(request, found.request)
    user = np.searchsorted(clusters["user"].cluster, columns["user"][first])  # a request has one user
    ranked = {}
    for unit, place in (("request", at), ("user", user[at])):
        length = len(clusters[unit].cluster)
        sums = {
            name: np.bincount(place, weights=found.values[value], minlength=length)
            for name, value in REQUEST_METRICS.items()
        }
        ranked[unit] = RankedRequests(np.bincount(place, minlength=length), sums)
    return ranked


def _bins(label: np.ndarray, score: np.ndarray, log: bool) -> CalibrationBins:
    score = np.asarray(score, dtype=np.float64)
    if log:
        row_bin = np.unique(equal_frequency_groups(score, BINS), return_inverse=True)[1]
    else:
        row_bin = equal_width_bins(score, BINS)
    rows = np.bincount(row_bin)
    sums = [np.bincount(row_bin, weights=values) for values in (label, score)]
    filled = rows > 0
    return CalibrationBins(rows[filled], sums[0][filled].astype(np.int64), sums[1][filled])


# ------------------------------------------------------------------------------------------------- bytes
def pack(parts: Mapping[str, Evidence]) -> bytes:
    """The evidence of all parts of a run as bytes: the same for the same evidence."""
    arrays = _arrays(parts)
    return packed({name: arrays[name] for name in sorted(arrays)})


def alike(parts: Mapping[str, Evidence], others: Mapping[str, Evidence]) -> bool:
    """Whether `pack` makes the same bytes of both."""
    return packed_alike(_arrays(parts), _arrays(others))


def _arrays(parts: Mapping[str, Evidence]) -> dict[str, np.ndarray]:
    return {name: values for part, one in parts.items() for name, values in _named(part, one)}


def _named(part: str, evidence: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    for unit, clusters in evidence.clusters.items():
        arrays = vars(clusters) | {"cluster": _gaps(clusters.cluster)}
        for name, others in _doubled_others(clusters.positives, clusters.negatives).items():
            if arrays[name] is not None:
                arrays[name] = np.rint(others * arrays[name]).astype(np.int64)
        yield from ((f"{part}/{unit}/{name}", values) for name, values in arrays.items() if values is not None)
    for unit, ranked in evidence.requests.items():
        yield f"{part}/{unit}/requests", ranked.number
        yield from ((f"{part}/{unit}/{name}", values) for name, values in ranked.sums.items())
    yield from ((f"{part}/bins/{name}", values) for name, values in vars(evidence.bins).items())


def _doubled_others(positives: np.ndarray, negatives: np.ndarray) -> dict[str, int]:
    """Of each placement twice the rows of the other class, so that ties, one half, are whole as well."""
    return dict(zip(PLACEMENTS, (2 * int(negatives.sum()), 2 * int(positives.sum())), strict=True))


def _gaps(cluster: np.ndarray) -> np.ndarray:
    """Ids in order as their differences, which are few bytes; tokens as they are."""
    return np.diff(cluster.astype(np.int64), prepend=0) if cluster.dtype.kind in "iu" else cluster


def unpack(content: bytes) -> dict[str, Evidence]:
    """The evidence by part from `pack`.

    Raises:
        InputError: not written by `pack`, or arrays that contradict each other.
    """
    parts: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for key, values in unpacked(content).items():
        names = key.split("/")
        if len(names) != 3 or values.ndim != 1 or not len(values):
            raise unusable(f"an array '{key}'")
        parts.setdefault(names[0], {}).setdefault(names[1], {})[names[2]] = values
    try:
        return {part: _evidence(arrays) for part, arrays in parts.items()}
    except (KeyError, TypeError) as error:
        raise unusable(f"other arrays ({error})") from error


def _evidence(units: dict[str, dict[str, np.ndarray]]) -> Evidence:
    bins = CalibrationBins(**units.pop("bins"))
    clusters, requests = {}, {}
    for unit, arrays in units.items():
        if "requests" in arrays:
            sums = {name: arrays.pop(name) for name in REQUEST_METRICS}
            requests[unit] = RankedRequests(arrays.pop("requests"), sums)
            _check_ranked(requests[unit])
        if arrays["cluster"].dtype.kind == "i":
            arrays["cluster"] = np.cumsum(arrays["cluster"])
        pairs_alone = unit != TOTAL and TOTAL in units
        wanted = PAIR_ARRAYS if pairs_alone else CLUSTER_ARRAYS
        found = {name: arrays.pop(name) for name in wanted if name in arrays or name != "predicted"}
        _check_clusters(found)
        for name, others in _doubled_others(found["positives"], found["negatives"]).items():
            if name in found:
                found[name] = found[name] / max(others, 1)
        clusters[unit] = ClusterStatistics(*(found.get(name) for name in CLUSTER_ARRAYS))  # type: ignore[arg-type]
        if arrays or (unit in requests and len(requests[unit].number) != len(clusters[unit].cluster)):
            raise unusable("arrays of different lengths, or too many")
    users = clusters["user"]
    if len({len(values) for values in vars(bins).values()}) != 1 or bins.rows.sum() != users.rows.sum():
        raise unusable("bins of other rows")
    if len({(one.positives.sum(), one.negatives.sum()) for one in clusters.values()}) != 1:
        raise unusable("units of other rows")
    summed = [one.predicted.sum() for one in clusters.values() if one.predicted is not None]
    if not np.allclose(summed, bins.predicted.sum(), rtol=1e-5):
        raise unusable("bins of other probabilities")
    return Evidence(clusters, requests, bins)


def _check_clusters(arrays: Mapping[str, np.ndarray]) -> None:
    """That no array contradicts the counts."""
    for name in arrays.keys() & {*PAIR_ARRAYS, *PLACEMENTS, "clipped"}:
        if arrays[name].dtype.kind not in ("iuU" if name == "cluster" else "iu"):
            raise unusable(f"{name} that are no whole numbers")
    if len({len(values) for values in arrays.values()}) != 1:
        raise unusable("arrays of different lengths")
    cluster, positives, negatives = (arrays[name] for name in ("cluster", "positives", "negatives"))
    rows = positives + negatives
    below = np.any(np.minimum(positives, negatives) < 0) or np.any(rows < 1)
    if below or np.any(cluster[1:] <= cluster[:-1]):
        raise unusable("clusters out of order or without rows, or counts below zero")
    upper = {
        "doubled_wins": 2 * positives * negatives,
        "positive_placements": 2 * positives * negatives.sum(),
        "negative_placements": 2 * negatives * positives.sum(),
        "loss": np.full(len(rows), np.inf),
        "predicted": rows,
        "clipped": rows,
    }
    _check_between({name: (arrays[name], most) for name, most in upper.items() if name in arrays})
    if len({int(arrays[name].sum()) for name in PLACEMENTS if name in arrays}) > 1:
        raise unusable("pairs that clicks and non-clicks do not share")


def _check_ranked(one: RankedRequests) -> None:
    _check_between({name: (values, one.number) for name, values in one.sums.items()})


def _check_between(limits: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    for name, (values, most) in limits.items():
        if values.shape != most.shape or not np.all((values >= 0) & (values <= most * SLACK) & np.isfinite(values)):
            raise unusable(f"{name} that the counts do not allow")
