"""THE table of what `prepare` can prepare: dataset name -> module that reads its raw files."""

from __future__ import annotations

import difflib
import importlib
from types import ModuleType

from recbole_marn.errors import InputError

__all__ = ["DATASETS", "reader_of"]

_HERE = "recbole_marn.prepare.datasets"
DATASETS = {
    "ml-1m": f"{_HERE}.ml_1m",
    "hm": f"{_HERE}.hm",
    "taobao": f"{_HERE}.taobao",
}


def reader_of(dataset: str) -> ModuleType:
    """The module whose `read(raw, options)` reads this dataset, imported only now.

    Raises:
        InputError: nothing is known under this name.
    """
    if dataset in DATASETS:
        return importlib.import_module(DATASETS[dataset])
    close = difflib.get_close_matches(dataset, DATASETS, n=1)
    meant = f"Did you mean {close[0]}? " if close else ""
    raise InputError(
        f"one of {', '.join(DATASETS)}, or amazon-<category>",
        repr(dataset),
        f"{meant}Use `custom --name NAME` for data of your own.",
    )
