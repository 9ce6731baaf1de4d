"""`recbole-marn analyze`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from pathlib import Path

from recbole_marn.analysis.context import Context
from recbole_marn.analysis.report import PAGE, SECTIONS, make_report, write_report
from recbole_marn.analysis.subject import Subject, load_subject
from recbole_marn.errors import InputError
from recbole_marn.files.folders import refuse_existing
from recbole_marn.plots.style import matplotlib
from recbole_marn.settings.parsing import nearest

__all__ = ["add_arguments", "main"]

FIELD = "category"
# Options that one section alone reads, and what they are where nobody gives them.
READ_BY = {"photos": ("cases", None), "records": ("convergence", []), "pairs": ("cold", Context.pairs)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A checkpoint, those it is held against, and what to look at."""
    parser.add_argument("checkpoint", help="<run>.pth")
    parser.add_argument(
        "--against", nargs="+", action="extend", default=[], metavar="CHECKPOINT", help="models on the same rows"
    )
    parser.add_argument(
        "--sections", default=",".join(SECTIONS), help=f"separated by commas (default: all of {', '.join(SECTIONS)})"
    )
    parser.add_argument("--out", required=True, type=Path, help=f"folder for {PAGE}, pictures and numbers")
    parser.add_argument("--overwrite", action="store_true", help="replace what is in --out")
    parser.add_argument("--part", choices=["valid", "test"], default="test", help="rows scored (default: %(default)s)")
    parser.add_argument("--field", default=FIELD, help="token field of the items (default: %(default)s)")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="pictures named after items, for cases")
    parser.add_argument(
        "--records", nargs="+", action="extend", default=[], type=Path, metavar="FOLDER",
        help="records of a leaderboard over lambda0, for convergence",
    )  # fmt: skip
    parser.add_argument(
        "--pairs", type=int, default=Context.pairs, help="pairs a model ranks at most, for cold (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Write the report; say what it has as one line of JSON."""
    names = _names(args.sections)
    if args.pairs < 1:
        raise InputError("--pairs of 1 or more", str(args.pairs), "Leave it out for a default.")
    for option, (section, default) in READ_BY.items():
        if getattr(args, option) != default and section not in names:
            raise InputError(
                f"the section {section} for --{option}, which no other reads",
                f"--sections {','.join(names)}",
                f"Add it, or leave --{option} out.",
            )
    matplotlib()  # told before anything is computed, as is the next
    refuse_existing(args.out, args.overwrite, PAGE)
    subject = load_subject(args.checkpoint, args.part)
    rivals, notes = _rivals(args.against, subject)
    context = Context(subject, rivals, args.field, args.photos, args.records, args.pairs, args.seed)
    if args.field != FIELD:
        _ = context.categories  # a misspelt one costs no report
    for note in notes:
        _tell(note)
    report = make_report(context, names, f"recbole-marn {shlex.join(sys.argv[1:])}", notes, _tell)
    files = write_report(report, args.out, args.overwrite)
    print(
        json.dumps(
            {
                "report": str(args.out / PAGE),
                "model": subject.label,
                "against": [rival.label for rival in rivals],
                "sections": {one.name: one.missing or "made" for one in report.outcomes},
                "notes": list(report.notes),
                "files": len(files),
            }
        )
    )
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _names(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in SECTIONS:
            known = ", ".join(SECTIONS)
            raise InputError(f"--sections among {known}", repr(name), f"Name some of these.{nearest(name, SECTIONS)}")
    if not names:
        raise InputError("at least one of --sections", repr(text), f"Name some of {', '.join(SECTIONS)}.")
    return names


def _rivals(paths: list[str], subject: Subject) -> tuple[list[Subject], list[str]]:
    """Models on the same rows, each with a name of its own, and what is said of those on others."""
    rivals, notes, taken = [], [], {subject.label}
    for path in paths:
        rival = load_subject(path, subject.part.name)
        if rival.part.split_sha256 != subject.part.split_sha256:
            notes.append(
                f"{path} is left out: it is of other rows ({rival.prepared.config['dataset']}, split "
                f"{rival.part.split_sha256[:12]}) than {subject.label} ({subject.part.split_sha256[:12]})."
            )
            continue
        label = rival.label
        if label in taken:
            label = f"{label} {Path(path).stem}"
        if label in taken:
            raise InputError("each checkpoint once", f"{path} again", "Leave it out.")
        taken.add(label)
        rivals.append(dataclasses.replace(rival, label=label))
    return rivals, notes
