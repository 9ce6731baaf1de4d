"""`recbole-marn models`."""

from __future__ import annotations

import argparse

from recbole_marn.registry import MODELS

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def main(args: argparse.Namespace) -> int:
    """List the models and where they were published."""
    for row in MODELS.values():
        print(f"{row.name:<24}{'recbole_marn' if row.ours else 'RecBole':<14}{row.paper}")
    return 0
