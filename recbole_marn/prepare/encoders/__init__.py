"""Photos and titles to vectors: THE table of encoders. Each is imported only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from recbole_marn.errors import InputError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["IMAGE_ENCODERS", "ImageEncoder", "image_encoder", "need"]

IMAGE_ENCODERS = {
    "efficientnet-lite0": "recbole_marn.prepare.encoders.efficientnet_lite0",
    "vgg16": "recbole_marn.prepare.encoders.vgg16",
}


@dataclass(frozen=True)
class ImageEncoder:
    """A frozen network.

    Attributes:
        width: of its vectors.
        size: pixels a side of the square pictures it takes.
        weights_sha256: hash of the file its weights came from.
        encode: (B, size, size, 3) uint8 RGB -> (B, width) float32.
    """

    name: str
    width: int
    size: int
    weights_sha256: str
    encode: Callable[[np.ndarray], np.ndarray]


def need(package: str, extra: str, purpose: str):
    """Import a package of an extra, or raise `InputError` with the line that installs it."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        hint = f'Run `pip install "recbole-marn[{extra}]"`.'
        raise InputError(f"the package {package} for {purpose}", f"none ({error})", hint) from error
    except (ImportError, OSError, RuntimeError) as error:  # compiled parts for another torch
        raise InputError(
            f"a package {package} that can be imported, for {purpose}",
            f"one that cannot ({error})",
            f"Install its release for torch {metadata.version('torch')}, from where that torch came.",
        ) from error


def image_encoder(name: str, weights: Path | None = None) -> ImageEncoder:
    """Load an encoder by name, with weights of its package or download unless a file is given.

    Raises:
        InputError: no such encoder, or weights that it cannot load.
    """
    if name not in IMAGE_ENCODERS:
        raise InputError(f"--encoder to be one of {', '.join(IMAGE_ENCODERS)}", repr(name), "Choose one of them.")
    return importlib.import_module(IMAGE_ENCODERS[name]).load(weights)
