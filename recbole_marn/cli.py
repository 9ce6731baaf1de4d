"""`recbole-marn JOB ...`: parse the command line, call the job. Exit codes: 0 done, 2 bad input, 1 a fault of ours."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from recbole_marn import __version__
from recbole_marn.errors import InputError, without_recbole
from recbole_marn.host.processes import launched
from recbole_marn.settings.arguments import parse_settings
from recbole_marn.settings.parsing import nearest

__all__ = ["JOBS", "Job", "main"]

SETTINGS_HELP = (
    "Every setting of the model, the data and RecBole can be given as --key=value, such as --epochs=2 or "
    "--learning_rate=0.01. `recbole-marn keys MODEL` lists them."
)


@dataclass(frozen=True)
class Job:
    """A job of the command line.

    Attributes:
        module: has `add_arguments(parser)` and `main(args)`; it is imported when the job is asked for.
        help: one line.
        takes_settings: --key=value arguments follow, which `args.settings` holds.
    """

    module: str
    help: str
    takes_settings: bool = False


JOBS = {
    "run": Job("commands.run", "train, choose on validation, test once", True),
    "predict": Job("commands.predict", "answers of a checkpoint for new rows, users and items, without its data"),
    "export": Job("commands.export", "item vectors and an ONNX scorer of a checkpoint, compared with it"),
    "serve": Job("commands.serve", "an export over HTTP: scores, rankings, new items, and a page to look at them"),
    "models": Job("commands.models", "list the models and where they were published"),
    "datasets": Job("commands.datasets", "list the data sets and whether they are on this machine"),
    "keys": Job("commands.keys", "list the settings of a model, its data and its training"),
    "prepare": Job("prepare.cli", "raw public files, or your own -> atomic files and vectors, checked"),
    "tune": Job("commands.tune", "search settings, selected on validation", True),
    "leaderboard": Job("leaderboard.cli", "a grid of models and seeds -> records -> tables", True),
    "across": Job("leaderboard.across_page", "leaderboards of several data sets -> ranks, wins, critical differences"),
    "verify": Job("leaderboard.verify", "recompute every cell of a leaderboard from its records and scores"),
    "analyze": Job("commands.analyze", "what a trained model learned, as one report"),
    "export-rows": Job("commands.export_rows", "the rows as files for plain RecBole", True),
    "doctor": Job("commands.doctor", "versions, repairs, optional parts and a self-test: what to paste into an issue"),
    "bench": Job("commands.bench", "speed and memory: every claim as a gate"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, do the job, return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a title under LC_ALL=C is no reason to stop
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    try:
        if name is not None and name not in JOBS:
            raise InputError(f"one of the jobs {', '.join(JOBS)}", repr(name), f"Choose one.{nearest(name, JOBS)}")
        if name not in (None, "run") and launched():
            raise InputError(
                "the job `run` under torchrun, whose processes share one run",
                f"{name}, which each of them would do for itself",
                f"Give `recbole-marn {name}` without torchrun.",
            )
        parser, job = _parser(name), JOBS.get(name)
        args, rest = parser.parse_known_args(arguments)
        if args.job is None:
            parser.print_help()
            return 2
        if rest and not job.takes_settings:
            raise InputError(
                f"arguments that `recbole-marn {name}` knows",
                " ".join(rest),
                f"`recbole-marn {name} --help` lists them.",
            )
        if job.takes_settings:
            args.settings = parse_settings(rest)
        return _module(job).main(args)
    except InputError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name != "recbole":
            raise
        print(f"InputError: {without_recbole()}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        what, where = error.strerror or error, error.filename or "this folder"
        print(f"Expected room and permission to write and read. Got {what} ({where}). {NO_ROOM_HINT}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"Stopped. {GO_ON.get(name, 'Give the command again to start anew.')}", file=sys.stderr)
        return 128 + signal.SIGINT


# What the machine may refuse; anything else is a fault of ours.
NO_ROOM = {None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
NO_ROOM |= {errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EMFILE}
NO_ROOM_HINT = "Free some space, or work where you may write: ./log, ./log_tensorboard and ./saved go there."
GO_ON = {
    "run": "The same command with --resume=true goes on after the last finished epoch.",
    "tune": "The same command tries again; with --engine=ray it goes on with the search.",
    "leaderboard": "The same command goes on: finished runs are kept.",
    "prepare": "Nothing was left under the name of the data set. Give the command again.",
}


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser of all jobs, with the arguments of the chosen one alone: those of the others need their modules."""
    parser = argparse.ArgumentParser(
        prog="recbole-marn", description="Multimodal click-through-rate prediction for RecBole."
    )
    parser.add_argument("--version", action="version", version=__version__)
    jobs = parser.add_subparsers(title="jobs", metavar="JOB", dest="job")
    for name, job in JOBS.items():
        # Without abbreviations: --mode would be taken for --model.
        own = jobs.add_parser(
            name, help=job.help, description=f"{job.help[0].upper()}{job.help[1:]}.", allow_abbrev=False,
            epilog=SETTINGS_HELP if job.takes_settings else None,
        )  # fmt: skip
        if name == chosen:
            _module(job).add_arguments(own)
    return parser


def _module(job: Job):
    return importlib.import_module(f"recbole_marn.{job.module}")


if __name__ == "__main__":
    sys.exit(main())
