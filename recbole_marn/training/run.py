"""A run from settings to record, on one process or several."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from recbole_marn.data.loader import CTRDataLoader
from recbole_marn.errors import InputError
from recbole_marn.evaluation.calibration import too_few_to_mean_much
from recbole_marn.evaluation.request_metrics import always_one
from recbole_marn.evaluation.scores import depths, part_metrics
from recbole_marn.host.config import build_config
from recbole_marn.host.keys import unread_keys
from recbole_marn.host.processes import launched
from recbole_marn.training.log import describe
from recbole_marn.training.metrics import named_metrics
from recbole_marn.training.prepared import Prepared, prepare_data, prepare_run
from recbole_marn.training.processes import run_launched, run_processes
from recbole_marn.training.record import (
    calibration_told,
    data_facts,
    note_on_replaced,
    with_request,
    write_record,
)

__all__ = ["run"]


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
        model: its name (`recbole-marn models`); may also be a key of the files or the dictionary.
        dataset: its name (`recbole-marn datasets`), likewise.
        config_file_list: YAML files of settings, as in RecBole; a later one wins.
        config_dict: settings, which win over the files.
        saved: write checkpoint, record and scores to `checkpoint_dir`. Without, the last epoch is tested.
        nproc: processes to train with, on this machine; also the key `nproc`. In a process started by torchrun the
            run is one of all its processes, on however many machines.

    Returns:
        RecBole's four keys (`best_valid_score`, `valid_score_bigger`, `best_valid_result`, `test_result`) and
        model, dataset, seed, split_sha256, valid, test, `test_<sampling>` for each of `also_test`, parameters,
        seconds_per_epoch, epochs, record, checkpoint. Of a log, valid and test hold all metrics of a log, and
        calibration what its key changed.
    """
    config = build_config(model, dataset, config_file_list, config_dict)
    nproc = nproc or config["nproc"] or 1
    world = launched()
    if config["single_spec"] and (nproc > 1 or world):
        settings = {**(config_dict or {}), "model": config["model"], "dataset": config["dataset"]}
        if world:
            return run_launched(run, world, nproc, config_file_list or [], settings, saved)
        prepare_data(config)  # once, before the processes look for it
        return run_processes(run, nproc, config_file_list or [], settings, saved)
    parts = prepare_run(config)
    # torchrun starts one run alone, and a shared disk may keep the lock of a machine that was lost.
    if saved and config["local_rank"] == 0 and not world:
        with _alone(Path(parts.trainer.saved_model_file)):
            return _train_and_test(parts, saved)
    return _train_and_test(parts, saved)


@contextmanager
def _alone(checkpoint: Path) -> Iterator[None]:
    """Two runs of one name would write over each other's best model, and test it as their own.

    Raises:
        InputError: another process writes this checkpoint.
    """
    lock = FileLock(checkpoint.with_name(f".{checkpoint.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"one run at a time that writes {checkpoint}",
            "another process that trains it now",
            "Wait for its end, or give this run a run_name or checkpoint_dir of its own.",
        ) from None
    except (OSError, NotImplementedError):
        pass  # a disk without locks, or one that is full or read-only, as the first file will tell
    try:
        yield
    finally:
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


def _train_and_test(parts: Prepared, saved: bool) -> dict[str, Any]:
    """A run in this process, alone or as one of several; arguments and result as of `run`."""
    config, trainer, log = parts.config, parts.trainer, parts.test.part.is_log
    parameters = sum(parameter.numel() for parameter in parts.model.parameters() if parameter.requires_grad)
    _tell_start(parts, parameters, [note_on_replaced(parts)] if saved and not trainer.settings.resume else [])
    shown = {"show_progress": config["show_progress"]}
    best_valid_score, best_valid_result = trainer.fit(parts.train, parts.valid, saved=saved, **shown)
    trainer.calibrate(parts.valid)
    calibrated = trainer.click_rates.fitted is not None  # which belongs to the best model, and has loaded it
    test_result = trainer.evaluate(parts.test, load_best_model=saved and not calibrated, **shown)
    metrics = {"valid": named_metrics(best_valid_result), "test": named_metrics(test_result)}
    scored = {"valid": parts.valid, "test": parts.test} if saved or log or calibrated else {}
    for sampling in config["also_test"] or []:
        loader = CTRDataLoader(config, parts.test.part.against(sampling))
        metrics[f"test_{sampling}"] = named_metrics(trainer.evaluate(loader, load_best_model=False))
        if saved:
            scored[f"test_{sampling}"] = loader
    # Every process has its share in the scores.
    columns = {name: with_request(trainer.scores(loader), loader.part) for name, loader in scored.items()}
    if log or calibrated:
        metrics |= {name: part_metrics(found, log, config["topk"]) for name, found in columns.items()}
    seconds = [epoch["seconds"] for epoch in trainer.history if "seconds" in epoch]
    result = {
        "model": config["model"],
        "dataset": config["dataset"],
        "seed": config["seed"],
        "split_sha256": parts.train.part.split_sha256,
        **metrics,
        "parameters": parameters,
        "epochs": len(trainer.history),
        "seconds_per_epoch": round(float(np.mean(seconds)), 2) if seconds else None,
        "record": None,
        "checkpoint": trainer.saved_model_file if saved else None,
        "calibration": calibration_told(trainer, columns),
        "best_valid_score": best_valid_score,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": best_valid_result,
        "test_result": test_result,
    }
    if saved and config["local_rank"] == 0:
        result["record"] = write_record(parts, result, columns)
    return result


def _tell_start(parts: Prepared, parameters: int, further: Sequence[str | None]) -> None:
    logger = logging.getLogger()
    if parts.config["verbose"]:
        logger.info(parts.config)
    notes = [*parts.train.part.notes, *unread_keys(parts.config), *filter(None, further)]
    calibration = parts.trainer.settings.calibration
    if calibration != "none":  # said before hours of training, not after
        label = parts.valid.part.rows.columns(np.arange(len(parts.valid.part)))["label"]
        notes += filter(None, [too_few_to_mean_much(calibration, label)])
    if parts.test.part.is_log and parts.test.part.settings.request is not None:
        longest = int(np.diff(parts.test.part.rows.requests.first).max())
        notes += filter(None, [always_one(longest, depths(parts.config["topk"]))])
    for line in describe(parts.config, data_facts(parts), notes, parameters):
        logger.info(line)
