import json
import math
from pathlib import Path

import pytest

from recbole_marn.analysis.agreement import compare_with_truth, mean_rank_correlation, true_importance
from recbole_marn.quick_start import build_config, prepare_run

TRUTH = {"a": {"x": 0.6, "y": 0.3, "z": 0.1}, "b": {"x": 0.1, "y": 0.3, "z": 0.6}}


def test_a_table_like_the_truth_agrees_and_one_upside_down_does_not():
    found = compare_with_truth({c: {m: 5 * v for m, v in row.items()} for c, row in TRUTH.items()}, TRUTH)
    assert found.pop("y across categories") == 0, "y is the same everywhere: nothing to rank"
    assert found == pytest.approx(dict.fromkeys(found, 1.0)) and "x across categories" in found
    upside_down = {c: {m: -v for m, v in row.items()} for c, row in TRUTH.items()}
    down = compare_with_truth(upside_down, TRUTH)
    assert down["first"] == 0
    assert [down["rank correlation"], down["x across categories"]] == pytest.approx([-1, -1])
    assert mean_rank_correlation(upside_down, TRUTH) == pytest.approx(-1)


def test_a_modality_that_is_always_larger_hides_the_truth_and_centring_shows_it():
    table = {c: {m: v + (10 if m == "y" else 0) for m, v in row.items()} for c, row in TRUTH.items()}
    found = compare_with_truth(table, TRUTH)
    assert found["first"] == 0 and found["centred first"] == 1
    # by hand: ranks in a are x 2, y 3, z 1 beside 3, 2, 1 (and mirrored in b): correlation 1/2
    assert found["rank correlation"] == pytest.approx(0.5) == mean_rank_correlation(table, TRUTH)
    assert found["x across categories"] == pytest.approx(1)
    truth = {"a": {"x": 0.9, "y": 0.1}, "b": {"x": 0.6, "y": 0.4}}
    found = compare_with_truth({"a": {"x": 1.0, "y": 5.0}, "b": {"x": 0.0, "y": 6.0}}, truth)
    assert found["first"] == 0 and found["centred first"] == 1, "x is always larger in the truth"


def test_a_category_without_an_order_does_not_count():
    table = TRUTH | {"c": {"x": 0.5, "y": 0.5, "z": 0.5}}
    assert mean_rank_correlation(table, table) == pytest.approx(1)
    assert math.isnan(mean_rank_correlation({"c": table["c"]}, table))


def test_categories_the_truth_does_not_know_are_left_out():
    assert compare_with_truth({"other": {"x": 1.0}}, TRUTH) == {}
    assert compare_with_truth(TRUTH | {"other": {"x": 1.0}}, TRUTH)["first"] == 1
    assert math.isnan(mean_rank_correlation({"other": {"x": 1.0}}, TRUTH))
    assert mean_rank_correlation(TRUTH, TRUTH) == pytest.approx(1)


def test_a_category_whose_items_all_lack_a_modality_does_not_count():
    """It ended in a KeyError where another category came first."""
    less = {"x": 1.0, "y": 2.0}
    for table in (TRUTH | {"c": less}, {"c": less} | TRUTH):
        assert mean_rank_correlation(table, table) == pytest.approx(1)
        assert compare_with_truth(table, TRUTH | {"c": TRUTH["a"]})["first"] == 1
    assert math.isnan(mean_rank_correlation({"c": less}, TRUTH | {"c": less}))


def test_a_truth_beside_the_data_is_found(settings, data_path):
    part = prepare_run(build_config("MARN", "tiny", config_dict=settings()), quiet=True).train.part
    assert true_importance(part) is None
    truth = Path(data_path) / "tiny" / "tiny.truth.json"
    truth.write_text(json.dumps({"importance": TRUTH}))
    try:
        assert true_importance(part) == TRUTH
    finally:
        truth.unlink()
