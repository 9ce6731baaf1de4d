"""From models, a grid and seeds to records and tables."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError
from recbole_marn.evaluation.record import read_record, read_records, sealed_text
from recbole_marn.files import sha256, write_text
from recbole_marn.leaderboard.board import rows_of_records
from recbole_marn.leaderboard.grid import (
    Row,
    Space,
    anchor_rows,
    by_identity,
    config_id,
    plan_rows,
    read_grid,
    searched,
    with_unique_labels,
)
from recbole_marn.leaderboard.plan import Plan, Run, adopt_names, runs_of, shipped_space, trials_of, with_passes
from recbole_marn.leaderboard.records import Folders, check_alike
from recbole_marn.leaderboard.render import LeaderboardRequest, check_baseline, names_of, render, setting_arguments
from recbole_marn.leaderboard.search import going_on, passes_of_rounds, search_told, trial_of_run
from recbole_marn.leaderboard.statistics import TableRow
from recbole_marn.registry import MODELS
from recbole_marn.training.jobs import Failure, Job, run_jobs
from recbole_marn.tuning.space import check_searched

__all__ = ["build"]

ALSO_TEST = ["popularity", "matched"]
TRAIN, TRIAL = "recbole_marn.leaderboard.work:train", "recbole_marn.leaderboard.work:try_settings"


def build(request: LeaderboardRequest) -> tuple[dict[str, Any], list[Failure]]:
    """Do what is not done yet, then render all records of the data set.

    Returns:
        The line that tells about it, and the runs that failed.

    Raises:
        InputError: bad input; nothing is run before all of it has been checked.
    """
    asked = _Asked.of(request)
    folders = Folders(request.out, request.dataset)
    existing, tried = read_records(folders.records), read_records(folders.trials, "trial")
    trials = {label: adopt_names(runs, tried) for label, runs in asked.trials.items()}
    every = [*asked.runs, *(run for runs in trials.values() for run in runs)]
    files = {path: sha256(path) for path in dict.fromkeys(path for run in every for path in run.files.values())}
    site = _Site(folders, asked.plan, files, request)
    check_alike([*existing, *tried, *map(site.known_of, every)])
    check_baseline(request.baseline, [*(row.label for row in asked.rows), *names_of(rows_of_records(existing))])
    folders.prepare()

    rows, told, failures = asked.rows, {}, []
    if asked.space:
        made, failures = site.search(trials, existing, tried)
        chosen = [found for row in rows if (found := site.chosen(made[row.label], searched(row, asked.space)))]
        rows, told = [row for row, _ in chosen], {row.label: search for row, search in chosen}
    runs = adopt_names(runs_of(asked.plan, rows, request.seeds), existing)
    _say_unscored(asked.plan, runs, existing)
    failures += site.run([site.training(run, told.get(run.row.label)) for run in runs])
    with folders.lock:
        records = site.records({run.identity[0]: told[run.row.label] for run in runs if run.row.label in told})
        if failures and not records:
            raise InputError(
                "a run that finishes",
                f"none; the first failed: {failures[0]}",
                "Read its log, which says where it stopped, and give the command again.",
            )
        table = rows_of_records(records)
        names = _names_in_table(asked.plan, rows, runs, table)
        for label, name in names.items():
            print(f"row '{label}' stands in the table as '{name}', which has the same settings", file=sys.stderr)
        line = render(replace(request, baseline=names.get(request.baseline, request.baseline)), table)
    return {"runs": len(runs), "failed": len(failures), **line}, failures


def _say_unscored(plan: Plan, runs: Sequence[Run], existing: Sequence[Mapping[str, Any]]) -> None:
    """Finished runs are not repeated for a part that they were not scored on, which is said."""
    finished = by_identity(existing)
    done = [(run.row.label, finished[run.identity]["metrics"]) for run in runs if run.identity in finished]
    for kind in plan.data.also_test or ():
        if lacking := dict.fromkeys(label for label, parts in done if f"test_{kind}" not in parts):
            print(
                f"finished without also_test: {kind}, and not run again: {', '.join(lacking)}; remove their records "
                "to have them scored on it",
                file=sys.stderr,
            )


def _names_in_table(
    plan: Plan, rows: Sequence[Row], runs: Sequence[Run], table: Sequence[TableRow]
) -> dict[str, str]:
    """Label -> another name that the table has for it: that of an earlier command, or of a row whose search chose the
    same settings.

    Args:
        runs: of rows; of those with the same settings once.
    """
    known = {config_id(row.records[0]["settings"]): row.records[0]["row"] for row in table}
    own = {run.row.label: run.identity[0] for run in runs}
    found = {row.label: known.get(own.get(row.label) or runs_of(plan, [row], 1)[0].identity[0]) for row in rows}
    return {label: name for label, name in found.items() if name not in (None, label)}


@dataclass(frozen=True)
class _Asked:
    """What a request asks for, all of it checked; nothing of it has been run.

    Attributes:
        plan: what every run shares.
        rows: of the table, before a search chooses their settings.
        runs: of every row and seed.
        space: of the search; None: there is none.
        trials: a row's label -> its trials.
    """

    plan: Plan
    rows: Sequence[Row]
    runs: Sequence[Run]
    space: Space | None
    trials: Mapping[str, Sequence[Run]]

    @classmethod
    def of(cls, request: LeaderboardRequest) -> _Asked:
        plan = _plan_of(request)
        rows = _rows_of(request, plan)
        runs = runs_of(plan, rows, request.seeds)
        _check_all_planned(rows, runs)
        if request.tune is None:
            return cls(plan, rows, runs, None, {})
        space = _space_of(request, rows)
        trials = {row.label: trials_of(plan, row, space, request.tune) for row in rows}
        if request.halving:
            _check_passes(trials)
        return cls(plan, rows, runs, space, trials)


def _plan_of(request: LeaderboardRequest) -> Plan:
    given = {key: value for key, value in request.settings.items() if key != "checkpoint_dir"}
    config_files = tuple(os.path.abspath(file) for file in request.config_files)
    plan = Plan(request.dataset, given, config_files)
    if plan.data.label is None and "also_test" not in plan.in_files:  # a log has its own negatives
        plan = replace(plan, common={"also_test": ALSO_TEST, **given})
    return plan.anywhere()


def _rows_of(request: LeaderboardRequest, plan: Plan) -> list[Row]:
    grid = read_grid(request.grid)
    models = plan.possible_models() if request.models is None else request.models
    rows = plan_rows(models, grid)
    if not rows:
        hint = "Name some, or leave --models out for all."
        raise InputError("at least one model in --models, or a named row in --grid", "none", hint)
    _say_unused(grid, request.grid, models)
    if request.anchors:
        anchors = anchor_rows(plan.data.modalities, plan.data.use_modalities)
        rows = with_unique_labels([*rows, *_new(anchors, rows)])
    return rows


def _space_of(request: LeaderboardRequest, rows: Sequence[Row]) -> Space:
    if not request.space:
        return shipped_space()
    space = read_grid(request.space, named=False)
    check_searched([key for choices in space.choices.values() for key in choices], request.space)
    _say_unused(space, request.space, {row.model for row in rows})
    return space


def _say_unused(space: Space, file: str | None, models: Iterable[str]) -> None:
    """Sections of models that are not in the table are passed over, which is said."""
    for section in space.unused(models):
        print(f"{file}: section '{section}' is passed over, no row of --models is of this model", file=sys.stderr)


def _check_passes(trials: Mapping[str, Sequence[Run]]) -> None:
    """Trials are cut short, so that nothing else may say how long they are."""
    for label, runs in trials.items():
        epochs = sorted({run.settings["epochs"] for run in runs})
        if len(epochs) > 1:
            raise InputError(
                "a search space without epochs, with --halving", f"epochs in {epochs} for '{label}'",
                "Take epochs out of the space, or leave --halving out.",
            )  # fmt: skip
        if len(runs) > 1 and epochs == [1]:
            raise InputError(
                "--epochs=2 or more with --halving", f"one pass for '{label}'", "Train longer, or leave --halving out."
            )


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
    there = {run.row.label for run in planned}
    for row in (row for row in rows if row.label not in there):
        raise InputError(
            "rows of different settings",
            f"'{row.label}', which has the settings of another row of {row.model}",
            "Leave it out, or give it a setting of its own.",
        )


@dataclass(frozen=True)
class _Site:
    """Turns runs into jobs."""

    folders: Folders
    plan: Plan
    files: Mapping[Path, str]
    request: LeaderboardRequest

    def run(self, jobs: Sequence[Job]) -> list[Failure]:
        return run_jobs(jobs, self.request.jobs, show_progress=self.request.show_progress)

    def training(self, run: Run, tuned: Mapping[str, Any] | None) -> Job:
        folder = (self.folders.unfinished / run.name).resolve()
        given = (self.plan.in_files | self.request.settings).get("checkpoint_dir")
        checkpoints = Path(given).resolve() if given else folder
        task = self._task(run, checkpoint_dir=str(checkpoints))
        task["record"]["tuned"] = tuned
        done, state = self.folders.records / f"{run.name}.json", checkpoints / f"{run.name}.last.pth"
        return Job(run.name, TRAIN, task, folder, done, run.settings["epochs"], state)

    def trial(self, run: Run) -> Job:
        folder = (self.folders.unfinished / f"trial-{run.name}").resolve()
        return Job(f"trial {run.name}", TRIAL, self._task(run), folder, self._trial_path(run), run.settings["epochs"])

    def search(
        self,
        trials: Mapping[str, Sequence[Run]],
        existing: Sequence[Mapping[str, Any]],
        tried: Sequence[Mapping[str, Any]],
    ) -> tuple[dict[str, list[Run]], list[Failure]]:
        """Make the trials that neither a trial's nor a run's record tells the result of.

        Returns:
            label -> its trials, those of earlier rounds first; and those that failed.
        """
        made: dict[str, list[Run]] = {label: [] for label in trials}
        failures: list[Failure] = []
        rows = {label: self._rounds(runs, tried) for label, runs in trials.items()}
        while now := {label: runs for label, rounds in rows.items() if (runs := next(rounds, None))}:
            for label, runs in now.items():
                made[label] += runs
            flat = [run for runs in now.values() for run in runs]
            self._keep_known_trials(flat, existing)
            failures += self.run([self.trial(run) for run in flat])
        return made, failures

    def _rounds(self, runs: Sequence[Run], tried: Sequence[Mapping[str, Any]]) -> Iterator[list[Run]]:
        """The trials of a row, all at once or round after round; the next is asked for when the last was made."""
        epochs = runs[0].settings["epochs"]
        for passes in passes_of_rounds(epochs) if self.request.halving else [epochs]:
            cut = adopt_names([with_passes(self.plan, run, passes) for run in runs], tried)
            yield cut
            if (records := self._trials(cut)) is None:
                return
            going = {trial["run"] for trial in going_on(records)}
            runs = [run for run, short in zip(runs, cut, strict=True) if short.name in going]
            if len(runs) == 1:
                return

    def _keep_known_trials(self, runs: Sequence[Run], existing: Sequence[Mapping[str, Any]]) -> None:
        """A trial of settings and seed that a finished run has is not repeated: that run's validation is its result."""
        finished = by_identity(existing)
        for run in runs:
            record = finished.get(run.identity)
            found = record and trial_of_run(self.known_of(run), record)
            if found and not self._trial_path(run).exists():
                write_text(self._trial_path(run), sealed_text(found), self.folders.scores)

    def records(self, searches: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Every record of a run there is; those older than the search that chose their settings learn of it here.

        Args:
            searches: what a record says of the search, by `config_id` of the chosen settings.
        """
        there = read_records(self.folders.records)
        return [self._told(record, searches.get(config_id(record["settings"]))) for record in there]

    def _told(self, record: dict[str, Any], search: Mapping[str, Any] | None) -> dict[str, Any]:
        if search is None or record.get("tuned") == search:
            return record
        text = sealed_text({**record, "tuned": dict(search)})
        write_text(self.folders.records / f"{record['run']}.json", text, self.folders.scores)
        return json.loads(text)

    def chosen(self, runs: Sequence[Run], space: Mapping[str, Any]) -> tuple[Row, dict[str, Any]] | None:
        """The row under its best trial's settings, and what a record says of the search.

        Settings are taken from the plan: a trial's record may come from an earlier command, which gave the same
        settings in another way. None where a trial failed and the comparison would not be fair.
        """
        if (trials := self._trials(runs)) is None:
            return None
        told = search_told(trials, space, halving=self.request.halving)
        return next(run.row for run in runs if run.name == told["chosen"]), told

    def _trials(self, runs: Sequence[Run]) -> list[dict[str, Any]] | None:
        """The records of trials; None where one has none, since it failed."""
        files = [self._trial_path(run) for run in runs]
        return [read_record(file, "trial") for file in files] if all(file.exists() for file in files) else None

    def _trial_path(self, run: Run) -> Path:
        return self.folders.trials / f"{run.name}.json"

    def _task(self, run: Run, **more: Any) -> dict[str, Any]:
        return {
            "config": {**run.config, **more}, "config_files": list(self.plan.config_files),
            "record": self.known_of(run), "files": {name: str(path) for name, path in run.files.items()},
            "out": str(self.folders.out.resolve()), "dataset": self.folders.dataset,
        }  # fmt: skip

    def known_of(self, run: Run) -> dict[str, Any]:
        """What is known of a run before it has run."""
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
            "settings": dict(run.settings),
            "data": {"files": {name: self.files[path] for name, path in run.files.items()}},
            "command": shlex.join(command),
        }  # fmt: skip
