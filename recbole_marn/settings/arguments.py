"""What several jobs take: a model, a data set, files of settings, and settings as --key=value."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from recbole_marn.errors import InputError
from recbole_marn.settings.parsing import nearest

__all__ = ["add_config_files", "add_run_arguments", "config_files", "parse_settings", "parse_value"]


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, data set and files of settings."""
    parser.add_argument("-m", "--model", default="MARN", help="see `recbole-marn models` (default: %(default)s)")
    parser.add_argument("-d", "--dataset", default="ml-100k", help="see `recbole-marn datasets` (default: %(default)s)")
    add_config_files(parser)


def add_config_files(parser: argparse.ArgumentParser) -> None:
    """Files of settings."""
    parser.add_argument(
        "--config_files", action="append", default=[], metavar="FILE",
        help="YAML files, separated by spaces, or the option again for each; the last one wins",
    )  # fmt: skip


def config_files(given: Sequence[str]) -> list[str]:
    """The files that `--config_files` names; a name with spaces is taken whole where there is such a file.

    Raises:
        InputError: one does not exist; the nearest name beside it is suggested.
    """
    files = [file for text in given for file in ([text] if Path(text).is_file() else text.split())]
    for file in files:
        if not Path(file).is_file():
            beside = [path.name for path in Path(file).parent.glob("*.y*ml")] if Path(file).parent.is_dir() else []
            raise InputError("configuration files that exist", file, f"Correct the path.{nearest(file, beside)}")
    return files


def parse_settings(arguments: Sequence[str]) -> dict[str, Any]:
    """`--key=value` arguments as a dictionary; values are Python or YAML literals, never code.

    Raises:
        InputError: an argument of another form, or a key with two values.
    """
    settings: dict[str, Any] = {}
    for argument in arguments:
        name, separator, text = argument.partition("=")
        if not separator or not name.startswith("--") or not name[2:]:
            example = f"--{argument.lstrip('-')}=VALUE" if argument.startswith("-") and not separator else "--epochs=2"
            raise InputError(
                "settings as --key=value",
                repr(argument),
                f"Write it with two dashes and an equals sign, such as {example}.",
            )
        key, value = name[2:], parse_value(text)
        if key in settings and settings[key] != value:  # as RecBole has it
            raise InputError(
                "each setting once", f"--{key} with {settings[key]!r} and with {value!r}", "Leave one of them out."
            )
        settings[key] = value
    return settings


def parse_value(text: str) -> Any:
    """A Python literal, else a YAML value, else text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text
