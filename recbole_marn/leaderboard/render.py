"""Records of a data set -> statistics and tables. Nothing is trained, and neither torch nor RecBole is imported."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recbole_marn.errors import InputError
from recbole_marn.evaluation.record import read_record, read_records, sealed_text
from recbole_marn.files import write_text
from recbole_marn.leaderboard.board import Board, rows_of_records
from recbole_marn.leaderboard.formats import FORMATS, unmarked
from recbole_marn.leaderboard.measures import OF_REQUESTS, measures_of
from recbole_marn.leaderboard.records import EvidenceStore, Folders, check_alike
from recbole_marn.leaderboard.statistics import Comparison, TableRow, statistics_of, tests_to_make

__all__ = ["LeaderboardRequest", "check_baseline", "names_of", "render", "setting_arguments"]


RESAMPLES = 500
ENOUGH = range(2, 1_000_001)  # resamples of the users
# Where things lie on this machine; neither a record nor a command repeats it.
PLACES = ("data_path", "checkpoint_dir")


@dataclass(frozen=True)
class LeaderboardRequest:
    """Options of the command line (see `cli.add_arguments`); without `models`, all that the data set allows.

    Raises:
        InputError: a number out of range, or a space or halving without a search.
    """

    dataset: str
    models: Sequence[str] | None = None
    seeds: int = 5
    grid: str | None = None
    tune: int | None = None
    space: str | None = None
    halving: bool = False
    baseline: str | None = None
    anchors: bool = True
    out: Path = Path("results")
    jobs: int = 1
    resamples: int | None = None
    unit: str | None = None
    config_files: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    show_progress: bool = True

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.jobs < 1 or not (self.resamples is None or self.resamples in ENOUGH):
            raise InputError(
                f"at least one seed and one process, and from 2 to {ENOUGH[-1]:,} resamples",
                f"--seeds={self.seeds} --jobs={self.jobs} --resamples={self.resamples}",
                "Five seeds, one process per core and 500 resamples are usual.",
            )
        if self.space is not None and self.tune is None:
            raise InputError("--tune=N with --space", "--space alone", "Say how many settings to try, or leave it out.")
        if self.halving and self.tune is None:
            raise InputError(
                "--tune=N with --halving", "--halving alone", "Say how many settings to try, or leave it out."
            )

    def command(self) -> str:
        """The command line that makes the same rows, without what does not matter to them."""
        parts = ["recbole-marn", "leaderboard", f"--dataset={self.dataset}"]
        parts += [] if self.models is None else [f"--models={','.join(self.models)}"]
        parts += [f"--seeds={self.seeds}"]
        given = [("grid", self.grid), ("tune", self.tune), ("space", self.space), ("baseline", self.baseline)]
        parts += [f"--{name}={value}" for name, value in given if value is not None]
        parts += ["--halving"] if self.halving else []
        parts += [] if self.resamples in (None, RESAMPLES) else [f"--resamples={self.resamples}"]
        parts += [] if self.unit in (None, "user") else [f"--unit={self.unit}"]
        parts += [] if self.anchors else ["--without_anchors"]
        parts += [f"--config_files={' '.join(self.config_files)}"] if self.config_files else []
        return shlex.join(parts + setting_arguments(self.settings))


def setting_arguments(settings: Mapping[str, Any]) -> list[str]:
    """Settings as `--key=value`, without paths."""
    return [f"--{key}={value}" for key, value in settings.items() if key not in PLACES]


def _with_option(command: str, name: str, value: object) -> str:
    """A command line with `--name=value` in place of what it had; as it was without a value."""
    if value is None:
        return command
    option, parts = f"--{name}={value}", shlex.split(command)
    there = [at for at, part in enumerate(parts) if part.startswith(f"--{name}=")]
    for at in there or [len(parts)]:
        parts[at : at + 1] = [option]
    return shlex.join(parts)


# -------------------------------------------------------------------------------------------------- render
def render(request: LeaderboardRequest, made: Sequence[TableRow] | None = None) -> dict[str, Any]:
    """Statistics and tables of all the records of a data set.

    Args:
        made: the rows of these records, where the request has made them, and the tables say so; else the records are
            read, and the tables name the command that they named before.

    Returns:
        The line that tells about it.

    Raises:
        InputError: no record, a broken one, records that do not belong together, altered files, or intervals that
            would be lost.
    """
    folders = Folders(request.out, request.dataset)
    rows = rows_of_records(read_records(folders.records)) if made is None else made
    if not rows:
        raise InputError(
            f"records of finished runs in {folders.records}", "none", "Run the leaderboard without --render_only first."
        )
    records = [record for row in rows for record in row.records]
    check_alike(records)
    known = read_record(folders.statistics, "statistics") if folders.statistics.exists() else None
    baseline = _baseline(request.baseline or (known["baseline"] if known and made is None else None), rows)
    resamples = request.resamples or (known or {}).get("resamples", RESAMPLES)
    unit = request.unit or (known or {}).get("unit", "user")
    _check_unit(unit, records)
    comparison = Comparison(baseline, resamples, unit)
    folders.prepare()
    store = EvidenceStore(folders)
    total = len(rows) + sum(1 for _ in tests_to_make(rows, baseline))
    with tqdm(total=total, desc="statistics", disable=None if request.show_progress else True) as bar:
        statistics = statistics_of(
            request.dataset, rows, lambda row, part: store.of_seeds(row.records, part), comparison,
            known=known, progress=bar.update,
        )  # fmt: skip
    _check_kept(rows, statistics, known)
    command = replace(request, resamples=resamples, unit=unit).command()
    if known and made is None:
        command = known["command"]
        for name in ("baseline", "resamples", "unit"):
            command = _with_option(command, name, getattr(request, name))
    write_text(folders.statistics, sealed_text({**statistics, "command": command}), folders.scores)
    board = Board(rows, read_record(folders.statistics, "statistics"))
    for suffix, marked in FORMATS.items():
        write_text(folders.table(suffix), unmarked(marked(board)), folders.scores)
    return {
        "dataset": request.dataset,
        "rows": len(rows),
        "records": len(records),
        "best": rows[0].label,
        "without_scores": [row.label for row in rows if row.label not in statistics["intervals"]],
        "tables": {suffix: str(folders.table(suffix)) for suffix in FORMATS},
    }


def _check_unit(unit: str, records: Sequence[Mapping[str, Any]]) -> None:
    if unit == "request" and measures_of(records) is not OF_REQUESTS:
        raise InputError("rows with requests for --unit=request", "rows without", "Leave --unit out.")


def check_baseline(baseline: str | None, names: Sequence[str]) -> None:
    """Whether a row can be called by the name that `--baseline` gives.

    Raises:
        InputError: none can.
    """
    if baseline is not None and baseline not in names:
        raise InputError(
            f"--baseline to be a row of the table: {', '.join(dict.fromkeys(names))}",
            repr(baseline),
            "Name one of them.",
        )


def names_of(rows: Sequence[TableRow]) -> list[str]:
    """What rows can be called by: their labels, and what they are called without what tells them apart."""
    return [name for row in rows for name in (row.label, row.records[0]["row"])]


def _baseline(name: str | None, rows: Sequence[TableRow]) -> str:
    """The label of the row that is called `name`, of several the one whose settings a search chose."""
    check_baseline(name, names_of(rows))
    for wanted in (name,) if name else ("DIN", "Popularity"):
        found = [row for row in rows if wanted in (row.label, row.records[0]["row"])]
        if found:
            return max(found, key=lambda row: (row.label == wanted, row.records[0].get("tuned") is not None)).label
    return rows[0].label


def _check_kept(rows: Sequence[TableRow], statistics: Mapping[str, Any], known: Mapping[str, Any] | None) -> None:
    """No interval is given up that the scores here cannot give again."""
    had = [entry["of"] for entry in (known or {}).get("intervals", {}).values()]
    lost = [row.label for row in rows if row.sources in had and row.label not in statistics["intervals"]]
    if lost:
        raise InputError(
            "the evidence or scores of all rows, to resample them anew",
            f"--resamples={statistics['resamples']}, and no scores of {', '.join(lost)} on this machine",
            "Leave --resamples out; no table was changed.",
        )
