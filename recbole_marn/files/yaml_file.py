"""YAML files as plain data, in which no key may stand twice: YAML's readers keep the last one and say nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from recbole_marn.errors import InputError

__all__ = ["read_yaml"]


class _KeyTwice(Exception):
    """A key that stands twice in one mapping."""


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise _KeyTwice(f"'{key.value}' in line {lines[name]} and in line {line}")
            lines[name] = line
        return node


def read_yaml(path: str | Path, what: str, hint: str) -> Any:
    """The content of a YAML file; tags that would make Python objects are refused.

    Args:
        what: it should hold, such as "settings".
        hint: how to write it, a sentence.

    Raises:
        InputError: no such file, no YAML in UTF-8, or a key that stands twice in one mapping.
    """
    try:
        return _Loader(Path(path).read_text(encoding="utf-8")).get_single_data()
    except _KeyTwice as twice:
        raise InputError(f"each key once in {path}", str(twice), "Leave one of them out.") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"a readable YAML file of {what}", f"{path}: {error}", hint) from None
