"""`recbole-marn serve`."""

from __future__ import annotations

import argparse
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.encoders import need
from recbole_marn.serving.service.options import RANKED, ServiceOptions

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An export, and how it is served."""
    parser.add_argument("export", type=Path, help="folder written by recbole-marn export")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="pictures named by item: <item>.jpg, .png, .webp")
    parser.add_argument(
        "--added", type=Path, metavar="FILE", help="items added while running are kept here (default: EXPORT.added)"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE",
        help="a file with the token that adding items needs; without one they are added from this machine alone",
    )  # fmt: skip
    parser.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="further name it is reached by, such as a proxy's"
    )
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="seconds a request may take (default: %(default)s)"
    )
    parser.add_argument(
        "--largest-body", type=int, default=1 << 20, metavar="BYTES", help="of a request (default: %(default)s)"
    )
    parser.add_argument(
        "--waiting", type=int, default=64, metavar="N", help="requests a worker has under way (default: %(default)s)"
    )
    parser.add_argument(
        "--retrieve", type=int, metavar="N",
        help="recommend out of a short list of N items and N drawn ones in place of all (docs/service.md)",
    )  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Check everything once, then start the workers."""
    for package in ("fastapi", "uvicorn", "prometheus_client", "onnxruntime"):
        need(package, "serve", "serving an export")
    # These import what was asked for above.
    from recbole_marn.serving.service.photos import ServedPhotos
    from recbole_marn.serving.service.run import run
    from recbole_marn.serving.service.state import State

    _check(args)
    options = ServiceOptions(
        export=args.export.absolute(),
        added=(args.added or args.export.with_name(f"{args.export.name}.added")).absolute(),
        photos=args.photos,
        host=args.host,
        names=tuple(args.name),
        token=None if args.token_file is None else _token(args.token_file),
        timeout=args.timeout,
        largest_body=args.largest_body,
        waiting=args.waiting,
        retrieve=args.retrieve,
    )
    State(options), ServedPhotos(options.photos)  # what is wrong with them is told here, and not by each worker
    return run(options, args.port, args.workers)


def _check(args: argparse.Namespace) -> None:
    for name, value, low in (
        ("port", args.port, 0), ("workers", args.workers, 1), ("waiting", args.waiting, 1),
        ("retrieve", args.retrieve, RANKED),
        ("largest-body", args.largest_body, 1), ("timeout", args.timeout, 0.001),
    ):  # fmt: skip
        if value is not None and not low <= value < 2**31:
            raise InputError(f"--{name} of at least {low}", str(value), f"Give a number from {low} up.")


def _token(file: Path) -> str:
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "a file with a token", str(error), "Name a file that can be read. To make one: openssl rand -hex 16 > FILE."
        ) from None
    if len(token) < 16:
        raise InputError("a token of 16 letters at least", f"{len(token)} in {file}", "Make one: openssl rand -hex 16.")
    return token
