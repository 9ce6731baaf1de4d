"""A module with a few names replaced, for the one RecBole module that is given it."""

from __future__ import annotations

import types
from typing import Any

__all__ = ["Overlay"]


class Overlay:
    """Looks like `module`, but for the names in `replaced`; the module itself stays as it is."""

    def __init__(self, module: types.ModuleType | Overlay, **replaced: Any):
        self.__dict__.update(replaced)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)
