"""What is promised of models on amazon-clothing-synthetic-log, whose every click probability is known (minutes)."""

import json

import numpy as np
import pytest
import yaml

from recbole_marn.quick_start import build_config, prepare_run, run
from recbole_marn.registry import committed_data_folder

NAME = "amazon-clothing-synthetic-log"
GRID = committed_data_folder().parent / "results" / f"{NAME}.grid.yaml"
TRUTH = json.loads((committed_data_folder() / NAME / f"{NAME}.truth.json").read_text("utf-8"))["parts"]

pytestmark = pytest.mark.slow


def settings(folder, model, **changed):
    """As the leaderboard trains the row of that name."""
    chosen = yaml.safe_load(GRID.read_text("utf-8"))[model]
    single = {key: values[0] for key, values in chosen.items()}
    return {
        "model": model, "dataset": NAME, "data_path": str(committed_data_folder()), "checkpoint_dir": str(folder),
        "show_progress": False, **single, **changed,
    }  # fmt: skip


@pytest.mark.parametrize("model", ["MARN", "MultimodalDIN"])
def test_nearly_all_that_can_be_told_of_clicks_is_learned(model, tmp_path):
    """The share of the truth's AUC over one half: of validation, which chose settings and epoch, and of test.

    The aim is .97 of both; ten seeds have .98 of validation and .978 (MARN) and .974 of test (results/click-logs.md).
    """
    result = run(config_dict=settings(tmp_path, model))
    for part, least in (("valid", 0.975), ("test", 0.97)):
        share = (result[part]["AUC"] - 0.5) / (TRUTH[part]["auc"] - 0.5)
        assert share > least, part


@pytest.mark.parametrize("model", ["MARN", "MultimodalDIN"])
@pytest.mark.parametrize("kept", [1.0, 0.5, 0.1])
def test_calibrated_click_rates_are_those_that_are_observed(kept, model, tmp_path):
    """On test, too, though histories grow from day to day: users are known by their rates (results/click-logs.md)."""
    changed = {"keep_negatives": kept, "calibration": "platt"}
    result = run(config_dict=settings(tmp_path, model, **changed))
    assert result["valid"]["predicted/observed"] == pytest.approx(1, abs=0.002)
    assert result["test"]["predicted/observed"] == pytest.approx(1, abs=0.02)


def test_shuffled_labels_teach_nothing(tmp_path):
    """Labels of all parts in a random order: those of the test day are told no better than by chance."""
    config = build_config("MultimodalDIN", NAME, config_dict=settings(tmp_path, "MultimodalDIN", epochs=2))
    parts = prepare_run(config, quiet=True)
    order = np.random.default_rng(0)
    requests = {id(one.part.rows.requests): one.part.rows.requests for one in (parts.train, parts.valid, parts.test)}
    for each in requests.values():
        each.label[:] = order.permutation(each.label)
    parts.trainer.fit(parts.train, parts.valid, saved=False, verbose=False)
    assert parts.trainer.evaluate(parts.test, load_best_model=False)["auc"] == pytest.approx(0.5, abs=0.03)
