"""Keys as frozen dataclasses: each key is known, typed and in range, or the run stops."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import difflib
import functools
import math
import numbers
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from recbole_marn.errors import InputError
from recbole_marn.files import plain

__all__ = ["default_of", "defaults", "from_mapping", "nearest", "option"]


def option(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    least: int = 0,
    paper: str | None = None,
) -> Any:
    """A dataclass field with a one-line help text.

    Args:
        default: what holds unless the key is set; the one place that says so.
        text: what the key does.
        low, high: inclusive range of a number, or of the entries of a list or mapping.
        least: fewest entries of a list or mapping.
        paper: the value of the paper that the key comes from.
    """
    metadata = {"help": text, "low": low, "high": high, "least": least, "paper": paper}
    if isinstance(default, Mapping):
        return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def default_of(field: dataclasses.Field) -> Any:
    """The default of a key, `dataclasses.MISSING` where it must be given."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def defaults(kind: type) -> dict[str, Any]:
    """The default of every key that has one, as plain data: what its line in a YAML file would be read as."""
    found = {field.name: default_of(field) for field in dataclasses.fields(kind)}
    return {name: plain(value) for name, value in found.items() if value is not dataclasses.MISSING}


def nearest(name: object, known: Iterable[str]) -> str:
    """`" Did you mean 'x'?"` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def from_mapping(kind: type, values: Mapping[str, Any], *, where: str = "", complete: bool = True) -> Any:
    """Build a settings dataclass from a mapping, checking every key, type, choice and range.

    Args:
        kind: the dataclass.
        values: keys and values; with `complete=False` keys that `kind` lacks are ignored (a whole RecBole
            configuration is passed then).
        where: prefix for error texts.

    Raises:
        InputError: unknown or missing key, wrong type, unknown choice or value out of range.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}
    prefix = f"{where}: " if where else ""
    if complete:
        for key in values:
            if key not in fields:
                raise InputError(
                    f"{prefix}keys among {', '.join(fields)}", f"'{key}'", f"Correct the key.{nearest(key, fields)}"
                )
    hints = _hints(kind)
    checked = {}
    for name, field in fields.items():
        if name not in values:
            if default_of(field) is dataclasses.MISSING:
                raise InputError(f"{prefix}key '{name}'", f"only {', '.join(values) or 'nothing'}", f"Add {name}.")
            continue
        checked[name] = _checked(prefix + f"'{name}'", values[name], hints[name], field.metadata)
    return kind(**checked)


# Annotations are text, and evaluating them again for every modality of every run takes longer than all the checks.
_hints = functools.cache(typing.get_type_hints)
EXAMPLES = {int: "a whole number, such as 3", float: "a number, such as 0.5", bool: "true or false", str: "text"}


def _checked(name: str, value: Any, hint: Any, limits: Mapping[str, Any]) -> Any:
    choices = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in choices:
            return None
        kinds = [choice for choice in choices if choice is not type(None)]
        # Of several kinds the first that fits; a list is never taken for text.
        fitting = [kind for kind in kinds if typing.get_origin(kind) or isinstance(value, kind)]
        return _checked(name, value, (fitting or kinds)[-1 if isinstance(value, str) else 0], limits)
    if origin is Literal:
        # YAML and Python spell the choice "none" as null / None.
        value = "none" if value is None and "none" in choices else value
        if value not in choices:
            raise InputError(
                f"{name} to be one of {', '.join(choices)}", repr(value), f"Choose one.{nearest(value, choices)}"
            )
        return value
    if origin is Sequence:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise InputError(f"{name} to be a list", repr(value), "Write it as [a, b].")
        _check_length(name, value, limits)
        # The entries of a list of text are text, however many there must be.
        of_each = {**limits, "least": min(1, limits.get("least") or 0)}
        return tuple(_checked(f"{name} entry", entry, choices[0], of_each) for entry in value)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise InputError(f"{name} to be a mapping", repr(value), "Write it as {key: value}.")
        _check_length(name, value, limits)
        return {key: _checked(f"{name} value of {key}", entry, choices[1], limits) for key, entry in value.items()}
    if hint is Any:
        return value
    if not _is_a(value, hint):
        how = _seconds(value) if hint is float else ""
        raise InputError(
            f"{name} to be of type {hint.__name__}",
            f"{value!r} ({type(value).__name__})",
            how or f"Write {EXAMPLES[hint]}.",
        )
    if hint is str:
        _check_length(name, value, limits)
    low, high = limits.get("low"), limits.get("high")
    # Negated, so that NaN is out of every range.
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise InputError(f"{name} to be {bounds}", repr(value), "Choose a value in that range.")
    if hint is float and not math.isfinite(value):
        raise InputError(f"{name} to be a finite number", repr(value), f"Write {EXAMPLES[hint]}.")
    return hint(value)


def _seconds(value: Any) -> str:
    """How to write a date where a number is meant, which can but be a time; an empty text for another value."""
    try:
        date = datetime.datetime.fromisoformat(str(value))
    except ValueError:
        return ""
    date = date if date.tzinfo else date.replace(tzinfo=datetime.timezone.utc)
    return f"Write seconds since 1970, as the times of the events are: {date.timestamp():.0f} for {date.isoformat()}."


def _check_length(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    least = limits.get("least") or 0
    if len(value) < least:
        what = "character" if isinstance(value, str) else "entry" if least == 1 else "entries"
        raise InputError(f"{name} to have at least {least} {what}", repr(value), "Add one, or leave the key out.")


def _is_a(value: Any, hint: type) -> bool:
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if hint is float:
        return isinstance(value, numbers.Real)
    if hint is int:
        return isinstance(value, numbers.Integral) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, hint)
