"""Intervals and tests of a mean over seeds, against SciPy, loops and the functions for one seed."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from recbole_marn.evaluation.bootstrap import bootstrap_over_clusters
from recbole_marn.evaluation.evidence import evidence_of
from recbole_marn.evaluation.metrics import auc, log_loss, per_user_auc, uauc
from recbole_marn.evaluation.seeds import auc_of_means_test, interval, paired_over_users, user_means
from recbole_marn.evaluation.significance import delong_test, delong_variance, holm, welch_interval
from recbole_marn.leaderboard.statistics import Comparison, TableRow, best_row, mean_of_seeds, statistics_of

USERS, ROWS = 60, 5


def seeds(skill, number, rng, digits=1):
    """Scores with ties, of `number` seeds."""
    user, label = np.repeat(np.arange(USERS), ROWS), np.tile([1.0, 0, 0, 0, 0], USERS)
    taste = rng.normal(size=len(user))
    return [
        {"user": user, "label": label,
         "score": 1 / (1 + np.exp(-np.round(skill * label + taste + rng.normal(size=len(user)), digits)))}
        for _ in range(number)
    ]  # fmt: skip


def seen(several):
    """The evidence of score columns."""
    return None if several is None else [evidence_of(columns, log=False) for columns in several]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


# -------------------------------------------------------------------------------------------------- DeLong
def test_one_seed_is_delongs_test(rng):
    a, b = seeds(1.0, 1, rng), seeds(0.6, 1, rng)
    found = auc_of_means_test(seen(a), seen(b))
    wanted = delong_test(a[0]["label"], a[0]["score"], b[0]["score"], user=a[0]["user"])
    assert found["difference"] == pytest.approx(wanted.difference)
    assert found["z"] == pytest.approx(wanted.z)
    assert found["p"] == pytest.approx(wanted.p_value)


def placements(columns):
    """By the definition: the share of the other class that each row beats, ties one half."""
    label = columns["label"] == 1
    positive, negative = columns["score"][label], columns["score"][~label]
    wins = (positive[:, None] > negative[None]) + 0.5 * (positive[:, None] == negative[None])
    return wins.mean(axis=1), wins.mean(axis=0)


def mean_placements(several):
    return [np.mean(values, axis=0) for values in zip(*(placements(columns) for columns in several), strict=True)]


@pytest.mark.parametrize(("number_a", "number_b"), [(3, 3), (2, 3), (1, 4)])
def test_auc_of_means_by_placements(rng, number_a, number_b):
    """The variance of the mean of several AUCs, from the definition with loops over users (Obuchowski, 1997)."""
    a, b = seeds(1.0, number_a, rng), seeds(0.8, number_b, rng)
    (a10, a01), (b10, b01) = mean_placements(a), mean_placements(b)
    v10, v01 = a10 - b10, a01 - b01
    difference = v10.mean()
    label, user = a[0]["label"] == 1, a[0]["user"]
    s10 = s01 = s11 = 0.0
    for one in range(USERS):
        x = (v10[user[label] == one] - v10.mean()).sum()
        y = (v01[user[~label] == one] - v01.mean()).sum()
        s10, s01, s11 = s10 + x * x, s01 + y * y, s11 + x * y
    factor = USERS / (USERS - 1)
    positives, negatives = label.sum(), (~label).sum()
    variance = factor * (s10 / positives**2 + s01 / negatives**2 + 2 * s11 / (positives * negatives))
    found = auc_of_means_test(seen(a), seen(b))
    means = [np.mean([auc(c["label"], c["score"]) for c in several]) for several in (a, b)]
    assert found["difference"] == pytest.approx(means[0] - means[1])
    assert found["difference"] == pytest.approx(difference)
    assert found["z"] == pytest.approx(difference / math.sqrt(variance))
    assert found["p"] == pytest.approx(2 * stats.norm.sf(abs(found["z"])))


def test_equal_rows_do_not_differ(rng):
    a = seen(seeds(1.0, 2, rng))
    assert auc_of_means_test(a, a)["p"] == 1
    assert paired_over_users(user_means(a), user_means(a))["p"] == 1


def test_false_positives_of_the_auc_test_are_near_five_percent():
    rng = np.random.default_rng(0)
    p = [auc_of_means_test(seen(seeds(1.0, 2, rng, 6)), seen(seeds(1.0, 2, rng, 6)))["p"] for _ in range(400)]
    assert 0.025 < np.mean(np.array(p) < 0.05) < 0.085


# --------------------------------------------------------------------------------------------- over users
def test_uauc_of_means_is_scipys_paired_test(rng):
    a, b = seeds(1.0, 3, rng), seeds(0.7, 2, rng)
    x, y = ([per_user_auc(c["user"], c["label"], c["score"]).auc for c in several] for several in (a, b))
    found = paired_over_users(user_means(seen(a)), user_means(seen(b)))
    wanted = stats.ttest_rel(np.mean(x, axis=0), np.mean(y, axis=0))
    assert found["t"] == pytest.approx(wanted.statistic)
    assert found["p"] == pytest.approx(wanted.pvalue)
    assert found["p_sign_flip"] == pytest.approx(found["p"], abs=0.03)


# ---------------------------------------------------------------------------------------------- intervals
def test_interval_of_auc_is_normal_with_delongs_variance(rng):
    columns = seeds(1.0, 1, rng)
    c = columns[0]
    reach = stats.norm.ppf(0.975) * delong_variance(c["label"], c["score"], c["user"]) ** 0.5
    mean = auc(c["label"], c["score"])
    assert interval(seen(columns), "AUC", 2) == pytest.approx([mean - reach, mean + reach])


def test_interval_of_auc_is_that_of_resampling_users(rng):
    """Two ways to one answer, of the mean over two seeds."""
    columns = seeds(1.0, 2, rng)
    table = np.stack([c["score"] for c in columns])
    drawn = bootstrap_over_clusters(columns[0]["user"], columns[0]["label"], table, "AUC", 2000)
    ends = np.quantile(drawn.samples.mean(axis=1), [0.025, 0.975])
    assert interval(seen(columns), "AUC", 2) == pytest.approx(list(ends), abs=0.006)


@pytest.mark.parametrize("metric", ["UAUC", "LogLoss"])
def test_interval_by_resampling_whole_users(rng, metric):
    columns = seeds(1.0, 2, rng)
    measure = {"UAUC": uauc, "LogLoss": lambda u, y, s: log_loss(y, s)}[metric]
    draws, means = np.random.default_rng(0), []
    rows = np.arange(USERS * ROWS).reshape(USERS, ROWS)
    for _ in range(300):
        chosen = draws.integers(USERS, size=USERS)
        index, user = rows[chosen].ravel(), np.repeat(np.arange(USERS), ROWS)
        means.append(np.mean([measure(user, c["label"][index], c["score"][index]) for c in columns]))
    low, high = interval(seen(columns), metric, 300)
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=1e-9)


# ------------------------------------------------------------------------------------------------- tables
def record(run, seed, values, part="test"):
    metrics = {name: value for name, value in zip(("AUC", "UAUC", "LogLoss"), values, strict=True)}
    return {
        "run": run,
        "sha256": run,
        "seed": seed,
        "metrics": {part: metrics},
        "scores": {"sha256": f"scores of {run}"},
    }


def said(statistics):
    """Statistics as text, in which one NaN is like another."""
    return json.dumps(statistics)


def rows_of(*values):
    return [TableRow(f"row{i}", (record(f"run{i}", 2020, v),)) for i, v in enumerate(values)]


def test_mean_and_deviation_over_seeds():
    row = TableRow("r", tuple(record(f"r{i}", i, (v, v, v)) for i, v in enumerate((0.7, 0.8, 0.75))))
    assert mean_of_seeds(row, "AUC") == pytest.approx((0.75, 0.05))
    single = mean_of_seeds(TableRow("r", row.records[:1]), "AUC")
    assert single[0] == 0.7 and math.isnan(single[1])
    assert all(math.isnan(value) for value in mean_of_seeds(row, "UAUC", "test_matched"))


def test_an_undefined_metric_of_one_seed_leaves_the_row_undefined():
    row = TableRow("r", (record("a", 1, (0.7, None, 0.5)), record("b", 2, (0.8, 0.8, 0.5))))
    assert math.isnan(mean_of_seeds(row, "UAUC")[0])
    other = TableRow("s", (record("c", 1, (0.6, 0.6, 0.5)),))
    assert best_row([row, other], "UAUC") is other
    assert best_row([row], "UAUC") is None


def table_statistics(rows, columns, **more):
    def scores(row, part):
        return seen(columns[row.label])

    return statistics_of("d", rows, scores, Comparison("row0", 20), **more)


@pytest.fixture
def table(rng):
    columns = {f"row{i}": seeds(skill, 1, rng) for i, skill in enumerate((0.3, 0.8, 1.4))}
    values = []
    for several in columns.values():
        c = several[0]
        values.append((auc(c["label"], c["score"]), uauc(c["user"], c["label"], c["score"]), 0.5))
    return rows_of(*values), columns


def test_holm_corrects_each_column_by_itself(table):
    rows, columns = table
    tests = table_statistics(rows, columns)["tests"]
    column = [test for test in tests if (test["metric"], test["against"]) == ("AUC", "baseline")]
    assert [test["row"] for test in column] == ["row1", "row2"]
    assert [test["p_holm"] for test in column] == pytest.approx(list(holm([test["p"] for test in column])))
    # Two tests by hand: the smaller p doubled, the larger at least as large.
    small, large = sorted(column, key=lambda test: test["p"])
    assert small["p_holm"] == pytest.approx(min(1, 2 * small["p"]))
    assert large["p_holm"] == pytest.approx(max(small["p_holm"], large["p"]))
    # Against the best row, which is known from the same scores: among the three pairs of rows.
    best = [test for test in tests if (test["metric"], test["against"]) == ("AUC", "best")]
    small, large = sorted(best, key=lambda test: test["p"])
    assert small["p_holm"] == pytest.approx(min(1, 3 * small["p"]))
    assert large["p_holm"] == pytest.approx(max(small["p_holm"], min(1, 2 * large["p"])))
    assert 0 < small["p_holm"] < 1


def test_a_difference_over_seeds_is_scipys_welch_interval(table, rng):
    rows, columns = table
    several = [rng.normal(mean, 0.01, number) for mean, number in ((0.6, 3), (0.7, 5), (0.8, 2))]
    records = [[record(f"{row.label} {i}", i, (v, v, v)) for i, v in enumerate(values)]
               for row, values in zip(rows, several, strict=True)]  # fmt: skip
    rows = [TableRow(row.label, tuple(of_row)) for row, of_row in zip(rows, records, strict=True)]
    tests = {t["row"]: t for t in table_statistics(rows, {k: v * 5 for k, v in columns.items()})["tests"]
             if (t["metric"], t["against"]) == ("AUC", "best")}  # fmt: skip
    for row, values in (("row0", several[0]), ("row1", several[1])):
        wanted = stats.ttest_ind(values, several[2], equal_var=False).confidence_interval(0.95)
        assert tests[row]["over_seeds"] == pytest.approx([wanted.low, wanted.high])


@pytest.mark.parametrize(
    "pair", [([0.5], [0.6, 0.7]), ([0.5, 0.5], [0.6, 0.6]), ([math.nan, 0.5], [0.6, 0.7]), ([], [1, 2])]
)
def test_too_few_seeds_or_no_spread_have_no_interval(pair):
    assert all(map(math.isnan, welch_interval(*pair)))


def test_relative_improvement_by_hand(table):
    rows, columns = table
    test = next(
        t for t in table_statistics(rows, columns)["tests"] if t["row"] == "row1" and t["against"] == "baseline"
    )
    mean, base = (mean_of_seeds(row, "AUC")[0] for row in rows[1::-1])
    assert test["relative_improvement"] == pytest.approx((mean - 0.5) / (base - 0.5) - 1)


def test_every_row_is_tested_against_the_best_but_the_best_itself(table):
    rows, columns = table
    tests = table_statistics(rows, columns)["tests"]
    assert {t["row"] for t in tests if t["against"] == "best"} == {"row0", "row1"}
    assert {t["reference"] for t in tests if t["against"] == "best"} == {"row2"}


def test_absent_scores_leave_what_was_known_and_invent_nothing(table):
    rows, columns = table
    whole = table_statistics(rows, columns)
    gone = {**columns, "row1": None}
    kept = table_statistics(rows, gone, known=whole)
    assert kept["intervals"] == whole["intervals"] and said(kept["tests"]) == said(whole["tests"])
    less = table_statistics(rows, gone)
    assert set(less["intervals"]) == {"row0", "row2"}
    assert all("row1" not in (test["row"], test["reference"]) for test in less["tests"])


def test_known_numbers_of_other_scores_are_not_used(table):
    rows, columns = table
    whole = table_statistics(rows, columns)
    other = [TableRow(row.label, ({**row.records[0], "scores": {"sha256": "new"}},)) for row in rows]
    assert table_statistics(other, dict.fromkeys(columns), known=whole)["intervals"] == {}


def test_recomputing_ignores_what_is_known(table):
    rows, columns = table
    whole = table_statistics(rows, columns)
    forged = {**whole, "intervals": {key: {**entry, "AUC test": [0, 1]} for key, entry in whole["intervals"].items()}}
    assert table_statistics(rows, columns, known=forged)["intervals"]["row1"]["AUC test"] == [0, 1]
    forged["tests"] = [{**test, "p": 0.001} for test in whole["tests"]]
    assert {test["p"] for test in table_statistics(rows, columns, known=forged)["tests"]} == {0.001}
    assert said(table_statistics(rows, columns, known=forged, recompute=True)) == said(whole)


def test_a_degenerate_test_stays_undefined(table):
    """Every user's difference is the same: no spread to measure it by."""
    rows, columns = table
    user, label = np.repeat(np.arange(4), 2), np.tile([1.0, 0.0], 4)
    right = {"user": user, "label": label, "score": np.tile([0.9, 0.1], 4)}
    wrong = {"user": user, "label": label, "score": np.tile([0.1, 0.9], 4)}
    rows = rows_of((0.0, 0.0, 0.5), (1.0, 1.0, 0.5))
    tests = table_statistics(rows, {"row0": [wrong], "row1": [right]})["tests"]
    assert all(math.isnan(test["p"]) and math.isnan(test["p_holm"]) for test in tests)
