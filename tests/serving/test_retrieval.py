"""Short lists of items: exact where a score is an inner product, else what they miss is told."""

import csv
import json

import numpy as np
import pytest
from scipy.special import expit

from recbole_marn.cli import main
from recbole_marn.errors import InputError
from recbole_marn.serving.retrieval import Retrieval, agreement

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(500, 8)).astype(np.float32)
NUMBERS = RNG.permutation(1_000)[:500]


def test_the_nearest_are_those_with_the_largest_products():
    retrieval, query = Retrieval(NUMBERS, VECTORS, 20), RNG.normal(size=8).astype(np.float32)
    products = sorted(((float(vector @ query), number) for number, vector in zip(NUMBERS, VECTORS, strict=True)))
    assert set(retrieval.nearest(query)) == {number for _, number in products[-20:]}
    assert set(retrieval.nearest(query, 3)) == {number for _, number in products[-3:]}
    assert len(retrieval.nearest(query, 10_000)) == 500


def test_scores_that_are_monotone_in_a_product_are_found_without_knowing_it():
    truth = RNG.normal(size=8)
    probability = dict(zip(NUMBERS.tolist(), expit(0.5 * VECTORS @ truth - 2), strict=True))
    asked = []

    def score(numbers):
        asked.extend(numbers)
        return np.array([probability[number] for number in numbers.tolist()])

    found = Retrieval(NUMBERS, VECTORS, 50).shortlist(None, score)
    best = sorted(probability, key=probability.get)[-45:]
    assert set(best) <= set(found) and len(found) <= 100 and len(asked) == 50
    assert set(Retrieval(NUMBERS, VECTORS, 50).shortlist(truth.astype(np.float32), None, more=5)) >= set(best)


def test_agreement():
    full = np.array([0.9, 0.8, 0.7])
    assert agreement(full, full) == 1 and agreement(np.array([0.9, 0.7, 0.6]), full) == pytest.approx(2 / 3)
    assert agreement(full[:0], full[:0]) == 1


def test_clusters_of_faiss():
    pytest.importorskip("faiss")
    exact, index = Retrieval(NUMBERS, VECTORS, 20), Retrieval(NUMBERS, VECTORS, 20, "faiss")
    query = RNG.normal(size=(50, 8)).astype(np.float32)
    shares = [len(np.intersect1d(exact.nearest(q), index.nearest(q))) / 20 for q in query]
    assert 0.7 < np.mean(shares) <= 1


def test_a_list_holds_further_items_in_any_case():
    retrieval = Retrieval(NUMBERS, VECTORS, 20)
    query, further = VECTORS[0], np.array([2_000, int(NUMBERS[0])])
    found = retrieval.holding(further).shortlist(query, None)
    assert set(found) == {2_000, *retrieval.nearest(query), int(NUMBERS[0])}
    assert 2_000 not in retrieval.shortlist(query, None)


def test_an_export_tells_what_its_short_lists_hold(exported, monkeypatch):
    """As by the public names, with the histories of those test rows."""
    from recbole_marn.serving import parity
    from recbole_marn.serving.exported import ExportedScorer

    served, folder = exported()
    scorer, part = ExportedScorer(folder), served.run.test.part
    assert parity.recall_of_short_lists(scorer, part) is None, "25 items are no catalogue"
    monkeypatch.setattr(parity, "LISTS", (3, 6, 20))
    monkeypatch.setattr(parity, "TOP", 4)
    told = parity.recall_of_short_lists(scorer, part)
    assert told["top"] == 4 and told["rows"] == 50 and set(told["recall_of_full_scoring"]) == {"3", "6"}
    for size, recall in told["recall_of_full_scoring"].items():
        lists, found = scorer.short_lists(int(size)), []
        for row in np.linspace(0, len(part) - 1, 50).astype(int):
            asked = {"time": served.rows["timestamp"][row], "unseen": True}
            of = [scorer.top(served.histories[row], 4, among, **asked) for among in (lists, None)]
            found.append(agreement(*(ranking.output for ranking in of)))
            assert of[0].scored <= 2 * int(size) + len(served.histories[row].items) < of[1].scored + 12
        assert recall == pytest.approx(np.mean(found), abs=1e-4) and 0.2 < recall


@pytest.mark.parametrize(("size", "index", "text"), [(0, "exact", "at least one item"), (5, "tree", "Got 'tree'")])
def test_lists_that_cannot_be_made(size, index, text):
    with pytest.raises(InputError, match=text):
        Retrieval(NUMBERS, VECTORS, size, index)


@pytest.mark.parametrize(("model", "changed"), [("NAML", {"own_head": True}), ("MARN", {})])
def test_predict(serve, model, changed, write_csv, capsys):
    served = serve(model, **changed)
    users = dict.fromkeys(served.rows["user_id"])
    write_csv("rows.csv", {"user_id": list(users), "timestamp": [1e6] * len(users)})
    write_csv("behaviours.csv", served.behaviours())
    given = ["predict", served.path, "--rows", "rows.csv", "--behaviours", "behaviours.csv", "--top", "4", "--unseen"]
    assert main([*given, "--out", "full.csv"]) == 0
    capsys.readouterr()
    assert main([*given, "--out", "short.csv", "--retrieve", "6"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["retrieved"]
    full, short = (list(csv.DictReader(open(f"{name}.csv"))) for name in ("full", "short"))
    assert told["listed"] == 6 and told["rows_compared"] == 20 < len(users)
    scores = {(row["user_id"], row["item_id"]): row["probability"] for row in full}
    if model == "NAML":  # the inner product is the ranking
        assert full == short and told["recall_of_full_scoring"] == 1
    same = [scores.get((row["user_id"], row["item_id"])) == row["probability"] for row in short]
    assert np.mean(same[:80]) == pytest.approx(told["recall_of_full_scoring"], abs=0.05)
    assert main([*given, "--out", "short.csv", "--retrieve", "3"]) == 2
    assert "--retrieve of at least --top (4)" in capsys.readouterr().err
    assert main([*given, "--out", "short.csv", "--index", "faiss"]) == 2
    assert "--retrieve with --index faiss. Got none." in capsys.readouterr().err
    assert main([*given[:6], "--out", "short.csv", "--retrieve", "3"]) == 2
    assert "--top with --retrieve" in capsys.readouterr().err
