"""Search of settings by RecBole's HyperTuning or by Ray Tune; there is no test part."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from recbole.trainer import HyperTuning

from recbole_marn.errors import Diverged, InputError
from recbole_marn.files import check_plain_name, plain, write_json
from recbole_marn.host.config import build_config, read_files
from recbole_marn.training.metrics import named_metrics
from recbole_marn.training.objective import objective_function
from recbole_marn.tuning import ray as ray_engine
from recbole_marn.tuning.space import Space, check_space, default_space, params_dict, read_space, readable

__all__ = ["tune"]


def tune(
    *,
    model: str,
    dataset: str,
    config_file_list: Sequence[str] = (),
    config_dict: Mapping[str, Any] | None = None,
    params_file: str | Path | None = None,
    algo: str = "exhaustive",
    max_evals: int = 20,
    output_file: str | Path = "tune.json",
    engine: str = "recbole",
    cluster: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a model under many settings and choose the best on validation.

    Args:
        config_file_list, config_dict: settings of every trial. What the dictionary fixes is not searched.
        params_file: the search space (see `read_space`); default: `properties/tune/<model>.hyper`.
        algo: "exhaustive" tries every combination of choices once, "random" and "bayes" draw `max_evals` trials.
        output_file: JSON with every trial's settings and validation metrics, written whole after each trial (Ray: at
            the end).
        engine: "recbole", one trial after another, or "ray", several at once (see `tuning.ray`).
        cluster: arguments of `tuning.ray.Cluster`.

    Returns:
        model, dataset, algo, trials (their number), best (its settings and its validation metrics), output_file.

    Raises:
        InputError: hyperopt or Ray is missing; a params file that is missing, has a bad line or names an unknown key
            or a value out of range; nothing left to search; another search in `output_file`; or no trial that trains.
    """
    if engine == "recbole" or algo == "bayes":
        check_hyperopt()
    fixed = {**(config_dict or {}), "model": model, "dataset": dataset}
    config = build_config(model, dataset, config_file_list, fixed)
    file = default_space(model) if params_file is None else Path(params_file)
    space = {name: line for name, line in read_space(file).items() if name not in fixed}
    check_space(space, algo, max_evals, file)
    _check_values(space, config_file_list, fixed)
    search = _Search(config, algo, space, Path(output_file))
    search.check_place()
    number = math.prod(len(values) for _, values in space.values()) if algo == "exhaustive" else max_evals
    if engine == "ray":
        settings, where = read_files(config_file_list) | fixed, ray_engine.Cluster(**(cluster or {}))
        search.trials = ray_engine.trials(
            config, settings, space, algo, number, search.header, Path(output_file), where
        )
        search.write()
    else:
        _one_after_another(search, space, number, config_file_list, fixed)
    best = search.best()
    if best is None:
        raise InputError("a trial that trains", f"{number} that diverged", f"Search smaller learning rates ({file}).")
    return {
        "model": model,
        "dataset": dataset,
        "algo": algo,
        "trials": len(search.trials),
        "best": {"settings": best["settings"], "valid": best["valid"]},
        "output_file": str(output_file),
    }


def _check_values(space: Space, config_file_list: Sequence[str], fixed: Mapping[str, Any]) -> None:
    """Refuse a value, or an end of a range, that no trial could be made of, before the first one is trained."""
    for name, (kind, values) in space.items():
        for value in values if kind == "choice" else values[:2]:
            tried = math.exp(value) if kind == "loguniform" else value
            build_config(fixed["model"], fixed["dataset"], config_file_list, {**fixed, name: tried})


def _one_after_another(
    search: _Search, space: Space, number: int, config_file_list: Sequence[str], fixed: Mapping[str, Any]
) -> None:
    """`number` trials by RecBole's HyperTuning."""
    with _written(fixed) as fixed_file, _seeded(search.header["seed"]):
        HyperTuning(
            search.trial,
            params_dict=params_dict(space),
            fixed_config_file_list=[*config_file_list, fixed_file],
            algo=search.header["algo"],
            max_evals=number,
            early_stop=number + 1,  # RecBole would give up after ten trials without a better one
        ).run()


class _Search:
    """The trials so far; `trial` is what HyperTuning calls."""

    def __init__(self, config: Any, algo: str, space: Space, output_file: Path):
        self.bigger = config["valid_metric_bigger"]
        self.output_file = output_file
        self.trials: list[dict[str, Any]] = []
        self.header = {
            "format": 1,
            "model": config["model"],
            "dataset": config["dataset"],
            "algo": algo,
            "valid_metric": config["valid_metric"],
            "seed": config["seed"],
            "space": {name: {"kind": kind, "values": values} for name, (kind, values) in space.items()},
        }

    def check_place(self) -> None:
        """The file of another search is not written over; the same one may be done again.

        Raises:
            InputError: it holds something else.
        """
        check_plain_name("output_file", self.output_file.name, "its folder may stand before it")
        if not self.output_file.exists():
            self.write()  # finds out now, not after the first trial, whether it can be written
            return
        try:
            there = json.loads(self.output_file.read_text(encoding="utf-8"))
            before = {key: there[key] for key in self.header}
        except (OSError, ValueError, KeyError, TypeError):
            before = {}
        known = json.loads(json.dumps(plain(self.header)))
        changed = [key for key in known if before.get(key) != known[key]]
        if changed:
            raise InputError(
                f"no file, or this search's, at {self.output_file}",
                f"one with another {', '.join(changed)}",
                "Give another --output_file, or move the file away; nothing was overwritten.",
            )

    def trial(self, config_dict: Mapping[str, Any], config_file_list: Sequence[str]) -> dict[str, Any]:
        settings = {name: readable(value) for name, value in config_dict.items()}
        start = time.perf_counter()
        try:
            result = objective_function(settings, config_file_list)
            score, failure = float(result["best_valid_score"]), None
        except Diverged as error:
            score, failure = math.nan, str(error)
        if not math.isfinite(score):
            worst = -math.inf if self.bigger else math.inf
            result = {"model": self.header["model"], "best_valid_score": worst, "valid_score_bigger": self.bigger}
            result |= {"best_valid_result": None, "test_result": {}}
            failure = failure or f"{self.header['valid_metric']} of the validation part is not a number"
        self.trials.append(
            {
                "settings": settings,
                "valid": named_metrics(result["best_valid_result"]),
                "valid_score": None if failure else score,
                "seconds": round(time.perf_counter() - start, 2),
                **({"failure": failure} if failure else {}),
            }
        )
        self.write()
        return result

    def best(self) -> dict[str, Any] | None:
        """The first of the best trials, or None where all failed."""
        trained = [trial for trial in self.trials if trial["valid_score"] is not None]
        sign = 1 if self.bigger else -1
        return max(trained, key=lambda trial: sign * trial["valid_score"], default=None)

    def write(self) -> None:
        write_json(self.output_file, self.header | {"trials": self.trials, "best": self.best()})


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
