"""Which runs a leaderboard consists of: rows (a model under settings) times seeds, each with its identity.

A grid file is YAML. Sections `all` and those named after models map a setting to a *list of choices*; every combination
is a row. Section `rows` names single rows:

    all:   {learning_rate: [0.001, 0.003]}
    MARN:  {lambda0: [0.01, 0.05]}
    rows:
      MARN without title: {model: MARN, use_modalities: [ids, image]}
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from recbole_marn.errors import InputError
from recbole_marn.settings.data import DataSettings
from recbole_marn.settings.parsing import from_mapping, nearest
from recbole_marn.settings.training import TrainSettings

__all__ = [
    "FIRST_SEED",
    "Plan",
    "Row",
    "Run",
    "Space",
    "adopt_names",
    "anchor_rows",
    "by_identity",
    "combinations",
    "config_id",
    "data_files",
    "plan_rows",
    "read_space",
    "runs_of",
    "without_defaults",
]

FIRST_SEED = 2020
# Given by options of the leaderboard, or decided by it.
RESERVED = {
    "seed": "Give --seeds=N: seeds 2020, 2021, ...",
    "model": "Give --models=A,B,C, or name it in the grid file.",
    "dataset": "Give --dataset.",
    "resume": "A leaderboard always goes on from what is finished.",
    "run_name": "A run's name is its identity.",
    "show_progress": "There is one progress bar for all runs.",
}


@dataclass(frozen=True)
class Row:
    """A row of the table: a model under settings, whatever the seed."""

    label: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One training: a row and a seed."""

    name: str
    row: Row
    seed: int
    config: Mapping[str, Any]
    settings: Mapping[str, Any]
    epochs: int
    files: tuple[Path, ...] = ()

    @property
    def identity(self) -> tuple[str, int]:
        return config_id(self.settings), self.seed


@dataclass(frozen=True)
class Space:
    """Choices by model, `all` applying to every one, and single named rows."""

    choices: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()

    def of(self, model: str) -> dict[str, Sequence[Any]]:
        return {**self.choices.get("all", {}), **self.choices.get(model, {})}


# -------------------------------------------------------------------------------------------------- files
def read_space(path: Path | str | None) -> Space:
    """A grid file or search space file.

    Raises:
        InputError: no such file, not YAML, an unknown model, a setting without a list of choices.
    """
    from recbole_marn.registry import MODELS

    if path is None:
        return Space()
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            "a readable YAML file of choices", f"{path}: {str(error).splitlines()[0]}", "Correct the path or the file."
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"a mapping of sections in {path}", f"{type(content).__name__}", "See docs/leaderboard.md.")
    choices: dict[str, dict[str, list[Any]]] = {}
    rows: list[Row] = []
    for section, entries in content.items():
        if section not in ("all", "rows") and section not in MODELS:
            raise InputError(
                f"sections 'all', 'rows' or a model in {path}",
                f"'{section}'",
                f"Correct the name; `recbole-marn models` lists them.{nearest(section, MODELS)}",
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
    return Row(label, check_model(str(entry["model"])), {key: value for key, value in entry.items() if key != "model"})


def check_model(name: str) -> str:
    """The name, if the table has it.

    Raises:
        InputError: unknown; the nearest one is suggested.
    """
    from recbole_marn.registry import MODELS

    if name not in MODELS:
        raise InputError(f"models among {', '.join(MODELS)}", repr(name), f"Correct the name.{nearest(name, MODELS)}")
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
        choices = space.of(check_model(model))
        varied = [key for key, values in choices.items() if len(values) > 1]
        for settings in combinations(choices):
            told = ", ".join(f"{key}={_short(settings[key])}" for key in varied)
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


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def anchor_rows(config: Mapping[str, Any]) -> list[Row]:
    """Rows every table has: popularity, the image alone, and MARN without statistics, as far as the data allow.

    Against uniform negatives popularity alone is strong; these rows show how much of a result it explains.
    """
    kinds = {name: entry["kind"] for name, entry in (config["modalities"] or {}).items()}
    used = config["use_modalities"] or list(kinds)
    rows = [Row("Popularity", "Popularity")]
    if "image" in used:
        rows.append(Row("BaseModelIMAGE", "BaseModelIMAGE", {"use_modalities": ["image"]}))
    kept = [name for name in used if kinds.get(name) != "statistic"]
    if kept and len(kept) < len(used):
        rows.append(Row("MARN -statistic", "MARN", {"use_modalities": kept}))
    return rows


# --------------------------------------------------------------------------------------------------- runs
@dataclass(frozen=True)
class Plan:
    """What every run shares."""

    dataset: str
    common: Mapping[str, Any]
    config_files: tuple[str, ...] = ()

    def config(self, row: Row) -> Any:
        """RecBole's Config of a row.

        Raises:
            InputError: unknown model or key, a value of the wrong kind, or a modality the data set does not have.
        """
        from recbole_marn.host.config import build_config

        for key, hint in RESERVED.items():
            if key in self.common or key in row.settings:
                raise InputError("settings that a leaderboard leaves open", f"'{key}'", hint)
        settings = {**self.common, **row.settings}
        config = build_config(row.model, self.dataset, list(self.config_files), settings)
        from_mapping(DataSettings, config.final_config_dict, complete=False).modality_settings()
        return config


def runs_of(plan: Plan, rows: Sequence[Row], seeds: int) -> list[Run]:
    """One run per row and seed; nothing is run before every setting of every row has been checked.

    Raises:
        InputError: as `Plan.config`, or no seed.
    """
    from recbole_marn.host.config import plain_config
    from recbole_marn.training.identity import INCIDENTAL, run_name

    if seeds < 1:
        raise InputError("at least one seed", f"--seeds={seeds}", "Five show how much a result varies.")
    runs: dict[tuple[str, int], Run] = {}
    for row in rows:
        config = plan.config(row)
        files = tuple(data_files(config))
        given = {**plan.common, **row.settings}
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            config["seed"] = seed
            settings = {key: value for key, value in plain_config(config).items() if key not in INCIDENTAL}
            name = run_name(config)
            chosen = {**given, "model": row.model, "dataset": plan.dataset, "seed": seed}
            run = Run(name, row, seed, chosen, settings, int(config["epochs"]), files)
            runs.setdefault(run.identity, run)
    return list(runs.values())


def adopt_names(runs: Iterable[Run], records: Iterable[Mapping[str, Any]]) -> list[Run]:
    """The runs, each under the name it has in a record of the same settings.

    A name is a digest of all settings, so that one a later version adds changes it; what is finished stays finished.
    """
    known = by_identity(records)
    return [replace(run, name=known[run.identity]["run"]) if run.identity in known else run for run in runs]


def by_identity(records: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], Mapping[str, Any]]:
    """Records by what `Run.identity` is of the runs they tell of."""
    return {(config_id(record["settings"]), record["seed"]): record for record in records}


def config_id(settings: Mapping[str, Any]) -> str:
    """What runs of one row have in common: a digest of the settings without seed and defaults."""
    rest = {key: value for key, value in without_defaults(settings).items() if key != "seed"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, default=str).encode()).hexdigest()[:12]


def without_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings but for this package's keys at their defaults.

    Settings recorded before a key existed are the same as those with the key at its default.
    """
    from recbole_marn.registry import MODELS

    row = MODELS.get(settings.get("model", ""))
    kinds = [DataSettings, TrainSettings] + ([row.settings] if row and row.settings else [])
    defaults = {entry.name: json.dumps(entry.default) for kind in kinds for entry in fields(kind)}
    return {key: value for key, value in settings.items() if json.dumps(value, default=str) != defaults.get(key)}


def data_files(config: Any) -> list[Path]:
    """The files a configuration reads: atomic files, and those its modalities name.

    Raises:
        InputError: no interactions there.
    """
    folder, name = Path(config["data_path"]), config["dataset"]
    files = [folder / f"{name}.{suffix}" for suffix in ("inter", "item", "user")]
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
