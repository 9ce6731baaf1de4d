"""Search of settings by RecBole's HyperTuning or by Ray Tune; there is no test part."""

from __future__ import annotations

import importlib.util
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from recbole.trainer import HyperTuning

from recbole_marn.errors import InputError
from recbole_marn.files import plain
from recbole_marn.host.config import build_config, read_files
from recbole_marn.host.keys import unread_keys
from recbole_marn.tuning import ray as ray_engine
from recbole_marn.tuning.space import (
    ALIKE,
    Space,
    check_searched,
    check_space,
    default_space,
    params_dict,
    read_space,
)
from recbole_marn.tuning.trials import Search

__all__ = ["MAX_EVALS", "tune"]

MAX_EVALS = 20
OF_A_RUN = ("nproc", "resume", "run_name", "calibration", "also_test")


def tune(
    *,
    model: str,
    dataset: str,
    config_file_list: Sequence[str] = (),
    config_dict: Mapping[str, Any] | None = None,
    params_file: str | Path | None = None,
    algo: str = "exhaustive",
    max_evals: int = MAX_EVALS,
    output_file: str | Path = "tune.json",
    cluster: ray_engine.Cluster | None = None,
) -> dict[str, Any]:
    """Train a model under many settings and choose the best on validation.

    Args:
        config_file_list, config_dict: settings of every trial. What the dictionary fixes is not searched.
        params_file: the search space (see `read_space`); default: `properties/tune/<model>.hyper`.
        algo: "exhaustive" tries every combination of choices once, "random" and "bayes" draw `max_evals` trials.
        output_file: JSON with every trial's settings and validation metrics, written whole after each trial (Ray: at
            the end).
        cluster: where Ray makes several trials at once (see `tuning.ray`); None: one after another, by RecBole.

    Returns:
        model, dataset, algo, trials (their number), best (its settings and its validation metrics), output_file; and
        notes, where settings of every trial are not read.

    Raises:
        InputError: hyperopt or Ray is missing; a params file that is missing, has a bad line or names an unknown key,
            one that is no hyper-parameter or a value out of range; nothing left to search; another search in
            `output_file`; or no trial that trains.
    """
    if cluster is None or algo == "bayes":
        check_hyperopt()
    fixed = {**(config_dict or {}), "model": model, "dataset": dataset}
    config = build_config(model, dataset, config_file_list, fixed)
    file = default_space(model) if params_file is None else Path(params_file)
    space = read_space(file)
    check_searched(space, file)
    space = {name: line for name, line in space.items() if name not in fixed}
    check_space(space, algo, max_evals, file)
    _check_values(space, file, config_file_list, fixed)
    search = Search(config, space, algo, max_evals, Path(output_file))
    search.check_place()
    if cluster is None:
        _one_after_another(search, config_file_list, fixed)
    else:
        search.trials = ray_engine.trials(search, read_files(config_file_list) | fixed, cluster)
        search.write()
    best = search.best()
    if best is None:
        diverged = f"{search.number} that diverged"
        raise InputError("a trial that trains", diverged, f"Search smaller learning rates ({file}).")
    return {
        "model": model,
        "dataset": dataset,
        "algo": algo,
        "trials": len(search.trials),
        "best": {"settings": best["settings"], "valid": best["valid"]},
        "output_file": str(output_file),
        **({"notes": notes} if (notes := unread_keys(config) + _unread_by_trials(config)) else {}),
    }


def _unread_by_trials(config: Any) -> list[str]:
    """What to say of keys of a run that its trials do not read."""
    given, defaults = config.external_config_dict, config.internal_config_dict | {"nproc": 1}
    idle = [key for key in OF_A_RUN if given.get(key, defaults[key]) != defaults[key]]
    why = "a trial trains in one process, keeps no files and has no test part"
    return [f"a search does not read {', '.join(idle)}: {why}"] if idle else []


def _check_values(space: Space, file: Path, config_file_list: Sequence[str], fixed: Mapping[str, Any]) -> None:
    """Refuse a value, or an end of a range, that no trial could be made of, before the first one is trained; and values
    whose trials would be validated by other metrics, or on other rows."""
    for name, (kind, values) in space.items():
        alike = []
        for value in values if kind == "choice" else values[:2]:
            tried = math.exp(value) if kind == "loguniform" else value
            config = build_config(fixed["model"], fixed["dataset"], config_file_list, {**fixed, name: tried})
            alike.append({key: config[key] for key in ALIKE})
        if any(found != alike[0] for found in alike):
            raise InputError(
                "trials that one metric compares, on the same rows",
                f"several values of {name} in {file}",
                "Take it out of the search; as --key=value it holds for all trials.",
            )


def _one_after_another(search: Search, config_file_list: Sequence[str], fixed: Mapping[str, Any]) -> None:
    """The trials by RecBole's HyperTuning."""
    with _written(fixed) as fixed_file, _seeded(search.config["seed"]):
        HyperTuning(
            search.trial,
            params_dict=params_dict(search.space),
            fixed_config_file_list=[*config_file_list, fixed_file],
            algo=search.algo,
            max_evals=search.number,
            early_stop=search.number + 1,  # RecBole would give up after ten trials without a better one
        ).run()


def check_hyperopt() -> None:
    """RecBole's search is built on hyperopt, which it does not depend on.

    Raises:
        InputError: there is none.
    """
    if importlib.util.find_spec("hyperopt") is None:
        raise InputError(
            "the package hyperopt, on which the search is built",
            "no such package",
            "Install it: pip install hyperopt==0.2.5.",
        )


@contextmanager
def _written(settings: Mapping[str, Any]) -> Iterator[str]:
    """A temporary YAML file of settings: the one thing besides the searched keys that HyperTuning passes on.

    The order of keys is kept: that of the modalities is part of the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fixed.yaml"
        file.write_text(yaml.safe_dump(plain(settings), sort_keys=False), encoding="utf-8")
        yield str(file)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """HyperTuning leaves hyperopt's generator to this variable."""
    before = os.environ.get("HYPEROPT_FMIN_SEED")
    os.environ["HYPEROPT_FMIN_SEED"] = str(seed)
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYPEROPT_FMIN_SEED"]
        else:
            os.environ["HYPEROPT_FMIN_SEED"] = before
