"""amazon-clothing-synthetic-log: a made-up click log, with the probability of every click written down.

Requests show ten garments each to one user at one time. An exposure is clicked with probability sigma(z), where

    z = BASE + position + context + profile + photo + title

- position: the further down, the fewer clicks;
- context: the device and the hour of the request;
- profile: the taste group, told by the age, likes a third of the categories;
- photo: taste . style. The style of an item is two numbers that only its photo shows; the taste of a user is two signs
  that no profile tells, only what the user did before. Without a photo there is no style to see, and fewer clicks;
- title: its first word names the appeal of an item, in seven degrees.

City and price decide nothing. What users did elsewhere in the shop is in the behaviours, beside the clicks of the log.
Half of the clicks there are for oneself and half for somebody of the opposite taste; what is for oneself is often put
into the cart, what is for others hardly ever. So clicks alone do not tell a taste, carts do: the behaviour type matters.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_marn.prepare.datasets.synthetic_words import CATEGORIES, SHARED_WORDS, TITLE_WORDS
from recbole_marn.prepare.sources import Options

__all__ = ["NAME", "Behaved", "Log", "Sizes", "World", "log_odds", "make_behaviours", "make_log"]

NAME = "amazon-clothing-synthetic-log"
GENERATOR = 1  # raise when a change here changes the files

SHOWN = 10  # items a request
START, DAYS, DAY = 1_388_534_400, 8, 86_400  # 2014-01-01; the last day is for test, the one before for validation
BEFORE = 20  # days of behaviours before the log
AGES = ("18-24", "25-34", "35-44", "45-54", "55-64", "65-74")  # two ages are a taste group
CITIES = ("Ashby", "Brill", "Corfe", "Dale", "Eyam", "Frome", "Gunby", "Hope")
GROUPS = 3
DEVICES, DEVICE_SHARES = ("app", "web", "tv"), (0.5, 0.35, 0.15)
IMAGE_WIDTH, FACTORS = 16, 2
NEW_SHARE, NEW_WEIGHT = 0.06, 3.0  # items released on the day of test, and how much more they are shown then
NO_PHOTO, NO_PRICE = 0.08, 0.15
TASTES = np.array([(a, b) for a in (-1, 1) for b in (-1, 1)])  # (4, FACTORS)

BASE = -3.95
POSITION = -0.21  # each step down
DEVICE = (0.45, -0.3, -0.8)
HOUR = 0.55  # amplitude; most clicks at 21, fewest at 9
LIKED, DISLIKED = 0.85, -0.45  # categories of the own group, and the others
STYLE, UNSEEN = 0.45, -0.5
APPEAL = 0.3

FOR_ONESELF = 0.5
CARTS, CARTS_FOR_OTHERS, PURCHASES = 0.6, 0.03, 0.5  # of clicks, of clicks, of carts
CHOOSY = 1.2  # how strongly what is clicked elsewhere follows the taste
LEAST_CLICKS, MEAN_CLICKS = 8, 15  # of a user elsewhere


@dataclass(frozen=True)
class Sizes:
    """How much is made."""

    users: int = 1200
    items: int = 800
    requests: int = 8000


class World:
    """Items and users; all arrays are indexed by item or user number.

    Attributes:
        category, appeal (degree 0 to 6), popularity, price (I,); style (I, FACTORS); pictured, new (I,) bool.
        age, city (U,); taste (U,), a row of `TASTES`.
    """

    def __init__(self, draw: np.random.RandomState, sizes: Sizes):
        items, users = sizes.items, sizes.users
        self.category = np.sort(draw.randint(len(CATEGORIES), size=items))
        self.appeal = draw.randint(7, size=items)
        signs = 2 * draw.randint(2, size=(items, FACTORS)) - 1
        self.style = signs * (0.7 + 0.6 * draw.rand(items, FACTORS))
        self.pictured = draw.rand(items) >= NO_PHOTO
        self.new = draw.rand(items) < NEW_SHARE
        self.popularity = np.exp(0.8 * draw.standard_normal(items))
        self.price = np.round(np.exp(3.0 + 0.05 * self.category + 0.5 * draw.standard_normal(items)), 2)
        self.priced = draw.rand(items) >= NO_PRICE
        self.age = draw.randint(len(AGES), size=users)
        self.city = draw.randint(len(CITIES), size=users)
        self.taste = draw.randint(len(TASTES), size=users)
        self.activity = draw.gamma(2.0, size=users)

    @property
    def group(self) -> np.ndarray:
        """(U,) the taste group, which the age tells."""
        return self.age // (len(AGES) // GROUPS)

    def match(self, taste: np.ndarray, item: np.ndarray) -> np.ndarray:
        """taste . style of rows of `TASTES` and items that broadcast; 0 where there is no photo."""
        product = TASTES[taste] * self.style[item]
        return product.sum(axis=-1) * self.pictured[item]

    def chosen_elsewhere(self) -> np.ndarray:
        """(4, I): how likely each taste chooses each item elsewhere in the shop; new items are not there yet."""
        weight = self.popularity * ~self.new * np.exp(CHOOSY * self.match(np.arange(4)[:, None], np.arange(len(self.new))))
        return weight / weight.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Log:
    """Exposures, ordered by time, ten in a row a request.

    Attributes:
        request, user, item, position (from 0), device, hour, label: (n,) int.
        time: (n,) unix seconds.
        probability: (n,) float16, of a click: the labels were drawn from these very numbers.
    """

    request: np.ndarray
    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    position: np.ndarray
    device: np.ndarray
    hour: np.ndarray
    probability: np.ndarray
    label: np.ndarray


@dataclass(frozen=True)
class Behaved:
    """Behaviours elsewhere and in the log, ordered by time.

    Attributes:
        user, item, kind: (n,) int; kind 0 click, 1 cart, 2 purchase.
        time: (n,) unix seconds.
        elsewhere: (m, 4) int, the clicks elsewhere alone: user, item, time, whether the item went into the cart.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    kind: np.ndarray
    elsewhere: np.ndarray


KINDS = ("click", "cart", "purchase")


def log_odds(world: World, log: Log, taste: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The parts of z, each (n,); `taste` (n,) instead of the users' own."""
    liked = world.group[log.user] == world.category[log.item] % GROUPS
    match = world.match(world.taste[log.user] if taste is None else taste, log.item)
    evening = np.cos(2 * np.pi * (log.hour - 21) / 24)
    return {
        "position": POSITION * (log.position - (SHOWN - 1) / 2),
        "context": np.array(DEVICE)[log.device] + HOUR * evening,
        "profile": np.where(liked, LIKED, DISLIKED),
        "photo": np.where(world.pictured[log.item], STYLE * match, UNSEEN),
        "title": APPEAL * (world.appeal[log.item] - 3) / 2,
    }


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def make_log(world: World, draw: np.random.RandomState, requests: int) -> Log:
    """Who was shown what, and what of it was clicked."""
    share = np.cumsum(world.activity) / world.activity.sum()
    user = np.searchsorted(share, draw.rand(requests) * (1 - 1e-9))
    # From day to day the same, within the day mostly in the afternoon and evening.
    hour = np.minimum(23, np.floor(24 * np.maximum(draw.rand(requests), draw.rand(requests)))).astype(int)
    day = draw.randint(DAYS, size=requests)
    time = START + DAY * day + 3600 * hour + draw.randint(3600, size=requests)
    order = np.argsort(time, kind="stable")
    user, hour, day, time = user[order], hour[order], day[order], time[order]
    device = np.searchsorted(np.cumsum(DEVICE_SHARES), draw.rand(requests) * (1 - 1e-9))

    item = np.empty((requests, SHOWN), int)
    for start in range(0, requests, 1000):
        piece = slice(start, start + 1000)
        test_day = (day[piece] == DAYS - 1)[:, None]
        weight = world.popularity * np.where(world.new, NEW_WEIGHT * test_day, 1.0)
        with np.errstate(divide="ignore"):
            key = np.log(weight) + draw.gumbel(size=weight.shape)  # the ten largest: drawn without replacement
        item[piece] = np.argsort(-key, axis=1, kind="stable")[:, :SHOWN]

    def each(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, SHOWN)

    position, unknown = np.tile(np.arange(SHOWN), requests), np.zeros(0)
    log = Log(each(np.arange(requests)), each(user), item.ravel(), each(time), position, each(device), each(hour),
              unknown, unknown)  # fmt: skip
    z = BASE + sum(log_odds(world, log).values())
    probability = sigmoid(z).astype(np.float16)
    label = (draw.rand(len(z)) < probability).astype(int)
    return Log(**(vars(log) | {"probability": probability, "label": label}))


def make_behaviours(world: World, log: Log, draw: np.random.RandomState) -> Behaved:
    """Clicks elsewhere in the shop and in the log, and the carts and purchases that follow."""
    users = len(world.taste)
    number = LEAST_CLICKS + draw.poisson(MEAN_CLICKS - LEAST_CLICKS, size=users)
    user = np.repeat(np.arange(users), number)
    own = draw.rand(len(user)) < FOR_ONESELF
    taste = np.where(own, world.taste[user], len(TASTES) - 1 - world.taste[user])  # the last taste is the first, negated
    chance = draw.rand(len(user)) * (1 - 1e-9)
    item = np.empty(len(user), int)
    for kind, shares in enumerate(world.chosen_elsewhere()):
        item[taste == kind] = np.searchsorted(np.cumsum(shares), chance[taste == kind])
    time = START - DAY * BEFORE + np.floor(DAY * (BEFORE + DAYS) * draw.rand(len(user))).astype(int)
    carted = draw.rand(len(user)) < np.where(own, CARTS, CARTS_FOR_OTHERS)
    elsewhere = np.stack([user, item, time, carted], axis=1)

    clicked = log.label == 1
    user, item = np.append(user, log.user[clicked]), np.append(item, log.item[clicked])
    time = np.append(time, log.time[clicked])
    carted = np.append(carted, draw.rand(clicked.sum()) < CARTS)
    bought = carted & (draw.rand(len(user)) < PURCHASES)
    cart_time = time + draw.randint(20, 3600, size=len(user))
    purchase_time = cart_time + draw.randint(60, 2 * DAY, size=len(user))
    pieces = [
        np.stack([user[which], item[which], when[which], np.full(which.sum(), kind)])
        for kind, (which, when) in enumerate(((time > 0, time), (carted, cart_time), (bought, purchase_time)))
    ]
    user, item, time, kind = np.concatenate(pieces, axis=1)
    order = np.lexsort((kind, item, user, time))
    order = order[time[order] < START + DAY * DAYS]  # what comes after the last day was not yet seen
    return Behaved(user[order], item[order], time[order], kind[order], elsewhere)


def make_photos(world: World, draw: np.random.RandomState) -> np.ndarray:
    """(I, IMAGE_WIDTH): the look of the category and the style, mixed, with noise; no matrix product, see `synthetic`."""
    looks = 0.7 * draw.standard_normal((len(CATEGORIES), IMAGE_WIDTH))
    mixing = draw.standard_normal((FACTORS, IMAGE_WIDTH))
    picture = (world.style[:, :, None] * mixing).sum(axis=1) + looks[world.category]
    return picture + 0.3 * draw.standard_normal(picture.shape)
