"""Small photos of items as data URIs, from a folder of files named after them."""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError
from recbole_marn.prepare.encoders import need

__all__ = ["Photos"]

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SIDE = 112  # pixels


class Photos:
    """Photos of a folder and the folders in it; each is decoded and written anew, so that a page holds only pixels.

    Args:
        folder: of files `<item>.jpg`, .png or .webp; None for no photos.

    Raises:
        InputError: no such folder, no picture in it, or no Pillow to read them.
    """

    def __init__(self, folder: Path | None):
        self.unreadable = 0
        self._path: dict[str, Path] = {}
        if folder is None:
            return
        if not folder.is_dir():
            raise InputError(f"a folder of photos at {folder}", "none", "Give another folder as --photos.")
        self._pillow: Any = need("PIL.Image", "images", "photos")
        self._path = {path.stem: path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES}
        if not self._path:
            raise InputError(
                f"photos {', '.join(sorted(SUFFIXES))} in {folder}",
                "none",
                "Give as --photos a folder of pictures that are named by their item.",
            )

    def __contains__(self, token: str) -> bool:
        return token in self._path

    def of(self, token: str) -> str:
        """A data URI, empty where there is no photo of that item."""
        path = self._path.get(token)
        if path is None:
            return ""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", self._pillow.DecompressionBombWarning)
                with self._pillow.open(path) as image:
                    small = image.convert("RGB")
            small.thumbnail((SIDE, SIDE))
        except (OSError, ValueError, SyntaxError, self._pillow.DecompressionBombWarning,
                self._pillow.DecompressionBombError):  # fmt: skip
            self.unreadable += 1
            return ""
        written = io.BytesIO()
        small.save(written, format="JPEG", quality=80)
        return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode()
