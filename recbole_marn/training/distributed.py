"""Training on several processes, of one machine or many: RecBole's path, with metrics of gathered scores.

NCCL where there is a GPU for every process, gloo on CPUs. Each process trains on its share of every batch and scores
its share of every part; gradients are averaged (DistributedDataParallel), scores are gathered in the order of the rows,
so that a metric is computed once, from all of them: what one process computes from the same weights.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.trainer.trainer import AbstractTrainer
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from recbole_marn.errors import InputError
from recbole_marn.models.base import CTRModel
from recbole_marn.training.trainer import CTRTrainer

__all__ = ["DistributedTrainer", "trainer_of"]

# Set by the start of the processes; a record or checkpoint of theirs is to be read by a single one.
KEYS_OF_PROCESSES = ("world_size", "ip", "port", "nproc", "offset")


class _Replicas(AbstractTrainer):
    """RecBole's start of a distributed trainer, which knows GPUs alone, on whatever device the process has.

    It stands behind RecBole's `Trainer` in the order of the base classes, in the place of `AbstractTrainer`.
    """

    def __init__(self, config: Any, model: nn.Module):
        self.config, self.model = config, model
        on_gpu = config["device"].type == "cuda"
        if on_gpu:  # batch statistics over all processes; torch has none for CPUs
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        # Every process has built the same item tables from the same files: nothing to send around.
        ignored = [name for name, _ in model.named_buffers()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self.model, ignored)
        devices = [config["device"]] if on_gpu else None
        self.distributed_model = DistributedDataParallel(self.model, device_ids=devices)


class DistributedTrainer(CTRTrainer, _Replicas):
    """`CTRTrainer` of one of several processes."""

    def plain_settings(self) -> dict[str, Any]:
        """Settings as a single process has them: files of this run are read by any number of processes."""
        settings = {key: value for key, value in super().plain_settings().items() if key not in KEYS_OF_PROCESSES}
        return settings | {"single_spec": True, "local_rank": 0}

    def resume_checkpoint(self, resume_file: str | Path) -> None:
        super().resume_checkpoint(resume_file)
        self._check_together()

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        if self.settings.resume and not os.path.exists(self.state_file):
            self._check_together()
        return super().fit(*args, **kwargs)

    def _check_together(self) -> None:
        """All processes start at one epoch, or none does: each reads the state that the first one has written."""
        everyone: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(everyone, self.start_epoch)
        if len(set(everyone)) > 1:
            raise InputError(
                "one state to go on with for all processes",
                f"states after {', '.join(str(epoch) for epoch in everyone)} epochs in {self.checkpoint_dir}",
                "Give a checkpoint_dir that all machines share.",
            )

    def _train_epoch(self, train_data: Any, epoch_idx: int, loss_func: Any = None, show_progress: bool = False) -> Any:
        if train_data.shuffle:
            train_data.sampler.set_epoch(epoch_idx)
        return super()._train_epoch(train_data, epoch_idx, loss_func)  # one bar for all would need them to wait

    def _tie_processes(self) -> tuple[Tensor, ...]:
        self.set_reduce_hook()
        return (self.sync_grad_loss(),)

    @torch.no_grad()
    def evaluate(
        self, eval_data: Any, load_best_model: bool = True, model_file: Any = None, show_progress: bool = False
    ) -> Any:
        """Metrics of a part from the scores of all processes; the same in each of them."""
        if load_best_model:
            self._load_best(model_file or self.saved_model_file, eval_data)
        return self._metrics_of(self.scores(eval_data))

    def _load_best(self, path: str, data: Any) -> None:
        distributed.barrier()  # the first process may still be writing it
        super()._load_best(path, data)

    @torch.no_grad()
    def scores(self, eval_data: Any) -> dict[str, np.ndarray]:
        """As `CTRTrainer.scores`: every row of the part, in its order, in every process."""
        self._share_buffers()
        self.model.eval()
        batches: list[tuple[int, int]] = []

        def own() -> Iterator[Any]:
            for number, batched_data in self._own_batches(eval_data):
                batches.append((number, len(batched_data[0])))
                yield batched_data

        mine = own()
        first = next(mine, None)
        columns = {} if first is None else super().scores(itertools.chain([first], mine))
        return gather(batches, columns)

    def _own_batches(self, eval_data: Any) -> Iterator[tuple[int, Any]]:
        """(number, batch) of the batches that fall to this process, cut as a single process cuts them.

        The size of a product may show in the last bit of its rows. Item vectors, which are kept from batch to batch,
        are therefore also computed for the batches of the others, in the order and company they have in one process.
        """
        step = eval_data.samples_a_batch
        starts = range(0, eval_data.sample_size, step)
        rank, world = distributed.get_rank(), distributed.get_world_size()
        for number, start in enumerate(starts):
            mine = number % world == rank
            if mine or isinstance(self.model, CTRModel):
                batched_data = eval_data.collate_fn(list(range(start, min(start + step, eval_data.sample_size))))
            if mine:
                yield number, batched_data
            elif isinstance(self.model, CTRModel):
                self.model.item_vectors(batched_data[0].to(self.device).batch.entity_id)

    def _share_buffers(self) -> None:
        """What a model counts while it trains (the statistics of batch normalisation) is that of the first process."""
        kept = self.model.state_dict()
        for name, buffer in self.model.named_buffers():
            if name in kept:
                distributed.broadcast(buffer, 0)


def gather(batches: Sequence[tuple[int, int]], columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns of all processes, in the order of the batches.

    Args:
        batches: number and rows of each batch of this process, in the order of its columns.
        columns: (rows of this process,) each; empty where no batch fell to it.
    """
    ends = np.cumsum([rows for _, rows in batches])[:-1] if batches else []
    parts = {name: np.split(values, ends) for name, values in columns.items()}
    mine = {number: {name: pieces[at] for name, pieces in parts.items()} for at, (number, _) in enumerate(batches)}
    everyone: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyone, mine)
    together = {number: piece for theirs in everyone for number, piece in theirs.items()}
    names = next(iter(together.values()))
    return {name: np.concatenate([together[number][name] for number in sorted(together)]) for name in names}


def trainer_of(config: Any, model: nn.Module) -> CTRTrainer:
    """The trainer of a run on our rows: one of a single process, or of one among several."""
    return (CTRTrainer if config["single_spec"] else DistributedTrainer)(config, model)
