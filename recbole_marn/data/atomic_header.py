"""The first line of an atomic file."""

from __future__ import annotations

from pathlib import Path

from recbole_marn.errors import InputError

__all__ = ["TYPES", "read_header"]

TYPES = ("token", "float", "token_seq", "float_seq")


def read_header(line: str, separator: str, path: Path) -> dict[str, str]:
    """field -> type, of the first line of the atomic file `path`.

    Raises:
        InputError: a cell that is no name:type, or a name that occurs twice.
    """
    header: dict[str, str] = {}
    for cell in line.split(separator):
        field, _, kind = cell.partition(":")
        if not field or kind not in TYPES:
            raise InputError(
                f"a header of name:type columns in {path}, with a type among {', '.join(TYPES)}",
                repr(cell),
                f"Write each column as e.g. item_id:token, with {separator!r} between columns.",
            )
        if field in header:
            raise InputError(f"each column of {path} once", f"'{field}' twice", "Rename or remove one of them.")
        header[field] = kind
    return header
