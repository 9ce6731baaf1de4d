"""amazon-clothing-synthetic-log: the made-up click log as files, with the probability of every click beside it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from recbole_marn.prepare.datasets import synthetic_log_world as made
from recbole_marn.prepare.datasets.synthetic_log_truth import describe_truth
from recbole_marn.prepare.datasets.synthetic_words import CATEGORIES, SHARED_WORDS, TITLE_WORDS
from recbole_marn.prepare.logs import RawBehaviours, RawExposures, RawLog
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import RawItems
from recbole_marn.prepare.vectors import VectorRows

__all__ = ["NAME", "make", "read"]

NAME = "amazon-clothing-synthetic-log"
GENERATOR = 2  # raise when a change here or in `synthetic_log_world` changes the files
SEED = 2024


def read(raw: Path, options: Options) -> RawLog:
    """Make the dataset; there are no raw files and no options."""
    return make(made.Sizes())


def make(sizes: made.Sizes) -> RawLog:
    """The dataset in any size; always the same."""
    draw = np.random.RandomState(SEED)
    world = made.World(draw, sizes)
    log = made.make_log(world, draw, sizes.requests)
    behaved = made.make_behaviours(world, log, draw)
    return RawLog(
        _exposures(log),
        _items(world, draw),
        _users(world),
        _behaviours(behaved),
        sources=[],
        vectors={"image": _photos(world, draw)},
        notes=["SYNTHETIC: made by a program, no shop, no customer, no photo; the truth is in the .truth files"],
        made_by={"command": f"recbole-marn prepare {NAME} --out dataset_atomic", "generator": GENERATOR},
        more_files=_truth(world, log, behaved),
    )


def user_token(number: int) -> str:
    return f"u{number}"


def item_token(number: int) -> str:
    return f"i{number}"


def _exposures(log: made.Log) -> RawExposures:
    exposures = RawExposures({"device": "token", "hour": "token"})
    columns = (log.user, log.item, log.time, log.label, log.request, log.position, log.device, log.hour)
    for user, item, time, label, request, position, device, hour in zip(*map(np.ndarray.tolist, columns), strict=True):
        exposures.add(
            user_token(user), item_token(item), time, label, request=str(request), position=str(position + 1),
            context={"device": made.DEVICES[device], "hour": str(hour)},
        )  # fmt: skip
    return exposures


def _behaviours(behaved: made.Behaviours) -> RawBehaviours:
    behaviours = RawBehaviours()
    columns = (behaved.user, behaved.item, behaved.time, behaved.kind)
    for user, item, time, kind in zip(*map(np.ndarray.tolist, columns), strict=True):
        behaviours.add(user_token(user), item_token(item), time, made.KINDS[kind])
    return behaviours


def _users(world: made.World) -> RawItems:
    users = RawItems(("age", "city"), types={"age": "token", "city": "token"})
    for user, (age, city) in enumerate(zip(world.age, world.city, strict=True)):
        users.add(user_token(user), {"age": made.AGES[age], "city": made.CITIES[city]})
    return users


def _items(world: made.World, draw: np.random.RandomState) -> RawItems:
    """Category, title (appeal, two words that say nothing, what the thing is) and, of most, the price."""
    items = RawItems(("category", "title", "price"))
    words = [draw.randint(len(choices), size=len(world.category)) for choices in SHARED_WORDS]
    for item, category in enumerate(world.category):
        name, noun = CATEGORIES[category]
        idle = [choices[word[item]] for choices, word in zip(SHARED_WORDS, words, strict=True)]
        row: dict[str, str | float] = {
            "category": name,
            "title": " ".join([TITLE_WORDS[0][world.appeal[item]], *idle, noun]),
        }
        if world.priced[item]:
            row["price"] = float(world.price[item])
        items.add(item_token(item), row)
    return items


def _photos(world: made.World, draw: np.random.RandomState) -> VectorRows:
    photos = made.make_photos(world, draw)
    pictured = np.flatnonzero(world.pictured)
    return VectorRows([item_token(item) for item in pictured], photos[pictured], "synthetic")


def _truth(world: made.World, log: made.Log, behaved: made.Behaviours) -> dict[str, bytes]:
    """The truth as JSON, and the probability of each exposure as an array in the order of the `.inter` file."""
    array = io.BytesIO()
    np.save(array, log.probability.astype("<f2"))
    names = [name for name, _ in CATEGORIES]
    likes = {
        age: [name for category, name in enumerate(names) if world.likes(number, category)]
        for number, age in enumerate(made.AGES)
    }
    taste = {
        f"{sign:+d}": " ".join(user_token(user) for user in np.flatnonzero(world.taste == number))
        for number, sign in enumerate(made.TASTES.tolist())
    }
    truth = {
        "synthetic": True,
        "generator": GENERATOR,
        "probabilities": f"{NAME}.truth.npy",
        **describe_truth(world, log, behaved),
        "likes": {age: " ".join(liked) for age, liked in likes.items()},
        "taste": taste,
        "eager": " ".join(user_token(user) for user in np.flatnonzero(world.eager)),
        "style": {item_token(item): round(style, 3) for item, style in enumerate(world.style.tolist())},
        "new_on_the_test_day": " ".join(item_token(item) for item in np.flatnonzero(world.new)),
    }
    text = json.dumps(truth, indent=1) + "\n"
    return {f"{NAME}.truth.json": text.encode(), f"{NAME}.truth.npy": array.getvalue()}
