"""RecBole's own keys that a run on our rows depends on, so that a wrong value is named before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from recbole_marn.settings.parsing import option

__all__ = ["LEFT_ALONE", "METRICS", "HostSettings"]

# Metrics of labelled rows; RecBole's ranking metrics need whole lists of items.
METRICS = ("AUC", "UAUC", "LogLoss", "MAE", "RMSE")

# Keys by which RecBole makes rows of its own -> what does the same for ours.
_ROWS = "rows are made by split, train_sampling, train_negatives, eval_sampling and eval_negatives"
LEFT_ALONE = {
    "eval_args": _ROWS,
    "train_neg_sample_args": _ROWS,
    "neg_sampling": _ROWS,
    "benchmark_filename": _ROWS,
    "repeatable": "whether repeats count is said by the key repeats",
    "normalize_all": "scaled times and numbers would no longer be seconds or counts",
}


@dataclass(frozen=True)
class HostSettings:
    """Types and ranges RecBole takes for granted. Defaults are RecBole's and ours; here they are not used."""

    seed: int = option(2020, "training seed", low=0, high=2**32 - 1)
    epochs: int = option(10, "most epochs", low=1)
    train_batch_size: int = option(1024, "rows a batch", low=1)
    eval_batch_size: int = option(8192, "rows a batch", low=1)
    learner: Literal["adam", "adagrad", "adamw", "sgd", "rmsprop"] = option("adam", "optimizer")
    learning_rate: float = option(0.003, "learning rate", low=0)
    weight_decay: float = option(0.0, "L2 penalty", low=0)
    clip_grad_norm: Mapping[str, Any] | None = option(None, "arguments of clip_grad_norm_, e.g. {max_norm: 5}")
    stopping_step: int = option(2, "validations without a better value before stopping", low=0)
    eval_step: int = option(1, "epochs between validations", low=1)
    shuffle: bool = option(True, "new order of the training rows in every epoch")
    MAX_ITEM_LIST_LENGTH: int = option(50, "longest history", low=1)
    metric_decimal_place: int = option(6, "digits of the metrics", low=1)
    show_progress: bool = option(True, "progress bars")
    use_gpu: bool = option(True, "train on the GPU where there is one")
    checkpoint_dir: str = option("saved", "folder of checkpoints and records")
    data_path: str = option("dataset", "folder of the data sets")
