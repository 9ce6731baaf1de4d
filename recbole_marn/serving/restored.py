"""A trained model from its checkpoint and the items beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from recbole_marn.data.catalogue import Catalogue
from recbole_marn.data.context import ContextField
from recbole_marn.data.item_features import ItemFeatures, OfItems
from recbole_marn.data.item_table import ItemTable
from recbole_marn.errors import InputError
from recbole_marn.models.base import CTRModel
from recbole_marn.registry import MODELS, model_class
from recbole_marn.settings.data import DataSettings
from recbole_marn.settings.parsing import from_mapping
from recbole_marn.training import checkpoint
from recbole_marn.training.click_rates import ClickRates
from recbole_marn.training.items_file import read_items

__all__ = ["Restored", "restore"]


@dataclass(frozen=True)
class Restored:
    """A model in evaluation, and what it knows of items.

    Attributes:
        model: on the CPU.
        catalogue: items, vocabularies and bins.
        settings: of the data: modalities and behaviour.
        longest: behaviours of a history that are read, the latest ones.
        click_rates: from the model's outputs to probabilities: correction and calibration of the run.
        filters: column -> what the lines of .inter were filtered by (`val_interval`).
    """

    model: CTRModel
    catalogue: Catalogue
    settings: DataSettings
    longest: int
    click_rates: ClickRates
    filters: Mapping[str, Any] = field(default_factory=dict)


def restore(path: str | Path, vectors: Mapping[str, str | Path] | None = None) -> Restored:
    """The model of a checkpoint written by `run`; neither the data nor RecBole's objects are needed.

    Args:
        path: `<run>.pth`; the file of its items lies beside it.
        vectors: modality -> file, of modalities whose vectors were too large to be copied.

    Raises:
        InputError: no checkpoint of this package, of a model without item vectors, without its items, or without the
            calibration that its run was to fit.
    """
    content = checkpoint.load(path)
    checkpoint.check_run(content, path)
    config = content["config"] | {"device": torch.device("cpu")}
    _check_model(config["model"], path)
    files = {name: Path(file) for name, file in (vectors or {}).items()}
    catalogue = read_items(path, content, files)
    settings = from_mapping(DataSettings, config, complete=False)
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, and overwritten
        model = model_class(config["model"])(config, _ModelData(catalogue, settings))
    checkpoint.fill(model, content, path)
    rates = checkpoint.final_click_rates_of(content, path)
    longest, filters = int(config["MAX_ITEM_LIST_LENGTH"]), config.get("val_interval") or {}
    return Restored(model.eval(), catalogue, settings, longest, rates, filters)


def _check_model(name: str, path: str | Path) -> None:
    if name in MODELS and MODELS[name].ours and model_class(name).makes_item_vectors:
        return
    towers = [row.name for row in MODELS.values() if row.family in ("MARN", "multimodal")]
    raise InputError(
        f"a model that makes a vector of every item ({', '.join(towers)})",
        f"{name} in {path}",
        "Where the data are, recbole.quick_start.load_data_and_model loads it, and its predict scores their rows.",
    )


@dataclass(frozen=True)
class _ModelData(OfItems):
    """What a model asks its data set for when it is built."""

    catalogue: Catalogue
    settings: DataSettings

    def num(self, field: str) -> int:
        return self.catalogue.n_items  # RecBole asks for that of the items alone

    @property
    def context_fields(self) -> tuple[ContextField, ...]:
        return tuple(field for vocabulary in self.catalogue.context for field in vocabulary.fields)

    @property
    def rows(self) -> _ModelData:
        return self

    def n_batches(self, size: int) -> int:
        return 1  # no training follows, and with it no schedule

    @property
    def item_table(self) -> ItemTable:
        return self.catalogue.table

    @property
    def features(self) -> ItemFeatures:
        return self.catalogue.features

    @property
    def behaviour_cardinality(self) -> int | None:
        return self.catalogue.behaviour_cardinality
