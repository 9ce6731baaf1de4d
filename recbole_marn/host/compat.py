"""Repairs of RecBole 1.2.1 on today's numpy, torch, ray and hyperopt; `plugin.py` has the table and applies them.

Each changes modules of RecBole alone. What other libraries see of numpy, torch and ray stays as it was, but for the old
names that RecBole itself gives numpy whenever a Config is built.
"""

from __future__ import annotations

import ast
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

from recbole_marn.host.overlay import Overlay

__all__ = [
    "anomaly_detection_as_it_was",
    "anomaly_detection_off",
    "generator_for_hyperopt",
    "literal_settings",
    "numpy_names",
    "old_numpy_names",
    "ray_on_demand",
    "report_to_ray",
    "without_arguments",
]


# ------------------------------------------------------------------------------------------- around an import
@contextmanager
def ray_on_demand() -> Iterator[None]:
    """Let `from ray import tune` in RecBole find a stand-in, for ray takes seconds to import or is not there.

    RecBole calls `tune.report` alone. The stand-in passes it on where a program has started Ray.
    """
    if "ray.tune" in sys.modules:
        yield
        return
    absent = object()
    before = {name: sys.modules.get(name, absent) for name in ("ray", "ray.tune")}
    ray, tune = types.ModuleType("ray"), types.ModuleType("ray.tune")
    tune.report = report_to_ray
    ray.tune = tune
    sys.modules.update({"ray": ray, "ray.tune": tune})
    try:
        yield
    finally:
        for name, module in before.items():
            if module is absent:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def report_to_ray(**metrics: Any) -> None:
    """Report to Ray Tune from a trial of it; nothing happens elsewhere."""
    ray, tune = sys.modules.get("ray"), sys.modules.get("ray.tune")
    if ray is not None and tune is not None and ray.is_initialized():
        if "metrics" in inspect.signature(tune.report).parameters:  # Ray of 2023 and later
            tune.report(metrics)
        else:
            tune.report(**metrics)


@contextmanager
def anomaly_detection_as_it_was() -> Iterator[None]:
    """SINE switches torch's anomaly detection on for the whole process when it is imported."""
    import torch

    before = torch.is_anomaly_enabled()
    try:
        yield
    finally:
        torch.autograd.set_detect_anomaly(before)


@contextmanager
def old_numpy_names() -> Iterator[None]:
    """ray 2.6, which RecBole pins, looks up names at its import that numpy 2 no longer has; they go again with it."""
    import numpy

    old = {"float_": numpy.float64, "complex_": numpy.complex128, "unicode_": numpy.str_, "bool8": numpy.bool_}
    lent = [name for name in old if name not in vars(numpy)]
    for name in lent:
        setattr(numpy, name, old[name])
    try:
        yield
    finally:
        for name in lent:
            delattr(numpy, name)


# -------------------------------------------------------------------------------------------- after an import
def anomaly_detection_off(sine: types.ModuleType) -> None:
    """Where SINE was imported before this package: undo what that import did."""
    sine.torch.autograd.set_detect_anomaly(False)


def literal_settings(configurator: types.ModuleType) -> None:
    """RecBole evaluates each setting given as text as Python code; literals are all that is needed."""
    allowed = (str, int, float, list, tuple, dict, bool, Enum, type(None))

    def literal(text: str) -> Any:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return text

    def _convert_config_dict(self: Any, values: dict[str, Any]) -> dict[str, Any]:
        for key, value in values.items():
            if isinstance(value, str):
                parsed = literal(value)
                values[key] = parsed if isinstance(parsed, allowed) else value
        return values

    configurator.Config._convert_config_dict = _convert_config_dict


def numpy_names(configurator: types.ModuleType) -> None:
    """When a Config is built, RecBole gives numpy the old names it uses, from four that numpy 2 no longer has."""

    def compatibility_settings(self: Any) -> None:
        import numpy

        kinds = {"bool": numpy.bool_, "int": numpy.int_, "float": numpy.float64, "complex": numpy.complex128}
        kinds |= {"object": numpy.object_, "str": numpy.str_, "long": numpy.int_, "unicode": numpy.str_}
        for name, kind in kinds.items():
            setattr(numpy, name, kind)

    configurator.Config.compatibility_settings = compatibility_settings


def generator_for_hyperopt(hyper_tuning: types.ModuleType) -> None:
    """RecBole's exhaustive search hands hyperopt a RandomState; hyperopt 0.2.7 and later call `integers` on it."""
    numpy = hyper_tuning.np

    class RandomState(numpy.random.RandomState):
        def integers(self, low: int, high: int | None = None, size: Any = None) -> Any:
            return self.randint(low, high, size)

    hyper_tuning.np = Overlay(numpy, random=Overlay(numpy.random, RandomState=RandomState))


def without_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """Call `function` with an empty command line: RecBole's Config reads `sys.argv` wherever it is built."""

    def call(*args: Any, **kwargs: Any) -> Any:
        argv, sys.argv = sys.argv, sys.argv[:1]
        try:
            return function(*args, **kwargs)
        finally:
            sys.argv = argv

    return call
