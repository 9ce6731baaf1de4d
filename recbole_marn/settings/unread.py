"""Keys that a run has and does not read, because of what another key says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from recbole_marn.settings.data import DataSettings, IdModality
from recbole_marn.settings.parsing import from_mapping

__all__ = ["UNREAD", "Unread", "unread"]

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Unread:
    """Keys that need something of other keys.

    Attributes:
        keys: which.
        needs: what they are read with, as a user would write it.
        read: whether settings have that. A key that a model does not have is None there.
    """

    keys: tuple[str, ...]
    needs: str
    read: Callable[[Settings], Any]


def _drawn(x: Settings) -> set[str]:
    return {x.get("train_sampling"), x.get("eval_sampling"), *(x.get("also_test") or ())}


def _plays(x: Settings) -> bool:
    return x.get("adversary") in ("double", "single")


def _moves_items(x: Settings) -> bool:
    return _plays(x) or (x.get("adversary") == "branch" and x.get("alignment_weight", 0) > 0)


def _rows_and_items(x: Settings) -> DataSettings:
    return from_mapping(DataSettings, x, complete=False)


def _reads_item_ids(x: Settings) -> bool:
    modalities = _rows_and_items(x).modality_settings().values()
    return any(isinstance(one, IdModality) and x.get("ITEM_ID_FIELD") in one.fields for one in modalities)


UNREAD = (
    # Training
    Unread(("adagrad_init",), "learner: adagrad", lambda x: x.get("learner") == "adagrad"),
    Unread(("enable_scaler",), "enable_amp: true", lambda x: x.get("enable_amp")),
    Unread(("gpu_id",), "use_gpu: true", lambda x: x.get("use_gpu")),
    Unread(("shuffle_by",), "shuffle: true", lambda x: x.get("shuffle")),
    Unread(("wandb_project",), "log_wandb: true", lambda x: x.get("log_wandb")),
    # Rows
    Unread(("matched_pool",), "a sampling that is matched", lambda x: "matched" in _drawn(x) and not x.get("label")),
    Unread(("release_field",), "negatives_from: released", lambda x: x.get("negatives_from") == "released"),
    Unread(
        ("sample_seed",), "drawn negatives, or in a log with keep_negatives below 1 or split: random",
        lambda x: not x.get("label") or x.get("keep_negatives", 1) < 1 or x.get("split") == "random",
    ),
    Unread(("columnar_from_mb",), "clicks alone; a log is read as text", lambda x: not x.get("label")),
    Unread(("statistics_until",), "a statistic that is counted", lambda x: _rows_and_items(x).log_statistics()),
    Unread(("id_min_count", "id_dropout"), "a modality of kind: id that reads the item's id", _reads_item_ids),
    # MARN
    Unread(
        ("lambda0", "gamma", "lambda_placement", "adversary_epochs", "discriminator_hidden", "specific_discriminator",
         "adversary_reduction", "discriminator_rate"),
        "adversary: double or single", _plays,
    ),
    Unread(
        ("share_discriminator", "specific_stop"), "adversary: double or single and specific_discriminator: true",
        lambda x: _plays(x) and x.get("specific_discriminator"),
    ),
    Unread(("degree_target", "degree_normalise"), "adversary: double", lambda x: x.get("adversary") == "double"),
    Unread(
        ("adversary_items", "adversary_into_embedding"),
        "adversary: double or single, or branch with an alignment_weight", _moves_items,
    ),
    Unread(
        ("invariant_pooling", "invariant_norm", "invariant_codes", "alignment_weight"),
        "adversary: double, single or branch", lambda x: x.get("adversary") != "none",
    ),
    Unread(("attention_activation", "attention_normalise"), "fusion: maf", lambda x: x.get("fusion") != "conc"),
    Unread(("gate",), "rnn: apgru and the key behaviour", lambda x: x.get("rnn") == "apgru" and x.get("behaviour")),
    # Other models
    Unread(("attention_hidden", "attention_values"), "pooling: attention", lambda x: x.get("pooling") != "last"),
    Unread(
        ("hidden_size", "pooling", "attention_hidden", "attention_values", "prediction_hidden", "prediction_product",
         "dropout"),
        "own_head: false", lambda x: not x.get("own_head"),
    ),
    Unread(("auxiliary_hidden",), "an auxiliary_weight above 0", lambda x: x.get("auxiliary_weight", 1) > 0),
    Unread(("expert_num", "low_rank"), "mixed: true", lambda x: x.get("mixed")),
)  # fmt: skip


def unread(given: Settings, settings: Settings) -> list[str]:
    """What to say of keys that this run does not read.

    Args:
        given: what the user set, as far as it is not the default anyway.
        settings: all that holds.
    """
    told = []
    for row in UNREAD:
        if (keys := [key for key in row.keys if key in given]) and not row.read(settings):
            does, it = ("do", "they are") if len(keys) > 1 else ("does", "it is")
            told.append(f"{', '.join(keys)} {does} nothing in this run: {it} read with {row.needs}")
    return told
