"""Starting a run on several processes of one machine, and getting its answer back."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import distributed, multiprocessing

from recbole_marn.errors import InputError
from recbole_marn.host.config import build_config
from recbole_marn.training.children import end_with_parent
from recbole_marn.training.identity import run_name

__all__ = ["START_METHOD", "run_processes"]

START_METHOD = "spawn"  # forking a process that has used a GPU is not possible


def run_processes(
    run: Callable[..., Any],
    nproc: int,
    config_file_list: Sequence[str],
    config_dict: Mapping[str, Any],
    saved: bool,
) -> Any:
    """A run on `nproc` processes of this machine.

    Args:
        run: what each process does, a function at the top of a module.
        config_dict: with the names of model and data set.

    Returns:
        What the first process returns.

    Raises:
        InputError: as `run`, in any process; fewer GPUs than processes.
    """
    config = build_config(config_file_list=config_file_list, config_dict=config_dict)
    for folder in (os.path.join("log", config["model"]), "log_tensorboard", config["checkpoint_dir"]):
        os.makedirs(folder, exist_ok=True)
    world = {"world_size": nproc, "nproc": nproc, "ip": "localhost", "port": _free_port(), "offset": 0}
    settings = {**config_dict, **world, "run_name": config["run_name"] or run_name(config)}
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        try:
            multiprocessing.start_processes(
                _process,
                (run, list(config_file_list), settings, saved, str(answer)),
                nproc,
                start_method=START_METHOD,
            )
        except multiprocessing.ProcessRaisedException:
            for file in sorted(Path(folder).glob("error-*.json")):
                raise InputError(*json.loads(file.read_text(encoding="utf-8"))) from None
            raise
        return json.loads(answer.read_text(encoding="utf-8"))


def _process(
    rank: int,
    run: Callable[..., Any],
    config_file_list: list[str],
    settings: dict[str, Any],
    saved: bool,
    answer: str,
) -> None:
    end_with_parent()
    try:
        result = run(None, None, config_file_list, {**settings, "local_rank": rank}, saved)
    except InputError as error:
        told = json.dumps([error.expected, error.got, error.hint])
        Path(answer).with_name(f"error-{rank}.json").write_text(told, encoding="utf-8")
        raise
    if rank == 0:
        Path(answer).write_text(json.dumps(result, default=float), encoding="utf-8")
    distributed.destroy_process_group()


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return str(probe.getsockname()[1])
