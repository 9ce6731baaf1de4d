"""The file beside the checkpoints of a run that lets them score without the data: items, vocabularies and bins.

It is named by its content, so that epochs, seeds and models which see the same items share one file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_marn.data.catalogue import Catalogue
from recbole_marn.data.part import Part
from recbole_marn.errors import InputError, entries_of
from recbole_marn.files import plain
from recbole_marn.models.base import OurModel
from recbole_marn.training import checkpoint

__all__ = ["SUFFIX", "read_items", "write_items"]

SUFFIX = ".items.pt"
WHERE_THE_DATA_ARE = (
    "Where the data are, recbole_marn.load_run(CHECKPOINT) loads it, and CTRScorer.of scores by what that returns; "
    "or train again."
)


def write_items(folder: str | Path, model: OurModel, part: Part, largest_copy: int) -> dict[str, str] | None:
    """Write the items of a model's data beside its checkpoints, unless they are there, and whole.

    Args:
        largest_copy: bytes of a modality's vectors up to which they are copied.

    Returns:
        Name and digest of the file, for checkpoints; None for models without item vectors.
    """
    if not model.makes_item_vectors:
        return None
    content = plain(Catalogue.of(part).state(largest_copy=largest_copy))
    sha256 = checkpoint.digest(content)
    file = Path(folder) / f"{part.dataset_name}-{sha256[:12]}{SUFFIX}"
    if not _is_whole(file, sha256):
        checkpoint.save(file, content)
    return {"file": file.name, "sha256": sha256}


def _is_whole(file: Path, sha256: str) -> bool:
    """A file that was damaged since is written anew, for runs to come cannot be scored by it."""
    try:
        return file.is_file() and checkpoint.load_digested(file, mapped=True)[1] == sha256
    except InputError:
        return False


def read_items(path: str | Path, content: Mapping[str, Any], vectors: Mapping[str, Path]) -> Catalogue:
    """The items that a checkpoint names.

    Args:
        path: of the checkpoint.
        content: of the checkpoint.
        vectors: modality -> file, of modalities whose vectors were not copied.

    Raises:
        InputError: it names none, the file is not beside it, is another one, or of another version.
    """
    named = content.get("items")
    if not named:
        raise InputError(
            "a checkpoint that names the items it can score",
            f"{path}, trained by recbole_marn 0.1.0",
            WHERE_THE_DATA_ARE,
        )
    file = Path(path).with_name(Path(named["file"]).name)
    if not file.is_file():
        raise InputError(
            f"the items of {path} beside it", f"no file {file}", "Copy it there, too: checkpoints hold weights alone."
        )
    state, sha256 = checkpoint.load_digested(file, mapped=True)
    if sha256 != named["sha256"]:
        raise InputError(
            f"the items that {path} was trained with (SHA-256 {named['sha256'][:12]}...)",
            f"{file} with another content",
            "Copy the file of that run.",
        )
    with entries_of(str(file), WHERE_THE_DATA_ARE):
        return Catalogue.from_state(state, vectors)
