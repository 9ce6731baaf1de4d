"""What RecBole's own code needs where several processes train together, on CPUs too."""

from __future__ import annotations

import functools
import os
import sys
import types
from typing import Any

from recbole_marn.errors import InputError

__all__ = ["folders_made_together", "is_first", "join_group", "launched"]

# What torchrun tells each process that it starts.
ENVIRONMENT = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launched() -> dict[str, Any]:
    """The keys of a process that torchrun has started with others, on one machine or many; none elsewhere."""
    if not set(ENVIRONMENT) <= set(os.environ) or os.environ["WORLD_SIZE"] == "1":
        return {}
    rank, local, world, here = (int(os.environ[name]) for name in ENVIRONMENT[:4])
    address = {"ip": os.environ["MASTER_ADDR"], "port": os.environ["MASTER_PORT"]}
    return {**address, "world_size": world, "nproc": here, "local_rank": local, "offset": rank - local}


def is_first() -> bool:
    """Whether this process speaks for all that torchrun has started with it; true without torchrun."""
    place = launched()
    return not place or place["local_rank"] + place["offset"] == 0


def join_group(configurator: types.ModuleType) -> None:
    """In a process of a group, a Config joins it with NCCL on GPUs, which RecBole does, or with gloo on CPUs.

    From then on `local_rank` counts the processes of all machines: the first of them alone writes files.
    """
    Config = configurator.Config
    original = Config._init_device

    @functools.wraps(original)
    def _init_device(self: Any) -> None:
        values = self.final_config_dict
        import torch

        if values.get("local_rank") is None or not values.get("nproc"):
            original(self)
            if not values.get("use_gpu", True):
                values["device"] = torch.device("cpu")
            return
        from torch import distributed

        rank = values["local_rank"] + values["offset"]
        if torch.cuda.is_available() and values.get("use_gpu", True):
            if torch.cuda.device_count() < values["nproc"]:
                raise InputError(
                    "a GPU for every process",
                    f"{torch.cuda.device_count()} of them for nproc={values['nproc']}",
                    "Give a smaller nproc, or use_gpu: False to train on CPUs.",
                )
            values["gpu_id"] = ",".join(map(str, range(values["nproc"])))
            original(self)
        else:
            values["gpu_id"] = str(values["gpu_id"])
            address = f"tcp://{values['ip']}:{values['port']}"
            distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=values["world_size"])
            values.update(device=torch.device("cpu"), single_spec=False)
        values["local_rank"] = rank
        if rank != 0:
            values.update(state="error", show_progress=False, verbose=False)

    Config._init_device = _init_device


def folders_made_together(utils: types.ModuleType) -> None:
    """RecBole asks whether a folder is there and then makes it: two processes may both find it missing."""
    utils.ensure_dir = functools.partial(os.makedirs, exist_ok=True)
    for name, module in list(sys.modules.items()):  # those that have taken it over by name
        if name.startswith("recbole.") and "ensure_dir" in vars(module):
            module.ensure_dir = utils.ensure_dir
