"""A data set in which one modality alone decides the click, and its twin in which nothing does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tiny

__all__ = ["NAME", "with_negatives", "write_planted"]

NAME = "planted"
N_USERS, N_ITEMS, N_EVENTS = 200, 2000, 9
CATEGORIES = ("book", "toy")


def write_planted(folder: Path, *, by: str, taste: bool = True, seed: int = 0) -> None:
    """Write `folder/planted`: items of two kinds, users of two tastes.

    With `taste` a user takes items of one kind only. The kind shows in every number of the image (`by="image"`)
    or in the category (`by="ids"`), and nowhere else: an item occurs about once, so that nobody can learn it by heart.
    """
    rng = np.random.default_rng(seed)
    tokens, kind = tiny.item_tokens(N_ITEMS), np.arange(N_ITEMS) % 2
    events = []
    for user in range(N_USERS):
        wanted = kind == user % 2 if taste else np.ones(N_ITEMS, dtype=bool)
        chosen = rng.choice(np.flatnonzero(wanted), size=N_EVENTS, replace=False)
        events += [(f"u{user}", tokens[item], 3600.0 * time, "view") for time, item in enumerate(chosen)]
    target = tiny.write_dataset(folder, name=NAME, n_items=N_ITEMS, events=events, seed=seed, without_vector=0)
    order = [tokens.index(token) for token in (target / "image.ids").read_text().split()]
    image = rng.normal(size=(N_ITEMS, tiny.IMAGE_WIDTH)) * 0.3
    if by == "image":
        image += 2.0 * kind[:, None] - 1.0
        np.save(target / "image.npy", image[order].astype(np.float16))
        return
    np.save(target / "image.npy", image.astype(np.float16))
    header, *lines = [line.split("\t") for line in (target / f"{NAME}.item").read_text().splitlines()]
    rows = [(token, CATEGORIES[k], *rest) for k, (token, _, *rest) in zip(kind, lines, strict=True)]
    tiny.write_table(target / f"{NAME}.item", header, rows)


def with_negatives(part: Any, *, taste: bool = True) -> Any:
    """A part with other negatives: items of the other kind than the positive, or with `taste=False` any items."""
    rng = np.random.default_rng(("train", "valid", "test").index(part.name))
    rows = part.rows
    tokens = part.field2id_token["item_id"]
    kind = np.array([0] + [int(token) for token in tokens[1:]]) % 2  # as written, by internal id
    positive = rows.events.item[rows.rows.position]
    shape = rows.negatives.shape
    if not taste:
        negatives = rng.integers(1, len(tokens), shape)
    else:
        of_kind = [1 + np.flatnonzero(kind[1:] == value) for value in (0, 1)]
        pick = rng.random(shape)
        negatives = np.empty(shape, dtype=np.int64)
        for value in (0, 1):
            chosen = kind[positive] == value
            others = of_kind[1 - value]
            negatives[chosen] = others[(pick[chosen] * len(others)).astype(np.int64)]
    return dataclasses.replace(part, rows=dataclasses.replace(rows, negatives=negatives))
