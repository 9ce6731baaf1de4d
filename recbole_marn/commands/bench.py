"""`recbole-marn bench`: the speed suite, a part of this package once installed, a folder beside it in a checkout."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The suite's own."""
    benchmarks().add_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Measure, and print the gates."""
    return importlib.import_module(f"{benchmarks().__name__}.suite").main(args)


def benchmarks() -> ModuleType:
    name = "recbole_marn.benchmarks"
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        folder = Path(__file__).resolve().parents[2] / "benchmarks"
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return importlib.import_module(name)
