"""What opening a log costs each process of a machine: python benchmarks/several_processes.py --data DIR [--processes N]

DIR has a prepared data set `taobao` (`taobao_log.py` writes such a log of any size, `recbole-marn prepare taobao` reads
it). Processes open it together, once each on its own and once as they do in a run, where the first makes rows for all.
For each: CPU seconds on one thread, and MB over those of the imports: at the peak, and of its own once all are open.
Linux alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from data_growth import SETTINGS
from resident import megabytes, start_peak
from torch import distributed, multiprocessing

WAYS = ("each on its own", "made once")


def _memory() -> dict[str, float]:
    """MB resident at the peak, in no other process, and with a share of what several map."""
    own = sum(megabytes(name, "smaps_rollup") for name in ("Private_Clean", "Private_Dirty"))
    return {"peak": megabytes("VmHWM"), "own": own, "share": megabytes("Pss", "smaps_rollup")}


def opened(rank: int, way: str, processes: int, settings: dict[str, Any], out: str) -> None:
    import torch

    torch.set_num_threads(1)
    from recbole_marn.data import columnar_dataset, ctr_dataset
    from recbole_marn.data.loader import build_loaders
    from recbole_marn.data.made_once import made_here
    from recbole_marn.quick_start import build_config
    from recbole_marn.training import prepared  # noqa: F401 (all that a run imports)

    if way == WAYS[0]:
        columnar_dataset.MadeOnce = lambda config: made_here
    world = {"world_size": processes, "nproc": processes, "ip": "localhost", "offset": 0, "local_rank": rank}
    config = build_config("MARN", "taobao", config_dict=settings | world)
    distributed.barrier()
    start_peak()
    before, cpu = _memory(), time.process_time()
    loaders = build_loaders(config, ctr_dataset.CTRDataset(config))
    found = {"cpu_s": round(time.process_time() - cpu, 2)}
    distributed.barrier()
    found |= {f"{name}_mb": round(value - before[name]) for name, value in _memory().items()}
    distributed.barrier()
    found["split_sha256"] = loaders.train.part.split_sha256
    Path(out, f"{rank}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


def main() -> None:
    from recbole_marn.training.processes import free_port

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="RecBole's data_path")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--all_rows", action="store_true", help="not each user's latest click alone")
    args = parser.parse_args()
    given = SETTINGS | {"data_path": str(args.data)} | ({"train_last": None} if args.all_rows else {})
    for way in WAYS:
        with tempfile.TemporaryDirectory() as out:
            arguments = (way, args.processes, given | {"port": free_port()}, out)
            multiprocessing.start_processes(opened, arguments, args.processes, start_method="spawn")
            for rank in range(args.processes):
                print(way, rank, Path(out, f"{rank}.json").read_text(), flush=True)


if __name__ == "__main__":
    main()
