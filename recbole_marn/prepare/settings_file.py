"""`DATASET.yaml`: what prepared files are, in the keys of this package; `run --config_files` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from recbole_marn.prepare.logs import RawExposures, RawLog
from recbole_marn.prepare.tables import RawEvents, RawItems

__all__ = ["settings_of_events", "settings_of_log", "spelled"]

ITEM_WIDTH, FIELD_WIDTH, CONTEXT_WIDTH = 32, 16, 8  # of embeddings, a start to be tuned
TITLES = ("title", "movie_title")  # lists whose order says something; any other list is one of tags
DAY = 86_400.0
LEAST_CLICKS = 10  # of a part, fewer of which tell nothing


def settings_of_log(data: RawLog, dataset: str, vectors: Sequence[str], words: bool) -> dict[str, Any]:
    """The settings of a click log.

    Args:
        vectors: modalities whose vectors were written.
        words: vectors of words were written, too.
    """
    exposures, columns = data.exposures, data.exposures.columns()
    settings: dict[str, Any] = {"label": {"field": "label"}}
    if "request_id" in columns:
        settings["request"] = {"field": "request_id"}
    settings |= _split(exposures, dated=not data.counts_time)
    if data.users is not None and data.users.fields:
        settings["user"] = {"fields": dict.fromkeys(data.users.fields, CONTEXT_WIDTH)}
    context = [*(["position"] if "position" in columns else []), *exposures.features]
    if context:
        settings["context"] = {"fields": dict.fromkeys(context, CONTEXT_WIDTH)}
    if "position" in columns:
        settings["position"] = {"field": "position", "at_serving": _first_place(exposures.position.tokens)}
    if data.behaviours is not None:
        settings["behaviours"] = {"file": f"{dataset}.behaviours"}
    # Histories that are made of the log's own clicks have times and no types.
    known = ("timestamp",) if data.behaviours is None else tuple(data.behaviours.columns())
    settings["behaviour"] = _behaviour(known)
    settings["modalities"] = _modalities(data.items, vectors, words)
    load = {"inter": list(columns), "item": ["item_id", *data.items.fields]}
    if data.users is not None:
        load["user"] = ["user_id", *data.users.fields]
    # A mean over users is none where nobody has rows of both classes.
    return settings | {"load_col": load, "normalize_all": False, "valid_metric": "AUC"}


def settings_of_events(events: RawEvents, items: RawItems, vectors: Sequence[str], words: bool) -> dict[str, Any]:
    """The settings of clicks, of which `repeats` are left out if there are any; arguments as of `settings_of_log`."""
    behaves = events.behavior is not None
    columns = ["user_id", "item_id", "timestamp", *(["behavior_type"] if behaves else [])]
    return {
        "repeats": "first" if events.distinct_pairs() < len(events) else "error",
        "split": "leave_last",
        "behaviour": _behaviour(columns),
        "modalities": _modalities(items, vectors, words),
        "load_col": {"inter": columns, "item": ["item_id", *items.fields]},
        "normalize_all": False,
    }


def _first_place(tokens: Sequence[str]) -> int:
    """The lowest place that is a whole number from 0: some logs count places from 1, others from 0."""
    return min((int(token) for token in tokens if token.isascii() and token.isdigit()), default=1)


def spelled(settings: Mapping[str, Any]) -> str:
    """The text of the file."""
    title = "# Made by `recbole-marn prepare`; read with --config_files. The widths are a start.\n"
    return title + yaml.safe_dump(dict(settings), sort_keys=False, default_flow_style=None, width=110)


def _behaviour(columns: Sequence[str]) -> dict[str, str | None]:
    kind, time = (name if name in columns else None for name in ("behavior_type", "timestamp"))
    return {"kind": kind, "time": time}


def _split(exposures: RawExposures, *, dated: bool) -> dict[str, Any]:
    """A day ahead where the last two days and what is before have clicks; else random, with parts that have some."""
    time, label = np.array(exposures.time), np.array(exposures.label, dtype=bool)
    if dated:
        last = np.floor(time.max() / DAY) * DAY
        part = (time >= last - DAY).astype(np.int8) + (time >= last)
        clicks, rows = np.bincount(part, label, minlength=3), np.bincount(part, minlength=3)
        if (clicks >= LEAST_CLICKS).all() and (rows > clicks).all():
            return {"split": "time"}
    many = label.sum() * 0.1 >= LEAST_CLICKS
    return {"split": "random", "split_ratios": [0.8, 0.1, 0.1] if many else [0.6, 0.2, 0.2]}


def _modalities(items: RawItems, vectors: Sequence[str], words: bool) -> dict[str, Any]:
    types = {name: items.type_of(name) for name in items.fields}
    is_id = {name: type_ == "token" or type_ == "token_seq" and name not in TITLES for name, type_ in types.items()}
    ids = {name: FIELD_WIDTH for name in types if is_id[name]}
    modalities: dict[str, Any] = {"ids": {"kind": "id", "fields": {"item_id": ITEM_WIDTH, **ids}}}
    for name in vectors:
        modalities[name] = {"kind": "vector", "file": f"{name}.npy", "ids": f"{name}.ids"}
    taken = {"statistic", *modalities}  # a column of such a name is a modality, too
    for name, type_ in types.items():
        own = f"{name}_column" if name in taken else name
        if type_ == "token_seq" and not is_id[name]:
            modalities[own] = {"kind": "text", "field": name} | ({"word_vectors": "words.npy"} if words else {})
        elif type_ == "float_seq":
            modalities[own] = {"kind": "vector", "field": name}
    floats = [name for name, type_ in types.items() if type_ == "float"]
    return modalities | {"statistic": {"kind": "statistic", "fields": ["train_interactions", *floats]}}
