"""One line of an Amazon file as a dictionary, whether it is JSON or a Python literal; nothing is evaluated."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

__all__ = ["first_asin", "parse_record"]

# Both releases begin a record with its ASIN; in 2023 (JSON) parent_asin stands somewhere inside.
_FIRST_ASIN = re.compile(rb"""\{\s*(['"])asin\1\s*:\s*(['"])([^'"\\]{1,32})\2""")
_STRING_OR_NAME = re.compile(
    r"""[uU]?('[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")|\b(None|True|False|nan|inf)\b|['"]""",
    re.DOTALL,
)
_NAMES = {"None": "null", "True": "true", "False": "false", "nan": "NaN", "inf": "Infinity"}


def first_asin(line: bytes) -> str | None:
    """The ASIN if it is the first entry of the record, without parsing the rest; None if it is not."""
    match = _FIRST_ASIN.match(line)
    return match[3].decode("utf-8", "replace") if match else None


def parse_record(line: bytes) -> dict[str, Any] | None:
    """The record of a line of JSON (reviews, and all of 2018 and 2023) or of a Python literal (metadata of 2014).

    A Python literal is rewritten as JSON string by string. `ast.literal_eval` on the whole line would run no code
    either, but it refuses `nan`, and Python 3.10 crashes on a line such as `{'a': 1+1+1+...}`.

    Returns:
        None for anything else.
    """
    try:
        text = line.decode("utf-8")
        try:
            record = json.loads(text)
        except ValueError:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # odd backslashes in titles
                record = json.loads(_STRING_OR_NAME.sub(_as_json, text), strict=False)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return record if isinstance(record, dict) else None


def _as_json(match: re.Match[str]) -> str:
    literal, name = match.groups()
    if name:
        return _NAMES[name]
    if not literal:  # stop at the first string without an end: trying the next quotation mark costs n^2
        raise ValueError("unclosed string")
    if "\\" in literal:
        return json.dumps(ast.literal_eval(literal))
    return '"' + literal[1:-1].replace('"', '\\"') + '"'
