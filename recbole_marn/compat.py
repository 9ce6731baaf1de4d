"""What RecBole 1.2.1 needs on today's numpy, torch, ray and hyperopt.

Each fix looks first whether it is needed, is applied once, and has a test. Nothing here changes what another
library sees, except the four numpy names RecBole looks up on numpy itself.
"""

from __future__ import annotations

import ast
import importlib
import sys
import types
import warnings
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy
import torch

from recbole_marn import checkpoint

__all__ = ["apply"]

_applied = False


def apply() -> None:
    """Apply every fix; safe to call again."""
    global _applied
    if _applied:
        return
    _applied = True
    restore_numpy_names()
    stub_ray()
    checkpoint.scope_torch_load()
    anomaly_detection = torch.is_anomaly_enabled() and "recbole.model.sequential_recommender" not in sys.modules
    with warnings.catch_warnings():
        # Deprecations inside RecBole's own imports are not the user's to act on.
        warnings.simplefilter("ignore")
        importlib.import_module("recbole.quick_start")
        importlib.import_module("recbole.model.sequential_recommender")
    # SINE switches anomaly detection on at import, which costs every sequential model a factor of 2 to 4.6.
    torch.autograd.set_detect_anomaly(anomaly_detection)
    replace_eval_of_settings()
    repair_exhaustive_search()


def restore_numpy_names() -> None:
    """numpy 2 dropped four names that RecBole and ray 2.6 look up."""
    for name, value in {
        "float_": numpy.float64,
        "complex_": numpy.complex128,
        "unicode_": numpy.str_,
        "bool8": numpy.bool_,
    }.items():
        if name not in vars(numpy):
            setattr(numpy, name, value)


def stub_ray() -> None:
    """RecBole imports `ray.tune` for one call; where ray is missing or does not import, that call does nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("ray.tune")
        return
    except Exception:  # ray 2.6 fails in several ways on newer libraries; any of them means "no ray"
        for name in [name for name in sys.modules if name == "ray" or name.startswith("ray.")]:
            del sys.modules[name]
    ray, tune = types.ModuleType("ray"), types.ModuleType("ray.tune")
    ray.__doc__ = tune.__doc__ = "Stands in for ray, which is missing or broken here."
    tune.report = lambda **metrics: None
    ray.tune = tune
    sys.modules.update({"ray": ray, "ray.tune": tune})


def replace_eval_of_settings() -> None:
    """RecBole evaluates each setting given as text as Python code; literals are all that is needed."""
    from recbole.config import Config

    def literal(text: str) -> Any:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return text

    def convert(self: Config, values: dict[str, Any]) -> dict[str, Any]:
        allowed = (str, int, float, list, tuple, dict, bool, Enum, type(None))
        for key, value in values.items():
            if isinstance(value, str):
                parsed = literal(value)
                values[key] = parsed if isinstance(parsed, allowed) else value
        return values

    Config._convert_config_dict = convert


class _RandomState(numpy.random.RandomState):
    """A RandomState that newer hyperopt releases accept: they call `integers`."""

    def integers(self, low: int, high: int | None = None, size: Any = None) -> Any:
        return self.randint(low, high, size)


class _Overlay:
    """A module with a few of its names replaced, for the one module that is given it."""

    def __init__(self, module: types.ModuleType, **replaced: Any):
        self.__dict__.update(replaced)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def repair_exhaustive_search() -> None:
    """RecBole's exhaustive search hands hyperopt a RandomState; hyperopt 0.2.7 and later need `integers` on it."""
    hyper_tuning = importlib.import_module("recbole.trainer.hyper_tuning")
    hyper_tuning.np = _Overlay(numpy, random=_Overlay(numpy.random, RandomState=_RandomState))


def without_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """Call `function` with an empty command line: RecBole's Config reads `sys.argv` wherever it is built."""

    def call(*args: Any, **kwargs: Any) -> Any:
        argv, sys.argv = sys.argv, sys.argv[:1]
        try:
            return function(*args, **kwargs)
        finally:
            sys.argv = argv

    return call
