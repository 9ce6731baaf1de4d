"""Which runs a leaderboard makes: rows times seeds, and the trials of a search, all checked before the first starts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError
from recbole_marn.evaluation.record import run_name_of
from recbole_marn.host.config import build_config, data_files, plain_config, read_files
from recbole_marn.host.defaults import our_settings
from recbole_marn.leaderboard.grid import FIRST_SEED, Row, Space, by_identity, config_id, searched
from recbole_marn.registry import MODELS, atomic_files, choices, properties_folder
from recbole_marn.settings.data import DataSettings
from recbole_marn.settings.parsing import from_mapping
from recbole_marn.training.identity import settings_that_matter
from recbole_marn.tuning.space import ALIKE, draws, read_space

__all__ = ["RESERVED", "Plan", "Run", "adopt_names", "runs_of", "shipped_space", "trials_of", "with_passes"]

DRAW_SEED = 2020
# Given by options of the leaderboard, or decided by it; the command line goes before a file of settings in the others.
RESERVED_IN_FILES = {"seed", "run_name"}
RESERVED = {
    "seed": "Give --seeds=N: seeds 2020, 2021, ...",
    "model": "Give --models=A,B,C, or name it in the grid file.",
    "dataset": "Give --dataset.",
    "resume": "A leaderboard always goes on from what is finished.",
    "run_name": "A run's name is its identity.",
    "show_progress": "There is one progress bar for all runs.",
}
OF_ALL_ROWS = {
    "checkpoint_dir": "Give --checkpoint_dir, which holds for all rows.",
    "data_path": "Give --data_path, which holds for all rows.",
}


@dataclass(frozen=True)
class Run:
    """One training: a row and a seed."""

    name: str
    row: Row
    seed: int
    config: Mapping[str, Any]
    settings: Mapping[str, Any]
    files: Mapping[str, Path] = field(default_factory=dict)  # by their names in a record

    @property
    def identity(self) -> tuple[str, int]:
        """Digest of the settings, and the seed: runs that agree in both are one."""
        return config_id(self.settings), self.seed


@dataclass(frozen=True)
class Plan:
    """What every run shares."""

    dataset: str
    common: Mapping[str, Any]
    config_files: tuple[str, ...] = ()

    @cached_property
    def data(self) -> DataSettings:
        """The settings of the data set before any model's: the package's files, the user's, then the common ones.

        Raises:
            InputError: a value of the wrong kind.
        """
        return from_mapping(DataSettings, self._given, complete=False)

    @cached_property
    def in_files(self) -> dict[str, Any]:
        """What the user's files say."""
        return read_files(self.config_files)

    @cached_property
    def _given(self) -> dict[str, Any]:
        return our_settings(self.dataset) | self.in_files | self.common

    def anywhere(self) -> Plan:
        """The plan with absolute paths: runs work in folders of their own."""
        data_path = os.path.abspath(self._given.get("data_path", "dataset"))
        return replace(self, common={**self.common, "data_path": data_path})

    def possible_models(self) -> list[str]:
        """Models of the table whose modalities the data set has; BaseModelIMAGE needs an image, for one."""
        there = set(self.data.modalities)
        kinds = {None, *(modality.kind for modality in self.data.modality_settings().values())}
        return [
            model for model, row in MODELS.items()
            if row.needs in kinds and set(choices("model", model).get("use_modalities") or ()) <= there
        ]  # fmt: skip

    def config(self, row: Row) -> Any:
        """RecBole's Config of a row.

        Raises:
            InputError: unknown model or key, a value of the wrong kind, or a modality the data set does not have.
        """
        given = [*row.settings, *self.common.keys() & RESERVED, *self.in_files.keys() & RESERVED_IN_FILES]
        for key, hint in (RESERVED | OF_ALL_ROWS).items():
            if key in given:
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
    if seeds < 1:
        raise InputError("at least one seed", f"--seeds={seeds}", "Five show how much a result varies.")
    runs: dict[tuple[str, int], Run] = {}
    for row in rows:
        config = plan.config(row)
        files = {_name_in_record(path, atomic_files(config)[0]): path for path in data_files(config)}
        shared = settings_that_matter(plain_config(config))
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            names = {"model": row.model, "dataset": plan.dataset, "seed": seed}
            settings = {**shared, "seed": seed}
            run = Run(run_name_of(settings), row, seed, {**plan.common, **row.settings, **names}, settings, files)
            runs.setdefault(run.identity, run)
    return list(runs.values())


def _name_in_record(path: Path, folder: Path) -> str:
    """A file below the data set's folder by its way from there, since several may have one name."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def adopt_names(runs: Iterable[Run], records: Iterable[Mapping[str, Any]]) -> list[Run]:
    """The runs, each under the name it has in a record of the same settings.

    A name is a digest of all settings, so that one a later version adds changes it; what is finished stays finished.
    """
    known = by_identity(records)
    return [replace(run, name=known[run.identity]["run"]) if run.identity in known else run for run in runs]


# ------------------------------------------------------------------------------------------------- search
def with_passes(plan: Plan, run: Run, passes: int) -> Run:
    """The run cut short after so many passes, of the same row; itself where it has no more."""
    if passes == run.settings["epochs"]:
        return run
    row = replace(run.row, settings={**run.row.settings, "epochs": passes})
    return replace(runs_of(plan, [row], 1)[0], row=run.row)


def shipped_space() -> Space:
    """The choices of the search spaces that come with the package, one a model: those of `recbole-marn tune`."""
    spaces = {file.stem: read_space(file) for file in sorted((properties_folder() / "tune").glob("*.hyper"))}
    return Space({model: {key: values for key, (_, values) in space.items()} for model, space in spaces.items()})


def trials_of(plan: Plan, row: Row, space: Space, number: int) -> list[Run]:
    """`number` different settings of a row: its own first, then draws from the space without repetition.

    A space with fewer combinations is tried in full.

    Raises:
        InputError: as `runs_of`, no trial, or trials that are not validated by one metric.
    """
    if number < 1:
        raise InputError("at least one trial", f"--tune={number}", "Leave --tune out for no search.")
    trials: dict[tuple[str, int], Run] = {}
    for drawn in [{}, *draws(searched(row, space), 10 * number, DRAW_SEED)]:
        run = runs_of(plan, [Row(row.label, row.model, {**row.settings, **drawn})], 1)[0]
        trials.setdefault(run.identity, run)
        if len(trials) == number:
            break
    first, *others = (run.settings for run in trials.values())
    for key in ALIKE:
        if differing := [settings.get(key) for settings in others if settings.get(key) != first.get(key)]:
            raise InputError(
                f"trials of '{row.label}' that are compared by one metric, on the same rows",
                f"{key}: {first.get(key)!r} and {differing[0]!r}",
                f"Take {key} out of the search space.",
            )
    return list(trials.values())
