"""RecBole's Config for a run on our rows: built from names and settings, and from a checkpoint's plain ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole.config import Config

from recbole_marn.errors import InputError
from recbole_marn.files import plain
from recbole_marn.files.yaml_file import read_yaml
from recbole_marn.host.compat import without_arguments
from recbole_marn.registry import atomic_files, model_class

__all__ = ["build_config", "data_files", "plain_config", "read_files", "rebuild_config"]

# Computed by RecBole from other keys; given back to it they would be refused.
COMPUTED_KEYS = {"MODEL_TYPE", "MODEL_INPUT_TYPE", "eval_type", "device", "single_spec", "local_rank"}
COMPUTED_KEYS |= {"valid_metric_bigger", "eval_args", "train_neg_sample_args"}
COMPUTED_KEYS |= {"valid_neg_sample_args", "test_neg_sample_args"}
# Set by RecBole's own files for some of its models, without effect on our rows; refused where a user gives it.
COMPUTED_KEYS |= {"threshold"}


def build_config(
    model: str | None = None,
    dataset: str | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, Any] | None = None,
) -> Config:
    """RecBole's Config for a run on our rows; `sys.argv` is not read.

    Raises:
        InputError: unknown model or setting.
    """
    settings = {"same_rows": True, **(config_dict or {})}
    files = list(config_file_list or [])
    given = read_files(files) | settings
    model, dataset = model or given.get("model"), dataset or given.get("dataset")
    for name, value in (("model", model), ("dataset", dataset)):
        if not isinstance(value, str):
            raise InputError(f"the name of a {name}", repr(value), f"Give it as --{name}=NAME or in a file.")
    model_class(model)
    files = [file for file in files if read_files([file])]  # RecBole reads no file without settings
    if not given.get("same_rows"):
        raise InputError(
            "same_rows to be true, for our rows are what this trains on",
            repr(given.get("same_rows")),
            "Leave the key out, or train on RecBole's own rows by its run_recbole.",
        )
    return without_arguments(Config)(model=model, dataset=dataset, config_file_list=files, config_dict=settings)


def read_files(files: Sequence[str]) -> dict[str, Any]:
    """The settings in YAML files; the last file wins.

    Raises:
        InputError: as `read_yaml`, or a file that holds no settings.
    """
    given: dict[str, Any] = {}
    for file in files:
        content = read_yaml(file, "settings", "Write lines such as epochs: 2, in UTF-8.")
        if content is not None and not isinstance(content, dict):
            raise InputError(
                "settings as key: value lines",
                f"a {type(content).__name__} in {file}",
                "Write lines such as epochs: 2.",
            )
        given |= content or {}
    return given


def rebuild_config(values: Mapping[str, Any]) -> Config:
    """RecBole's Config from the plain settings in one of our checkpoints."""
    # Which GPU it was is of the machine that wrote the file; this one may have none.
    kept = {key: value for key, value in values.items() if key not in COMPUTED_KEYS | {"gpu_id"}}
    kept["data_path"] = os.path.dirname(kept["data_path"])
    return without_arguments(Config)(model=kept["model"], dataset=kept["dataset"], config_dict=kept)


def plain_config(config: Config) -> dict[str, Any]:
    """Every setting of a Config as plain data, as stored in checkpoints and records."""
    return plain(config.final_config_dict)


def data_files(config: Any) -> list[Path]:
    """The files a configuration reads: atomic files, and those that its modalities, behaviours and split name.

    Raises:
        InputError: no interactions there.
    """
    folder, name = atomic_files(config)
    parts = [f"{part}." for part in config["split_files"] or ()] if config["split"] == "files" else [""]
    files = [folder / f"{name}.{part}inter" for part in parts]
    files += [folder / f"{name}.{suffix}" for suffix in ("item", "user")]
    if isinstance(file := (config["behaviours"] or {}).get("file"), str):
        files.append(folder / file)
    if not files[0].is_file():
        raise InputError(
            f"the data set '{name}' as {files[0]}",
            "no such file",
            f"Prepare it (recbole-marn prepare {name} --raw DIR), or give --data_path.",
        )
    for modality in (config["modalities"] or {}).values():
        for key in ("file", "ids", "word_vectors"):
            if isinstance(modality.get(key), str):
                file = folder / modality[key]
                files += [file, file.with_suffix(".ids")]
    return [file for file in dict.fromkeys(files) if file.is_file()]
