"""Which keys a run on our rows takes, checked before anything is loaded."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from recbole_marn.errors import InputError
from recbole_marn.registry import ModelRow, committed_data_folder, properties_folder
from recbole_marn.settings.data import DataSettings
from recbole_marn.settings.host import LEFT_ALONE, METRICS, HostSettings
from recbole_marn.settings.parsing import from_mapping, nearest
from recbole_marn.settings.training import TrainSettings

__all__ = ["DATA_KEYS", "add_our_files", "check_host_settings", "check_keys"]

DATA_KEYS = tuple(field.name for field in dataclasses.fields(DataSettings))

# Keys RecBole reads without listing them anywhere, and the ones its command line consumes.
RECBOLE_KEYS = {"model", "dataset", "config_files", "nproc", "ip", "port", "world_size", "group_offset", "offset"}
RECBOLE_KEYS |= {"local_rank", "verbose", "saved", "loss_type", "transform", "wandb_project", "embedding_size"}
RECBOLE_KEYS |= {"double_tower", "reg_weight", "numerical_features", "load_col", "discretization"}


def add_our_files(config: Any, row: ModelRow, dataset: str) -> None:
    """Add our YAML files to what a Config has read of RecBole's, and check what the user gave.

    Raises:
        InputError: see `check_keys` and `check_host_settings`.
    """
    known = RECBOLE_KEYS.union(config.internal_config_dict, *config.parameters.values())
    folder, own = properties_folder(), f"model/{row.name}.yaml"
    for file in ("overall.yaml", f"dataset/{dataset}.yaml", own):
        if (folder / file).is_file():
            config._update_internal_config_dict(str(folder / file))
        elif file == own and row.ours:
            raise FileNotFoundError(f"properties/{own} is missing from this installation")
    given = config.external_config_dict
    check_keys(row, known, given)
    check_host_settings(given, config.internal_config_dict)
    use_committed_data(given, dataset)


def use_committed_data(given: dict[str, Any], dataset: str) -> None:
    """Read a data set that comes with this package where it is, unless the user's folder has one of that name."""
    if (committed_data_folder() / dataset / f"{dataset}.inter").is_file():
        if not os.path.isdir(os.path.join(given.get("data_path", "dataset"), dataset)):
            given["data_path"] = str(committed_data_folder())


def check_keys(row: ModelRow, recbole_keys: set[str], given: Mapping[str, Any]) -> None:
    """Refuse keys that neither RecBole nor a settings dataclass of this run knows, and values of the wrong kind."""
    kinds = [DataSettings, TrainSettings] + ([row.settings] if row.settings else [])
    ours = {field.name for kind in kinds for field in dataclasses.fields(kind)} | {"same_rows"}
    for key in given:
        if key not in ours and key not in recbole_keys:
            raise InputError(
                f"a setting known to {row.name}, its data or RecBole",
                f"'{key}'",
                f"Correct or remove the key.{nearest(key, ours | recbole_keys)}",
            )
    for kind in kinds:
        from_mapping(kind, given, complete=False)
    for key in ("save_dataset", "save_dataloaders"):
        if given.get(key):
            raise InputError(f"'{key}' to be false", "true", "Rows are built in seconds and are checked each time.")


def check_host_settings(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Check RecBole's keys of a run on our rows.

    Args:
        given: what the user set.
        defaults: what holds otherwise.

    Raises:
        InputError: a key that would undo our rows, a wrong type or range, a metric that is not one of labelled
            rows, or a validation metric that is not among the metrics.
    """
    for key, instead in LEFT_ALONE.items():
        if key in given and given[key] != defaults.get(key):
            raise InputError(f"'{key}' to stay {defaults.get(key)!r}", repr(given[key]), f"Remove the key; {instead}.")
    values = {**defaults, **given}
    from_mapping(HostSettings, values, complete=False)
    metrics = values["metrics"]
    metrics = [metrics] if isinstance(metrics, str) else metrics
    known = {metric.lower(): metric for metric in METRICS}
    for metric in metrics:
        if str(metric).lower() not in known:
            raise InputError(
                f"metrics among {', '.join(METRICS)}",
                repr(metric),
                f"Rows are labelled, so lists are not ranked: choose from these.{nearest(metric, METRICS)}",
            )
    chosen = values["valid_metric"]
    if str(chosen).lower() not in {metric.lower() for metric in metrics}:
        raise InputError(
            f"valid_metric to be one of the metrics ({', '.join(metrics)})",
            repr(chosen),
            f"Choose one of them, or add it to metrics.{nearest(chosen, metrics)}",
        )
