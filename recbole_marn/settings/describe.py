"""Keys as text: type, range, default, the paper's value and meaning, from the dataclasses that check them."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from recbole_marn.settings.data import KINDS, BehaviourSettings, DataSettings
from recbole_marn.settings.host import FileSettings, HostSettings, RunSettings
from recbole_marn.settings.logs import (
    BehavioursSettings,
    ContextSettings,
    LabelSettings,
    PositionSettings,
    RequestSettings,
)
from recbole_marn.settings.parsing import default_of
from recbole_marn.settings.training import TrainSettings

__all__ = ["COMMON", "Key", "keys_of", "shown"]

# Of every run: heading and dataclass.
COMMON: list[tuple[str, type]] = [
    ("Rows and items", DataSettings),
    ("behaviour", BehaviourSettings),
    *((f"modalities, kind: {name}", kind) for name, kind in KINDS.items()),
    ("label", LabelSettings),
    ("request", RequestSettings),
    ("user and context", ContextSettings),
    ("position", PositionSettings),
    ("behaviours", BehavioursSettings),
    ("Training", TrainSettings),
    ("RecBole's, with our defaults", RunSettings),
    ("RecBole's, with its own defaults", HostSettings),
    ("RecBole's, of the atomic files", FileSettings),
]


@dataclass(frozen=True)
class Key:
    """What is known of one key, as text."""

    name: str
    kind: str
    default: str
    paper: str
    text: str


def keys_of(kind: type) -> Iterator[Key]:
    """The keys of a dataclass; of `HostSettings` those that `RunSettings` lacks."""
    listed = {field.name for field in dataclasses.fields(RunSettings)} if kind is HostSettings else set()
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name not in listed:
            facts, default = field.metadata, default_of(field)
            yield Key(
                field.name,
                ", ".join(part for part in (_type_name(hints[field.name]), _range(facts)) if part),
                "required" if default is dataclasses.MISSING else f"default {shown(default)}",
                facts.get("paper") or "",
                facts.get("help", ""),
            )


def _range(facts: Any) -> str:
    low, high = facts.get("low"), facts.get("high")
    if low is None and high is None:
        return ""
    return f"at least {low}" if high is None else f"{low} to {high}"


def shown(value: Any) -> str:
    """A setting as YAML spells it, nested ones in one line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(shown, value)) + "]"
    return f'"{value}"'.replace("\t", "\\t") if str(value).isspace() else str(value)


def _type_name(hint: Any) -> str:
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return " | ".join(map(str, choices))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [_type_name(choice) for choice in choices if choice is not type(None)]
        return " | ".join([*kinds, *(["null"] if type(None) in choices else [])])
    origin = typing.get_origin(hint)
    if origin is not None and issubclass(origin, typing.Mapping):
        return f"mapping to {_type_name(choices[1])}"
    if origin is not None:
        return f"list of {_type_name(choices[0])}"
    return {str: "text", bool: "true | false", int: "int", float: "float"}.get(hint, "anything")
