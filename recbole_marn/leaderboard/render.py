"""Records and statistics as files: Markdown, CSV, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from recbole_marn.leaderboard.board import Board, Table
from recbole_marn.leaderboard.page import cells_of_page, page
from recbole_marn.leaderboard.records import Folders, put
from recbole_marn.leaderboard.texts import (
    Cells,
    cells_of_csv,
    cells_of_latex,
    cells_of_markdown,
    csv_text,
    latex,
    markdown,
)

__all__ = ["FORMATS", "write_tables"]

# suffix -> how it is written, how its cells are read back
FORMATS: dict[str, tuple[Callable[[Board], str], Callable[[str, Sequence[Table]], Cells]]] = {
    "md": (markdown, cells_of_markdown),
    "csv": (csv_text, cells_of_csv),
    "tex": (latex, cells_of_latex),
    "html": (page, cells_of_page),
}


def write_tables(board: Board, folders: Folders) -> dict[str, str]:
    """Write every format; each file is replaced whole.

    Returns:
        Paths by suffix.
    """
    for suffix, (write, _) in FORMATS.items():
        put(folders.table(suffix), write(board), folders.scores)
    return {suffix: str(folders.table(suffix)) for suffix in FORMATS}
