"""A small synthetic data set in RecBole's atomic files, and settings that train on it in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["MODALITIES", "NAME", "item_tokens", "read_events", "read_items", "settings", "write_dataset", "write_table"]

NAME = "tiny"
IMAGE_WIDTH = 6
WORDS = ("red", "blue", "old", "new", "house", "river", "night", "garden")

MODALITIES: dict[str, Any] = {
    "ids": {"kind": "id", "fields": {"item_id": 4, "category": 3}},
    "image": {"kind": "vector", "file": "image.npy", "ids": "image.ids"},
    "title": {"kind": "text", "field": "title", "word_size": 4, "windows": [1, 2], "filters": 3},
    "statistic": {"kind": "statistic", "fields": ["train_interactions", "price"], "bins": [3], "size": 2},
}

OURS = {"width": 8, "prediction_hidden": [8], "attention_hidden": [4]}
DEEP = {"embedding_size": 4, "mlp_hidden_size": [8]}
SIZES: dict[str, dict[str, Any]] = {
    "MARN": OURS,
    "LR": {"embedding_size": 4},
    "FM": {"embedding_size": 4},
    "xDeepFM": DEEP | {"cin_layer_size": [4]},
    "WideDeep": DEEP,
    "DeepFM": DEEP,
    "AutoInt": DEEP | {"attention_size": 4, "n_layers": 2},
    "DCNV2": DEEP | {"cross_layer_num": 2, "reg_weight": 0.01},
    "DIN": DEEP,
    "DIEN": DEEP,
}


def item_tokens(n_items: int) -> list[str]:
    """Tokens with leading zeros, which must survive every file."""
    return [f"{index:03d}" for index in range(1, n_items + 1)]


def write_dataset(
    folder: Path,
    *,
    name: str = NAME,
    n_users: int = 30,
    n_items: int = 25,
    most_events: int = 8,
    seed: int = 0,
    events: list[tuple[str, str, float, str]] | None = None,
    without_vector: int = 3,
) -> Path:
    """Write `folder/name/name.{inter,item}`, `image.npy` and `image.ids`.

    A user has 1 to `most_events` events on different items, at whole hours of a few days, so that times repeat. One
    item has no title, one no price, and the last `without_vector` items have no vector.

    Args:
        folder: RecBole's data_path.
        events: (user, item, time, behaviour) to write instead of drawn ones.

    Returns:
        The folder of the data set.
    """
    rng = np.random.default_rng(seed)
    tokens = item_tokens(n_items)
    if events is None:
        events = []
        for user in range(n_users):
            # Every length from 1 to most_events occurs, and with it every way to be too short.
            number = 1 + user % most_events
            chosen = rng.choice(n_items, size=number, replace=False)
            hours = np.sort(rng.integers(0, 96, size=number))
            events += [
                (f"u{user}", tokens[item], 3600.0 * hour, ("view", "buy")[rng.integers(2)])
                for item, hour in zip(chosen, hours, strict=True)
            ]
        order = rng.permutation(len(events))
        events = [events[index] for index in order]
    target = folder / name
    target.mkdir(parents=True)
    write_table(target / f"{name}.inter", ["user_id:token", "item_id:token", "timestamp:float", "kind:token"], events)
    titles = [" ".join(rng.choice(WORDS, size=rng.integers(1, 5))) for _ in tokens]
    titles[1] = ""
    prices = [f"{price:.2f}" for price in rng.lognormal(3, 1, n_items)]
    prices[2] = ""
    categories = [("book", "toy", "lamp")[index] for index in rng.integers(3, size=n_items)]
    write_table(
        target / f"{name}.item",
        ["item_id:token", "category:token", "title:token_seq", "price:float"],
        zip(tokens, categories, titles, prices, strict=True),
    )
    order = rng.permutation(n_items - without_vector)
    np.save(target / "image.npy", rng.normal(size=(len(order), IMAGE_WIDTH)).astype(np.float16))
    (target / "image.ids").write_text("".join(f"{tokens[index]}\n" for index in order), encoding="utf-8")
    return target


def write_table(path: Path, header: list[str], rows: Any) -> None:
    """An atomic file."""
    lines = ["\t".join(header), *("\t".join(str(value) for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_events(folder: Path | str, name: str = NAME) -> list[tuple[str, str, float, str]]:
    """(user, item, time, behaviour) of every line, as text says it."""
    lines = (Path(folder) / name / f"{name}.inter").read_text(encoding="utf-8").splitlines()[1:]
    return [(user, item, float(time), kind) for user, item, time, kind in (line.split("\t") for line in lines)]


def read_items(folder: Path | str, name: str = NAME) -> dict[str, dict[str, str]]:
    """Columns by item token."""
    header, *lines = (Path(folder) / name / f"{name}.item").read_text(encoding="utf-8").splitlines()
    fields = [field.split(":")[0] for field in header.split("\t")]
    rows = [dict(zip(fields, line.split("\t"), strict=True)) for line in lines]
    return {row["item_id"]: row for row in rows}


def settings(data_path: Path | str, model: str = "MARN", **changed: Any) -> dict[str, Any]:
    """A configuration dictionary for a few quick steps of a model on a data set of `write_dataset`."""
    return {
        "model": model,
        "dataset": NAME,
        "data_path": str(data_path),
        "modalities": {name: dict(modality) for name, modality in MODALITIES.items()},
        "behaviour": {"kind": "kind", "time": "timestamp", "size": 2, "bins": [3]},
        "MAX_ITEM_LIST_LENGTH": 4,
        "eval_negatives": 3,
        "train_batch_size": 32,
        "eval_batch_size": 64,
        "epochs": 2,
        "learning_rate": 0.01,
        "show_progress": False,
        "use_gpu": False,
        **SIZES.get(model, {}),
        **changed,
    }
