"""THE table of what `prepare` can prepare: dataset name -> module that reads its raw files."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.logs import RawLog
from recbole_marn.prepare.sources import Options, Source
from recbole_marn.prepare.tables import RawDataset
from recbole_marn.settings.parsing import nearest

__all__ = ["DATASETS", "reader_of", "source_of"]

_HERE = "recbole_marn.prepare.datasets"
# A module has `read(raw, options)` and SOURCE; amazon's take the dataset's name too, since it covers any category.
DATASETS = {
    "ml-100k": f"{_HERE}.ml_100k",
    "ml-1m": f"{_HERE}.ml_1m",
    "ml-1m-labels": f"{_HERE}.ml_1m_labels",
    "hm": f"{_HERE}.hm",
    "taobao": f"{_HERE}.taobao",
    "mind": f"{_HERE}.mind",
    "obd": f"{_HERE}.obd",
    "amazon-clothing-synthetic": f"{_HERE}.synthetic",
    "amazon-clothing-synthetic-log": f"{_HERE}.synthetic_log",
    "custom": f"{_HERE}.custom",
}
_AMAZON = f"{_HERE}.amazon"


def _module(dataset: str):
    if dataset in DATASETS:
        return importlib.import_module(DATASETS[dataset])
    raise InputError(
        f"one of {', '.join(DATASETS)}, or amazon-<category>",
        repr(dataset),
        f"For data of your own use `custom --name NAME`.{nearest(dataset, DATASETS)}",
    )


def _is_amazon(dataset: str) -> bool:
    return dataset.startswith("amazon-") and dataset not in DATASETS


def reader_of(dataset: str) -> Callable[[Path, Options], RawDataset | RawLog]:
    """What reads the raw files of this dataset, imported only now.

    Raises:
        InputError: nothing is known under this name.
    """
    if _is_amazon(dataset):
        return functools.partial(importlib.import_module(_AMAZON).read, dataset=dataset)
    return _module(dataset).read


def source_of(dataset: str, raw: Path) -> Source | None:
    """The official files of a dataset and where they are; None when there are none (custom, synthetic)."""
    if _is_amazon(dataset):
        return importlib.import_module(_AMAZON).sources(dataset, raw)
    return getattr(_module(dataset), "SOURCE", None)
