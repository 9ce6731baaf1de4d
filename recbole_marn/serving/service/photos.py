"""Pictures of items from one folder. A request names an item; it never becomes a path."""

from __future__ import annotations

import os
from pathlib import Path

from recbole_marn.errors import InputError

__all__ = ["ServedPhotos"]

# What a browser shows and does not run, which SVG it does.
KINDS = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif"}


class ServedPhotos:
    """Pictures by item: `<item>.jpg` (or .png, .webp, .gif) anywhere below a folder, found when the service starts.

    Links that lead out of the folder are left out. Of several pictures of an item the first by name is taken.

    Raises:
        InputError: no such folder.
    """

    def __init__(self, folder: Path | None):
        self._paths: dict[str, Path] = {}
        if folder is None:
            return
        if not folder.is_dir():
            raise InputError("a folder of photos", f"no folder {folder}", "Correct --photos, or leave it out.")
        root = folder.resolve()
        for place, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = Path(place, name)
                if path.suffix.lower() in KINDS and path.resolve().is_relative_to(root):
                    self._paths.setdefault(path.stem, path)

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, item: str) -> bool:
        return item in self._paths

    def of(self, item: str) -> tuple[Path, str] | None:
        """Path and media type of an item's picture, or None."""
        path = self._paths.get(item)
        return None if path is None else (path, KINDS[path.suffix.lower()])
