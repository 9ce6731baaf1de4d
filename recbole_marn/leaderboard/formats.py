"""A board as Markdown, CSV, LaTeX and HTML: the templates in `templates/`, and what each format makes of a text.

Templates are rendered with every cell between marks, so that `verify` knows where in a file each cell stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jinja2
import yaml
from markupsafe import Markup, escape

from recbole_marn.errors import printable
from recbole_marn.files.spreadsheet import no_formula
from recbole_marn.leaderboard.board import Board, Cell, Table
from recbole_marn.leaderboard.page import drawn_rows, leader, plots

__all__ = ["FORMATS", "marked", "parts_of_line", "unmarked"]

# Control characters, which no text of ours has (`printable`): "\x02<table>\x1f<row>\x1f<column>\x03<cell>\x04".
MARKED = re.compile("\x02(.*?)\x03(.*?)\x04")
SETTING_KEYS = (
    "split", "split_times", "repeats", "val_interval", "MAX_ITEM_LIST_LENGTH", "train_sampling", "eval_sampling",
    "negatives_from", "train_last", "train_negatives", "eval_negatives", "matched_pool", "resample_negatives",
    "sample_seed",
    "label", "request", "user", "context", "position", "behaviours", "histories", "keep_negatives", "statistics_until",
    "calibration", "modalities", "behaviour", "epochs", "stopping_step", "train_batch_size", "learner", "learning_rate",
    "weight_decay", "adagrad_init", "metrics", "valid_metric",
)  # fmt: skip

# Keys that do nothing where rows are exposures, or where they are not.
OF_CLICKS_ALONE = {
    "train_sampling", "eval_sampling", "negatives_from", "train_last", "train_negatives", "eval_negatives",
    "matched_pool", "resample_negatives",
}  # fmt: skip
OF_LOGS_ALONE = {"keep_negatives", "statistics_until", "calibration"}


# ----------------------------------------------------------------------------------------------- escaping
def markdown_text(text: Any) -> str:
    """No cell ends early, and no tag, entity, emphasis, code or link begins."""
    text = re.sub(r"[\\|*`]", r"\\\g<0>", printable(text)).replace("](", r"]\(")
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text)
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def csv_text(text: Any) -> str:
    """A field, in quotation marks where it needs them."""
    field = printable(text)
    return '"' + field.replace('"', '""') + '"' if set(field) & set(',"') else field


def csv_cell(cell: Cell) -> str:
    """Words that are no formula; numbers are numbers."""
    return csv_text(no_formula(cell.text) if isinstance(cell.value, str) else cell.text)


_TEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "$": r"\$", "^": r"\^{}", "~": r"\~{}", "±": r"$\pm$", "–": "--", "<": "$<$", ">": "$>$",
        "Δ": r"$\Delta$"}  # fmt: skip


def latex_text(text: Any) -> str:
    """Letters that LaTeX reads itself are written out."""
    return "".join(_TEX.get(letter, letter) for letter in printable(text))


def html_text(text: Any) -> Markup:
    """As `markupsafe.escape`."""
    return escape(printable(text))


# ------------------------------------------------------------------------------------------------- formats
def _environment(text: Callable[[Any], str], cell: Callable[[Cell], str], **syntax: Any) -> jinja2.Environment:
    """What templates of a format are rendered in, cells between marks.

    Args:
        text: escapes any text.
        cell: writes a cell, escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("recbole_marn.leaderboard"), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, **syntax,
    )  # fmt: skip

    def shown(table: Table, row: Sequence[Cell], index: int) -> Markup:
        key = "\x1f".join(map(printable, (table.name, row[0].text, table.columns[index])))
        return Markup(f"\x02{key}\x03{cell(row[index])}\x04")

    environment.globals["shown"] = shown
    # A code block ends at its fence, and nothing else is read in it.
    environment.filters |= {"text": text, "line": printable, "fenced": lambda code: code.replace("```", "` ` `")}
    return environment


def _context(board: Board) -> dict[str, Any]:
    unread = OF_CLICKS_ALONE if board.measures.log else OF_LOGS_ALONE
    told = [key for key in SETTING_KEYS if key not in unread]
    shared = {key: board.shared[key] for key in told if board.shared.get(key) not in (None, [], {})}
    records = board.records
    versions = {f"{name} {version}" for record in records for name, version in record["versions"].items()}
    return {
        "board": board,
        "files": records[0]["data"]["files"],
        "splits": sorted({record["data"]["split_sha256"][:12] for record in records}),
        "seeds": sorted({record["seed"] for record in records}),
        "trials": max(((record.get("tuned") or {}).get("trials", 0) for record in records), default=0),
        "versions": sorted(versions),
        "shared": yaml.safe_dump(shared, sort_keys=False, default_flow_style=None, width=100).rstrip(),
        "leader": leader,
        "drawn": drawn_rows(board),
        "plots": plots,
    }


def _bold(before: str, after: str, text: Callable[[Any], str]) -> Callable[[Cell], str]:
    return lambda cell: f"{before}{text(cell.text)}{after}" if cell.best else text(cell.text)


ENVIRONMENTS = {
    "md": _environment(markdown_text, _bold("**", "**", markdown_text)),
    "csv": _environment(csv_text, csv_cell),
    "tex": _environment(
        latex_text, _bold(r"\textbf{", "}", latex_text),
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>",
    ),
    "html": _environment(html_text, lambda cell: html_text(cell.text), autoescape=True),
}  # fmt: skip


def marked(template: str, context: Mapping[str, Any]) -> str:
    """A template of `templates/` as text, its cells between marks; its suffix says what is escaped, and how."""
    return ENVIRONMENTS[template.rpartition(".")[2]].get_template(template).render(context)


def _of_board(template: str) -> Callable[[Board], str]:
    return lambda board: marked(template, _context(board))


# suffix -> the text of the file, its cells between marks
FORMATS: dict[str, Callable[[Board], str]] = {
    "md": _of_board("tables.md"),
    "csv": _of_board("numbers.csv"),
    "tex": _of_board("tables.tex"),
    "html": _of_board("page.html"),
}


def unmarked(marked: str) -> str:
    """A rendered text as it is written to its file."""
    return MARKED.sub(r"\2", marked)


def parts_of_line(marked: str) -> tuple[list[str], list[list[str]], list[str]]:
    """What stands around the cells of a line (one more than there are cells), which cells they are, what they say."""
    parts = MARKED.split(marked)
    return parts[::3], [key.split("\x1f") for key in parts[1::3]], parts[2::3]
