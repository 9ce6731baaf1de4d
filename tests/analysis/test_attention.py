"""Sizes of attention per category against loops, what a deleted modality costs, and the comparison with a truth."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_marn import cli
from recbole_marn.analysis.attention import (
    attention_report,
    compare_with_truth,
    item_sizes,
    pair_accuracy,
    without_modality,
)
from recbole_marn.quick_start import build_config, load_run, prepare_run, run


@pytest.fixture
def parts(settings):
    return prepare_run(build_config("MARN", "tiny", config_dict=settings()), quiet=True)


def test_sizes_are_norms_of_equation_3_item_by_item(parts):
    model = parts.model
    sizes = item_sizes(model)
    for item in range(1, model.encoder.n_items):
        cells = model.encoder.snapshot(torch.tensor([item]))
        for m in range(len(model.encoder.names)):
            if not cells.present[0, m]:
                assert np.isnan(sizes["attention"][item - 1, m]) and np.isnan(sizes["fused"][item - 1, m])
                continue
            with torch.no_grad():
                s = torch.relu(model.specific(cells.aligned))[0, m].double().numpy()
                score = model.fusion.score(torch.relu(model.specific(cells.aligned)))[0, m].double().numpy()
            attention = [np.tanh(value) for value in score]
            assert sizes["attention"][item - 1, m] == pytest.approx(sum(a * a for a in attention) ** 0.5, rel=1e-4)
            fused = sum((a * b) ** 2 for a, b in zip(attention, s, strict=True)) ** 0.5
            assert sizes["fused"][item - 1, m] == pytest.approx(fused, rel=1e-4)
    assert np.isnan(sizes["attention"]).any(), "some items of `tiny` lack a vector, a title or a price"


@pytest.mark.parametrize("name", ["ids", "image", "title", "statistic"])
def test_a_modality_is_gone_and_comes_back(parts, name):
    before, column = parts.trainer.scores(parts.valid)["score"], parts.model.encoder.names.index(name)
    with without_modality(parts.model, name):
        during = parts.trainer.scores(parts.valid)["score"]
        assert np.isnan(item_sizes(parts.model)["attention"][:, column]).all()
    after = parts.trainer.scores(parts.valid)["score"]
    assert abs(before - during).max() > 0
    assert (before == after).all()


def test_without_a_modality_scores_as_a_model_that_never_had_it(settings):
    """BaseModelMAF without image: the weights of the others alone, loaded into a model without that modality."""
    both = prepare_run(build_config("BaseModelMAF", "tiny", config_dict=settings(use_modalities=["ids", "image"])))
    one = prepare_run(build_config("BaseModelMAF", "tiny", config_dict=settings(use_modalities=["ids"])))
    shapes = one.model.state_dict()
    kept = {
        name: value if value.shape == shapes[name].shape else value[:1]  # of what has an entry a modality, the first
        for name, value in both.model.state_dict().items()
        if name in shapes and isinstance(value, torch.Tensor)
    }
    one.model.load_state_dict(kept, strict=False)
    with without_modality(both.model, "image"):
        deleted = both.trainer.scores(both.valid)["score"]
    np.testing.assert_allclose(deleted, one.trainer.scores(one.valid)["score"], rtol=1e-5)


def test_pair_accuracy_counts_pairs():
    label = np.array([1, 0, 0, 0, 1, 0, 0, 0])
    score = np.array([0.5, 0.1, 0.5, 0.9, 0.3, 0.1, 0.2, 0.0])
    assert pair_accuracy(score, label, 4).tolist() == [(1 + 0.5 + 0) / 3, 1.0]


TRUTH = {"a": {"x": 0.6, "y": 0.3, "z": 0.1}, "b": {"x": 0.1, "y": 0.3, "z": 0.6}}


def test_a_table_like_the_truth_agrees_and_one_upside_down_does_not():
    found = compare_with_truth({c: {m: 5 * v for m, v in row.items()} for c, row in TRUTH.items()}, TRUTH)
    assert found.pop("y across categories") == 0, "y is the same everywhere: nothing to rank"
    assert found == pytest.approx(dict.fromkeys(found, 1.0)) and "x across categories" in found
    down = compare_with_truth({c: {m: -v for m, v in row.items()} for c, row in TRUTH.items()}, TRUTH)
    assert down["first"] == 0
    assert [down["rank correlation"], down["x across categories"]] == pytest.approx([-1, -1])


def test_a_modality_that_is_always_larger_hides_the_truth_and_centring_shows_it():
    table = {c: {m: v + (10 if m == "y" else 0) for m, v in row.items()} for c, row in TRUTH.items()}
    found = compare_with_truth(table, TRUTH)
    assert found["first"] == 0 and found["centred first"] == 1
    # by hand: ranks in a are x 2, y 3, z 1 beside 3, 2, 1 (and mirrored in b): correlation 1/2
    assert found["rank correlation"] == pytest.approx(0.5)
    assert found["x across categories"] == pytest.approx(1)


def test_categories_the_truth_does_not_know_are_left_out():
    assert compare_with_truth({"other": {"x": 1.0}}, TRUTH) == {}
    assert compare_with_truth(TRUTH | {"other": {"x": 1.0}}, TRUTH)["first"] == 1


def test_analyze_prints_tables_and_ends_in_json(settings, data_path, capsys, tmp_path):
    path = run("MARN", "tiny", config_dict=settings(epochs=1))["checkpoint"]
    assert cli.main(["analyze", path, "--report", "attention"]) == 0
    printed = capsys.readouterr().out
    report = json.loads(printed.strip().splitlines()[-1])
    assert set(report["items"]) == {"book", "toy", "lamp"} and sum(report["items"].values()) == 25
    assert set(report["attention norm"]["toy"]) == {"ids", "image", "title", "statistic"}
    assert "accuracy lost by category" in printed and "truth" not in report
    parts = load_run(path)
    sizes = item_sizes(parts.model)["attention"]
    tokens, category = parts.train.part.field2id_token, parts.train.part.item_feat["category"].numpy()
    toys = [i for i in range(1, len(category)) if tokens["category"][category[i]] == "toy"]
    images = [sizes[i - 1, 1] for i in toys if not np.isnan(sizes[i - 1, 1])]
    assert report["attention norm"]["toy"]["image"] == pytest.approx(sum(images) / len(images), rel=1e-5)


def test_a_truth_beside_the_data_is_compared_with(settings, data_path):
    importance = {
        c: {"ids": 0.4, "image": 0.3, "title": 0.2, "statistic": 0.1} for c in ("book", "toy", "lamp")
    }
    truth = Path(data_path) / "tiny" / "tiny.truth.json"
    truth.write_text(json.dumps({"importance": importance}))
    try:
        parts = prepare_run(build_config("MARN", "tiny", config_dict=settings()), quiet=True)
        report = attention_report(parts.model, parts.trainer, parts.valid)
    finally:
        truth.unlink()
    assert set(report["truth"]) == {"attention norm", "fused norm", "accuracy lost"}
    assert report["truth"]["fused norm"] == compare_with_truth(report["fused norm"], importance)


def test_what_cannot_be_reported_is_said(settings, capsys):
    path = run("MultimodalDIN", "tiny", config_dict=settings("MultimodalDIN", epochs=1, width=8))["checkpoint"]
    assert cli.main(["analyze", path, "--report", "attention"]) == 2
    assert "Expected a model with attention over modalities" in capsys.readouterr().err
    assert cli.main(["analyze", path, "--report", "attention", "--field", "categroy"]) == 2
    assert "Did you mean 'category'?" in capsys.readouterr().err
