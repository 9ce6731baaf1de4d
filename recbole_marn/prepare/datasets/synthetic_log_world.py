"""The users, items and clicks of amazon-clothing-synthetic-log, as numbers.

A request shows ten garments to one user at one time. An exposure is clicked with probability sigmoid(z), where

    z = BASE + position + device + hour + profile + photo + title + eagerness

- position: the further down, the fewer clicks;
- device, hour: the context of the request, the hour as blocks of three;
- profile: the young click more, and each age likes some categories better than the others;
- photo: an item has a style near -1 or +1 that only its photo shows. Clicks go up with style, and with taste x style.
  The taste of a user is -1 or +1; no profile tells it, only what the user did before. Without a photo less is clicked;
- title: its first word names the appeal of an item, in seven degrees;
- eagerness: the eager half of the users click more. Only carts and purchases tell who is eager.

City and price decide nothing. The behaviours are the clicks of the log and, from 20 days before it on, clicks elsewhere
in the shop. Half of these are for oneself and half for somebody of the opposite taste. What is for oneself goes into
the cart often, more so with the eager; what is for others hardly ever. So clicks alone tell no taste, carts do: the
type of a behaviour matters.

NumPy's legacy generator is used because its streams are frozen, and no matrix product, whose rounding depends on the
processor; probabilities are rounded before labels are drawn from them. The files come out the same everywhere.

What is promised of models here must be decided by it, in few MB: of every day as many are clicked as its probabilities
say (`_clicks`), and 20,000 requests tell three ages, twelve categories and photos of eight numbers apart.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from recbole_marn.prepare.datasets.synthetic_words import CATEGORIES

__all__ = [
    "Behaviours",
    "Log",
    "PARTS",
    "Sizes",
    "World",
    "log_odds",
    "make_behaviours",
    "make_log",
    "make_photos",
    "sigmoid",
]

SHOWN = 10  # items a request
START, DAYS, DAY = 1_388_534_400, 8, 86_400  # 2014-01-01, in UTC
PARTS = {"train": range(0, DAYS - 2), "valid": range(DAYS - 2, DAYS - 1), "test": range(DAYS - 1, DAYS)}  # by day
BEFORE = 20  # days of behaviours before the log
AGES = ("18-34", "35-54", "55-74")
CITIES = ("Ashby", "Brill", "Corfe", "Dale", "Eyam", "Frome", "Gunby", "Hope")
DEVICES, DEVICE_SHARES = ("app", "web", "tv"), (0.5, 0.35, 0.15)
KINDS = ("click", "cart", "purchase")
DEGREES = 7  # of appeal
IMAGE_WIDTH = 8
TASTES = np.array([-1, 1])  # the opposite of number t is number 1 - t
NEW_SHARE, NEW_WEIGHT = 0.06, 3.0  # items released on the day of test, and how much more they are shown then
NO_PHOTO, NO_PRICE = 0.08, 0.15

BASE = -3.05  # at the top of a page
POSITION = -0.28  # each step down
DEVICE = (0.5, -0.3, -1.0)
HOURS, HOUR = 3, 0.75  # of a block; half of what lies between 21 o'clock, the best time, and 9, the worst
AGE = (0.8, 0.0, -0.8)
LIKED, DISLIKED = 0.5, -0.25  # categories that an age likes, and the others
STYLE, TASTE, NOTHING_SEEN = 0.45, 0.5, -0.6  # style for all, style for its taste, and an item without photo
EAGER = (-0.5, 0.5)
APPEAL = 0.13  # each degree

FOR_ONESELF = 0.5
CARTS, CARTS_FOR_OTHERS, PURCHASES = (0.25, 0.9), 0.03, 0.5  # of clicks by eagerness, of clicks, of carts
CHOOSY = 1.2  # how strongly clicks elsewhere follow a taste
LEAST_CLICKS, MEAN_CLICKS = 12, 20  # of a user elsewhere


@dataclass(frozen=True)
class Sizes:
    """How much is made: users U, items I, requests."""

    users: int = 900
    items: int = 700
    requests: int = 20_000


class World:
    """Items and users; all arrays are indexed by item or user number.

    Attributes:
        category, appeal (I,) int; pictured, priced, new (I,) bool; style, popularity, price (I,).
        age, city (U,) int; taste (U,) int, into `TASTES`; eager (U,) int, 0 or 1; activity (U,).
    """

    def __init__(self, draw: np.random.RandomState, sizes: Sizes):
        items, users = sizes.items, sizes.users
        self.category = np.sort(draw.randint(len(CATEGORIES), size=items))
        self.appeal = draw.randint(DEGREES, size=items)
        self.style = (2 * draw.randint(2, size=items) - 1) * (0.7 + 0.6 * draw.rand(items))
        self.pictured = draw.rand(items) >= NO_PHOTO
        self.new = draw.rand(items) < NEW_SHARE
        self.popularity = np.exp(0.8 * draw.standard_normal(items))
        self.price = np.round(np.exp(3.0 + 0.05 * self.category + 0.5 * draw.standard_normal(items)), 2)
        self.priced = draw.rand(items) >= NO_PRICE
        self.age = draw.randint(len(AGES), size=users)
        self.city = draw.randint(len(CITIES), size=users)
        self.taste = draw.randint(len(TASTES), size=users)
        self.eager = draw.randint(2, size=users)
        self.activity = draw.gamma(2.0, size=users)

    def likes(self, age: np.ndarray, category: np.ndarray) -> np.ndarray:
        """Whether an age likes a category; bool, of the shape the two broadcast to."""
        return age == category % len(AGES)

    def match(self, taste: np.ndarray, item: np.ndarray) -> np.ndarray:
        """taste x style, of the shape `taste` and `item` broadcast to; 0 where there is no photo."""
        return TASTES[taste] * self.style[item] * self.pictured[item]

    def chosen_elsewhere(self) -> np.ndarray:
        """(2, I) probability that each taste chooses each item elsewhere in the shop; new items are not there yet."""
        match = self.match(np.arange(len(TASTES))[:, None], np.arange(len(self.new)))
        weight = self.popularity * ~self.new * np.exp(CHOOSY * match)
        return weight / weight.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Log:
    """Exposures, ordered by time, the ten of a request in a row.

    Attributes:
        request, user, item, device, hour (0, 3, ..., 21), label: (n,) int; position: (n,) int from 0.
        time: (n,) unix seconds.
        probability: (n,) float16, of a click; the labels are drawn from these very numbers.
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

    def of_part(self, part: str) -> np.ndarray:
        """(n,) bool: the exposures of train, valid or test."""
        return np.isin((self.time - START) // DAY, PARTS[part])


@dataclass(frozen=True)
class Behaviours:
    """What users did elsewhere and in the log, ordered by time.

    Attributes:
        user, item, kind: (n,) int; `kind` into `KINDS`.
        time: (n,) unix seconds.
        elsewhere: (m, 4) int, the clicks elsewhere: user, item, time, whether the item went into the cart.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    kind: np.ndarray
    elsewhere: np.ndarray


def log_odds(
    world: World, log: Log, taste: np.ndarray | int | None = None, eager: np.ndarray | int | None = None
) -> dict[str, np.ndarray]:
    """The parts of z, each (n,); `taste` and `eager` for all instead of everybody's own."""
    match = world.match(world.taste[log.user] if taste is None else taste, log.item)
    eager = world.eager[log.user] if eager is None else np.full(len(log.user), eager)
    return {
        "position": POSITION * log.position,
        "device": np.array(DEVICE)[log.device],
        "hour": HOUR * np.cos(2 * np.pi * (log.hour - 21) / 24),
        "profile": np.array(AGE)[world.age[log.user]]
        + np.where(world.likes(world.age[log.user], world.category[log.item]), LIKED, DISLIKED),
        "photo": np.where(world.pictured[log.item], STYLE * world.style[log.item] + TASTE * match, NOTHING_SEEN),
        "title": APPEAL * (world.appeal[log.item] - DEGREES // 2),
        "eagerness": np.array(EAGER)[eager],
    }


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), of the shape of z."""
    return 1 / (1 + np.exp(-z))


def make_log(world: World, draw: np.random.RandomState, requests: int) -> Log:
    """Who was shown what, and what of it was clicked.

    Args:
        draw: where all chance comes from.
        requests: their number.
    """
    user = _draw_from(world.activity, draw.rand(requests))
    # More in the afternoon and evening than in the morning
    hour = np.floor(24 / HOURS * np.maximum(draw.rand(requests), draw.rand(requests))).astype(int) * HOURS
    day = draw.randint(DAYS, size=requests)
    time = np.sort(START + DAY * day + 3600 * hour + draw.randint(3600 * HOURS, size=requests))
    # One request a second, so that no user has two at one time: those that meet are moved on
    time = np.maximum.accumulate(time - np.arange(requests)) + np.arange(requests)
    day, hour = (time - START) // DAY, (time - START) % DAY // (3600 * HOURS) * HOURS
    device = _draw_from(np.array(DEVICE_SHARES), draw.rand(requests))
    item = np.concatenate([_shown(world, draw, day[start : start + 1000]) for start in range(0, requests, 1000)])

    def each(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, SHOWN)

    log = Log(
        each(np.arange(requests)), each(user), item.ravel(), each(time), np.tile(np.arange(SHOWN), requests),
        each(device), each(hour), np.zeros(0), np.zeros(0),
    )  # fmt: skip
    probability = sigmoid(BASE + sum(log_odds(world, log).values())).astype(np.float16)
    return dataclasses.replace(log, probability=probability, label=_clicks(probability, each(day), draw))


def _clicks(probability: np.ndarray, day: np.ndarray, draw: np.random.RandomState) -> np.ndarray:
    """(n,) labels by systematic sampling: each with its probability, and of each day as many clicks as expected.

    Drawn alone, a day of 1,000 clicks has 3 % more or fewer by chance, and no calibration could be told from a wrong
    one. The rows of a day are put in a random order and a click falls wherever the running sum of probabilities passes
    one more whole number, from a random start. (The sums are exact: these are float16.)
    """
    label = np.zeros(len(probability), int)
    for number in range(DAYS):
        rows = draw.permutation(np.flatnonzero(day == number))
        passed = np.floor(draw.rand() + np.cumsum(probability[rows].astype(np.float64)))
        label[rows] = np.diff(passed, prepend=0) > 0
    return label


def _draw_from(weight: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Numbers of entries of `weight` (K,), of the shape of `chance` in [0, 1)."""
    return np.searchsorted(np.cumsum(weight)[:-1] / weight.sum(), chance, side="right")


def _shown(world: World, draw: np.random.RandomState, day: np.ndarray) -> np.ndarray:
    """(len(day), SHOWN) items, drawn without replacement, from the most popular down as a rule."""
    test_day = np.isin(day, PARTS["test"])[:, None]
    weight = world.popularity * np.where(world.new, NEW_WEIGHT * test_day, 1.0)
    with np.errstate(divide="ignore"):
        key = np.log(weight) + draw.gumbel(size=weight.shape)
    return np.argsort(-key, axis=1, kind="stable")[:, :SHOWN]


def make_behaviours(world: World, log: Log, draw: np.random.RandomState) -> Behaviours:
    """Clicks elsewhere in the shop and in the log, and the carts and purchases that follow."""
    elsewhere = _clicks_elsewhere(world, draw)
    clicked = log.label == 1
    user, item, time = log.user[clicked], log.item[clicked], log.time[clicked]
    carted = draw.rand(len(user)) < np.array(CARTS)[world.eager[user]]
    user, item, time, carted = np.concatenate([elsewhere.T, np.stack([user, item, time, carted])], axis=1)
    bought = (carted == 1) & (draw.rand(len(user)) < PURCHASES)
    cart_time = time + draw.randint(20, 3600, size=len(user))
    purchase_time = cart_time + draw.randint(60, 2 * DAY, size=len(user))
    user, item, time, kind = np.concatenate(
        [
            np.stack([user, item, time, np.zeros_like(user)]),
            np.stack([user, item, cart_time, np.ones_like(user)])[:, carted == 1],
            np.stack([user, item, purchase_time, np.full_like(user, 2)])[:, bought],
        ],
        axis=1,
    )
    order = np.lexsort((kind, item, user, time))
    order = order[time[order] < START + DAY * DAYS]  # when the files are written, the rest has not happened
    return Behaviours(user[order], item[order], time[order], kind[order], elsewhere)


def _clicks_elsewhere(world: World, draw: np.random.RandomState) -> np.ndarray:
    """As `Behaviours.elsewhere`."""
    users = len(world.taste)
    user = np.repeat(np.arange(users), LEAST_CLICKS + draw.poisson(MEAN_CLICKS - LEAST_CLICKS, size=users))
    own = draw.rand(len(user)) < FOR_ONESELF
    taste = np.where(own, world.taste[user], 1 - world.taste[user])
    chance = draw.rand(len(user))
    item = np.empty(len(user), int)
    for number, shares in enumerate(world.chosen_elsewhere()):
        item[taste == number] = _draw_from(shares, chance[taste == number])
    time = START - DAY * BEFORE + np.floor(DAY * (BEFORE + DAYS) * draw.rand(len(user))).astype(int)
    carted = draw.rand(len(user)) < np.where(own, np.array(CARTS)[world.eager[user]], CARTS_FOR_OTHERS)
    return np.stack([user, item, time, carted], axis=1)


def make_photos(world: World, draw: np.random.RandomState) -> np.ndarray:
    """(I, IMAGE_WIDTH): the look of the category and the style, mixed, with noise."""
    looks = 0.3 * draw.standard_normal((len(CATEGORIES), IMAGE_WIDTH))
    direction = draw.standard_normal(IMAGE_WIDTH)
    picture = world.style[:, None] * direction + looks[world.category]
    return picture + 0.2 * draw.standard_normal(picture.shape)
