"""The page of standings over data sets, and the command that writes it: `recbole-marn across DIR`."""

from __future__ import annotations

import argparse
import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, mode
from typing import Any

from recbole_marn.errors import InputError, printable
from recbole_marn.evaluation.record import FORMAT, read_records, sealed_text
from recbole_marn.files import write_text
from recbole_marn.leaderboard.across import Standings, standings_of
from recbole_marn.leaderboard.board import ABSENT, Cell, Table, number, p_value
from recbole_marn.leaderboard.formats import marked, unmarked
from recbole_marn.leaderboard.records import Folders, datasets_in
from recbole_marn.leaderboard.statistics import LEVEL
from recbole_marn.plots.svg import Interval, interval_plot
from recbole_marn.settings.parsing import nearest

__all__ = ["PAGES", "add_arguments", "list_of_datasets", "main", "pages"]

PAGES = ("across.md", "across.html")


def list_of_datasets(out: Path) -> Path:
    """The record of what the pages are of."""
    return out / "records" / "across.json"


def pages(out: Path, datasets: Sequence[str]) -> dict[str, str]:
    """File name -> its text with cells between marks.

    Raises:
        InputError: as `standings_of`, or a data set without records.
    """
    folders = [Folders(out, dataset) for dataset in datasets]
    records = {folder.dataset: read_records(folder.records) for folder in folders}
    for dataset, found in records.items():
        if not found:
            there = datasets_in(out)
            hint = f"Name data sets that have a table there: {', '.join(there) or 'there is none yet'}."
            raise InputError(f"records of {dataset} in {out}", "none", hint + nearest(dataset, there))
    standings = standings_of(records, {folder.dataset: read_records(folder.trials, "trial") for folder in folders})
    command = shlex.join(["recbole-marn", "across", ".", f"--datasets={','.join(datasets)}"])
    return {name: marked(name, _context(standings, command)) for name in PAGES}


def _context(standings: Standings, command: str) -> dict[str, Any]:
    half = standings.critical_difference / 2
    ranked = zip(standings.names, standings.mean_rank, strict=True)
    bars = [Interval(printable(name), rank, rank - half, rank + half) for name, rank in ranked]
    return {
        "command": command,
        "lead": _lead(standings),
        "ranks": _ranks(standings),
        "scores": _scores(standings),
        "tuning": _tuning(standings),
        "setting": _setting(standings),
        "caption": "Mean rank, 1 is best; rows whose bars do not overlap differ by Nemenyi's test",
        "plot": interval_plot(bars, "Mean ranks", "mean rank"),
    }


def _lead(standings: Standings) -> str:
    """Who leads, how often, and how sure that is."""
    names, rank, wins, p = standings.names, standings.mean_rank, standings.win_rate, standings.against_leader
    first = int((standings.ranks[0] == 1).sum())
    apart = int((rank - rank[0] > standings.critical_difference).sum())
    sure = int((p < LEVEL).sum())
    return (
        f"{names[0]} has the best mean rank ({rank[0]:.2f}) of {len(names)} rows over {len(standings.tasks)} tasks, is "
        f"first on {first} and wins {100 * wins[0]:.1f} % of its comparisons, before {names[1]} ({rank[1]:.2f}). Of "
        f"the other {len(names) - 1} rows, behind it by more than the critical difference of "
        f"{standings.critical_difference:.1f} ranks: {apart}; by Wilcoxon's test over the tasks: {sure}."
    )


def _ranks(standings: Standings) -> Table:
    against = standings.against_leader
    columns = ("Model", "Mean rank", "Win rate", "Improvability", "p leader")
    rows = [
        (
            Cell(name, name),
            Cell(f"{rank:.2f}", rank, at == 0),
            Cell(f"{100 * wins:.1f} %", wins, at == 0),
            Cell(f"{100 * left:.1f} %", left, left == standings.improvability.min()),
            Cell("itself") if math.isnan(p) else Cell(p_value(p), p),
        )
        for at, (name, rank, wins, left, p) in enumerate(
            zip(standings.names, standings.mean_rank, standings.win_rate, standings.improvability, against, strict=True)
        )
    ]
    tests, floor = len(standings.names) - 1, 2.0 ** (1 - len(standings.tasks))
    note = (
        f"Friedman's test that all rank alike: p {p_value(standings.friedman)}. Critical difference of mean ranks "
        f"(Nemenyi, .05): {standings.critical_difference:.2f}. Win rate: over all rivals and tasks. Improvability: the "
        "share of a row's error, 1 - score, that the best row of the task does not make, mean of the tasks. p leader: "
        f"Wilcoxon's signed-rank test over the tasks, after Holm; {len(standings.tasks)} tasks and {tests} tests allow "
        f"no value below {p_value(min(1.0, tests * floor))}. Tasks of one data set share clicks and trainings, so that "
        "all these tests say too much; the tests over users are on the page of each data set."
    )
    return Table("ranks", "Ranks", columns, tuple(rows), note)


def _scores(standings: Standings) -> Table:
    columns = ("Model", *(f"{task.dataset}, {task.sampling}" for task in standings.tasks))
    best = standings.scores.max(0)
    rows = [
        (Cell(name, name), *(Cell(number(value), value, value == top) for value, top in zip(scores, best, strict=True)))
        for name, scores in zip(standings.names, standings.scores, strict=True)
    ]
    metrics = ", ".join(dict.fromkeys(task.metric for task in standings.tasks))
    return Table("scores", "Scores", columns, tuple(rows), f"{metrics} on test, mean over the seeds.")


def _tuning(standings: Standings) -> Table:
    """What a search brought on validation; test scores of settings that lost do not exist."""
    datasets = [dataset for dataset, found in standings.validation.items() if found]
    columns = ("Model", *(f"{dataset}, {what}" for dataset in datasets for what in ("default", "tuned")), "Mean gain")
    rows = []
    for name in standings.names:
        pairs = [standings.validation[dataset].get(name) for dataset in datasets]
        gains = [tuned - default for default, tuned in filter(None, pairs)]
        if not gains:
            continue
        cells = [Cell(ABSENT) if pair is None else Cell(number(pair[at]), pair[at]) for pair in pairs for at in (0, 1)]
        mean = fmean(gains)
        rows.append((Cell(name, name), *cells, Cell(f"{mean:+.4f}", mean)))
    note = (
        "Validation score of the first seed with a row's own settings and with those that its search chose. The better "
        "of several trials looks better than it is; test scores of settings that lost were never made."
    )
    return Table("tuning", "Default against tuned", columns, tuple(rows), note)


def _setting(standings: Standings) -> list[str]:
    told = [f"{dataset}: split {split} (SHA-256)." for dataset, split in standings.splits.items()]
    for dataset, names in standings.left_out.items():
        if names:
            why = "another data set does not have it, or a score of it"
            told.append(f"Left out, because {why}, of {dataset}: {', '.join(names)}.")
    for dataset, parts in standings.unscored.items():
        if parts:
            told.append(f"Left out, because not every row was scored on it, of {dataset}: {', '.join(parts)}.")
    for dataset, seeds in standings.seeds.items():
        usual = mode(seeds.values())
        if others := [f"{name} {number}" for name, number in seeds.items() if number != usual]:
            told.append(f"Seeds of a row of {dataset}: {usual}; of {', '.join(others)}.")
    return told


# -------------------------------------------------------------------------------------------- command line
def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `across`."""
    parser.add_argument("out", type=Path, metavar="DIR", help="the --out of leaderboards")
    parser.add_argument("--datasets", help="names, separated by commas (default: all there are)")


def main(args: argparse.Namespace) -> int:
    """Run `across`: write `across.md` and `across.html` into the folder."""
    given = [name.strip() for name in (args.datasets or "").split(",") if name.strip()]
    datasets = list(dict.fromkeys(given)) or datasets_in(args.out)
    texts = pages(args.out, datasets)
    told = {"leaderboard": "across", "format": FORMAT, "datasets": datasets}
    write_text(list_of_datasets(args.out), sealed_text(told), args.out)
    for name, text in texts.items():
        write_text(args.out / name, unmarked(text), args.out)
    print(json.dumps({"datasets": datasets, "pages": [str(args.out / name) for name in PAGES]}))
    return 0
