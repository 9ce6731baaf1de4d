"""Multimodal click-through-rate prediction for RecBole.

Importing this package imports neither torch nor RecBole. As soon as RecBole is imported, before or after, its own
entry points know every model here by name. The names below are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

from recbole_marn import plugin  # noqa: E402  (whoever imports a part of this package finds the version)

if TYPE_CHECKING:  # for editors, type checkers and the site; `FACE` says the same to Python
    from recbole_marn.errors import InputError
    from recbole_marn.quick_start import load_run, objective_function, run
    from recbole_marn.serving.histories import History
    from recbole_marn.serving.scorer import CTRScorer, load_scorer

plugin.watch()

FACE = {
    "CTRScorer": "serving.scorer",
    "History": "serving.histories",
    "InputError": "errors",
    "load_run": "quick_start",
    "load_scorer": "serving.scorer",
    "objective_function": "quick_start",
    "run": "quick_start",
}

__all__ = [
    "CTRScorer",
    "History",
    "InputError",
    "__version__",
    "load_run",
    "load_scorer",
    "objective_function",
    "run",
]


def __getattr__(name: str) -> object:
    if name in FACE:
        try:
            return getattr(importlib.import_module(f"recbole_marn.{FACE[name]}"), name)
        except ModuleNotFoundError as error:
            if error.name != "recbole":
                raise
            raise importlib.import_module("recbole_marn.errors").without_recbole() from None
    raise AttributeError(f"module 'recbole_marn' has no attribute '{name}'")
