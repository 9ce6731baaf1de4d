"""Which rows a leaderboard consists of, which runs are of the same row, and what a search varies for it.

A grid file is YAML. Sections `all` and those named after models map a setting to a *list of choices*; every combination
is a row. Section `rows` names single rows:

    all:   {learning_rate: [0.001, 0.003]}
    MARN:  {lambda0: [0.01, 0.05]}
    rows:
      MARN without title: {model: MARN, use_modalities: [ids, image]}
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError
from recbole_marn.files.yaml_file import read_yaml
from recbole_marn.registry import MODELS
from recbole_marn.settings.data import DataSettings
from recbole_marn.settings.parsing import nearest
from recbole_marn.settings.training import TrainSettings

__all__ = [
    "FIRST_SEED",
    "Row",
    "Space",
    "anchor_rows",
    "by_identity",
    "combinations",
    "config_id",
    "plan_rows",
    "read_grid",
    "searched",
    "with_unique_labels",
    "without_defaults",
]

FIRST_SEED = 2020


@dataclass(frozen=True)
class Row:
    """A row of the table: a model under settings, whatever the seed."""

    label: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Space:
    """Choices by model, `all` applying to every one, and single named rows."""

    choices: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()

    def of(self, model: str) -> dict[str, Sequence[Any]]:
        """Key -> values to try of a model; its own section goes before `all`."""
        return {**self.choices.get("all", {}), **self.choices.get(model, {})}

    def unused(self, models: Iterable[str]) -> list[str]:
        """Sections of models that are not among these."""
        return [section for section in self.choices if section not in {"all", *models}]


# -------------------------------------------------------------------------------------------------- files
def read_grid(path: Path | str | None, *, named: bool = True) -> Space:
    """A grid file or search space file.

    Args:
        named: it may name single rows; a search space is one of a model, for all of its rows.

    Raises:
        InputError: as `read_yaml`, an unknown model, a setting without a list of choices.
    """
    if path is None:
        return Space()
    content = read_yaml(path, "choices", "See docs/leaderboard.md for the form.")
    if not isinstance(content, dict):
        raise InputError(f"a mapping of sections in {path}", f"{type(content).__name__}", "See docs/leaderboard.md.")
    choices: dict[str, dict[str, list[Any]]] = {}
    rows: list[Row] = []
    for section, entries in content.items():
        if section not in ("all", *(["rows"] if named else []), *MODELS):
            known = "'all', 'rows' or a model" if named else "'all' or a model"
            of_rows = "" if named else " All rows of a model share its choices; rows go into the file of --grid."
            raise InputError(
                f"sections {known} in {path}",
                f"'{section}'",
                f"`recbole-marn models` lists the models.{of_rows}{nearest(section, MODELS)}",
            )
        if not isinstance(entries, dict):
            raise InputError(f"section '{section}' of {path} to be a mapping", repr(entries), "Write key: value lines.")
        if section == "rows":
            rows = [_named_row(str(label), entry, str(path)) for label, entry in entries.items()]
            continue
        for key, values in entries.items():
            if not isinstance(values, list) or not values:
                raise InputError(
                    f"'{key}' in section '{section}' of {path} to be a list of choices",
                    repr(values),
                    "Write [a, b]; for a setting that is a list itself, a list of lists.",
                )
        choices[section] = entries
    return Space(choices, tuple(rows))


def _named_row(label: str, entry: Any, path: str) -> Row:
    if not isinstance(entry, dict) or "model" not in entry:
        raise InputError(
            f"row '{label}' of {path} to be a mapping with a model", repr(entry), "Write {model: MARN, key: value}."
        )
    return Row(label, _known(str(entry["model"])), {key: value for key, value in entry.items() if key != "model"})


def _known(name: str) -> str:
    if name not in MODELS:
        hint = f"`recbole-marn models` says what each is.{nearest(name, MODELS)}"
        raise InputError(f"models among {', '.join(MODELS)}", repr(name), hint)
    return name


# --------------------------------------------------------------------------------------------------- rows
def combinations(choices: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of one choice a setting; one empty combination where there is none."""
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def plan_rows(models: Iterable[str], space: Space) -> list[Row]:
    """The rows of models under a grid: `MODEL (key=value, ...)` for what the grid varies, then its named rows.

    Raises:
        InputError: an unknown model, or two rows of one name.
    """
    rows = []
    for model in models:
        choices = space.of(_known(model))
        varied = [key for key, values in choices.items() if len(values) > 1]
        for settings in combinations(choices):
            values = {key: settings[key] for key in varied}
            told = ", ".join(f"{key}={value if isinstance(value, str) else json.dumps(value, default=str)}"
                             for key, value in values.items())  # fmt: skip
            rows.append(Row(f"{model} ({told})" if told else model, model, settings))
    return with_unique_labels(rows + list(space.rows))


def with_unique_labels(rows: Sequence[Row]) -> list[Row]:
    """The rows, a repeated one once.

    Raises:
        InputError: two different rows of one name.
    """
    unique: dict[str, Row] = {}
    for row in rows:
        if unique.setdefault(row.label, row) != row:
            raise InputError("one row of each name", f"two different rows '{row.label}'", "Rename one of them.")
    return list(unique.values())


def anchor_rows(modalities: Mapping[str, Any], used: Sequence[str] | None) -> list[Row]:
    """Rows every table has: popularity, the image alone, and MARN without statistics, as far as the data allow.

    Against uniform negatives popularity alone is strong; these rows show how much of a result it explains.

    Args:
        modalities: by name, as in a data set's settings.
        used: names; None for all of them.
    """
    used = list(used or modalities)
    rows = [Row("Popularity", "Popularity")]
    if "image" in used:
        rows.append(Row("BaseModelIMAGE", "BaseModelIMAGE", {"use_modalities": ["image"]}))
    kept = [name for name in used if name not in modalities or modalities[name].get("kind") != "statistic"]
    if kept and len(kept) < len(used):
        rows.append(Row("MARN -statistic", "MARN", {"use_modalities": kept}))
    return rows


# ----------------------------------------------------------------------------------------------- identity
def by_identity(records: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], Mapping[str, Any]]:
    """Records by the identity of the runs they tell of: `config_id` and seed."""
    return {(config_id(record["settings"]), record["seed"]): record for record in records}


def config_id(settings: Mapping[str, Any]) -> str:
    """What runs of one row have in common: a digest of the settings without seed and defaults."""
    rest = {key: value for key, value in without_defaults(settings).items() if key != "seed"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, default=str).encode()).hexdigest()[:12]


def without_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings but for this package's keys at their defaults.

    Settings recorded before a key existed are the same as those with the key at its default.
    """
    defaults = _defaults(settings.get("model", ""))
    return {key: value for key, value in settings.items() if json.dumps(value, default=str) != defaults.get(key)}


@functools.cache
def _defaults(model: str) -> dict[str, str]:
    row = MODELS.get(model)
    kinds = [DataSettings, TrainSettings] + ([row.settings] if row and row.settings else [])
    return {entry.name: json.dumps(entry.default, default=str) for kind in kinds for entry in fields(kind)}


# ------------------------------------------------------------------------------------------------- search
def searched(row: Row, space: Space) -> dict[str, list[Any]]:
    """What a search varies for a row: the space without what the row itself says."""
    return {key: list(values) for key, values in space.of(row.model).items() if key not in row.settings}
