"""`recbole-marn keys [MODEL]`: every setting, from the dataclasses that check it."""

from __future__ import annotations

import argparse

from recbole_marn.commands.keys_page import page
from recbole_marn.errors import InputError
from recbole_marn.registry import MODELS, choices
from recbole_marn.settings.describe import COMMON, keys_of, shown
from recbole_marn.settings.parsing import nearest

__all__ = ["add_arguments", "groups", "main"]

UNNAMED = "MARN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A model, or the page of the documentation."""
    parser.add_argument("model", nargs="?", help=f"whose own keys to list (default: {UNNAMED})")
    parser.add_argument("--markdown", action="store_true", help="print docs/keys.md, with the keys of every model")


def main(args: argparse.Namespace) -> int:
    """List key, type, default, range, paper's value and meaning, group by group."""
    if args.markdown:
        print(page())
        return 0
    model = args.model or UNNAMED
    found, chosen = groups(model), choices("model", model)
    print(f"Keys of {model} and of every run" + ("" if args.model else "; recbole-marn keys MODEL lists another's"))
    for title, kind in found:
        print(f"\n{title}")
        for key in keys_of(kind):
            own = f", {model}.yaml {shown(chosen[key.name])}" if key.name in chosen else ""
            paper = f", paper {key.paper}" if key.paper else ""
            print(f"  {key.name:<26}{key.kind}, {key.default}{own}{paper}\n{'':<28}{key.text}")
    return 0


def groups(model: str) -> list[tuple[str, type]]:
    """Headings and the dataclass of each.

    Raises:
        InputError: an unknown model.
    """
    if model not in MODELS:
        raise InputError(f"a model of {', '.join(MODELS)}", repr(model), f"Choose one.{nearest(model, MODELS)}")
    return [(model, MODELS[model].settings), *COMMON]
