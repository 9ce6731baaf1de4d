"""A folder of photos as the vectors of a modality: opened, made square, encoded in batches."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from recbole_marn.errors import InputError
from recbole_marn.prepare.encoders import ImageEncoder, need
from recbole_marn.prepare.meeting import check_meeting
from recbole_marn.prepare.tokens import identifier
from recbole_marn.prepare.vectors import VectorWriter

__all__ = ["PhotoFolder", "square"]

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
_BATCH = 32


def square(picture, size: int) -> np.ndarray:
    """A Pillow picture as (size, size, 3) uint8 RGB: whole, centred on white, shrunk or enlarged bicubically.

    Padding keeps the proportions and the borders, where cropping would lose the top of a poster.
    """
    image = need("PIL.Image", "images", "reading photos")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        on_white = image.new("RGBA", picture.size, "white")
        picture = image.alpha_composite(on_white, picture)
    picture = picture.convert("RGB")
    side = max(picture.size)
    canvas = image.new("RGB", (side, side), "white")
    canvas.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return np.array(canvas.resize((size, size), image.Resampling.BICUBIC))  # a copy: torch warns of read-only ones


@dataclass(frozen=True)
class PhotoFolder:
    """Photos named by item id (`images/010/0108775015.jpg`), anywhere below `folder`, and what encodes them."""

    folder: Path
    network: ImageEncoder
    least: float = 0.05

    @property
    def encoder(self) -> str:
        """Name of the network."""
        return self.network.name

    def details(self) -> dict[str, str]:
        """What the record of the data set says of the source."""
        return {"weights_sha256": self.network.weights_sha256}

    def write(self, tokens: Sequence[str], folder: Path, name: str) -> VectorWriter:
        """Encode the photos of `tokens`; a file that is no picture is counted in `writer.unusable`.

        Raises:
            InputError: no photo bears the id of an item.
        """
        paths = self._paths()
        known = [token for token in tokens if token in paths]
        if not paths:
            raise InputError(
                f"photos named by item id (such as {tokens[0]}.jpg) below {self.folder}",
                "no picture",
                "Name each file by the id of its item.",
            )
        what = ("the items", f"the names of the photos below {self.folder}")
        check_meeting(tokens, paths, what, least=self.least, met=len(known))
        with VectorWriter(folder, name, self.network.width) as writer:
            for start in tqdm(range(0, len(known), _BATCH), desc="photos", disable=None, leave=False):
                kept, pictures = [], []
                for token in known[start : start + _BATCH]:
                    picture = self._open(paths[token])
                    if picture is None:
                        writer.unusable += 1
                        writer.first_unusable = writer.first_unusable or token
                    else:
                        kept.append(token)
                        pictures.append(picture)
                if kept:
                    writer.add(kept, self.network.encode(np.stack(pictures)))
        return writer

    def _paths(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for place, folders, names in os.walk(self.folder):
            folders.sort()
            for name in sorted(names):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in _SUFFIXES:
                    found.setdefault(identifier(stem), Path(place, name))
        return found

    def _open(self, path: Path) -> np.ndarray | None:
        if not path.is_file():  # a pipe would be waited for
            return None
        image = need("PIL.Image", "images", "reading photos")
        try:
            with warnings.catch_warnings():
                # a picture of more than 89 million pixels is an attack on the memory, not a photo of an item
                warnings.simplefilter("error", image.DecompressionBombWarning)
                with image.open(path) as picture:
                    return square(picture, self.network.size)
        except (
            OSError,
            ValueError,
            SyntaxError,
            image.DecompressionBombError,
            image.DecompressionBombWarning,
        ):
            return None
