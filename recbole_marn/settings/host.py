"""RecBole's own keys in a run on our rows: which are taken, in what range, and which are refused, with what does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from recbole_marn.settings.parsing import option

__all__ = [
    "CLICKS_ALONE", "FIXED", "GAUC_NAME", "INSTEAD", "METRICS", "NO_REQUESTS", "REFUSED", "TAKEN", "FileSettings",
    "HostSettings", "RunSettings",
]  # fmt: skip

# Metrics of labelled rows; those of requests, which are lists, need not be asked for.
METRICS = ("AUC", "UAUC", "GAUC", "LogLoss", "MAE", "RMSE")
# What GAUC is called inside RecBole, whose metric of that name ranks whole lists of items.
GAUC_NAME = "GAUC-exposures"

_ROWS = "split, train_sampling, train_negatives, eval_sampling and eval_negatives make the rows"
_STATISTIC = "a modality of kind: statistic bins numbers"
_PROCESSES = "nproc says how many processes train; recbole-marn starts them"
_BUILT = "rows are built anew in seconds, and checked each time"
_GRAPH = "no model here reads a knowledge graph"

# Keys of RecBole that would do nothing here, or undo our rows -> what does it. Their default value is let pass.
REFUSED = {
    "eval_args": f"{_ROWS}; of a log with labels, RS and order are read",
    "train_neg_sample_args": _ROWS,
    "neg_sampling": _ROWS,
    "benchmark_filename": f"{_ROWS}; of a log with labels, files are read",
    "repeatable": "the key repeats says whether repeated events count",
    "normalize_all": "times stay seconds and counts stay counts; a modality of kind: statistic bins numbers",
    "discretization": _STATISTIC,
    "numerical_features": _STATISTIC,
    "threshold": "label: {field, at_least} reads a log; where every line is a click, val_interval leaves others out",
    "LABEL_FIELD": "label: {field} reads a log; where every line is a click, labels are made",
    "RATING_FIELD": "no model here reads ratings; val_interval leaves events out by a column",
    "unused_col": "load_col and unload_col say what is read; modalities, user and context, what models see of it",
    "POSITION_FIELD": "no model here reads places in a history; position: {field} is a log's",
    "valid_metric_bigger": "valid_metric tells",
    "eval_type": "metrics tell",
    "loss_type": "each model has its own loss",
    "transform": "histories are not masked, cropped or reordered",
    "require_pow": "weight_decay is the L2 penalty",
    "double_tower": "no model here has two towers",
    "config_file": "config_files names YAML files",
    "save_dataset": _BUILT,
    "save_dataloaders": _BUILT,
    "dataset_save_path": _BUILT,
    "dataloaders_save_path": _BUILT,
    "world_size": _PROCESSES,
    "ip": _PROCESSES,
    "port": _PROCESSES,
    "offset": _PROCESSES,
    "group_offset": _PROCESSES,
    "local_rank": _PROCESSES,
    "saved": "checkpoint_dir says where files go; run(saved=False) in Python writes none",
    "preload_weight": "a modality of kind: vector reads vectors from a file",
    "additional_feat_suffix": "modalities read further files",
    "alias_of_entity_id": _GRAPH,
    "alias_of_relation_id": _GRAPH,
    "HEAD_ENTITY_ID_FIELD": _GRAPH,
    "TAIL_ENTITY_ID_FIELD": _GRAPH,
    "RELATION_ID_FIELD": _GRAPH,
    "ENTITY_ID_FIELD": _GRAPH,
}
# What RecBole would do to our rows by itself, switched off; a data set may still name the columns it needs.
FIXED: dict[str, Any] = {
    "train_neg_sample_args": None,  # negatives are drawn once, by this package
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "labeled"},
    "repeatable": True,
    "normalize_all": False,  # RecBole would scale time stamps
    "load_col": None,  # every column of the atomic files
}
# Keys of clicks alone: a log has its own negatives.
CLICKS_ALONE = (
    "train_sampling", "eval_sampling", "also_test", "negatives_from", "release_field", "train_last", "train_negatives",
    "eval_negatives", "resample_negatives",
)  # fmt: skip
# Why a run whose rows come in no requests does not read `topk`.
NO_REQUESTS = "only the requests of a log are ranked, and the key request says what they are"
# Of RecBole's own models; in ours they would do nothing.
INSTEAD = {
    "embedding_size": "width, and the sizes of id fields under modalities, say how wide",
    "mlp_hidden_size": "prediction_hidden",
    "dropout_prob": "dropout",
    "reg_weight": "weight_decay is the L2 penalty",
    "cin_layer_size": "cin_layers",
    "alpha": "auxiliary_weight",
}

# Keys that RecBole reads and lists nowhere, or that it lists and no class here checks.
TAKEN = {"model", "dataset", "config_files", "same_rows", "wandb_project", "normalize_field"}


@dataclass(frozen=True)
class RunSettings:
    """RecBole's keys whose default is ours."""

    epochs: int = option(10, "most epochs", low=1, high=10**6)
    train_batch_size: int = option(
        1024, "rows per batch, positives and negatives", paper="32 (Amazon), 1024 (Taobao)", low=1, high=2**24
    )
    eval_batch_size: int = option(8192, "rows per batch", low=1, high=2**24)
    learner: Literal["adam", "adagrad", "adamw", "sgd", "rmsprop"] = option("adam", "optimizer", paper="adagrad")
    learning_rate: float = option(
        0.003, "chosen on ml-1m's validation out of .0005, .001, .003, .01", paper="0.1 (adagrad)", low=0
    )
    weight_decay: float = option(0.0, "L2 penalty", low=0)
    stopping_step: int = option(
        2, "validations in a row without a better value that training outlasts; one more ends it", low=0
    )
    eval_step: int = option(1, "epochs between validations", low=1)
    MAX_ITEM_LIST_LENGTH: int = option(50, "longest history", low=1, high=10**5)
    metrics: Sequence[str] | str = option(
        ("AUC", "UAUC", "LogLoss"), f"among {', '.join(METRICS)}; UAUC: unweighted mean of per-user AUC", least=1
    )
    valid_metric: str = option("UAUC", "the metric that chooses the epoch", least=1)
    metric_decimal_place: int = option(6, "digits of the metrics", low=1, high=15)


@dataclass(frozen=True)
class HostSettings(RunSettings):
    """RecBole's keys with the types and ranges that it takes for granted; defaults not in `RunSettings` are its own."""

    seed: int = option(2020, "training seed", low=0, high=2**32 - 1)
    clip_grad_norm: Mapping[str, Any] | None = option(None, "e.g. {max_norm: 5}, the arguments of clip_grad_norm_")
    shuffle: bool = option(True, "new order of the training rows in every epoch")
    USER_ID_FIELD: str = option("user_id", "column of the user", least=1)
    ITEM_ID_FIELD: str = option("item_id", "column of the item", least=1)
    TIME_FIELD: str = option("timestamp", "column of the time, in seconds", least=1)
    LIST_SUFFIX: str = option("_list", "ending of history columns in RecBole's own models", least=1)
    NEG_PREFIX: str = option("neg_", "beginning of the columns of negatives in RecBole's own models", least=1)
    ITEM_LIST_LENGTH_FIELD: str = option("item_length", "column of the history's length there", least=1)
    topk: int | Sequence[int] = option(
        (10,), "K of nDCG, Recall and Hit of a log's requests, beside 5 and 10", low=1, least=1
    )
    loss_decimal_place: int = option(4, "digits of the losses in the log", low=1, high=15)
    show_progress: bool = option(True, "progress bars")
    verbose: bool = option(False, "RecBole's whole configuration in the log")
    reproducibility: bool = option(True, "deterministic algorithms on GPUs")
    use_gpu: bool = option(True, "train on the GPU where there is one")
    gpu_id: str | int = option("0", "which GPU, where there is one")
    enable_amp: bool = option(False, "mixed precision")
    enable_scaler: bool = option(False, "scale gradients under mixed precision")
    worker: int = option(0, "processes that load batches", low=0, high=256)
    nproc: int = option(1, "processes that train, on this machine", low=1, high=1024)
    state: Literal["debug", "info", "warning", "error", "critical", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = (
        option("INFO", "lowest level of the log")
    )
    log_wandb: bool = option(False, "report to Weights & Biases")
    checkpoint_dir: str = option("saved", "folder of checkpoints and records", least=1)
    data_path: str = option("dataset/", "folder of the data sets", least=1)


@dataclass(frozen=True)
class FileSettings:
    """RecBole's keys that say how atomic files are read and which of their lines are left out."""

    load_col: Mapping[str, Any] | None = option(
        None, "columns that are read: {inter: [...], item: [...], user: [...]}, no file but those named; null: all"
    )
    unload_col: Mapping[str, Any] | None = option(None, "columns that are not read, in the same form")
    val_interval: Mapping[str, Any] | None = option(
        None, "lines that are kept: {float column: '[4,inf)', token column: [a, b]}"
    )
    filter_inter_by_user_or_item: bool | None = option(
        True, "leave out events whose user or item has no line in .user or .item, where there is such a file"
    )
    user_inter_num_interval: Any = option("[0,inf)", "users that are kept, by number of events")
    item_inter_num_interval: Any = option("[0,inf)", "items that are kept, by number of events")
    rm_dup_inter: Literal["first", "last"] | None = option(
        None, "which event of a (user, item) pair is kept, before anything else; null: repeats says it"
    )
    alias_of_user_id: Sequence[str] | None = option(None, "further token columns that hold users")
    alias_of_item_id: Sequence[str] | None = option(None, "further token columns that hold items")
    seq_len: Mapping[str, int] | None = option(None, "entries of a list column that are read", low=1)
    field_separator: str = option("\t", "what stands between columns")
    seq_separator: str = option(" ", "what stands between the entries of a list", least=1)
    encoding: str | None = option(None, "encoding of the files; null: utf-8")
