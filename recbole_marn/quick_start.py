"""Run, tune and load by name. Module-level functions, so that spawned processes and Ray workers import the plugin."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_logger, init_seed

from recbole_marn import checkpoint
from recbole_marn.compat import without_arguments
from recbole_marn.data.ctr_dataset import CTRDataLoader
from recbole_marn.data.protocol import PARTS
from recbole_marn.errors import InputError
from recbole_marn.evaluation.record import FORMAT, measured, sealed_text
from recbole_marn.files import sha256
from recbole_marn.registration import MODELS, known_datasets, model_class, rebuild_config
from recbole_marn.trainer import check_same_data
from recbole_marn.version import __version__

__all__ = [
    "Prepared",
    "build_config",
    "load_run",
    "named_metrics",
    "objective_function",
    "prepare_data",
    "prepare_run",
    "read_files",
    "run",
    "run_recbole_marn",
]

LIBRARIES = ("recbole", "torch", "numpy", "pandas", "scipy")


@dataclass
class Prepared:
    """Everything a run consists of before it is trained."""

    config: Config
    train: Any
    valid: Any
    test: Any
    model: Any
    trainer: Any


def build_config(
    model: str | None = None,
    dataset: str | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, Any] | None = None,
) -> Config:
    """RecBole's Config for a run on our rows; `sys.argv` is not read.

    Raises:
        InputError: unknown model or setting.
    """
    settings = {"same_rows": True, **(config_dict or {})}
    files = list(config_file_list or [])
    given = read_files(files) | settings
    model, dataset = model or given.get("model"), dataset or given.get("dataset")
    for name, value in (("model", model), ("dataset", dataset)):
        if not isinstance(value, str):
            raise InputError(f"the name of a {name}", repr(value), f"Give it as --{name}=NAME or in a file.")
    model_class(model)
    return without_arguments(Config)(model=model, dataset=dataset, config_file_list=files, config_dict=settings)


def read_files(files: Sequence[str]) -> dict[str, Any]:
    """The settings in YAML files; the last file wins. Tags that would make Python objects are refused."""
    given: dict[str, Any] = {}
    for file in files:
        try:
            content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError("a readable YAML file of settings", f"{file}: {error}", "Correct the file.") from None
        if content is not None and not isinstance(content, dict):
            raise InputError(
                "settings as key: value lines", f"a {type(content).__name__} in {file}", "Correct the file."
            )
        given |= content or {}
    return given


def prepare_data(config: Config) -> None:
    """Prepare a public data set whose atomic files are not there, from its raw files (docs/prepare.md).

    Raises:
        InputError: there are none and they cannot be downloaded; it says which, and which data sets run now.
    """
    folder, name = Path(config["data_path"]), config["dataset"]
    if (folder / f"{name}.inter").is_file() or name not in known_datasets():
        return
    from recbole_marn.prepare.pipeline import ensure_prepared
    from recbole_marn.prepare.report import render

    if record := ensure_prepared(name, folder.parent):
        print(render(record))


def prepare_run(config: Config, *, quiet: bool = False, sealed: bool = False) -> Prepared:
    """Data, model and trainer of a configuration; `sealed` builds no test part, which is then None."""
    prepare_data(config)
    init_seed(config["seed"], config["reproducibility"])
    logger = getLogger()
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    init_logger(config)
    if quiet:
        logger.setLevel(logging.ERROR)
    dataset = create_dataset(config)
    if sealed:
        dataset.sealed = True
        parts = dataset.build()
        train = CTRDataLoader(config, parts[0], None, shuffle=config["shuffle"])
        valid, test = CTRDataLoader(config, parts[1], None), None
    else:
        train, valid, test = data_preparation(config, dataset)
    init_seed(config["seed"] + config["local_rank"], config["reproducibility"])
    model = get_model(config["model"])(config, train._dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    return Prepared(config, train, valid, test, model, trainer)


def run(
    model: str | None = None,
    dataset: str | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    saved: bool = True,
    nproc: int | None = None,
) -> dict[str, Any]:
    """Train a model, choose the best epoch on validation, score the test part once, and write a record.

    Args:
        model, dataset: names; may also be keys of the files or the dictionary.
        config_file_list, config_dict: settings, as in RecBole.
        saved: write checkpoint, record and scores to `checkpoint_dir`. Without, the last epoch is tested.
        nproc: processes to train with, on this machine; also the key `nproc`.

    Returns:
        RecBole's four keys (`best_valid_score`, `valid_score_bigger`, `best_valid_result`, `test_result`) and
        model, dataset, seed, split_sha256, valid, test, test_<sampling> for each of `also_test`, parameters,
        seconds_per_epoch, epochs, record, checkpoint.
    """
    config = build_config(model, dataset, config_file_list, config_dict)
    nproc = nproc or config["nproc"] or 1
    if nproc > 1 and config["single_spec"]:
        from recbole_marn.distributed import run_processes

        prepare_data(config)  # once, before the processes look for it
        names = {"model": config["model"], "dataset": config["dataset"]}
        return run_processes(nproc, config_file_list or [], {**(config_dict or {}), **names}, saved)
    parts = prepare_run(config)
    trainer = parts.trainer
    best_valid_score, best_valid_result = trainer.fit(
        parts.train, parts.valid, saved=saved, show_progress=config["show_progress"]
    )
    test_result = trainer.evaluate(parts.test, load_best_model=saved, show_progress=config["show_progress"])
    result = {
        "model": config["model"],
        "dataset": config["dataset"],
        "seed": config["seed"],
        "split_sha256": parts.train._dataset.split_sha256,
        "valid": named_metrics(best_valid_result),
        "test": named_metrics(test_result),
    }
    scores = {"valid": parts.valid, "test": parts.test} if saved else {}
    for sampling in config["also_test"] or []:
        loader = CTRDataLoader(config, parts.test._dataset.test_part(sampling), None)
        result[f"test_{sampling}"] = named_metrics(trainer.evaluate(loader, load_best_model=False))
        if saved:
            scores[f"test_{sampling}"] = loader
    seconds = [epoch["seconds"] for epoch in trainer.history if "seconds" in epoch]
    result |= {
        "parameters": sum(parameter.numel() for parameter in parts.model.parameters() if parameter.requires_grad),
        "epochs": len(trainer.history),
        "seconds_per_epoch": round(float(np.mean(seconds)), 2) if seconds else None,
        "record": None,
        "checkpoint": trainer.saved_model_file if saved else None,
    }
    columns = {name: trainer.scores(data) for name, data in scores.items()}  # every process has its share in them
    if saved and config["local_rank"] == 0:
        result["record"] = _write_record(parts, result, columns)
    return result | {
        "best_valid_score": best_valid_score,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": best_valid_result,
        "test_result": test_result,
    }


run_recbole_marn = run


def load_run(path: str | Path, **changed: Any) -> Prepared:
    """Data, trained model and trainer of a checkpoint written by `run`; `changed` settings win over stored ones.

    Raises:
        InputError: no checkpoint of this package, of a newer format, or of other rows than the data now give.
    """
    content = checkpoint.load(path)
    if "data_path" in changed:  # a Config keeps the folder of the data set itself
        changed["data_path"] = os.path.join(changed["data_path"], content["config"]["dataset"])
    parts = prepare_run(rebuild_config(content["config"] | changed), quiet=True)
    check_same_data(content, path, parts.train._dataset.split_sha256)
    parts.model.load_state_dict(content["state_dict"])
    parts.model.eval()
    return parts


def objective_function(
    config_dict: Mapping[str, Any] | None = None, config_file_list: Sequence[str] | None = None, saved: bool = False
) -> dict[str, Any]:
    """One trial for RecBole's HyperTuning or Ray Tune. Selection is on validation: there is no test part."""
    config = build_config(config_file_list=config_file_list, config_dict=config_dict)
    parts = prepare_run(config, quiet=True, sealed=True)
    score, result = parts.trainer.fit(parts.train, parts.valid, verbose=False, saved=saved)
    _report_to_ray(result)
    return {
        "model": config["model"],
        "best_valid_score": score,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": result,
        "test_result": {},
    }


def _report_to_ray(result: Mapping[str, float]) -> None:
    ray = sys.modules.get("ray")
    if ray is not None and getattr(ray, "is_initialized", lambda: False)():
        from ray import tune

        tune.report(**result)


def named_metrics(result: Mapping[str, float] | None) -> dict[str, float]:
    """RecBole's lower-case metric names as they are written in the field."""
    spelled = {"auc": "AUC", "uauc": "UAUC", "logloss": "LogLoss"}
    return {spelled.get(name, name): float(value) for name, value in (result or {}).items()}


def _data_facts(parts: Prepared) -> dict[str, int]:
    """Sizes of the data set and its parts, for the record."""
    dataset = parts.train._dataset
    events = dataset.protocol.events
    loaders = zip(PARTS, (parts.train, parts.valid, parts.test), strict=True)
    return {
        "users": len(np.unique(events.user)),
        "items": len(np.unique(events.item)),
        "catalogue": dataset.item_num - 1,
        "events": int(events.n_events),
        **{f"{name}_rows": len(loader._dataset) for name, loader in loaders},
        "steps_per_epoch": len(parts.train),
    }


def _write_record(parts: Prepared, result: Mapping[str, Any], scores: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Write `<run>.scores.npz` and `<run>.json`; the record names the scores by their SHA-256."""
    base = Path(parts.trainer.checkpoint_dir) / parts.trainer.run_name
    scores_file, record_file = base.with_name(base.name + ".scores.npz"), base.with_name(base.name + ".json")
    flat = {f"{part}_{name}": value for part, columns in scores.items() for name, value in columns.items()}

    def write_scores(path: Path) -> None:
        with open(path, "wb") as file:
            np.savez_compressed(file, **flat)

    checkpoint.write_aside(scores_file, write_scores)
    metrics, data = measured(scores)
    record = {
        "format": FORMAT,
        "run": base.name,
        **{key: result[key] for key in ("model", "dataset", "seed", "parameters", "epochs", "seconds_per_epoch")},
        "paper": MODELS[parts.config["model"]].paper,
        "settings": parts.trainer.plain_settings(),
        "data": {"split_sha256": result["split_sha256"], **data, **_data_facts(parts)},
        "metrics": metrics,
        "notes": parts.train._dataset.notes,
        "history": parts.trainer.history,
        "scores": {"file": scores_file.name, "sha256": sha256(scores_file)},
        "versions": {"recbole_marn": __version__, "python": platform.python_version()}
        | {name: metadata.version(name) for name in LIBRARIES},
        "command": " ".join(sys.argv),
    }
    text = sealed_text(checkpoint.plain(record))
    checkpoint.write_aside(record_file, lambda path: Path(path).write_text(text, encoding="utf-8"))
    return str(record_file)
