"""From models, a grid and seeds to records and tables."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from recbole_marn.errors import InputError
from recbole_marn.leaderboard.board import board_of, rows_of_records
from recbole_marn.leaderboard.grid import (
    Plan,
    Row,
    Run,
    adopt_names,
    anchor_rows,
    by_identity,
    config_id,
    plan_rows,
    read_space,
    runs_of,
    with_unique_labels,
)
from recbole_marn.leaderboard.records import (
    Folders,
    ScoreStore,
    check_alike,
    check_row_settings,
    check_same_data,
    file_sha256,
    put,
    read_record,
    read_records,
    sealed_text,
)
from recbole_marn.leaderboard.render import write_tables
from recbole_marn.leaderboard.runner import Failure, Job, run_jobs
from recbole_marn.leaderboard.statistics import TableRow, statistics_of, tests_to_make
from recbole_marn.leaderboard.tuned import searched, shipped_space, trial_of_run, trials_of, tuned_row

__all__ = ["Request", "build", "render"]

ALSO_TEST = ["popularity", "matched"]
RESAMPLES = 500
TRAIN, TRIAL = "recbole_marn.leaderboard.work:train", "recbole_marn.leaderboard.work:try_settings"
# Where things lie on this machine; neither a record nor a command repeats it.
PLACES = ("data_path", "checkpoint_dir")


@dataclass(frozen=True)
class Request:
    """What the command line asks for (see `cli.add_arguments`); without `models`, all that the data set allows."""

    dataset: str
    models: Sequence[str] | None = None
    seeds: int = 5
    grid: str | None = None
    tune: int | None = None
    space: str | None = None
    baseline: str | None = None
    anchors: bool = True
    out: Path = Path("results")
    jobs: int = 1
    resamples: int | None = None
    config_files: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    show_progress: bool = True

    def command(self) -> str:
        """The command line that makes the same tables, without what does not matter to them."""
        parts = ["recbole-marn", "leaderboard", f"--dataset={self.dataset}"]
        parts += [] if self.models is None else [f"--models={','.join(self.models)}"]
        parts += [f"--seeds={self.seeds}"]
        given = [("grid", self.grid), ("tune", self.tune), ("space", self.space), ("baseline", self.baseline)]
        parts += [f"--{name}={value}" for name, value in given if value is not None]
        parts += [] if self.resamples in (None, RESAMPLES) else [f"--resamples={self.resamples}"]
        parts += [] if self.anchors else ["--without_anchors"]
        parts += [f"--config_files={' '.join(self.config_files)}"] if self.config_files else []
        parts += setting_arguments(self.settings)
        return " ".join(shlex.quote(part) for part in parts)


def setting_arguments(settings: Mapping[str, Any]) -> list[str]:
    """Settings as `--key=value`, without paths."""
    return [f"--{key}={value}" for key, value in settings.items() if key not in PLACES]


# --------------------------------------------------------------------------------------------------- build
def build(request: Request) -> tuple[dict[str, Any], list[Failure]]:
    """Do what is not done yet, then render all records of the data set.

    Returns:
        The line that tells about it, and the runs that failed.

    Raises:
        InputError: bad input; nothing is run before all of it has been checked.
    """
    if not request.seeds >= 1 or request.jobs < 1 or (request.resamples or RESAMPLES) < 2:
        raise InputError(
            "at least one seed, one process and two resamples",
            f"--seeds={request.seeds} --jobs={request.jobs} --resamples={request.resamples}",
            "Correct them.",
        )
    if request.space is not None and request.tune is None:
        raise InputError("--tune=N with --space", "--space alone", "Say how many settings to try, or leave it out.")
    folders = Folders(request.out, request.dataset)
    given = dict(request.settings)
    checkpoint_dir = given.pop("checkpoint_dir", None)
    files = tuple(os.path.abspath(file) for file in request.config_files)
    plan = Plan(request.dataset, {"also_test": ALSO_TEST, **given}, files)
    config = plan.config(Row("MARN", "MARN"))
    plan = Plan(
        plan.dataset, {**plan.common, "data_path": os.path.abspath(os.path.dirname(config["data_path"]))}, files
    )
    models = _possible_models(plan) if request.models is None else request.models
    rows = plan_rows(models, read_space(request.grid))
    rows = with_unique_labels([*rows, *_new(anchor_rows(config), rows)] if request.anchors else rows)
    planned = runs_of(plan, rows, request.seeds)
    _check_all_planned(rows, planned)
    space = (read_space(request.space) if request.space else shipped_space()) if request.tune is not None else None
    trials = {row.label: trials_of(plan, row, space, request.tune) for row in rows} if space else {}

    existing, tried = read_records(folders.records), read_records(folders.trials, "trial")
    trying = [run for runs in trials.values() for run in runs]
    files = {
        path: file_sha256(path) for path in dict.fromkeys(path for run in planned + trying for path in run.files)
    }
    trials = {label: adopt_names(runs, tried) for label, runs in trials.items()}
    check_same_data([*existing, *tried], {path.name: value for path, value in files.items()})
    check_alike(existing)
    check_row_settings([(record["run"], record["settings"]) for record in existing]
                       + [(run.name, run.settings) for run in planned + trying])  # fmt: skip
    _check_baseline(request.baseline, [*(row.label for row in rows), *_names(rows_of_records(existing))])
    folders.prepare()
    site = _Site(folders, plan, files, checkpoint_dir, request)

    failures: list[Failure] = []
    told: dict[str, dict[str, Any]] = {}
    if space:
        site.keep_known_trials([run for runs in trials.values() for run in runs], existing)
        failures += site.run([site.trial(run) for runs in trials.values() for run in runs])
        chosen = [found for row in rows if (found := site.tuned(trials[row.label], searched(row, space)))]
        told = {row.label: search for row, search in chosen}
        rows = [row for row, _ in chosen]
    runs = adopt_names(runs_of(plan, rows, request.seeds), existing)
    failures += site.run([site.training(run, told.get(run.row.label)) for run in runs])
    site.tell_searches({run.identity[0]: told[run.row.label] for run in runs if run.row.label in told})
    if failures and not any(folders.records.glob("*.json")):
        raise InputError("a run that finishes", f"none; the first failed: {failures[0]}", "Correct it and try again.")
    line = render(request, made=True)
    return {"runs": len(runs), "failed": len(failures), **line}, failures


def _possible_models(plan: Plan) -> list[str]:
    """Models of the table whose modalities the data set has; BaseModelIMAGE needs an image, for one."""
    from recbole_marn.registry import MODELS, properties_folder

    modalities = plan.config(Row("MARN", "MARN"))["modalities"]

    def fits(model: str) -> bool:
        file = properties_folder() / "model" / f"{model}.yaml"
        needed = (
            (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("use_modalities") if file.is_file() else None
        )
        return set(needed or ()) <= set(modalities)

    return [model for model in MODELS if fits(model)]


def _new(more: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """Rows whose settings are not in the table already."""
    there = {(row.model, repr(dict(row.settings))) for row in rows}
    models = {row.model for row in rows}
    return [
        row for row in more
        if (row.model, repr(dict(row.settings))) not in there and (row.label != row.model or row.model not in models)
    ]  # fmt: skip


def _check_all_planned(rows: Sequence[Row], planned: Sequence[Run]) -> None:
    """Every row has runs of its own: two names for the same settings would leave one of them out of the table."""
    missing = {row.label for row in rows} - {run.row.label for run in planned}
    for row in rows:
        if row.label in missing:
            raise InputError(
                "rows of different settings",
                f"'{row.label}', which has the settings of another row of {row.model}",
                "Leave it out, or give it a setting of its own.",
            )


def _check_baseline(baseline: str | None, names: Sequence[str]) -> None:
    if baseline is not None and baseline not in names:
        raise InputError(
            f"--baseline to be a row of the table: {', '.join(dict.fromkeys(names))}",
            repr(baseline),
            "Name one of them.",
        )


def _names(rows: Sequence[TableRow]) -> list[str]:
    """What rows can be called by: their labels, and what they are called without what tells them apart."""
    return [name for row in rows for name in (row.label, row.records[0]["row"])]


@dataclass(frozen=True)
class _Site:
    """Turns runs into jobs."""

    folders: Folders
    plan: Plan
    files: Mapping[Path, str]
    checkpoint_dir: str | None
    request: Request

    def run(self, jobs: Sequence[Job]) -> list[Failure]:
        return run_jobs(jobs, self.request.jobs, show_progress=self.request.show_progress)

    def training(self, run: Run, tuned: Mapping[str, Any] | None) -> Job:
        folder = (self.folders.unfinished / run.name).resolve()
        checkpoints = Path(self.checkpoint_dir).resolve() if self.checkpoint_dir else folder
        record = {**self._record(run), "tuned": tuned}
        task = {**self._task(run, record), "keep": False}
        task["config"]["checkpoint_dir"] = str(checkpoints)
        return Job(
            run.name, TRAIN, task, folder, self.folders.records / f"{run.name}.json", run.epochs,
            checkpoints / f"{run.name}.last.pth",
        )  # fmt: skip

    def trial(self, run: Run) -> Job:
        folder = (self.folders.unfinished / f"trial-{run.name}").resolve()
        task = self._task(run, self._record(run))
        return Job(f"trial {run.name}", TRIAL, task, folder, self._trial_path(run), run.epochs)

    def keep_known_trials(self, runs: Sequence[Run], existing: Sequence[Mapping[str, Any]]) -> None:
        """A trial of settings and seed that a finished run has is not repeated: that run's validation is its result."""
        finished = by_identity(existing)
        for run in runs:
            record = finished.get(run.identity)
            found = record and trial_of_run(self._record(run), record)
            if found and not self._trial_path(run).exists():
                put(self._trial_path(run), sealed_text(found), self.folders.scores)

    def tell_searches(self, searches: Mapping[str, Mapping[str, Any]]) -> None:
        """Records of runs that are older than the search that chose their settings: they learn of it here.

        Args:
            searches: what a record says of the search, by `config_id` of the chosen settings.
        """
        for record in read_records(self.folders.records):
            told = searches.get(config_id(record["settings"]))
            if told and record["tuned"] != told:
                path = self.folders.records / f"{record['run']}.json"
                put(path, sealed_text({**record, "tuned": dict(told)}), self.folders.scores)

    def tuned(self, runs: Sequence[Run], space: Mapping[str, Any]) -> tuple[Row, dict[str, Any]] | None:
        """The row under its best settings; None where a trial failed and the comparison would not be fair."""
        files = [self._trial_path(run) for run in runs]
        if not all(file.exists() for file in files):
            return None
        return tuned_row(runs, [read_record(file, "trial") for file in files], space)

    def _trial_path(self, run: Run) -> Path:
        return self.folders.trials / f"{run.name}.json"

    def _task(self, run: Run, record: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "config": dict(run.config), "config_files": list(self.plan.config_files), "record": dict(record),
            "out": str(self.folders.out.resolve()), "dataset": self.folders.dataset,
        }  # fmt: skip

    def _record(self, run: Run) -> dict[str, Any]:
        from recbole_marn.registry import MODELS

        model = MODELS[run.row.model]
        command_line = {key: value for key, value in run.config.items() if key not in ("model", "dataset", "seed")}
        given = {key: value for key, value in command_line.items() if key in run.settings}
        names = [f"--model={run.row.model}", f"--dataset={self.folders.dataset}", f"--seed={run.seed}"]
        command = ["recbole-marn", "run", *names, *setting_arguments(command_line)]
        if self.plan.config_files:
            command.append(f"--config_files={' '.join(os.path.basename(file) for file in self.plan.config_files)}")
        return {
            "run": run.name, "row": run.row.label, "model": run.row.model, "dataset": self.folders.dataset,
            "seed": run.seed, "paper": model.paper, "family": model.family, "given": given,
            "settings": dict(run.settings), "data": {"files": {path.name: self.files[path] for path in run.files}},
            "command": " ".join(shlex.quote(part) for part in command),
        }  # fmt: skip


# -------------------------------------------------------------------------------------------------- render
def render(request: Request, made: bool = False) -> dict[str, Any]:
    """Statistics and tables of all the records of a data set; nothing is trained.

    Args:
        made: the request made the records, and the tables say so; else they name the command that they named before.

    Raises:
        InputError: no record, records that do not belong together, altered files, or intervals that would be lost.
    """
    folders = Folders(request.out, request.dataset)
    records = read_records(folders.records)
    if not records:
        raise InputError(
            f"records of finished runs in {folders.records}", "none", "Look at the errors of the runs above."
        )
    check_alike(records)
    rows = rows_of_records(records)
    known = read_record(folders.statistics, "statistics") if folders.statistics.exists() else None
    baseline = _baseline(request.baseline or (known["baseline"] if known and not made else None), rows)
    resamples = request.resamples or (known or {}).get("resamples", RESAMPLES)
    folders.prepare()
    store = ScoreStore(folders.scores)

    def scores(row: TableRow, part: str) -> list[Any] | None:
        found = [store.columns(record, part) for record in row.records]
        return None if any(columns is None for columns in found) else found

    total = len(rows) + sum(1 for _ in tests_to_make(rows, baseline))
    with tqdm(total=total, desc="statistics", disable=not request.show_progress) as bar:
        statistics = statistics_of(
            request.dataset, rows, scores,
            baseline=baseline, resamples=resamples, known=known, progress=bar.update,
        )  # fmt: skip
    _check_kept(rows, statistics, known)
    command = replace(request, resamples=resamples).command()
    if known and not made:
        command = known["command"]
        for name in ("baseline", "resamples"):
            command = _with_option(command, name, getattr(request, name))
    text = sealed_text({**statistics, "command": command})
    put(folders.statistics, text, folders.scores)
    board = board_of(records, read_record(folders.statistics, "statistics"))
    return {
        "dataset": request.dataset,
        "rows": len(rows),
        "records": len(records),
        "best": rows[0].label,
        "without_scores": [row.label for row in rows if row.label not in statistics["intervals"]],
        "tables": write_tables(board, folders),
    }


def _baseline(name: str | None, rows: Sequence[TableRow]) -> str:
    """The label of the row that is called `name`, of several the one whose settings a search chose."""
    _check_baseline(name, _names(rows))
    for wanted in (name,) if name else ("DIN", "Popularity"):
        found = [row for row in rows if wanted in (row.label, row.records[0]["row"])]
        if found:
            return max(found, key=lambda row: (row.label == wanted, row.records[0]["tuned"] is not None)).label
    return rows[0].label


def _check_kept(rows: Sequence[TableRow], statistics: Mapping[str, Any], known: Mapping[str, Any] | None) -> None:
    """No interval is given up that the scores here cannot give again."""
    had = [entry["of"] for entry in (known or {}).get("intervals", {}).values()]
    lost = [row.label for row in rows if row.scores in had and row.label not in statistics["intervals"]]
    if lost:
        raise InputError(
            "the scores of all rows, to resample them anew",
            f"--resamples={statistics['resamples']}, and no scores of {', '.join(lost)} on this machine",
            "Leave --resamples out; no table was changed.",
        )


def _with_option(command: str, name: str, value: object) -> str:
    """A command line with `--name=value` in place of what it had; as it was without a value."""
    if value is None:
        return command
    option, parts = f"--{name}={value}", shlex.split(command)
    if any(part.startswith(f"--{name}=") for part in parts):
        parts = [option if part.startswith(f"--{name}=") else part for part in parts]
    else:
        parts.append(option)
    return " ".join(shlex.quote(part) for part in parts)
