"""Where Numba is installed, loops that it compiles; nowhere are they needed.

`pip install "recbole-marn[compiled]"`. The first step of the first training compiles for some seconds; what comes of it
is kept beside the source, or in the user's cache where that cannot be written.
"""

import importlib
import importlib.util
import warnings
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

__all__ = ["compiled_loops"]


def compiled_loops(x: Tensor) -> ModuleType | None:
    """The module `loops` where it serves numbers like those of x, in float32 or float64 on a CPU; else None."""
    return _loops() if x.is_cpu and x.dtype in (torch.float32, torch.float64) else None


@cache
def _loops() -> ModuleType | None:
    if importlib.util.find_spec("numba") is None:
        return None
    try:
        return importlib.import_module("recbole_marn.layers.kernels.loops")
    except ImportError as error:  # it does not know this NumPy, say
        warnings.warn(
            f"Numba is installed and does not load: {error}. torch makes the same numbers in more time.", stacklevel=2
        )
        return None
