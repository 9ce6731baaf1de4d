"""AUC after training through plain RecBole and through this package, on the same rows of ml-100k with labels.

python benchmarks/plain_recbole.py --models LR,FM,DeepFM,xDeepFM,DIN,DIEN --seeds 3

A rating of 4 or 5 is a click; all of RecBole's features of users and items; random 8:1:1 (seed 2020). There LR, FM,
DeepFM and xDeepFM read RecBole's own ml-100k; DIN and DIEN read the rows written by `export-rows`, for RecBole's own
histories hold what was not clicked. Both sides shuffle single rows, train a fixed number of passes with the same
settings, and score the test part once. A seed decides first weights and order: nobody has the other's.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

from recbole_marn.data.export import export_benchmark
from recbole_marn.data.loader import build_loaders
from recbole_marn.host.compat import without_arguments
from recbole_marn.quick_start import build_config

SPLIT_SEED = 2020
SPLIT = {"split": {"RS": [8, 1, 1]}, "order": "RO", "group_by": None, "mode": "labeled"}
COLUMNS = {
    "inter": ["user_id", "item_id", "timestamp", "rating"],
    "user": ["user_id", "age", "gender", "occupation"],
    "item": ["item_id", "movie_title", "release_year", "class"],
}
COMMON: dict[str, Any] = {"train_batch_size": 1024, "eval_batch_size": 4096, "weight_decay": 0.0, "learner": "adam"}
COMMON |= {"embedding_size": 16, "metrics": ["AUC", "LogLoss"], "valid_metric": "AUC", "eval_step": 1, "worker": 0}
COMMON |= {"show_progress": False, "use_gpu": False, "state": "ERROR"}
DEEP = {"mlp_hidden_size": [64, 32], "dropout_prob": 0.0}
# Settings of each model; passes are few where one is slow.
MODELS: dict[str, dict[str, Any]] = {
    "LR": {"learning_rate": 0.03, "epochs": 10},
    "FM": {"learning_rate": 0.003, "epochs": 10},
    "DeepFM": {"learning_rate": 0.003, "epochs": 4, **DEEP},
    "xDeepFM": {"learning_rate": 0.003, "epochs": 4, "cin_layer_size": [16, 16], "reg_weight": 0.0, **DEEP},
    "DIN": {"learning_rate": 0.003, "epochs": 2, **DEEP},
    "DIEN": {"learning_rate": 0.003, "epochs": 1, "gru_type": "AUGRU", "alpha": 1.0, **DEEP},
}
SEQUENTIAL = {"DIN": "sequential", "DIEN": "dien"}
HISTORY = 10


def ours(model: str, seed: int, folder: Path) -> dict[str, float]:
    """As `_tested`, of a run of this package; for DIN and DIEN its rows are written to `folder`, for `theirs`."""
    given = {**COMMON, **MODELS[model], "seed": seed, "sample_seed": SPLIT_SEED, "MAX_ITEM_LIST_LENGTH": HISTORY}
    given |= {"shuffle_by": "row", "checkpoint_dir": str(folder / "saved")}
    config = build_config(model, "ml-100k-labels", config_dict=given)
    train, valid, test = build_loaders(config, create_dataset(config))
    if model in SEQUENTIAL and not (folder / "rows").exists():
        export_benchmark([train.part, valid.part, test.part], folder, name="rows")
    return _tested(config, train, valid, test)


def theirs(model: str, seed: int, folder: Path) -> dict[str, float]:
    """As `_tested`, of plain RecBole: its data set, loader and trainer."""
    given, files = {**COMMON, **MODELS[model], "seed": SPLIT_SEED, "checkpoint_dir": str(folder / "saved")}, []
    if model in SEQUENTIAL:
        given["data_path"] = str(folder)
        files = [str(folder / "rows" / f"rows.{SEQUENTIAL[model]}.yaml")]
    else:
        given |= {"threshold": {"rating": 4}, "eval_args": SPLIT, "load_col": COLUMNS, "normalize_all": False}
        given |= {"train_neg_sample_args": None, "repeatable": False}
    name = "rows" if model in SEQUENTIAL else "ml-100k"
    config = without_arguments(Config)(model=model, dataset=name, config_file_list=files, config_dict=given)
    init_seed(SPLIT_SEED, True)
    train, valid, test = data_preparation(config, create_dataset(config))
    if model == "DIEN":  # which fails on an empty history: one padding item, as it gets through this package
        for part in (train, valid, test):
            part._dataset.inter_feat[config["ITEM_LIST_LENGTH_FIELD"]].clamp_(min=1)
    config["seed"] = seed
    train.generator.manual_seed(seed)
    return _tested(config, train, valid, test)


def _tested(config: Any, train: Any, valid: Any, test: Any) -> dict[str, float]:
    """AUC of the test part after the last pass, and the number of rows of all parts."""
    model = config["model"]
    init_seed(config["seed"], True)
    net = get_model(model)(config, train._dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], model)(config, net)
    trainer.fit(train, valid, saved=False, verbose=False)
    found = {name.lower(): float(value) for name, value in trainer.evaluate(test, load_best_model=False).items()}
    return {"auc": found["auc"], "rows": len(train._dataset) + len(valid._dataset) + len(test._dataset)}


def compared(here: Sequence[float], there: Sequence[float]) -> Mapping[str, Any]:
    """Means, deviations over the seeds, and whether the means differ by more than two of their standard errors."""
    here, there = np.asarray(here), np.asarray(there)
    difference = float(here.mean() - there.mean())
    error = math.sqrt((here.var(ddof=1) + there.var(ddof=1)) / len(here))
    verdict = "equal" if not (here - there).any() else "within noise" if abs(difference) <= 2 * error else "differs"
    return {
        "ours": [float(here.mean()), float(here.std(ddof=1))],
        "recbole": [float(there.mean()), float(there.std(ddof=1))],
        "difference": difference,
        "standard_error": error,
        "verdict": verdict,
    }


def main() -> None:
    """Print a Markdown table, and one line of JSON a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | plain RecBole | through us | difference | two standard errors | |\n|---|---|---|---|---|---|")
    for model in args.models.split(","):
        aucs: dict[str, list[float]] = {"ours": [], "theirs": []}
        rows = set()
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(SPLIT_SEED, SPLIT_SEED + args.seeds):
                for name, run in (("ours", ours), ("theirs", theirs)):
                    result = run(model, seed, Path(folder))
                    aucs[name].append(result["auc"])
                    rows.add(result["rows"])
        assert len(rows) == 1, f"both sides must have the same rows, not {rows}"
        found = compared(aucs["ours"], aucs["theirs"])
        cells = [f"{mean:.4f} ± {deviation:.4f}" for mean, deviation in (found["recbole"], found["ours"])]
        cells += [f"{found['difference']:+.4f}", f"{2 * found['standard_error']:.4f}", found["verdict"]]
        print(f"| {model} | {' | '.join(cells)} |", flush=True)
        print(json.dumps({"model": model, **found, "aucs": aucs}), flush=True)


if __name__ == "__main__":
    main()
