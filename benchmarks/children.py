"""Measurements that need a process of their own: they call this package again and read its last line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import recbole_marn

__all__ = ["child_result"]


def child_result(*arguments: str, folder: str | None = None) -> Any:
    """What `recbole-marn bench --child ARGUMENTS` prints as its last line of JSON, run in `folder`."""
    source = str(Path(recbole_marn.__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    # RecBole and pandas warn about each other.
    command = [sys.executable, "-W", "ignore", "-m", "recbole_marn", "bench", "--child", *arguments]
    run = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, cwd=folder, env=os.environ | {"PYTHONPATH": path}, check=True
    )
    return json.loads(run.stdout.strip().splitlines()[-1])
