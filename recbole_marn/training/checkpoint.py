"""Checkpoints: plain data and tensors, written whole or not at all, loaded without running code."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recbole_marn import __version__
from recbole_marn.errors import InputError, first_line
from recbole_marn.files import plain, write_aside
from recbole_marn.training.click_rates import ClickRates, kept_share

__all__ = [
    "FORMAT", "NotPlain", "check_run", "click_rates_of", "digest", "fill", "fill_optimizer", "final_click_rates_of",
    "load", "load_digested", "save",
]  # fmt: skip

FORMAT = 1
MARK = "recbole_marn"
# What a checkpoint of a run holds, and of which type.
RUN_KEYS = {
    "config": dict,
    "split_sha256": str,
    "epoch": int,
    "cur_step": int,
    "best_valid_score": float,
    "best_valid_result": dict,
    "history": list,
    "state_dict": dict,
}


class NotPlain(InputError):
    """A file that holds more than plain data and tensors, and is therefore not read."""


def save(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write `content` (plain data and tensors) with this package's mark, format version and digest.

    Raises:
        OSError: it could not be written.
    """
    content = plain(content)
    payload = {MARK: {"format": FORMAT, "version": __version__, "sha256": digest(content)}, **content}

    def write(temporary: Path) -> None:
        try:
            torch.save(payload, temporary)
        except RuntimeError as error:  # torch's own word for a file it could not write to its end
            raise OSError(f"{path} could not be written ({first_line(error)}): the disk may be full") from error

    write_aside(path, write)


def load(path: str | Path, map_location: Any = "cpu", *, mapped: bool = False) -> dict[str, Any]:
    """Read a checkpoint of this package.

    Args:
        mapped: leave tensors in the file until they are used; the file must then stay as it is.

    Raises:
        NotPlain: a file with more than plain data and tensors; nothing of it was run.
        InputError: no such file, damaged, not one of ours, or of a newer format.
    """
    return load_digested(path, map_location, mapped=mapped)[0]


def load_digested(path: str | Path, map_location: Any = "cpu", *, mapped: bool = False) -> tuple[dict[str, Any], str]:
    """`load`, and the digest of what it gives."""
    content = _read(path, map_location, mapped)
    mark = content.pop(MARK, None) if isinstance(content, dict) else None
    if not isinstance(mark, dict) or not isinstance(mark.get("format"), int):
        raise InputError("a checkpoint written by this package", f"{path}, which has no mark of it", "Train again.")
    if mark["format"] > FORMAT:
        raise InputError(
            f"a checkpoint of format {FORMAT} or older",
            f"{path} of format {mark['format']} (recbole_marn {mark.get('version')})",
            "Upgrade recbole_marn.",
        )
    found = digest(content)
    if mark.get("sha256", found) != found:  # version 0.1.0 wrote none
        raise InputError(
            "a checkpoint whose content has the digest it was written with",
            f"{path}, whose content has another",
            "It was damaged after it was written. Take a copy of it, or train again.",
        )
    return content, found


def _read(path: str | Path, map_location: Any, mapped: bool) -> Any:
    if not Path(path).is_file():
        raise InputError("a checkpoint file", f"{path}, which does not exist", "Check the path.")
    kind = InputError
    try:
        return torch.load(path, map_location=map_location, weights_only=True, mmap=mapped)
    except pickle.UnpicklingError:  # its text tells how to run what the file says
        kind, reason = NotPlain, "it holds more than that"
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = first_line(error)
    raise kind(
        "a checkpoint of plain data and tensors",
        f"{path}, which cannot be read so ({reason})",
        "It is damaged or was not written by this package; train again.",
    )


def check_run(content: Mapping[str, Any], path: str | Path) -> None:
    """A checkpoint of a run has all it needs.

    Raises:
        InputError: a key is missing or of another type.
    """
    for key, kind in RUN_KEYS.items():
        if not isinstance(content.get(key), kind):
            found = type(content[key]).__name__ if key in content else "none"
            raise InputError(
                f"a checkpoint of a run, with {key} ({kind.__name__})", f"{found} in {path}", "Train again."
            )


def fill(model: nn.Module, content: Mapping[str, Any], path: str | Path) -> None:
    """Give a model the weights of a checkpoint.

    Raises:
        InputError: they are of another model or of other sizes.
    """
    check_run(content, path)
    try:
        model.load_state_dict(content["state_dict"])
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"the weights of this {type(model).__name__} in {path}",
            " ".join(str(error).split())[:300],
            "Load it with the model, settings and data it was trained with.",
        ) from None


def click_rates_of(content: Mapping[str, Any]) -> ClickRates:
    """What a checkpoint of a run says of its probabilities: they go through it before anybody sees them.

    Raises:
        InputError: a calibration that is none.
    """
    share = kept_share(content["config"])
    state = content.get("calibration")
    if state is None:  # version 0.1.0 wrote none
        return ClickRates(share)
    if not isinstance(state, list):
        raise InputError("a list of calibrations in the checkpoint", type(state).__name__, "Train again.")
    return ClickRates.from_state(state, share)


def final_click_rates_of(content: Mapping[str, Any], path: str | Path) -> ClickRates:
    """`click_rates_of` a run that has come to its end, where the step of its key `calibration` is fitted.

    Raises:
        InputError: as `click_rates_of`, or nothing has been fitted yet.
    """
    rates, kind = click_rates_of(content), content["config"].get("calibration") or "none"
    if kind != "none" and rates.fitted is None:
        raise InputError(
            f"a checkpoint with its calibration, {kind}, which is fitted at the end of the run",
            f"{path}, without it",
            "Let the run end, with --resume=true if it was stopped; then take <run>.pth. <run>.last.pth never has it.",
        )
    return rates


def fill_optimizer(optimizer: torch.optim.Optimizer, content: Mapping[str, Any], path: str | Path) -> None:
    """Give an optimizer the state of a checkpoint.

    Raises:
        InputError: there is none, or it is of another optimizer.
    """
    state = content.get("optimizer")
    try:
        if not isinstance(state, dict):
            raise TypeError("it has none")
        optimizer.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            f"the state of this {type(optimizer).__name__} in {path}", first_line(error), "Train again without resume."
        ) from None


def digest(content: Any) -> str:
    """SHA-256 of plain data and tensors, whatever device they are on."""
    found = hashlib.sha256()
    for piece in _pieces(content):
        found.update(piece)
    return found.hexdigest()


def _pieces(value: Any) -> Iterator[bytes | memoryview]:
    if isinstance(value, Tensor):
        dense = value.detach().cpu().contiguous()
        yield f"{dense.dtype}{tuple(dense.shape)}".encode()
        yield memoryview(dense.reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, dict):
        yield b"{"
        for key, entry in value.items():
            yield json.dumps(key).encode()
            yield from _pieces(entry)
        yield b"}"
    elif isinstance(value, list):
        yield b"["
        for entry in value:
            yield from _pieces(entry)
        yield b"]"
    else:
        yield json.dumps(value).encode()
