"""`recbole-marn predict`."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.columns import read_assignments
from recbole_marn.serving.predict import PredictRequest, predict
from recbole_marn.serving.retrieval import INDICES
from recbole_marn.serving.scorer import CTRScorer, load_scorer

__all__ = ["add_arguments", "add_scorer_arguments", "loaded_scorer", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A checkpoint, rows to answer, and what is known besides."""
    add_scorer_arguments(parser)
    tables = parser.add_argument_group("tables", "CSV, JSON lines or Parquet, with columns called as in training")
    tables.add_argument(
        "--column", dest="columns", action="append", default=[], metavar="NAME=COLUMN",
        help="what you call a column of training, such as item_id=sku or rows.timestamp=ts; may be repeated",
    )  # fmt: skip
    tables.add_argument("--rows", required=True, type=Path, help="user_id, item_id, timestamp; --top: no item_id")
    tables.add_argument("--behaviours", type=Path, help="what users did: user_id, item_id, timestamp, type if read")
    tables.add_argument("--items", type=Path, help="items to add or to replace: item_id and whatever the model reads")
    named = {"action": "append", "default": [], "metavar": "[MODALITY=]FILE"}
    tables.add_argument(
        "--vectors", **named, help=".npy of vectors of those items; once for each modality, if the model reads several"
    )
    tables.add_argument("--vector-ids", **named, help="ids of its rows, one per line (default: beside it, .ids)")
    tables.add_argument("--candidates", type=Path, help="item_id of the items that --top ranks (default: all)")
    parser.add_argument("--out", required=True, type=Path, help="answers, .csv or .parquet, whole or not at all")
    parser.add_argument("--top", type=int, metavar="K", help="the K likeliest items of every row in place of a score")
    parser.add_argument("--unseen", action="store_true", help="rank no item the user had")
    parser.add_argument(
        "--retrieve", type=int, metavar="N",
        help="rank a short list of N items, found by their vectors, in place of all; what it misses is told",
    )  # fmt: skip
    parser.add_argument("--index", choices=INDICES, default="exact", help="how that list is searched for")
    parser.add_argument("--inclusive", action="store_true", help="behaviours at the very time of a row were before it")
    parser.add_argument(
        "--time-unit", choices=["s", "ms", "us", "ns"], default="s",
        help="of times that are numbers, against those of training (default: the same); dates are read as such",
    )  # fmt: skip


def add_scorer_arguments(parser: argparse.ArgumentParser) -> None:
    """A checkpoint, and where its vectors are."""
    parser.add_argument("checkpoint", help="<run>.pth, with its .items.pt beside it; the training data are not needed")
    parser.add_argument(
        "--stored-vectors", action="append", default=[], metavar="MODALITY=FILE",
        help="where training vectors are that were too large to be copied",
    )  # fmt: skip


def loaded_scorer(args: argparse.Namespace) -> CTRScorer:
    """The scorer that those arguments name.

    Raises:
        InputError: `--stored-vectors` of another form, or what `load_scorer` refuses.
    """
    stored = _files(args.stored_vectors, "--stored-vectors")
    if "" in stored:
        wrong = repr(str(stored[""]))
        raise InputError("--stored-vectors MODALITY=FILE", wrong, "Write e.g. --stored-vectors image=image.npy.")
    return load_scorer(args.checkpoint, vectors=stored)


def _files(given: Sequence[str], option: str) -> dict[str, Path]:
    """MODALITY=FILE of an option by modality; "" where there is none.

    Raises:
        InputError: two files of one modality.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, file = text.split("=", 1) if "=" in text else ("", text)
        if name in found:
            raise InputError(f"{option} once a modality", f"{found[name]} and {file}", "Name each MODALITY=FILE.")
        found[name] = Path(file)
    return found


def main(args: argparse.Namespace) -> int:
    """Write the answers; print what was done as one line of JSON."""
    scorer = loaded_scorer(args)
    given = vars(args) | {
        "columns": read_assignments(args.columns),
        "vectors": _files(args.vectors, "--vectors"),
        "vector_ids": _files(args.vector_ids, "--vector-ids"),
    }
    request = PredictRequest(**{field.name: given[field.name] for field in dataclasses.fields(PredictRequest)})
    print(json.dumps({"checkpoint": args.checkpoint, **predict(scorer, request)}))
    return 0
