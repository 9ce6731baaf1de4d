"""Which keys a run on our rows takes, checked before anything is loaded."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shlex
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError
from recbole_marn.files import check_plain_name
from recbole_marn.host.defaults import our_settings
from recbole_marn.host.vocabulary import translate
from recbole_marn.registry import MODELS, ModelRow, choices, committed_data_folder
from recbole_marn.settings.data import LOG_KEYS, SPLIT_KEYS, DataSettings
from recbole_marn.settings.host import (
    CLICKS_ALONE,
    GAUC_NAME,
    INSTEAD,
    METRICS,
    NO_REQUESTS,
    REFUSED,
    TAKEN,
    FileSettings,
    HostSettings,
)
from recbole_marn.settings.parsing import defaults as defaults_of
from recbole_marn.settings.parsing import from_mapping, nearest
from recbole_marn.settings.training import TrainSettings
from recbole_marn.settings.unread import unread

__all__ = ["DATA_KEYS", "add_our_settings", "check_host_settings", "check_keys", "spell_whole_numbers", "unread_keys"]

# What a data set is, as `DATASET.yaml` says it.
DESCRIBING = ("label", "modalities")
DATA_KEYS = tuple(field.name for field in dataclasses.fields(DataSettings))


def add_our_settings(config: Any, row: ModelRow, dataset: str) -> None:
    """Put our defaults and YAML files over what a Config has read of RecBole's, and check what the user gave.

    Raises:
        InputError: see `check_keys` and `check_host_settings`.
    """
    recboles = dict(config.internal_config_dict)
    config.internal_config_dict.update(our_settings(dataset, row))
    given = config.external_config_dict
    translate(given, config.internal_config_dict)
    read = check_keys(row, given, recboles | config.internal_config_dict)
    check_host_settings(given, config.internal_config_dict)
    spell_whole_numbers(given, read)
    name_gauc(given, config.internal_config_dict)
    check_names(dataset, given)
    use_committed_data(given, dataset)
    check_prepared_settings(given, dataset)


def use_committed_data(given: dict[str, Any], dataset: str) -> None:
    """Read a data set that comes with this package where it is, unless the user's folder has one of that name."""
    if (committed_data_folder() / dataset / f"{dataset}.inter").is_file():
        if not os.path.isdir(os.path.join(given.get("data_path", "dataset"), dataset)):
            given["data_path"] = str(committed_data_folder())


def check_prepared_settings(given: Mapping[str, Any], dataset: str) -> None:
    """Refuse to pass over `DATASET.yaml`, in which `recbole-marn prepare` says what the files beside it are.

    Whoever says the same of their own (`DESCRIBING`) does not need it, nor does a data set that comes with a file here.

    Raises:
        InputError: there is such a file, and nobody gives it or what it says.
    """
    from recbole_marn.host.config import read_files  # here, for RecBole's Config is made of what this file says

    file = Path(given.get("data_path", "dataset"), dataset, f"{dataset}.yaml")
    if not file.is_file():
        return
    says = read_files([str(file)])
    told = given.keys() | choices("dataset", dataset).keys()
    if unread := [key for key in DESCRIBING if key in says and key not in told]:
        raise InputError(
            f"the settings that describe {dataset}",
            f"a run without {file}, which says {' and '.join(unread)}",
            f"Add --config_files={shlex.quote(str(file))}, or set {' and '.join(unread)} yourself.",
        )


def check_keys(row: ModelRow, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Any]:
    """Refuse what would have no effect on this run, and values of the wrong kind.

    Args:
        given: what the user set.
        defaults: what holds otherwise; a key that is given its default changes nothing and may stay.

    Returns:
        What the user set as each settings class of the run reads it.

    Raises:
        InputError: keys that nobody knows, keys of RecBole that do nothing here (all at once), a wrong type or range.
    """
    kinds = [DataSettings, TrainSettings, HostSettings, FileSettings, row.settings]
    known = TAKEN.union(*({field.name for field in dataclasses.fields(kind)} for kind in kinds))
    refused = dict(REFUSED) | ({key: text for key, text in INSTEAD.items() if key not in known} if row.ours else {})
    if started_by_us(given):
        refused = {key: text for key, text in refused.items() if key not in WORLD_KEYS}
        known |= WORLD_KEYS
    labelled = given.get("label", defaults.get("label")) is not None
    if labelled:
        refused = {key: text for key, text in refused.items() if key != "LABEL_FIELD"}
        known |= {"LABEL_FIELD"}
        refused |= dict.fromkeys(CLICKS_ALONE, "a log has its own negatives, and every row of it is a row")
        if given.get("histories") == "earlier":
            refused["histories"] = "behaviours in a log's histories are always of an earlier time"
    else:
        refused |= dict.fromkeys(LOG_KEYS, "it needs the key label, which says what was clicked")
        if given.get("histories") == "earlier":
            del refused["histories"]
        _check_split(given)
    if not labelled or given.get("request", defaults.get("request")) is None:
        refused["topk"] = NO_REQUESTS
    split = given.get("split", defaults.get("split"))
    others = {key: one for key, one in SPLIT_KEYS.items() if one != split}
    refused = {key: f"split: {one} reads it, and this is split: {split}" for key, one in others.items()} | refused
    hints = {}
    for key, value in given.items():
        changed = not _same(value, defaults.get(key))
        # A process key without the others makes RecBole look for them, whatever its value.
        if key in refused and (changed or key in WORLD_KEYS):
            hints[key] = f"Leave out {key}: {refused[key]}."
        # A checkpoint's settings hold every key RecBole has, most of them with its default.
        elif key not in known and key not in refused and (changed or key not in defaults):
            hints[key] = _unknown(key, known, row.name)
    if hints:
        raise InputError(
            f"keys that a run of {row.name} on our rows reads",
            ", ".join(f"{key}={given[key]!r}" for key in hints),
            " ".join([*hints.values(), "docs/keys.md has all of them."]),
        )
    return [from_mapping(kind, given, complete=False) for kind in kinds]


def unread_keys(config: Any) -> list[str]:
    """What to say of keys that the user set and that this run does not read, because of what other keys say.

    Unlike those that no run reads they do not stop it: a search or a table may set them for all of its runs.
    """
    of_model = defaults_of(MODELS[config["model"]].settings)  # a preset's file has its choices alone
    standing = of_model | config.internal_config_dict
    given = {key: value for key, value in config.external_config_dict.items() if not _same(value, standing.get(key))}
    return unread(given, of_model | config.final_config_dict)


def spell_whole_numbers(given: MutableMapping[str, Any], settings: Iterable[Any]) -> None:
    """512.0, as a search over a range draws it, is 512: RecBole and torch take it for no number of rows or epochs.

    Args:
        given: what the user set.
        settings: the same as the settings classes read it.
    """
    for read in map(vars, settings):
        given |= {key: read[key] for key in read.keys() & given if _is_whole_float(given[key], read[key])}


def _is_whole_float(given: Any, read: Any) -> bool:
    return isinstance(given, float) and isinstance(read, int)


def _check_split(given: Mapping[str, Any]) -> None:
    if given.get("split") in ("random", "field", "files"):
        raise InputError(
            "split: leave_last or time where every line is a click",
            f"'{given['split']}'",
            "Choose one of them, or say what was clicked: label: {field: ...}.",
        )


# Set by `training.processes` in each process it starts.
WORLD_KEYS = {"world_size", "ip", "port", "offset", "local_rank"}


def started_by_us(given: Mapping[str, Any]) -> bool:
    """Whether these are the settings of one of the processes of a run; a user has no reason to give all the keys."""
    return WORLD_KEYS <= set(given)


def _same(given: Any, default: Any) -> bool:
    """Whether a key has its default; false, empty and null are the same nothing."""
    return given == default or (_nothing(given) and _nothing(default))


def _nothing(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, (str, list, tuple, dict)) and not value)


def check_host_settings(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Check the values of RecBole's keys in a run on our rows.

    Raises:
        InputError: a wrong type or range, a metric that is not one of labelled rows, a validation metric that is
            not among the metrics, a GPU that is not there, a package that is asked for and missing.
    """
    values = {**defaults, **given}
    from_mapping(HostSettings, values, complete=False)
    from_mapping(FileSettings, values, complete=False)
    metrics = values["metrics"]
    metrics = [metrics] if isinstance(metrics, str) else metrics
    known = {metric.lower() for metric in (*METRICS, GAUC_NAME)}  # a checkpoint has the name inside RecBole
    for metric in metrics:
        if str(metric).lower() not in known:
            raise InputError(
                f"metrics among {', '.join(METRICS)}",
                repr(metric),
                f"Choose from these, which rank no lists.{nearest(metric, METRICS)} The requests of a log are ranked "
                "anyway, as deep as topk says.",
            )
    chosen = values["valid_metric"]
    if str(chosen).lower() not in {metric.lower() for metric in metrics}:
        raise InputError(
            f"valid_metric to be one of the metrics ({', '.join(metrics)})",
            repr(chosen),
            f"Choose one of them, or add it to metrics.{nearest(chosen, metrics)}",
        )
    norm = values.get("clip_grad_norm")
    if norm and (
        set(norm) - {"max_norm", "norm_type", "error_if_nonfinite"}
        or not _positive(norm.get("max_norm"))
        or not _positive(norm.get("norm_type", 2))
        or not isinstance(norm.get("error_if_nonfinite", False), bool)
    ):
        raise InputError(
            "clip_grad_norm to be {max_norm: NUMBER}, with a number as norm_type if need be",
            repr(norm),
            "Write it as clip_grad_norm: {max_norm: 5}.",
        )
    if values.get("log_wandb") and importlib.util.find_spec("wandb") is None:
        raise InputError(
            "the package wandb, which log_wandb reports to", "no such package", "Install it: pip install wandb."
        )
    if "gpu_id" in given and given["gpu_id"] != defaults.get("gpu_id") and values.get("use_gpu"):
        _check_gpu(given["gpu_id"])


def name_gauc(given: MutableMapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """GAUC under the name that RecBole does not have."""
    metrics = given.get("metrics", defaults.get("metrics"))
    metrics = [metrics] if isinstance(metrics, str) else list(metrics or ())
    if any(str(metric).lower() == "gauc" for metric in metrics):
        given["metrics"] = [GAUC_NAME if str(metric).lower() == "gauc" else metric for metric in metrics]
    if str(given.get("valid_metric", defaults.get("valid_metric"))).lower() == "gauc":
        given["valid_metric"] = GAUC_NAME


def _unknown(key: str, known: Iterable[str], model: str) -> str:
    """What to do about a key that this run does not read: it may be another model's, or misspelt."""
    owners = [name for name, row in MODELS.items() if key in row.settings.__dataclass_fields__]
    if owners:
        others = f" and {len(owners) - 1} other models" if len(owners) > 1 else ""
        return f"Leave out {key}: {model} has no such key; {owners[0]}{others} {'have' if others else 'has'} it."
    return f"{key} is no key of this run.{nearest(key, known) or ' Leave it out.'}"


def _positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _check_gpu(wanted: Any) -> None:
    from torch import cuda

    number = cuda.device_count() if cuda.is_available() else 0
    ids = str(wanted).split(",")
    if not all(text.strip().isdigit() and int(text) < number for text in ids):
        raise InputError(
            f"gpu_id to name one of the {number} GPUs of this machine",
            repr(wanted),
            "Leave the key out to train on the CPU." if not number else f"Give a number below {number}.",
        )


def check_names(dataset: str, given: Mapping[str, Any]) -> None:
    """Names become parts of paths: they stay inside their folder, and folders are folders.

    Raises:
        InputError: a path where a name is meant, or a file where a folder is.
    """
    check_plain_name("dataset", dataset, "--data_path names the folder that it is in")
    if given.get("run_name") is not None:
        check_plain_name("run_name", given["run_name"], "checkpoint_dir names the folder")
    for key in ("checkpoint_dir", "data_path"):
        path = given.get(key)
        if path is not None and os.path.exists(path) and not os.path.isdir(path):
            raise InputError(f"{key} to be a folder", f"{path}, which is a file", "Give another folder.")
