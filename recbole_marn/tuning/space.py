"""Search spaces in RecBole's format, read without running any of them."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.errors import InputError
from recbole_marn.files import plain
from recbole_marn.registry import properties_folder
from recbole_marn.settings.data import ROW_SETTINGS
from recbole_marn.settings.parsing import nearest
from recbole_marn.training.identity import INCIDENTAL

__all__ = [
    "ALGORITHMS", "ALIKE", "Space", "check_searched", "check_space", "default_space", "draws", "params_dict",
    "read_space", "readable",
]  # fmt: skip

# Numbers each kind of line takes, RecBole's own format.
RANGES = {"uniform": "low,high", "quniform": "low,high,step", "loguniform": "log of low,log of high"}
ALGORITHMS = ("exhaustive", "random", "bayes")
Space = Mapping[str, tuple[str, list[Any]]]  # name -> kind of line, and its values
# No hyper-parameters: the best of several seeds is luck, and no model is better for the others.
NOT_SEARCHED = INCIDENTAL | {"seed", "model", "dataset", "metrics", "topk", "calibration", "loss_decimal_place"}
# What trials that are compared have in common: one metric, on the same rows.
ALIKE = ("valid_metric", "metric_decimal_place", *ROW_SETTINGS)


def read_space(file: Path) -> dict[str, tuple[str, list[Any]]]:
    """Read a search space in RecBole's format, without running any of it: name -> (kind, values).

    Lines are `NAME choice [a, b]`, `NAME uniform low,high`, `NAME quniform low,high,step` or `NAME loguniform
    log(low),log(high)`. Empty lines and lines that start with # are passed over.

    Raises:
        InputError: no such file, or a line that is none of these.
    """
    if not Path(file).is_file():
        raise InputError("a file with a search space", f"{file}, which does not exist", "Check the path.")
    space: dict[str, tuple[str, list[Any]]] = {}
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"a search space in UTF-8 in {file}", str(error), "Save the file in UTF-8.") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, kind, values = _parse(line, f"line {number} of {file}")
        if name in space:
            raise InputError(f"each key once in {file}", f"'{name}' again in line {number}", "Remove one of them.")
        space[name] = kind, values
    return space


def _parse(line: str, where: str) -> tuple[str, str, list[Any]]:
    name, kind, text = (*line.split(None, 2), "", "")[:3]
    try:
        if kind == "choice":
            values = ast.literal_eval(text)
            if isinstance(values, (list, tuple)) and values:
                return name, kind, list(values)
        elif kind in RANGES:
            values = [float(value) for value in text.split(",")]
            known = len(values) == len(RANGES[kind].split(","))
            if known and all(map(math.isfinite, values)) and values[0] < values[1] and all(v > 0 for v in values[2:]):
                return name, kind, values
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    forms = "choice [a, b]" if kind == "choice" else f"{kind} {RANGES[kind]}" if kind in RANGES else ""
    kinds = ("choice", *RANGES)
    raise InputError(
        f"NAME {forms or 'choice, uniform, quniform or loguniform, and values'} in {where}",
        repr(line.strip()),
        f"Write it as NAME choice [1, 2], or NAME uniform 0,1.{'' if forms else nearest(kind, kinds)}",
    )


def check_searched(names: Iterable[str], file: Path | str | None) -> None:
    """Refuse a search over what is no hyper-parameter.

    Raises:
        InputError: a seed, or a key that names a run, places its files or says which machine does it.
    """
    if wrong := [name for name in names if name in NOT_SEARCHED]:
        raise InputError(
            f"hyper-parameters to search in {file}",
            ", ".join(wrong),
            "Take them out of the search: the best of several seeds is luck, and no model is better for names, folders "
            "and machines.",
        )


def check_space(space: Space, algo: str, max_evals: int, file: Path) -> None:
    """Refuse a search that has nothing to try.

    Raises:
        InputError: an unknown algorithm, no key, a range under exhaustive search, or fewer than one trial.
    """
    if algo not in ALGORITHMS:
        raise InputError(f"algo to be one of {', '.join(ALGORITHMS)}", repr(algo), "Choose one of them.")
    if not space:
        raise InputError(
            f"a key to search in {file}",
            "none that your settings do not fix already",
            "Leave a key of the file out of the settings, or give another --params_file.",
        )
    ranges = [name for name, (kind, _) in space.items() if kind != "choice"]
    if algo == "exhaustive" and ranges:
        raise InputError(
            "choices alone for an exhaustive search",
            f"a range for {', '.join(ranges)} in {file}",
            "Use --algo=random or --algo=bayes, or write choices.",
        )
    if max_evals < 1:
        raise InputError("max_evals of 1 or more", str(max_evals), "Ask for at least one trial.")


def default_space(model: str) -> Path:
    """The search space shipped for a model.

    Raises:
        InputError: none is shipped.
    """
    folder = properties_folder() / "tune"
    file = folder / f"{model}.hyper"
    if not file.is_file():
        shipped = ", ".join(sorted(path.stem for path in folder.glob("*.hyper")))
        raise InputError(
            f"a search space for {model}", f"one for {shipped} only", "Write one and give it as --params_file."
        )
    return file


def draws(choices: Mapping[str, Sequence[Any]], most: int, seed: int) -> Iterator[dict[str, Any]]:
    """Combinations of one choice a key in random order, none twice where there are no more than a million.

    Args:
        most: to draw from a space that has more.
    """
    sizes = [len(values) for values in choices.values()]
    total = math.prod(sizes)
    rng = np.random.default_rng(seed)
    for index in rng.permutation(total) if total <= 1_000_000 else rng.integers(total, size=most):
        at = np.unravel_index(int(index), sizes) if sizes else ()
        yield {key: values[int(place)] for (key, values), place in zip(choices.items(), at, strict=True)}


def params_dict(space: Space) -> dict[str, dict[str, list[Any]]]:
    """The space as HyperTuning takes it. Lists go as text: hyperopt would take them for further spaces."""
    by_kind: dict[str, dict[str, list[Any]]] = {}
    for name, (kind, values) in space.items():
        taken = [repr(value) if isinstance(value, (list, tuple, dict)) else value for value in values]
        by_kind.setdefault(kind, {})[name] = taken
    return by_kind


def readable(value: Any) -> Any:
    """A value as hyperopt hands it out, as one writes it: lists are lists, whole numbers integers."""
    value = plain(value)
    if isinstance(value, str) and value[:1] in "[({":
        return plain(ast.literal_eval(value))
    return int(value) if isinstance(value, float) and value.is_integer() else value
