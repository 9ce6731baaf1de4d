"""YAML and command-line keys as frozen dataclasses: each key is known, typed and in range, or the run stops."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import numbers
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import Any, Literal

from recbole_marn.errors import InputError

__all__ = [
    "BehaviourSettings",
    "CTRSettings",
    "DIENSettings",
    "DINSettings",
    "DUPNSettings",
    "DataSettings",
    "DenseFusionSettings",
    "GRUSettings",
    "IdModality",
    "MARNSettings",
    "MMSSSettings",
    "ModalitySettings",
    "NAMLSettings",
    "StatisticModality",
    "TextModality",
    "TrainSettings",
    "VectorModality",
    "XDeepFMSettings",
    "from_mapping",
    "nearest",
    "option",
]

Sampling = Literal["uniform", "popularity", "matched"]
Activation = Literal["relu", "leakyrelu", "tanh", "none"]


def option(
    default: Any, text: str, *, low: float | None = None, high: float | None = None, least: int = 0
) -> Any:
    """A dataclass field with a one-line help text, for numbers an inclusive range, for lists a least length.

    The range of a list or mapping of numbers is that of its entries.
    """
    return dataclasses.field(default=default, metadata={"help": text, "low": low, "high": high, "least": least})


def nearest(name: str, known: Iterable[str]) -> str:
    """`" Did you mean 'x'?"` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


# ------------------------------------------------------------------------------------------- modalities
@dataclass(frozen=True)
class IdModality:
    """One-hot fields of the item, each with its own table (MARN eq. 1)."""

    fields: Mapping[str, int] = option(MISSING, "token field -> width of its embedding", low=1, least=1)
    kind: Literal["id"] = "id"


@dataclass(frozen=True)
class VectorModality:
    """One precomputed vector per item, read from a `.npy` file with its ids beside it, or from a float_seq field."""

    file: str | None = None
    ids: str | None = None
    field: str | None = None
    size: int | None = option(None, "width the vectors must have; null: any", low=1)
    kind: Literal["vector"] = "vector"


@dataclass(frozen=True)
class TextModality:
    """Words of a token_seq field of the item, read by a text CNN."""

    field: str
    word_vectors: str | None = None
    word_size: int = option(64, "width of learned word vectors (unused with word_vectors)", low=1)
    train_words: bool | None = option(None, "learn the word vectors; null: only when none are given")
    windows: Sequence[int] = option((2, 3, 4), "words a window of the text CNN spans", low=1, least=1)
    filters: int = option(64, "filters per window", low=1)
    max_words: int = option(32, "longest title kept", low=1)
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class StatisticModality:
    """Numbers of an item, each cut into equal-frequency bins at several resolutions (paper section 3.1)."""

    fields: Sequence[str] = option(MISSING, "train_interactions, or float fields of the item", least=1)
    bins: Sequence[int] = option((10, 100), "numbers of equal-frequency bins; paper 10 and 100", low=2, least=1)
    size: int = option(8, "width of a bin's embedding; paper 8", low=1)
    kind: Literal["statistic"] = "statistic"


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
    size: int = option(8, "width of each embedding of the property", low=1)
    bins: Sequence[int] = option((10, 100), "numbers of equal-frequency bins of the time", low=2, least=1)


# ------------------------------------------------------------------------------------------------- data
@dataclass(frozen=True)
class DataSettings:
    """Which rows exist and what the items look like."""

    modalities: Mapping[str, Any] = option(None, "name -> modality; at least one")
    use_modalities: Sequence[str] | None = option(None, "names of the modalities to use; null: all")
    behaviour: Mapping[str, Any] | None = option(None, "behaviour type and time fields; null: neither")
    repeats: Literal["error", "first", "keep"] = option("error", "events that repeat a (user, item) pair")
    split: Literal["leave_last", "time"] = option("leave_last", "how events become train, valid and test")
    split_times: Sequence[float] | None = option(None, "start of validation and of test; null: the last two days")
    train_sampling: Sampling = option("uniform", "how training negatives are drawn; paper uniform")
    eval_sampling: Sampling = option("uniform", "how validation and test negatives are drawn; paper uniform")
    also_test: Sequence[Sampling] = option((), "further samplings the test positives are scored against")
    negatives_from: Literal["all", "released"] = option("all", "items a negative may come from; paper all")
    release_field: str | None = option(None, "float field of the item with its release time; null: its first event")
    train_last: int | None = option(None, "training rows: each user's last N training clicks; null: all", low=1)
    train_negatives: int = option(1, "negatives a training positive; paper 1", low=1, high=1000)
    eval_negatives: int = option(20, "negatives a validation or test positive; paper 1", low=1, high=1000)
    matched_pool: int = option(100, "items a count-matched negative is drawn from, at least", low=1)
    resample_negatives: bool = option(False, "draw new training negatives in every epoch")
    shuffle_by: Literal["group", "row"] = option("group", "training batches of whole groups, or of single rows")
    sample_seed: int = option(2020, "seed of all negatives, apart from the training seed", low=0)

    def modality_settings(self) -> dict[str, ModalitySettings]:
        """The modalities in use, parsed and checked, in the order of the file."""
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

    def behaviour_settings(self) -> BehaviourSettings:
        return from_mapping(BehaviourSettings, self.behaviour or {}, where="behaviour")


def parse_modality(name: str, value: Any) -> ModalitySettings:
    """One entry of `modalities` as its dataclass."""
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind not in KINDS:
        raise InputError(
            f"modality '{name}' to be a mapping with kind: one of {', '.join(KINDS)}",
            repr(value),
            f"Set its kind.{nearest(kind, KINDS)}",
        )
    return from_mapping(KINDS[kind], value, where=f"modality '{name}'")


# --------------------------------------------------------------------------------------------- training
@dataclass(frozen=True)
class TrainSettings:
    """What the trainer needs beyond RecBole's own training keys."""

    adagrad_init: float = option(0.1, "AdaGrad's first accumulator; 0.1 as TensorFlow, 0 as PyTorch", low=0)
    threads: int | None = option(1, "CPU threads of torch; null: torch's own choice", low=1)
    resume: bool = option(False, "go on from the last finished epoch of the same run")
    run_name: str | None = option(None, "name of the run's files; null: from model, dataset, seed and settings")
    probe_every: int | None = option(None, "steps between reports on the adversary, kept in the history", low=1)


# ----------------------------------------------------------------------------------------------- models
@dataclass(frozen=True)
class CTRSettings:
    """Keys of every multimodal CTR model here."""

    width: int = option(64, "D, width of every modality and of the item vector; paper 256", low=1, high=4096)
    modality_norm: Literal["none", "batch"] = option("none", "batch normalisation of each aligned modality e_m (ours)")
    prediction_hidden: Sequence[int] = option((128, 64), "hidden layers of the prediction; paper [128, 64]", low=1)
    prediction_product: bool = option(False, "add u * candidate to the prediction's input; paper false")
    dropout: float = option(0.0, "dropout in the prediction network", low=0, high=0.95)
    reference_kernels: bool = option(False, "use the slow, readable kernels of the title and image encoders")


@dataclass(frozen=True)
class MARNSettings(CTRSettings):
    """Every switch of MARN; the first choice is the paper's reading (docs/models.md)."""

    fusion: Literal["maf", "conc"] = option("maf", "attention (eqs. 2, 3) or plain sum of the modalities")
    adversary: Literal["double", "single", "none"] = option("double", "DDMA, one discriminator, or no invariant branch")
    rnn: Literal["apgru", "gru"] = option("apgru", "behaviour property in the update gate, or a plain GRU")
    pooling: Literal["attention", "last"] = option("attention", "user vector: candidate attention or last state")
    projection_activation: Activation = option("relu", "activation of S_m and I")
    attention_activation: Literal["tanh", "sigmoid"] = option("tanh", "activation of MAF's attention (eq. 3)")
    attention_normalise: bool = option(False, "softmax over the modalities in MAF; for studies")
    lambda0: float = option(0.05, "final weight of L_S and L_D1; paper .01 to 1.8", low=0)
    gamma: float = option(10.0, "steepness of the lambda schedule; paper 10", low=0)
    lambda_placement: Literal["loss", "reversal"] = option("loss", "lambda on the loss or in the gradient reversal")
    adversary_epochs: int | None = option(None, "epochs until lambda reaches lambda0; null: all epochs", low=1)
    degree_target: Literal["loss", "feature", "both"] = option("loss", "where the degree w acts for D1")
    degree_normalise: Literal["none", "batch_mean"] = option("none", "divide w by its mean per modality (as IWAN)")
    discriminator_hidden: Sequence[int] = option((), "hidden layers of D0 and D1; paper none (one matrix)", low=1)
    share_discriminator: bool = option(True, "D_s and D1 share their matrix (paper)")
    specific_discriminator: bool = option(True, "train S_m with L_S; also in the single-adversary row")
    specific_stop: Literal["aligned", "raw"] = option("aligned", "L_S stops before the aligned e_m, or at its table")
    adversary_into_embedding: bool = option(False, "let L_D1 reach the embeddings below I")
    adversary_items: Literal["all", "candidate"] = option("all", "items in the three discriminator losses")
    adversary_reduction: Literal["mean", "sum_modalities"] = option("mean", "over modalities: mean or sum")
    discriminator_rate: float = option(1.0, "learning rate of D1 relative to the rest", low=0)
    invariant_pooling: Literal["max", "mean"] = option("max", "over the weighted invariant features")
    invariant_norm: Literal["none", "batch", "whiten"] = option("none", "normalise I's output per modality (ours)")
    invariant_codes: int | None = option(None, "c is one of so many balanced code vectors; null: I's output", low=2)
    alignment_weight: float = option(0.0, "weight of L_A, which pulls c of an item's modalities together (ours)", low=0)
    gate: Literal["concat", "prop_only", "no_hidden", "scale", "none"] = option("concat", "APGRU's update gate")
    hidden_size: int | None = option(None, "H of the GRU; null: width", low=1)
    attention_hidden: Sequence[int] = option((64,), "hidden layers of the candidate attention", low=1)
    attention_values: Literal["state", "state_and_item"] = option("state", "what the candidate attention averages")


@dataclass(frozen=True)
class GRUSettings(CTRSettings):
    """User side of the models that differ in their fusion of modalities."""

    hidden_size: int | None = option(None, "H of the GRU; null: width", low=1)
    pooling: Literal["attention", "last"] = option("last", "user vector: candidate attention or last state")
    attention_hidden: Sequence[int] = option((64,), "hidden layers of the candidate attention", low=1)
    attention_values: Literal["state", "state_and_item"] = option("state", "what the candidate attention averages")


@dataclass(frozen=True)
class DenseFusionSettings(GRUSettings):
    """Keys of DenseMultimodalFusion."""

    levels: int = option(2, "levels at which the modalities meet", low=1, high=16)


@dataclass(frozen=True)
class MMSSSettings(GRUSettings):
    """Keys of MMSS."""

    modality_attention_size: int | None = option(None, "width of the modality attention; null: width", low=1)


@dataclass(frozen=True)
class NAMLSettings(MMSSSettings):
    """Keys of NAML."""

    own_head: bool = option(False, "NAML's own attention over the history and dot product, in place of GRU and MLP")


@dataclass(frozen=True)
class XDeepFMSettings(CTRSettings):
    """Keys of MultimodalxDeepFM."""

    cin_layers: Sequence[int] = option((32, 32), "feature maps of each layer of the CIN; paper 100 or 200", low=1)


@dataclass(frozen=True)
class DINSettings(CTRSettings):
    """Keys of MultimodalDIN."""

    attention_hidden: Sequence[int] = option((64,), "hidden layers of the activation unit; paper [36]", low=1)
    attention_normalise: bool = option(False, "softmax over the history; paper false")


@dataclass(frozen=True)
class DIENSettings(CTRSettings):
    """Keys of MultimodalDIEN."""

    hidden_size: int | None = option(None, "H of both GRUs; null: width", low=1)
    auxiliary_weight: float = option(1.0, "weight of the auxiliary loss; paper 1", low=0)
    auxiliary_hidden: Sequence[int] = option((100, 50), "hidden layers of the auxiliary loss; authors [100, 50]", low=1)


@dataclass(frozen=True)
class DUPNSettings(CTRSettings):
    """Keys of DUPN."""

    hidden_size: int | None = option(None, "H of the LSTM; null: width", low=1)
    attention_hidden: Sequence[int] = option((64,), "hidden layers of the attention", low=1)


# ----------------------------------------------------------------------------------------------- parsing
def from_mapping(kind: type, values: Mapping[str, Any], *, where: str = "", complete: bool = True) -> Any:
    """Build a settings dataclass from a mapping, checking every key, type, choice and range.

    Args:
        kind: the dataclass.
        values: keys and values; with `complete=False` keys that `kind` lacks are ignored (a whole RecBole
            configuration is passed then).
        where: prefix for error texts.

    Raises:
        InputError: unknown or missing key, wrong type, unknown choice or value out of range.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}
    prefix = f"{where}: " if where else ""
    if complete:
        for key in values:
            if key not in fields:
                raise InputError(
                    f"{prefix}keys among {', '.join(fields)}", f"'{key}'", f"Correct the key.{nearest(key, fields)}"
                )
    hints = _hints(kind)
    checked = {}
    for name, field in fields.items():
        if name not in values:
            if field.default is dataclasses.MISSING:
                raise InputError(f"{prefix}key '{name}'", f"only {', '.join(values) or 'nothing'}", f"Add {name}.")
            continue
        checked[name] = _checked(prefix + f"'{name}'", values[name], hints[name], field.metadata)
    return kind(**checked)


# Annotations are text, and evaluating them again for every modality of every run takes longer than all the checks.
_hints = functools.cache(typing.get_type_hints)


def _checked(name: str, value: Any, hint: Any, limits: Mapping[str, Any]) -> Any:
    choices = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in choices:
            return None
        hint = next(choice for choice in choices if choice is not type(None))
        return _checked(name, value, hint, limits)
    if origin is Literal:
        # YAML and Python spell the choice "none" as null / None.
        value = "none" if value is None and "none" in choices else value
        if value not in choices:
            raise InputError(
                f"{name} to be one of {', '.join(choices)}", repr(value), f"Choose one.{nearest(value, choices)}"
            )
        return value
    if origin is Sequence:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise InputError(f"{name} to be a list", repr(value), "Write it as [a, b].")
        _check_length(name, value, limits)
        return tuple(_checked(f"{name} entry", entry, choices[0], limits) for entry in value)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise InputError(f"{name} to be a mapping", repr(value), "Write it as {key: value}.")
        _check_length(name, value, limits)
        return {key: _checked(f"{name} value of {key}", entry, choices[1], limits) for key, entry in value.items()}
    if hint is Any:
        return value
    if not _is_a(value, hint):
        raise InputError(f"{name} to be of type {hint.__name__}", f"{value!r} ({type(value).__name__})", "Correct it.")
    low, high = limits.get("low"), limits.get("high")
    # Negated, so that NaN is out of every range.
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise InputError(f"{name} to be {bounds}", repr(value), "Choose a value in that range.")
    return hint(value)


def _check_length(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    least = limits.get("least") or 0
    if len(value) < least:
        raise InputError(f"{name} to have at least {least} entry", repr(value), "Add one, or leave the key out.")


def _is_a(value: Any, hint: type) -> bool:
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if hint is float:
        return isinstance(value, numbers.Real)
    if hint is int:
        return isinstance(value, numbers.Integral) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, hint)
