"""`recbole-marn keys [MODEL]`: every setting, from the dataclasses that check it."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any

from recbole_marn.errors import InputError
from recbole_marn.registry import MODELS
from recbole_marn.settings.data import KINDS, BehaviourSettings, DataSettings
from recbole_marn.settings.host import HostSettings
from recbole_marn.settings.logs import (
    BehavioursSettings,
    ContextSettings,
    LabelSettings,
    PositionSettings,
    RequestSettings,
)
from recbole_marn.settings.parsing import nearest
from recbole_marn.settings.training import TrainSettings

__all__ = ["add_arguments", "groups", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A model."""
    parser.add_argument("model", nargs="?", default="MARN", help="whose own keys to list (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """List key, type, default, range, paper's value and meaning, group by group."""
    for title, kind in groups(args.model):
        print(f"\n{title}")
        for name, what, text in lines(kind):
            print(f"  {name:<26}{what}\n{'':<28}{text}")
    return 0


def groups(model: str) -> list[tuple[str, type]]:
    """Headings and the dataclass of each.

    Raises:
        InputError: an unknown model.
    """
    if model not in MODELS:
        raise InputError(f"a model of {', '.join(MODELS)}", repr(model), f"Choose one.{nearest(model, MODELS)}")
    found = [(model, MODELS[model].settings), ("Rows and items", DataSettings), ("behaviour", BehaviourSettings)]
    found += [(f"modalities, kind: {name}", kind) for name, kind in KINDS.items()]
    found += [("label", LabelSettings), ("request", RequestSettings), ("user and context", ContextSettings)]
    found += [("position", PositionSettings), ("behaviours", BehavioursSettings)]
    return [*found, ("Training", TrainSettings), ("RecBole's, with their ranges here", HostSettings)]


def lines(kind: type) -> Iterator[tuple[str, str, str]]:
    """(key, type with range and default, meaning) of each field."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        facts = field.metadata
        default = "required" if field.default is dataclasses.MISSING else f"default {_shown(field.default)}"
        what = [_type_name(hints[field.name]), _range(facts), default]
        if facts.get("paper"):
            what.append(f"paper {facts['paper']}")
        yield field.name, ", ".join(part for part in what if part), facts.get("help", "")


def _range(facts: Any) -> str:
    low, high = facts.get("low"), facts.get("high")
    if low is None and high is None:
        return ""
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"


def _shown(value: Any) -> str:
    return (
        "null"
        if value is None
        else str(list(value))
        if isinstance(value, tuple)
        else str(value).lower()
        if (isinstance(value, bool))
        else str(value)
    )


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
