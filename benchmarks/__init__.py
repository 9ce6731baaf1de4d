"""The speed suite: every claim about speed and memory as a gate that anyone can run (`recbole-marn bench`)."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["GROUPS", "OURS", "add_arguments"]

# What `bench` measures unless told otherwise; peers are other libraries, which few have installed.
OURS = ("steps", "recurrent", "extraction", "evaluation", "memory", "host", "serving", "build", "log")
GROUPS = (*OURS, "peers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `recbole-marn bench`; they are here because listing them must not import torch."""
    parser.add_argument("--quick", action="store_true", help="some of the gates, in two minutes or so")
    parser.add_argument("--only", nargs="+", choices=GROUPS, metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, help="paired rounds (default: 5, with --quick 3)")
    parser.add_argument("--growth", action="store_true", help="step time over batch, history, catalogue and width")
    parser.add_argument("--breakdown", action="store_true", help="where each millisecond goes, and the roofline")
    parser.add_argument("--gpu", action="store_true", help="MARN and DIN on a GPU beside one core of this machine")
    parser.add_argument("--dataset", help="data set of --gpu (default: rows of the shape of Amazon Clothing)")
    parser.add_argument("--data_path", help="folder of that data set")
    parser.add_argument("--out", type=Path, help="folder for the picture of --growth")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
