"""What each public dataset consists of: official file names, where they come from, what its publisher counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.titles import LONGEST_TITLE

__all__ = ["Options", "RawFile", "Source", "locate", "locate_all", "require"]


@dataclass(frozen=True)
class RawFile:
    """One official file: `name` relative to the raw folder, and where it can be downloaded without a login."""

    name: str
    what: str
    url: str | None = None
    md5: str | None = None
    required: bool = True


@dataclass(frozen=True)
class Source:
    """A public dataset.

    Attributes:
        how: what to do by hand when a download is impossible.
        published: counts of the publisher or the paper, by the names used in the report.
    """

    name: str
    files: tuple[RawFile, ...]
    how: str
    published: Mapping[str, int] = field(default_factory=dict)

    def instructions(self) -> str:
        """What to do by hand, and every official file by name."""
        files = [f"{file.name} ({file.what}{'' if file.required else ', optional'})" for file in self.files]
        return f"{self.how} Files: {'; '.join(files)}."


@dataclass(frozen=True)
class Options:
    """What the user may change about reading; each is an option of the command line (see cli.py)."""

    max_skipped: float = 0.01
    min_matched: float = 0.05
    title_words: int = LONGEST_TITLE
    min_interactions: int = 0
    keep_unseen_items: bool = False
    time_unit: str = "auto"
    images: str = "auto"
    image_ids: Path | None = None
    encoder: str = "efficientnet-lite0"
    encoder_weights: Path | None = None
    sentence_encoder: str = "none"
    word_vectors: str = "none"
    events: Path | None = None
    items: Path | None = None
    exposures: Path | None = None
    behaviours: Path | None = None
    users: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


def locate(raw: Path, name: str) -> Path | None:
    """`name` under `raw`, plain or with `.gz` added or removed, also one folder down (as archives unpack)."""
    return next(iter(locate_all(raw, name)), None)


def locate_all(raw: Path, name: str) -> list[Path]:
    """What `locate` finds in `raw` and in each folder there, one file a folder."""
    names = [name, name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"]
    folders = [raw] + sorted(path for path in raw.iterdir() if path.is_dir()) if raw.is_dir() else []
    found = (next((folder / one for one in names if (folder / one).exists()), None) for folder in folders)
    return [path for path in found if path is not None]


def require(source: Source, raw: Path, name: str) -> Path:
    """`locate`, or an `InputError` that says which files to put where."""
    found = locate(raw, name)
    if found is None:
        raise InputError(f"the file {name} (or with/without .gz) in {raw}", "none there", source.instructions())
    return found
