"""A run on several processes: started here, on one machine, or by torchrun, on one or many."""

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
from recbole_marn.training.prepared import is_to_be_prepared

__all__ = ["START_METHOD", "free_port", "run_launched", "run_processes"]

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
    world = {"world_size": nproc, "nproc": nproc, "ip": "localhost", "port": free_port(), "offset": 0}
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


def run_launched(
    run: Callable[..., Any],
    world: Mapping[str, Any],
    nproc: int,
    config_file_list: Sequence[str],
    config_dict: Mapping[str, Any],
    saved: bool,
) -> Any:
    """A run of which this process is one: torchrun has started it and the others, and starts them anew if one dies.

    Args:
        world: the place of this process, as `host.processes.launched` tells it.
        nproc: what the user gave of it.

    Returns:
        As `run`, in every process.

    Raises:
        InputError: as `run`; further processes asked for, or data that are not prepared.
    """
    config = build_config(config_file_list=config_file_list, config_dict=config_dict)
    if nproc > 1:
        raise InputError("processes of torchrun alone", f"nproc={nproc} beside them", "Leave nproc out.")
    if is_to_be_prepared(config):  # by all of them at once
        raise InputError(
            f"the data set {config['dataset']}, prepared before its processes start",
            f"none in {config['data_path']}",
            f"Give `recbole-marn prepare {config['dataset']}` first.",
        )
    settings = {**config_dict, **world, "run_name": config["run_name"] or run_name(config)}
    result = run(None, None, config_file_list, settings, saved)
    distributed.destroy_process_group()
    return result


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


def free_port() -> str:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return str(probe.getsockname()[1])
