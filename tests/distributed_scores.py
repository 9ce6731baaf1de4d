"""What each process of `test_distributed` does; a module of its own, so that processes can import it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_marn.quick_start import build_config, prepare_run


def score(rank: int, nproc: int, settings: dict[str, Any], port: str, checkpoint: str, folder: str) -> None:
    """Load the weights, evaluate validation and test, write what came out."""
    world = {"world_size": nproc, "nproc": nproc, "ip": "localhost", "port": port, "offset": 0, "local_rank": rank}
    parts = prepare_run(build_config(config_dict={**settings, **world}))
    found = {
        name: dict(parts.trainer.evaluate(loader, model_file=checkpoint))
        for name, loader in (("valid", parts.valid), ("test", parts.test))
    }
    np.savez(Path(folder) / f"{rank}.npz", **parts.trainer.scores(parts.test))
    (Path(folder) / f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()
