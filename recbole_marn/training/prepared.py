"""Everything a run consists of before it is trained, from settings or from a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.data import create_dataset
from recbole.utils import get_model, get_trainer, init_seed

from recbole_marn.data.loader import CTRDataLoader, build_loaders
from recbole_marn.host.config import rebuild_config
from recbole_marn.host.torch_load import is_trusted, trusted, untrusted
from recbole_marn.prepare.pipeline import ensure_prepared
from recbole_marn.prepare.report import render
from recbole_marn.registry import atomic_files, known_datasets
from recbole_marn.training import checkpoint
from recbole_marn.training.identity import check_same_items, check_same_rows
from recbole_marn.training.log import start_log

__all__ = [
    "Prepared", "is_to_be_prepared", "load_data_and_model", "load_run", "prepare_data", "prepare_run", "run_of",
]  # fmt: skip


@dataclass
class Prepared:
    """Everything a run consists of before it is trained."""

    config: Config
    train: CTRDataLoader
    valid: CTRDataLoader
    test: CTRDataLoader | None
    model: Any
    trainer: Any


def prepare_data(config: Config) -> None:
    """Prepare a public data set whose atomic files are not there, from its raw files (docs/prepare.md).

    Raises:
        InputError: there are none and they cannot be downloaded; it says which, and which data sets run now.
    """
    folder, name = atomic_files(config)
    if is_to_be_prepared(config) and (record := ensure_prepared(name, folder.parent)):
        print(render(record))


def is_to_be_prepared(config: Config) -> bool:
    """Whether this is a public data set without its atomic files."""
    folder, name = atomic_files(config)
    there = any(folder.glob(f"{name}*.inter"))
    return not there and name in known_datasets()


def prepare_run(config: Config, *, quiet: bool = False, sealed: bool = False) -> Prepared:
    """Data, model and trainer of a configuration; `sealed` builds no test part, which is then None."""
    prepare_data(config)
    init_seed(config["seed"], config["reproducibility"])
    start_log(config, quiet=quiet)
    dataset = create_dataset(config)
    train, valid, test = build_loaders(config, dataset, sealed=sealed)
    init_seed(config["seed"] + config["local_rank"], config["reproducibility"])
    model = get_model(config["model"])(config, train.part).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    return Prepared(config, train, valid, test, model, trainer)


def load_run(path: str | Path, **changed: Any) -> Prepared:
    """Data, trained model and trainer of a checkpoint written by `run`; `changed` settings win over stored ones.

    Raises:
        InputError: no checkpoint of this package, of a newer format, of other rows than the data now give, or without
            the calibration that its run was to fit.
    """
    return run_of(checkpoint.load(path), path, **changed)


def run_of(content: Mapping[str, Any], path: str | Path, *, quiet: bool = True, **changed: Any) -> Prepared:
    """`load_run` of a checkpoint whose content was read from `path`; without `quiet` RecBole's log is at its level.

    Raises:
        InputError: as `load_run`.
    """
    checkpoint.check_run(content, path)
    if "data_path" in changed:  # a Config keeps the folder of the data set itself
        changed["data_path"] = os.path.join(changed["data_path"], content["config"]["dataset"])
    parts = prepare_run(rebuild_config(content["config"] | changed), quiet=quiet)
    check_same_rows(content, path, parts.train.part)
    check_same_items(content, path, parts.train.part)
    checkpoint.fill(parts.model, content, path)
    parts.trainer.click_rates = checkpoint.final_click_rates_of(content, path)
    parts.model.eval()
    return parts


def load_data_and_model(path: str | Path, recboles: Callable[[Any], Any], trust: bool = False) -> tuple[Any, ...]:
    """RecBole's `load_data_and_model` for checkpoints of this package, and for its own where the user trusts them.

    Args:
        recboles: the original.
        trust: the file is RecBole's pickle, and may run what it says.

    Returns:
        config, model, dataset, and the loaders of the training, validation and test parts.

    Raises:
        InputError: a pickle without the user's word.
    """
    try:
        content = checkpoint.load(path)
    except checkpoint.NotPlain:
        if not (trust or is_trusted()):
            raise untrusted(path) from None
        with trusted():
            return recboles(path)
    run = run_of(content, path, quiet=False)
    return run.config, run.model, run.train.part.source, run.train, run.valid, run.test
