"""Exports of every model with item vectors against PyTorch and the record, on real and made-up data.

`pytest -m slow -s tests/serving/test_parity.py` prints the table of docs/serving.md. H&M is needed as `dataset/hm`.
"""

from pathlib import Path

import pytest
from cases import OUR_MODELS

import recbole_marn
from recbole_marn.registry import MODELS, model_class
from recbole_marn.training.prepared import load_run

pytestmark = pytest.mark.slow

ROOT = Path(recbole_marn.__file__).resolve().parents[1]
# Presets are their model with other settings; MARNPlus has most of them.
TOWERS = [
    name
    for name in OUR_MODELS
    if model_class(name).makes_item_vectors and (MODELS[name].preset_of is None or name == "MARNPlus")
]
# Few rows: an export must agree with whatever was learned.
DATASETS = {
    "ml-100k": {"train_last": 5},
    "hm": {"train_last": 2, "data_path": str(ROOT / "dataset")},
    "amazon-clothing-synthetic": {"train_last": 2, "data_path": str(ROOT / "dataset_atomic")},
    "amazon-clothing-synthetic-log": {
        "keep_negatives": 0.1, "calibration": "platt", "data_path": str(ROOT / "dataset_atomic"),
    },
}  # fmt: skip


@pytest.mark.parametrize("model", TOWERS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_parity(dataset, model, tmp_path):
    pytest.importorskip("onnxruntime")
    from recbole_marn.serving.export import export

    settings = {"epochs": 1, "checkpoint_dir": str(tmp_path), "show_progress": False, **DATASETS[dataset]}
    if dataset == "hm" and not (ROOT / "dataset" / "hm" / "hm.inter").is_file():
        pytest.skip("needs H&M, prepared as dataset/hm")
    if dataset == "ml-100k" and MODELS[model].needs == "vector":
        pytest.skip(f"{model} needs vectors, which ml-100k has none of")
    path = recbole_marn.run(model, dataset, config_dict=settings)["checkpoint"]
    manifest = export(recbole_marn.load_scorer(path), tmp_path / "out", checkpoint=path, run=load_run(path))
    parity = manifest["parity"]
    test, size = parity["test"], sum(file["bytes"] for file in manifest["files"].values())
    worst = max(parity["largest_difference"], test["largest_difference"])
    told = parity["by_candidates"]["100"]
    print(f"\n| {dataset} | {model} | {worst:.1e} | {test['AUC']:.6f} | {test['record']['AUC']:.6f} "
          f"| {parity['tower']:.1e} | {told['onnx']['p50_ms']} | {told['pytorch']['p50_ms']} | {size / 1e6:.1f} |"
          )  # fmt: skip
    assert worst <= 1e-5 and parity["tower"] <= 1e-5
    assert abs(test["AUC"] - test["record"]["AUC"]) <= 1e-4
    assert abs(test["UAUC"] - test["record"]["UAUC"]) <= 1e-4
