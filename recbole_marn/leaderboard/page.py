"""A board as one HTML page: sortable tables and plots, with nothing to load from elsewhere."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape, unescape

from recbole_marn.leaderboard.board import Board, Cell, Table, seconds_per_epoch
from recbole_marn.leaderboard.statistics import TableRow, mean_of_seeds
from recbole_marn.leaderboard.svg import Curve, Interval, Point, curves_plot, interval_plot, scatter_plot
from recbole_marn.leaderboard.texts import Cells, setting_lines

__all__ = ["cells_of_page", "page"]

STRONG_CURVES = 5
PLOTS_NOTE = "Points bear the row's number in the table. Rows whose AUC may be chance are not drawn."
TALL = 20  # rows whose interval plot is as high as the other plots together

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6675; --line: #d8dde5; --back: #fff; --band: #f4f6f9;
  --dot: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #a2adbb; --line: #39414d; --back: #14181e;
  --band: #1d232c; --dot: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1320px; padding: 16px; font: 15px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--back); }
h1 { font-size: 26px; margin: 0 0 8px; } h2 { font-size: 20px; margin: 32px 0 8px; } h3 { font-size: 16px; margin: 0; }
pre { background: var(--band); padding: 10px; overflow-x: auto; border-radius: 6px; font-size: 13px; }
ul { padding-left: 20px; overflow-wrap: anywhere; }
.note { color: var(--soft); font-size: 13px; max-width: 90ch; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 12px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 4px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
tr:last-child td { border-bottom: 0; }
th { background: var(--band); font-weight: 600; padding: 0; white-space: normal; vertical-align: bottom; }
th button { all: unset; box-sizing: border-box; width: 100%; padding: 8px 4px; cursor: pointer; text-align: inherit; }
th button:focus-visible { outline: 2px solid var(--dot); outline-offset: -2px; }
th button::after { content: "\\2195"; opacity: .35; margin-left: 2px; }
th[aria-sort=ascending] button::after { content: "\\2191"; opacity: 1; }
th[aria-sort=descending] button::after { content: "\\2193"; opacity: 1; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--back); }
th:first-child { background: var(--band); }
td.best { font-weight: 700; }
.wrap td { white-space: normal; text-align: left; min-width: 130px; overflow-wrap: anywhere; }
.wrap td:first-child { white-space: nowrap; } .wrap th { text-align: left; }
.n { display: inline-block; min-width: 18px; color: var(--soft); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 24px; }
figure { margin: 0; min-width: 0; } .tall figure:first-child { grid-row: span 3; }
figcaption { font-weight: 600; margin-bottom: 4px; }
svg { width: 100%; max-width: 620px; height: auto; display: block; }
svg text { font: 13px system-ui, sans-serif; fill: var(--soft); } svg .number { fill: var(--ink); font-size: 12px; }
.axis { stroke: var(--soft); } .grid { stroke: var(--line); } .whisker { stroke: var(--dot); stroke-width: 2; }
.dot { fill: var(--dot); } .curve { fill: none; stroke: var(--soft); stroke-width: 1; opacity: .45; }
.curve.strong { stroke-width: 2.2; opacity: 1; } circle.curve.alone { fill: var(--soft); }
@media (max-width: 600px) { body { padding: 12px; } h1 { font-size: 22px; } }
"""

SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const head = button.parentElement, table = head.closest("table"), column = head.cellIndex;
  const key = row => row.cells[column].dataset.v, body = table.tBodies[0], was = head.getAttribute("aria-sort");
  const words = !/^-?\\d/.test(key(body.rows[0]) ?? "0");
  const down = words ? was === "ascending" : was !== "descending";
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...body.rows].sort((a, b) => {
    const x = key(a), y = key(b);
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    const order = words ? x.localeCompare(y) : x - y;
    return down ? -order : order;
  });
  body.append(...rows);
};
"""


def page(board: Board) -> str:
    """`<dataset>.html`."""
    numbers = {row.label: index for index, row in enumerate(board.rows, 1)}
    head = [
        "<!doctype html>", '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(board.dataset)}: leaderboard</title><style>{STYLE}</style></head><body>",
    ]  # fmt: skip
    settings = "".join(f"<li>{escape(line[2:])}</li>" for line in setting_lines(board))
    body = [
        f"<h1>{escape(board.dataset)}</h1>", '<p class="note">Generated by</p>',
        f"<pre>{escape(board.statistics['command'])}</pre>",
        _section(board.results, numbers),
        f"<h2>Plots</h2><p class=\"note\">{PLOTS_NOTE}</p>{_plots(board)}",
        "<h2>Intervals and tests</h2>", *(_section(table, numbers, "h3") for table in board.evidence),
        f"<h2>Experimental Setting</h2><ul>{settings}</ul>",
        _section(board.sizes, {}, sortable=False),
        _section(board.hyper_parameters, numbers, kind="wrap", sortable=False),
    ]  # fmt: skip
    return "\n".join([*head, *body, f"<script>{SCRIPT}</script></body></html>", ""])


def _section(table: Table, numbers: dict[str, int], level: str = "h2", kind: str = "", sortable: bool = True) -> str:
    heads = (f"<button>{escape(name)}</button>" if sortable else escape(name) for name in table.columns)
    style = "" if sortable else ' style="padding:8px"'
    rows = ("".join(_row(table, row, numbers)) for row in table.rows)
    return (
        f'<{level}>{escape(table.title)}</{level}><div class="scroll"><table class="{kind}"><thead><tr>'
        + "".join(f"<th{style}>{head}</th>" for head in heads)
        + "</tr></thead><tbody>\n"
        + "".join(f"<tr>{row}</tr>\n" for row in rows)
        + f'</tbody></table></div><p class="note">{escape(table.note)}</p>'
    )


def _row(table: Table, row: Sequence[Cell], numbers: dict[str, int]) -> list[str]:
    return [_cell(table, row[0].text, name, cell, numbers) for name, cell in zip(table.columns, row, strict=True)]


def _cell(table: Table, row: str, column: str, cell: Cell, numbers: dict[str, int]) -> str:
    name = escape("|".join((table.name, row, column)))
    value = "" if cell.value is None else f' data-v="{escape(str(cell.value))}"'
    best = ' class="best"' if cell.best else ""
    number = f'<i class="n">{numbers[row]}</i>' if column == table.columns[0] and row in numbers else ""
    return f'<td data-cell="{name}"{value}{best}>{number}{escape(cell.text)}</td>'


def cells_of_page(text: str, tables: Sequence[Table]) -> Cells:
    """The cells of a page."""
    cells: Cells = {}
    for name, content in re.findall(r'<td data-cell="([^"]*)"[^>]*>(.*?)</td>', text):
        table, row, column = unescape(name).split("|", 1)[0], *unescape(name).split("|", 1)[1].rsplit("|", 1)
        cells[table, row, column] = unescape(re.sub(r'<i class="n">\d*</i>', "", content))
    return cells


# --------------------------------------------------------------------------------------------------- plots
def _plots(board: Board) -> str:
    numbered = [(number, row, _interval(board, row)) for number, row in enumerate(board.rows, start=1)]
    # A row at chance would take most of every scale, and the others could not be told apart.
    drawn = [(number, row, auc) for number, row, auc in numbered if not _may_be_chance(auc)]
    rows = [row for _, row, _ in drawn]
    metric = str(board.shared.get("valid_metric", "validation metric"))
    step = [(number, row, auc.value, step_milliseconds(row)) for number, row, auc in drawn]
    in_steps = all(not math.isnan(time) for *_, time in step)
    pictures = [
        ("AUC, 95 % interval", interval_plot([auc for *_, auc in drawn], "AUC with intervals", "AUC")),
        ("Learning curves", curves_plot(_curves(board, rows), "Learning curves", f"{metric}, validation")),
        (
            f"AUC against the time of a training {'step' if in_steps else 'epoch'}",
            scatter_plot(
                [Point(number, row.label, time if in_steps else seconds_per_epoch(row), value)
                 for number, row, value, time in step],
                "AUC against training time", "ms a step" if in_steps else "s an epoch", "AUC",
            ),
        ),
        (
            "AUC against trained parameters",
            scatter_plot(
                [Point(number, row.label, float(row.records[0]["parameters"]), auc.value)
                 for number, row, auc in drawn],
                "AUC against parameters", "parameters", "AUC",
            ),
        ),
    ]  # fmt: skip
    figures = (f"<figure><figcaption>{escape(title)}</figcaption>{picture}</figure>" for title, picture in pictures)
    kind = "plots tall" if len(rows) > TALL else "plots"
    return f'<div class="{kind}">{"".join(figures)}</div>'


def step_milliseconds(row: TableRow) -> float:
    """Milliseconds of a training step; NaN where the records do not tell."""
    steps = row.records[0]["data"].get("steps_per_epoch")
    return 1000 * seconds_per_epoch(row) / steps if steps else math.nan


def _interval(board: Board, row: TableRow) -> Interval:
    low, high = board.statistics["intervals"].get(row.label, {}).get("AUC test") or (None, None)
    value = mean_of_seeds(row, "AUC")[0]
    return Interval(row.label, value, math.nan if low is None else low, math.nan if high is None else high)


def _may_be_chance(auc: Interval) -> bool:
    return (auc.value if math.isnan(auc.low) else auc.low) <= 0.5


def _curves(board: Board, rows: Sequence[TableRow]) -> list[Curve]:
    """The first seed's validation values by epoch; the best rows and the baseline in colour."""
    strong = {row.label for row in board.rows[:STRONG_CURVES]} | {board.statistics["baseline"]}
    curves = []
    for row in rows:
        values = [epoch.get("valid_score") for epoch in row.records[0]["history"]]
        curves.append(
            Curve(row.label, tuple(float(value) for value in values if value is not None), row.label in strong)
        )
    return curves
