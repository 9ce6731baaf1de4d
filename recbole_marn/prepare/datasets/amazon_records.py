"""One line of an Amazon file as a dictionary, whether it is JSON or a Python literal; nothing is evaluated."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

__all__ = ["first_asin", "parse_record"]

_DEEPEST = 50  # brackets; official records nest four deep, and Python's own parser may crash on thousands
# Both releases begin a record with its ASIN; in 2023 (JSON) parent_asin stands somewhere inside.
_FIRST_ASIN = re.compile(rb"""\{\s*(['"])asin\1\s*:\s*(['"])([^'"\\]{1,32})\2""")


def first_asin(line: bytes) -> str | None:
    """The ASIN if it is the first entry of the record, without parsing the rest; None if it is not."""
    match = _FIRST_ASIN.match(line)
    return match[3].decode("utf-8", "replace") if match else None


def parse_record(line: bytes) -> dict[str, Any] | None:
    """The record of a line of JSON (reviews, and all of 2018 and 2023) or of a Python literal (metadata of 2014).

    Returns:
        None for anything else. Python literals are read with `ast.literal_eval`, which runs no code.
    """
    try:
        text = line.decode("utf-8")
        try:
            record = json.loads(text)
        except ValueError:
            record = _literal(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _literal(text: str) -> Any:
    if not text.startswith("{") or not text.rstrip().endswith("}") or _depth(text) > _DEEPEST:
        raise ValueError("no record")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd backslashes in titles
        return ast.literal_eval(text)


def _depth(text: str) -> int:
    """An upper bound of the nesting: brackets opened and not closed, and runs of signs, inside strings or not."""
    depth = deepest = 0
    for character in re.findall(r"[\[\](){}]|[-+~!]{8,}", text):
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
        else:
            return _DEEPEST + 1
    return deepest
