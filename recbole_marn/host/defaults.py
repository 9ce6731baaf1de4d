"""What holds in a run on our rows unless a user says otherwise."""

from __future__ import annotations

import copy
from typing import Any

from recbole_marn.registry import ModelRow, choices
from recbole_marn.settings.data import DataSettings
from recbole_marn.settings.host import FIXED, RunSettings
from recbole_marn.settings.parsing import defaults
from recbole_marn.settings.training import TrainSettings

__all__ = ["our_settings"]

# RecBole's AutoInt reads it and lists it nowhere; a Config without it means false, as in all its records.
UNLISTED = {"has_residual"}


def our_settings(dataset: str, row: ModelRow | None = None) -> dict[str, Any]:
    """The defaults of the dataclasses, then the choices in the YAML files of the data set and the model.

    A preset has its choices alone: the rest is in the dataclass, which its model reads. Names of runs are digests of
    these settings, so that a key more would rename every run.

    Args:
        row: the model; without one, what holds for every model.

    Raises:
        FileNotFoundError: a preset without its file would be another model.
    """
    settings = copy.deepcopy(FIXED)
    for kind in (RunSettings, DataSettings, TrainSettings):
        settings |= defaults(kind)
    if row is None:
        return settings | choices("dataset", dataset)
    if row.preset_of is None:
        settings |= {key: value for key, value in defaults(row.settings).items() if key not in UNLISTED}
    own = choices("model", row.name)
    if row.preset_of is not None and not own:
        raise FileNotFoundError(f"properties/model/{row.name}.yaml is missing from this installation")
    return settings | choices("dataset", dataset) | own
