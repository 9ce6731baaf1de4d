"""The log of a run: the settings that matter, what was dropped, one line per epoch."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from colorama import deinit
from colorama.ansitowin32 import StreamWrapper
from recbole.utils import init_logger
from tqdm import tqdm

from recbole_marn.registry import MODELS

__all__ = ["bar", "describe", "epoch_line", "start_log"]

# What every run says of its settings; the others are said when the user has set them.
ALWAYS = ("learner", "learning_rate", "train_batch_size", "epochs", "stopping_step", "valid_metric", "seed")
UNSAID = {"model", "dataset", "same_rows", "show_progress", "checkpoint_dir", "data_path", "resume", "run_name"}


def start_log(config: Any, *, quiet: bool = False) -> logging.Logger:
    """RecBole's log of a run, in its file and on stderr, there without date and level; `quiet` leaves errors alone."""
    logger = logging.getLogger()
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    if isinstance(sys.stdout, StreamWrapper):
        deinit()  # RecBole wraps the streams anew for every run, one wrapper around another
    init_logger(config)
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler:
            handler.setFormatter(logging.Formatter("%(message)s"))
    if quiet:
        logger.setLevel(logging.ERROR)
    return logger


def describe(config: Any, facts: Mapping[str, int], notes: Iterable[str], parameters: int) -> list[str]:
    """What a run starts with, a few lines.

    Args:
        facts: sizes of the data set, as in the record.
        notes: what was dropped, masked or missing.
        parameters: numbers that are learned.
    """
    parts = [part for part in ("train", "valid", "test") if f"{part}_rows" in facts]
    rows = ", ".join(f"{facts[f'{part}_rows']:,} {part}" for part in parts)
    threads = f"{torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"
    device = str(config["device"]) if config["device"].type != "cpu" else f"CPU, {threads}"
    given = {key: value for key, value in config.external_config_dict.items() if key not in {*UNSAID, *ALWAYS}}
    lines = [
        f"{config['model']} ({MODELS[config['model']].paper}) on {config['dataset']}",
        f"rows      {rows}; {facts['users']:,} users, {facts['items']:,} items, {facts['events']:,} events",
        f"settings  {_listed({key: config[key] for key in ALWAYS})}",
    ]
    lines += [f"yours     {_listed(given)}"] if given else []
    return [*lines, f"model     {parameters:,} parameters; {device}", *(f"note      {note}" for note in notes)]


def _listed(settings: Mapping[str, Any]) -> str:
    texts = (f"{key} {_short(value)}" for key, value in settings.items())
    return ", ".join(text if len(text) <= 60 else text[:57] + "..." for text in texts)


def _short(value: Any) -> str:
    """A value in a line: of nested settings, the names; the record has them whole."""
    if isinstance(value, Mapping):
        return f"({', '.join(map(str, value))})"
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def epoch_line(
    epoch: Mapping[str, Any], number: int, epochs: int, digits: int, valid_seconds: float, best: bool
) -> str:
    """An epoch: losses, metrics of validation, seconds, whether it is the best so far; diagnostics by modality below.

    Args:
        epoch: its entry in the trainer's history.
        number: 1 for the first.
        epochs: how many there will be at most.
        digits: of the losses.
        valid_seconds: of the validation.
    """
    line = [f"epoch {number}/{epochs}", *(f"{name} {value:.{digits}f}" for name, value in epoch["losses"].items())]
    if epoch.get("valid"):
        line += ["| valid", *(f"{name} {value:.4f}" for name, value in epoch["valid"].items())]
    line += [f"| {epoch['seconds'] + valid_seconds:.1f} s", *(["| best so far"] if best else [])]
    return "  ".join(line) + "".join(f"\n    {text}" for text in _by_modality(epoch["diagnostics"]))


def _by_modality(diagnostics: Mapping[str, float]) -> Iterable[str]:
    """Diagnostics named `<what> <modality>`, a line for each of what is measured."""
    groups: dict[str, list[str]] = {}
    for name, value in diagnostics.items():
        what, _, modality = name.rpartition(" ")
        groups.setdefault(what, []).append(f"{modality} {value:.3f}")
    return (f"{what:<12}  {'  '.join(values)}" for what, values in groups.items())


def bar(batches: Any, what: str, *, shown: bool, total: int | None = None) -> Any:
    """`batches` behind a progress bar that names what is done; none where stderr is no terminal."""
    off = not shown or not sys.stderr.isatty()
    return tqdm(batches, desc=what, total=total, disable=off, leave=False, dynamic_ncols=True)
