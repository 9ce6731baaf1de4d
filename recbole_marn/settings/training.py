"""Keys of training that are ours; RecBole's are in `host`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recbole_marn.settings.parsing import option

__all__ = ["TrainSettings"]


@dataclass(frozen=True)
class TrainSettings:
    """What the trainer needs beyond RecBole's own training keys."""

    adagrad_init: float = option(0.1, "AdaGrad's first accumulator; 0.1 as TensorFlow, 0 as PyTorch", low=0)
    lazy_adam: bool = option(False, "Adam moves an id's embedding only where its id is in the batch (large tables)")
    learning_rate_decay: Literal["none", "linear", "cosine"] = option(
        "none", "how the learning rate falls to 0 over the steps of all `epochs`"
    )
    weight_average: float | None = option(
        None, "decay, such as .98, of a moving average of the weights, which is what is validated and kept; null: none",
        low=0, high=0.99999,
    )  # fmt: skip
    threads: int | None = option(
        1, "CPU threads of torch; on shared cores more wait for each other; null: torch's choice", low=1, high=1024
    )
    resume: bool = option(False, "go on from the last finished epoch of the same run")
    run_name: str | None = option(None, "name of the run's files; null: from model, dataset, seed and settings")
    calibration: Literal["none", "platt", "isotonic"] = option(
        "none", "a step from scores to click rates that is fitted on validation after the best epoch"
    )
    probe_every: int | None = option(None, "steps between reports on the adversary, kept in the history", low=1)
    copied_vectors_mb: int = option(
        256, "vectors of a modality up to so many MB are copied beside checkpoints, for scoring without the data", low=0
    )
