"""Keys that say which rows exist and what the items look like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import Any, Literal

from recbole_marn.errors import InputError
from recbole_marn.settings.logs import (
    OF_BEHAVIOURS,
    STATISTICS,
    USER_STATISTICS,
    BehavioursSettings,
    ContextSettings,
    LabelSettings,
    PositionSettings,
    RequestSettings,
)
from recbole_marn.settings.parsing import from_mapping, nearest, option

__all__ = [
    "BehaviourSettings",
    "COLUMNAR_FROM_MB",
    "DataSettings",
    "IdModality",
    "KINDS",
    "LOG_KEYS",
    "ROW_SETTINGS",
    "SPLIT_KEYS",
    "StatisticModality",
    "TextModality",
    "VectorModality",
    "ModalitySettings",
    "parse_modality",
    "token_fields",
]

# Below, reading text takes a second, and a second file beside it would be one more to keep.
COLUMNAR_FROM_MB = 32
Sampling = Literal["uniform", "popularity", "matched"]


@dataclass(frozen=True)
class IdModality:
    """Fields of the item, each with its own table: one-hot (MARN eq. 1), or of a list the mean of its entries."""

    fields: Mapping[str, int] = option(MISSING, "token or token_seq field -> width of its embedding", low=1, least=1)
    kind: Literal["id"] = option("id", "says which kind this is")


@dataclass(frozen=True)
class VectorModality:
    """One precomputed vector per item, read from a `.npy` file with its ids beside it, or from a float_seq field."""

    file: str | None = option(None, "float array (n, width) in a .npy file beside the atomic files")
    ids: str | None = option(None, "file of the item id of each row, one per line; null: the same name with .ids")
    field: str | None = option(None, "float_seq field of the item, in place of a file")
    size: int | None = option(None, "width the vectors must have; null: any", low=1)
    kind: Literal["vector"] = option("vector", "says which kind this is")


@dataclass(frozen=True)
class TextModality:
    """Words of a token_seq field of the item, read by a text CNN."""

    field: str = option(MISSING, "token_seq field of the item")
    word_vectors: str | None = option(None, "float array of a vector per word, .npy with its words beside it in .ids")
    word_size: int = option(64, "width of learned word vectors (unused with word_vectors)", low=1, high=4096)
    train_words: bool | None = option(None, "learn the word vectors; null: only when none are given")
    windows: Sequence[int] = option((2, 3, 4), "words a window of the text CNN spans", low=1, least=1)
    filters: int = option(64, "filters per window", low=1, high=65536)
    max_words: int = option(32, "longest title kept", low=1, high=10**5)
    kind: Literal["text"] = option("text", "says which kind this is")


@dataclass(frozen=True)
class StatisticModality:
    """Numbers of an item, each cut into equal-frequency bins at several resolutions (paper section 3.1)."""

    fields: Sequence[str] = option(
        MISSING,
        "train_interactions, float fields of the item; log: exposures, clicks, click_rate, purchases, purchase_rate",
        least=1,
    )
    bins: Sequence[int] = option((10, 100), "numbers of equal-frequency bins", paper="10 and 100", low=2, least=1)
    size: int = option(8, "width of a bin's embedding", paper="8", low=1, high=4096)
    kind: Literal["statistic"] = option("statistic", "says which kind this is")


ModalitySettings = IdModality | VectorModality | TextModality | StatisticModality
KINDS: dict[str, type] = {
    "id": IdModality,
    "vector": VectorModality,
    "text": TextModality,
    "statistic": StatisticModality,
}


@dataclass(frozen=True)
class BehaviourSettings:
    """Which fields of an event form the behaviour property p_t of APGRU (both optional)."""

    kind: str | None = option(None, "token field with the behaviour's type")
    time: str | None = option(None, "time field; the seconds to the row's time are binned")
    size: int = option(8, "width of each embedding of the property", low=1, high=4096)
    bins: Sequence[int] = option((10, 100), "numbers of equal-frequency bins of the time", low=2, least=1)


@dataclass(frozen=True)
class DataSettings:
    """Which rows exist and what the items look like."""

    modalities: Mapping[str, Any] = option(
        {"ids": {"kind": "id", "fields": {"item_id": 32}}}, "{kind: id | vector | text | statistic, ...} for each name"
    )
    use_modalities: Sequence[str] | None = option(None, "names of the modalities to use; null: all")
    behaviour: Mapping[str, Any] | None = option(None, "behaviour type and time fields; null: neither")
    repeats: Literal["error", "first", "keep"] | None = option(
        None, "behaviours that repeat a (user, item) pair, or its type; null: error, and keep in a log"
    )
    atomic_files: str | None = option(None, "another data set whose files are read; null: its own", least=1)
    columnar_from_mb: float | None = option(
        COLUMNAR_FROM_MB, "MB of an atomic file from which it is read through its columnar twin; null: never", low=0
    )
    split: Literal["leave_last", "time", "random", "field", "files"] = option(
        "leave_last", "how rows become train, valid and test; the last three need a label"
    )
    split_times: Sequence[float] | None = option(None, "start of validation and of test; null: the last two days")
    split_ratios: Sequence[float] = option((0.8, 0.1, 0.1), "split random: shares of the parts", low=0, least=3)
    split_order: Literal["random", "time"] = option("random", "split random: order of the requests that are cut")
    split_group: Literal["none", "user"] = option("none", "split random: cut all requests, or each user's")
    split_unit: Literal["request", "row"] = option("request", "split random: what is kept whole")
    split_field: str | None = option(None, "split field: token column that says train, valid or test")
    split_files: Sequence[str] | None = option(None, "split files: DATASET.NAME.inter for the three NAMEs", least=3)
    id_min_count: int | None = option(
        None, "items with fewer clicks (log: exposures) in training share one embedding of their id; null: none", low=1
    )
    train_sampling: Sampling = option("uniform", "how training negatives are drawn", paper="uniform")
    eval_sampling: Sampling = option("uniform", "how validation and test negatives are drawn", paper="uniform")
    also_test: Sequence[Sampling] = option((), "further samplings the test positives are scored against")
    negatives_from: Literal["all", "released"] = option("all", "items a negative may come from", paper="all")
    release_field: str | None = option(None, "float field of the item with its release time; null: its first event")
    train_last: int | None = option(None, "training rows: each user's last N training clicks; null: all", low=1)
    train_negatives: int = option(1, "negatives per training positive", paper="1", low=1, high=1000)
    eval_negatives: int = option(20, "negatives per validation or test positive", paper="1", low=1, high=1000)
    matched_pool: int = option(100, "items a count-matched negative is drawn from, at least", low=1)
    resample_negatives: bool = option(False, "draw new training negatives in every epoch")
    shuffle_by: Literal["group", "row"] = option("group", "training batches of whole groups, or of single rows")
    sample_seed: int = option(2020, "seed of all negatives, apart from the training seed", low=0)
    label: Mapping[str, Any] | None = option(None, "log: {field, at_least}; null: every line is a click")
    request: Mapping[str, Any] | None = option(None, "log: {field}; null: a user's rows of one time are one request")
    user: Mapping[str, Any] | None = option(None, "log: {fields: {name: width}} of the user's profile")
    context: Mapping[str, Any] | None = option(None, "log: {fields: {name: width}} of the moment and place")
    position: Mapping[str, Any] | None = option(None, "log: {field, at_serving}, a context field fixed when served")
    behaviours: Mapping[str, Any] | None = option(
        None, "log: {file, types, row_types, purchase_types}; null: histories are of clicked rows"
    )
    histories: Literal["before", "earlier", "given"] = option(
        "before",
        "before: behaviours before the row, clicks of its very time by hash; earlier: without these, as always in a"
        " log; given: log, lists in the row (item_id_list)",
    )
    keep_negatives: float = option(
        1.0, "log: share of the training rows without a click that is kept", low=1e-6, high=1
    )
    statistics_until: Literal["snapshot", "row"] = option(
        "snapshot", "log: statistics in evaluation as of the end of training, or of the row's time"
    )

    def modality_settings(self) -> dict[str, ModalitySettings]:
        """The modalities in use, parsed and checked, in the order of the file.

        Raises:
            InputError: `modalities` or `use_modalities` is of another form or names what is not there; or as
                `parse_modality`.
        """
        if not isinstance(self.modalities, Mapping) or not self.modalities:
            raise InputError(
                "key 'modalities' to map at least one name to {kind: id|vector|text|statistic, ...}",
                repr(self.modalities),
                "Describe the items of this dataset in its YAML (see properties/dataset/ml-1m.yaml).",
            )
        parsed = {name: parse_modality(name, value) for name, value in self.modalities.items()}
        if self.use_modalities is None:
            return parsed
        for name in self.use_modalities:
            if name not in parsed:
                near = nearest(name, parsed)
                raise InputError(
                    f"use_modalities to name modalities of the dataset ({', '.join(parsed)})",
                    repr(name),
                    f"Correct the name.{near}" if near else "Describe it under modalities, or leave it out.",
                )
        if not self.use_modalities:
            raise InputError(
                "use_modalities to name at least one modality", "an empty list", "Name one or leave it out."
            )
        return {name: parsed[name] for name in parsed if name in self.use_modalities}

    def statistic_fields(self) -> set[str]:
        """What the statistic modalities in use count or read."""
        statistics = [m for m in self.modality_settings().values() if isinstance(m, StatisticModality)]
        return {field for statistic in statistics for field in statistic.fields}

    def log_statistics(self) -> set[str]:
        """What is counted of items or of users of a log."""
        of_users = {USER_STATISTICS[field] for field in self.user_settings().fields if field in USER_STATISTICS}
        return self.statistic_fields().intersection(STATISTICS) | of_users

    @property
    def counts_purchases(self) -> bool:
        """Whether purchases are counted."""
        return not self.log_statistics().isdisjoint(OF_BEHAVIOURS)

    def behaviour_settings(self) -> BehaviourSettings:
        """What a model reads of a behaviour beside its item."""
        return from_mapping(BehaviourSettings, self.behaviour or {}, where="behaviour")

    # ------------------------------------------------------------------------------------------ click logs
    def label_settings(self) -> LabelSettings | None:
        """Where labels are, or None where every line is a click."""
        return _parsed(LabelSettings, self.label, "label")

    def request_settings(self) -> RequestSettings | None:
        """Which rows are of one request, or None where nothing says so."""
        return _parsed(RequestSettings, self.request, "request")

    def user_settings(self) -> ContextSettings:
        """Fields of the profile, which may be none."""
        return from_mapping(ContextSettings, self.user or {"fields": {}}, where="user")

    def context_settings(self) -> ContextSettings:
        """Fields of the context, which may be none."""
        return from_mapping(ContextSettings, self.context or {"fields": {}}, where="context")

    def position_settings(self) -> PositionSettings | None:
        """Where positions are, or None where there are none."""
        return _parsed(PositionSettings, self.position, "position")

    def behaviours_settings(self) -> BehavioursSettings | None:
        """Behaviours in a file of their own, or None."""
        return _parsed(BehavioursSettings, self.behaviours, "behaviours")


def token_fields(modalities: Iterable[ModalitySettings], *, words: bool = True) -> set[str]:
    """The token fields of items that modalities read; without `words` those of ids alone."""
    found: set[str] = set()
    for modality in modalities:
        if isinstance(modality, IdModality):
            found |= set(modality.fields)
        elif isinstance(modality, TextModality) and words:
            found.add(modality.field)
    return found


# Keys that need a label.
LOG_KEYS = (
    "request", "user", "context", "position", "behaviours", "histories", "keep_negatives", "statistics_until",
    "split_ratios", "split_order", "split_group", "split_unit", "split_field", "split_files",
)  # fmt: skip
# Settings that decide which rows exist outside training.
ROW_SETTINGS = (
    "split", "split_times", "repeats", "eval_sampling", "negatives_from", "release_field", "eval_negatives",
    "matched_pool", "sample_seed", "label", "request", "split_ratios", "split_order", "split_group", "split_unit",
    "split_field", "split_files", "val_interval", "user_inter_num_interval", "item_inter_num_interval",
    "filter_inter_by_user_or_item", "rm_dup_inter", "atomic_files",
)  # fmt: skip
# Keys that one split alone reads.
SPLIT_KEYS = {"split_times": "time", "split_ratios": "random", "split_order": "random", "split_group": "random"}
SPLIT_KEYS |= {"split_unit": "random", "split_field": "field", "split_files": "files"}


def _parsed(kind: type, values: Mapping[str, Any] | None, where: str) -> Any:
    return None if values is None else from_mapping(kind, values, where=where)


def parse_modality(name: str, value: Any) -> ModalitySettings:
    """One entry of `modalities` as its dataclass.

    Raises:
        InputError: another kind, or a key or value that its kind does not have.
    """
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind not in KINDS:
        raise InputError(
            f"modality '{name}' to be a mapping with kind: one of {', '.join(KINDS)}",
            repr(value),
            f"Set its kind.{nearest(kind, KINDS)}",
        )
    return from_mapping(KINDS[kind], value, where=f"modality '{name}'")
