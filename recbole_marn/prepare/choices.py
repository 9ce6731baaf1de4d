"""Which vectors a dataset gets: those its raw files bring, unless the command line says otherwise."""

from __future__ import annotations

from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.containers import need_file
from recbole_marn.prepare.encoders import image_encoder
from recbole_marn.prepare.encoders.photos import PhotoFolder
from recbole_marn.prepare.encoders.sentences import SENTENCE_ENCODERS, TitleEncoder
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import ITEM_FIELDS, RawDataset
from recbole_marn.prepare.vectors import VectorFile

__all__ = ["choose_vectors"]


def choose_vectors(data: RawDataset, options: Options) -> None:
    """Set `data.vectors` from what the reader found and from `--images`, `--encoder` and `--sentence-encoder`.

    Raises:
        InputError: a file, folder or encoder that was asked for does not exist, or nothing is read by an option.
    """
    if options.images == "none":
        data.vectors.pop("image", None)
    elif options.images != "auto":
        data.vectors["image"] = _named(Path(options.images), data, options)
    elif "image" not in data.vectors and data.photos is not None:
        data.vectors["image"] = _photos(data.photos, options)
    _check_read(options, encoded=isinstance(data.vectors.get("image"), PhotoFolder))
    types = ITEM_FIELDS | data.items.types
    has_words = any(types.get(name) == "token_seq" for name in data.items.fields)
    if options.title_words != Options.title_words and not has_words:
        raise InputError("titles or lists of the items for --title-words", "none", "Leave it out.")
    if options.sentence_encoder != "none":
        if options.sentence_encoder not in SENTENCE_ENCODERS:
            raise InputError(
                f"--sentence-encoder to be none or {', '.join(SENTENCE_ENCODERS)}",
                repr(options.sentence_encoder),
                "Choose one of them.",
            )
        data.vectors["title"] = TitleEncoder(data.items, options.sentence_encoder)


def _check_read(options: Options, *, encoded: bool) -> None:
    """Ids are of the array of `--images`, and an encoder and its weights are for photos."""
    if options.image_ids is not None and (encoded or options.images in ("auto", "none")):
        raise InputError("--images ARRAY with --image-ids", f"--images {options.images}", "Name the array, too.")
    asked = {"--encoder": options.encoder != Options.encoder, "--encoder-weights": options.encoder_weights is not None}
    if not encoded and any(asked.values()):
        raise InputError(
            f"photos for {' and '.join(name for name, given in asked.items() if given)}", "none to encode",
            "Name their folder with --images, or leave it out.",
        )  # fmt: skip


def _photos(folder: Path, options: Options) -> PhotoFolder:
    return PhotoFolder(folder, image_encoder(options.encoder, options.encoder_weights), options.min_matched)


def _named(path: Path, data: RawDataset, options: Options) -> PhotoFolder | VectorFile:
    if path.is_dir():
        return _photos(path, options)
    ids = options.image_ids or path.with_suffix(".ids")
    for file in (path, ids):
        need_file(file, "--images to be auto, none, a folder of photos, or an .npy array with --image-ids (array.ids)")
    data.sources += [path, ids]
    return VectorFile(path, ids, options.min_matched)
