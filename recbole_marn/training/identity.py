"""What makes two runs the same: the name of a run, and whether a checkpoint belongs to these settings and this data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_marn.data.part import Part
from recbole_marn.errors import InputError
from recbole_marn.evaluation.record import run_name_of
from recbole_marn.host.config import plain_config
from recbole_marn.settings.data import DataSettings
from recbole_marn.settings.parsing import defaults
from recbole_marn.settings.training import TrainSettings

__all__ = [
    "INCIDENTAL",
    "check_same_items",
    "check_same_rows",
    "check_same_settings",
    "run_name",
    "settings_that_matter",
]

# Settings that do not change what a run computes, so that a resumed run may differ in them.
INCIDENTAL = {"show_progress", "resume", "device", "gpu_id", "use_gpu", "state", "worker", "checkpoint_dir"}
INCIDENTAL |= {"data_path", "log_wandb", "wandb_project", "also_test", "verbose", "config_files", "run_name"}
INCIDENTAL |= {"nproc", "saved", "threads", "probe_every", "copied_vectors_mb", "columnar_from_mb"}

# Keys that came later, with the value that changes nothing: runs from before them keep their names.
ADDED = {
    "id_dropout": 0.0, "id_min_count": None, "lazy_adam": False, "learning_rate_decay": "none", "weight_average": None,
}  # fmt: skip


def settings_that_matter(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings without those that do not change what a run computes."""
    return {
        key: value
        for key, value in settings.items()
        if key not in INCIDENTAL and not (key in ADDED and value == ADDED[key])
    }


DEFAULTS = defaults(DataSettings) | defaults(TrainSettings) | ADDED


def run_name(config: Any) -> str:
    """`MODEL-dataset-seed-hash`: the same settings give the same name, whenever and wherever they run."""
    return run_name_of(settings_that_matter(plain_config(config)))


def check_same_settings(content: Mapping[str, Any], path: Any, settings: Mapping[str, Any]) -> None:
    """A state goes on to the same result only under the settings it was written with.

    A key that an older version did not know has its default there.

    Raises:
        InputError: a setting that changes what is computed is another one; the first five are named.
    """
    before = content["config"]

    def value(where: Mapping[str, Any], key: str) -> Any:
        return _in_order(where.get(key, DEFAULTS.get(key)))

    keys = [key for key in {**before, **settings} if key not in INCIDENTAL]
    changed = [key for key in keys if value(before, key) != value(settings, key)]
    changed.sort(key=lambda key: (key != "model", key))  # another model explains most of the rest
    if changed:
        raise InputError(
            f"a state of the same settings in {path}",
            ", ".join(f"{key}: {before.get(key)!r} there and {settings.get(key)!r} here" for key in changed[:5]),
            "Take those settings again, give another run_name, or train anew with resume: False.",
        )


def _in_order(value: Any) -> Any:
    """Mappings as lists of pairs: weights of fields and modalities go by the order in which these are named."""
    return [(key, _in_order(one)) for key, one in value.items()] if isinstance(value, Mapping) else value


def check_same_rows(content: Mapping[str, Any], path: Any, part: Part) -> None:
    """A checkpoint's ids mean nothing on other rows.

    Raises:
        InputError: it is of another data set or split.
    """
    if content["split_sha256"] != part.split_sha256:
        raise InputError(
            f"a checkpoint of this data set and split (SHA-256 {part.split_sha256[:12]}...)",
            f"{path} of {content['config']['dataset']} (SHA-256 {content['split_sha256'][:12]}...)",
            "Use the data set, split and sample_seed it was trained with, or train anew.",
        )


def check_same_items(content: Mapping[str, Any], path: Any, part: Part) -> None:
    """Embeddings go by the numbers of tokens, and weights by what items looked like in training.

    Raises:
        InputError: a token has another number, or an item other codes, words, statistics or vectors. Older checkpoints
            do not say what they were.
    """
    if content.get("numbering_sha256", part.numbering_sha256) != part.numbering_sha256:
        raise InputError(
            f"the tokens of {content['config']['dataset']} under the numbers that {path} knows them by",
            "the same rows, with other numbers",
            "Take the files it was trained with: since then their lines changed places, or items changed.",
        )
    if content.get("items_sha256", part.items_sha256) != part.items_sha256:
        raise InputError(
            f"the items of {content['config']['dataset']} as {path} knows them",
            "the same rows, with items that are described otherwise",
            "Take the .item file, vectors and word vectors it was trained with, or train anew.",
        )
