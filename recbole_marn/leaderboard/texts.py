"""A board as Markdown, CSV and LaTeX, and the cells read back out of them."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence

import yaml

from recbole_marn.leaderboard.board import Board, Cell, Table, sampling_of, seconds_per_epoch
from recbole_marn.leaderboard.statistics import TESTS, mean_of_seeds

__all__ = ["Cells", "cells_of_csv", "cells_of_latex", "cells_of_markdown", "csv_text", "latex", "markdown"]

# (table, row, column) -> what stands there.
Cells = dict[tuple[str, str, str], str]

SETTING_KEYS = (
    "split", "split_times", "repeats", "val_interval", "MAX_ITEM_LIST_LENGTH", "train_sampling", "eval_sampling",
    "negatives_from", "train_negatives", "eval_negatives", "matched_pool", "resample_negatives", "sample_seed",
    "modalities", "behaviour", "epochs", "stopping_step", "train_batch_size", "learner", "learning_rate",
    "weight_decay", "adagrad_init", "metrics", "valid_metric",
)  # fmt: skip


# ------------------------------------------------------------------------------------------------ Markdown
def markdown(board: Board) -> str:
    """`<dataset>.md` under the headings of the RecBole family's result pages."""
    statistics = board.statistics
    lines = [
        f"# {board.dataset}",
        "",
        "Generated, not written by hand:",
        "",
        "```bash",
        statistics["command"],
        "```",
        "",
    ]
    lines += [f"`recbole-marn verify` checks every cell against {len(board.records)} records and their scores.", ""]
    lines += ["## Experimental Setting", "", *setting_lines(board), ""]
    shared = {key: board.shared[key] for key in SETTING_KEYS if board.shared.get(key) not in (None, [], {})}
    text = yaml.safe_dump(shared, sort_keys=False, default_flow_style=None, width=100)
    lines += ["Shared by all runs:", "", "```yaml", text.rstrip(), "```", ""]
    lines += [f"## {board.sizes.title}", "", *_markdown_table(board.sizes), ""]
    lines += [f"## {board.results.title}", "", *_markdown_table(board.results), "", board.results.note, ""]
    for table in board.evidence:
        lines += [f"### {table.title}", "", *_markdown_table(table), "", table.note, ""]
    lines += [f"## {board.hyper_parameters.title}", "", *_markdown_table(board.hyper_parameters), ""]
    return "\n".join(lines)


def setting_lines(board: Board) -> list[str]:
    """What was done, one statement a line."""
    records, statistics = board.records, board.statistics
    data = records[0]["data"]
    versions = sorted({f"{name} {version}" for record in records for name, version in record["versions"].items()})
    splits = sorted({record["data"]["split_sha256"][:12] for record in records})
    metric = board.shared.get("valid_metric", "the validation metric")
    seeds = sorted({record["seed"] for record in records})
    trials = [record["tuned"]["trials"] for record in records if record.get("tuned")]
    tuning = f"at most {max(trials)} trials a model on validation, then " if trials else "no tuning; "
    return [
        f"- Data: {board.dataset}; " + ", ".join(f"{name} {value[:12]}" for name, value in data["files"].items())
        + " (SHA-256).",
        f"- Rows: split {', '.join(splits)} (SHA-256); every model is trained and scored on the same ones.",
        f"- Selection: {tuning}the epoch with the best {metric} on validation. The test part was scored once a run.",
        f"- Seeds: {', '.join(map(str, seeds))}.",
        f"- Intervals: {100 * statistics['confidence']:g} %, of the mean over the seeds, "
        f"{statistics['resamples']} bootstrap resamples of the users.",
        "- Tests: two-sided, of the mean over the seeds, users as the independent unit; they say whether other users "
        "would change the order, the deviation over seeds says what training anew would change.",
        f"- Versions: {', '.join(versions)}.",
    ]  # fmt: skip


def _markdown_table(table: Table) -> list[str]:
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "|".join(["---"] * len(table.columns)) + "|"]
    return lines + ["| " + " | ".join(_markdown_cell(cell) for cell in row) + " |" for row in table.rows]


def _markdown_cell(cell: Cell) -> str:
    text = cell.text.replace("\\", "\\\\").replace("|", "\\|")
    return f"**{text}**" if cell.best else text


def cells_of_markdown(text: str, tables: Sequence[Table]) -> Cells:
    """The cells of a Markdown page; a table goes by the heading above it."""
    names = {table.title: table.name for table in tables}
    cells: Cells = {}
    table, columns = "", []
    for line in text.splitlines():
        if line.startswith("#"):
            table, columns = names.get(line.lstrip("# "), ""), []
        elif line.startswith("|") and table:
            entries = [entry.strip() for entry in re.split(r"(?<!\\)\|", line)[1:-1]]
            if not columns:
                columns = entries
            elif set(line) - set("|-"):
                cells |= {(table, entries[0], name): entry for name, entry in zip(columns, entries, strict=False)}
    return cells


# ----------------------------------------------------------------------------------------------------- CSV
def csv_text(board: Board) -> str:
    """`<dataset>.csv`: one line a row, numbers in full."""
    tests = {(test["row"], test["metric"], test["part"], test["against"]): test for test in board.statistics["tests"]}
    lines: list[dict[str, object]] = []
    for row in board.rows:
        first = row.records[0]
        line: dict[str, object] = {"row": row.label, "model": first["model"], "seeds": len(row.records)}
        for metric, part in (*TESTS, ("LogLoss", "test"), ("ECE", "test"), ("predicted/observed", "test")):
            title = f"{metric} {sampling_of(part, board.shared)}"
            mean, std = mean_of_seeds(row, metric, part)
            low, high = board.statistics["intervals"].get(row.label, {}).get(f"{metric} {part}", (None, None))
            line |= {title: mean, f"{title} std": std, f"{title} low": low, f"{title} high": high}
            for against in ("best", "baseline") if (metric, part) in TESTS else ():
                test = tests.get((row.label, metric, part, against), {})
                line |= {f"{title} - {against}": test.get("difference"), f"{title} p {against}": test.get("p_holm")}
                line[f"{title} RelaImpr {against}"] = test.get("relative_improvement")
        line |= {"parameters": first["parameters"], "seconds per epoch": seconds_per_epoch(row)}
        lines.append(line)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(lines[0]) if lines else ["row"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _csv_cell(value) for key, value in line.items()} for line in lines)
    return stream.getvalue()


def _csv_cell(value: object) -> object:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.8g}" if isinstance(value, float) else value


def cells_of_csv(text: str, tables: Sequence[Table]) -> Cells:
    """The cells of a CSV file."""
    lines = list(csv.reader(io.StringIO(text)))
    if not lines:
        return {}
    return {
        ("csv", line[0], name): entry for line in lines[1:] if line for name, entry in zip(lines[0], line, strict=False)
    }


# --------------------------------------------------------------------------------------------------- LaTeX
_TEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "$": r"\$", "^": r"\^{}", "~": r"\~{}", "±": r"$\pm$", "–": "--", "<": "$<$", ">": "$>$",
        "Δ": r"$\Delta$"}  # fmt: skip


def latex(board: Board) -> str:
    """`<dataset>.tex`: the tables for a paper that loads booktabs, each to be placed by \\input or by hand."""
    lines = [f"% {board.dataset}: generated by {board.statistics['command']}", r"% needs \usepackage{booktabs}"]
    for table in (board.results, *board.evidence):
        lines += ["", f"% table: {table.name}", r"\begin{table}", r"\centering", rf"\caption{{{_tex(table.title)}}}"]
        lines += [rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}", r"\toprule"]
        lines += [" & ".join(_tex(column) for column in table.columns) + r" \\", r"\midrule"]
        lines += [" & ".join(_tex_cell(cell) for cell in row) + r" \\" for row in table.rows]
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)


def _tex_cell(cell: Cell) -> str:
    return rf"\textbf{{{_tex(cell.text)}}}" if cell.best else _tex(cell.text)


def cells_of_latex(text: str, tables: Sequence[Table]) -> Cells:
    """The cells of a LaTeX file; a table goes by the comment above it."""
    cells: Cells = {}
    table, columns = "", []
    for line in text.splitlines():
        if line.startswith("% table: "):
            table, columns = line.removeprefix("% table: "), []
        elif line.endswith(r" \\"):
            entries = re.split(r" (?<!\\)& ", line.removesuffix(r" \\"))
            if not columns:
                columns = entries
            else:
                cells |= {(table, entries[0], name): entry for name, entry in zip(columns, entries, strict=False)}
    return cells


def reading(cells: Mapping[tuple[str, str, str], str], key: tuple[str, str, str]) -> str:
    """What a cell says, in a message."""
    return f"'{cells[key]}'" if key in cells else "nothing"
