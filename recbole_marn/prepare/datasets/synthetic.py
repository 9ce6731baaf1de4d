"""amazon-clothing-synthetic: made-up shoppers and garments in Amazon's schema, with the truth behind every choice.

Every item has factors that only one modality shows and factors that image and title share; every user likes some of
each. A user who wants something from category k chooses an item j that is for sale and not yet taken, with utility

    v(u, j) = sum_m  sqrt(importance[k, m]) f_m(u, j)  +  sqrt(SHARED) f_shared(u, j)

where f_m has variance 1 and m runs over ids, image, title and statistic; j maximises SCALE v + Gumbel noise.
The table `importance` is the truth, written to `amazon-clothing-synthetic.truth.json`. What matters little in a
category is also shown little there, as in a shop: photos of socks look alike, watches without a name have no brand.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from recbole_marn.prepare.datasets.synthetic_words import BRANDS, CATEGORIES, SHARED_WORDS, TITLE_WORDS
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import RawDataset, RawEvents, RawItems
from recbole_marn.prepare.vectors import VectorRows

__all__ = ["IMPORTANCE", "MODALITIES", "NAME", "World", "make_items", "make_world", "read"]

NAME = "amazon-clothing-synthetic"
GENERATOR = 1  # raise when a change here changes the files
MODALITIES = ("ids", "image", "title", "statistic")
BEHAVIORS = ("click", "cart", "buy")

USERS, ITEMS, FACTORS, IMAGE_WIDTH = 2000, 1200, 2, 64
MEAN_EVENTS, LEAST_EVENTS, MOST_EVENTS = 24, 6, 100
START, DAYS = 1_388_534_400, 180  # 2014-01-01
COLD_FROM, COLD_SHARE = 0.9, 0.15  # this share of the items is released in the last tenth of the time line
SHARED, SCALE = 0.1, 4.0
DRIFT = np.pi / 8  # how far a taste turns within the time line
# Variance shares of the four modalities; each category has them in another order, each modality leads three times.
_SHARES = (0.55, 0.27, 0.13, 0.05)
_ORDERS = (
    (0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2),
    (1, 0, 3, 2), (1, 2, 0, 3), (1, 3, 2, 0),
    (2, 0, 1, 3), (2, 1, 3, 0), (2, 3, 0, 1),
    (3, 0, 2, 1), (3, 1, 0, 2), (3, 2, 1, 0),
)  # fmt: skip
SHOWN = dict(zip(_SHARES, (1.0, 0.75, 0.5, 0.25), strict=True))  # how much of it is to be seen at each share
IMPORTANCE = np.zeros((len(_ORDERS), len(MODALITIES)))
for _category, _order in enumerate(_ORDERS):
    IMPORTANCE[_category, list(_order)] = _SHARES


def shown(category: np.ndarray | int, modality: str) -> np.ndarray:
    """How much of its own factors a modality shows in a category, from 0.25 to 1."""
    return np.vectorize(SHOWN.get)(IMPORTANCE[category, MODALITIES.index(modality)])


class World:
    """Items, users and their tastes; all arrays are indexed by item or user number.

    Attributes:
        category (I,), release (I,) in [0, 1), factors {modality or "shared": (I, FACTORS)}, appeal (I,).
        taste {name: (2, U, FACTORS)} at the start and, a quarter turn on, where it drifts to; price_taste (U,).
        wants (U, K): how often a user looks into each category.
    """

    def __init__(self, draw: np.random.RandomState):
        self.category = np.sort(draw.randint(len(CATEGORIES), size=ITEMS))
        self.release = np.where(
            draw.rand(ITEMS) < COLD_SHARE,
            COLD_FROM + (1 - COLD_FROM) * draw.rand(ITEMS),
            np.maximum(0.0, 0.9 * draw.rand(ITEMS) - 0.45),  # half of the rest is there from the start
        )
        self.factors = {name: draw.standard_normal((ITEMS, FACTORS)) for name in ("image", "title", "shared")}
        brand_factors = draw.standard_normal((len(BRANDS), FACTORS))
        self.brand = draw.randint(len(BRANDS), size=ITEMS)
        self.factors["ids"] = 0.9 * brand_factors[self.brand] + np.sqrt(1 - 0.81) * draw.standard_normal(
            (ITEMS, FACTORS)
        )
        self.appeal, self.price_level = draw.standard_normal((2, ITEMS))
        self.taste = {name: draw.standard_normal((2, USERS, FACTORS)) for name in ("ids", "image", "title", "shared")}
        self.price_taste = draw.standard_normal(USERS)
        wants = draw.gamma(1.0, size=(USERS, len(CATEGORIES)))
        self.wants = wants / wants.sum(axis=1, keepdims=True)

    def parts(self, user: int, when: float, items: np.ndarray) -> dict[str, np.ndarray]:
        """f_m(user, items) at time `when` in [0, 1], each (len(items),)."""
        turn = DRIFT * when
        parts = {}
        for name, (before, after) in self.taste.items():
            taste = np.cos(turn) * before[user] + np.sin(turn) * after[user]
            parts[name] = (self.factors[name][items] * taste).sum(axis=1) / np.sqrt(FACTORS)
        liking = self.appeal[items] + self.price_taste[user] * self.price_level[items]
        parts["statistic"] = liking / np.sqrt(2)
        return parts

    def utility(self, user: int, when: float, items: np.ndarray, without: str | None = None) -> np.ndarray:
        """v(user, items); `without` leaves one modality out."""
        parts = self.parts(user, when, items)
        weight = np.sqrt(IMPORTANCE[self.category[items]])
        value = np.sqrt(SHARED) * parts["shared"]
        for m, name in enumerate(MODALITIES):
            if name != without:
                value = value + weight[:, m] * parts[name]
        return value


def make_world(seed: int = 2021, users: int = USERS) -> tuple[World, RawEvents]:
    """Items and users, and what the first `users` of them did.

    NumPy's legacy generator is used because its streams are frozen, and no matrix product, whose rounding depends
    on the processor: the files come out the same everywhere.
    """
    draw = np.random.RandomState(seed)
    world = World(draw)
    lengths = np.clip(draw.geometric(1 / (MEAN_EVENTS - LEAST_EVENTS), USERS) + LEAST_EVENTS - 1, 0, MOST_EVENTS)
    members = [np.flatnonzero(world.category == k) for k in range(len(CATEGORIES))]
    rows = []
    for user in range(users):
        taken = np.zeros(ITEMS, bool)
        for when in np.sort(draw.rand(lengths[user])):
            k = np.searchsorted(np.cumsum(world.wants[user]), draw.rand() * (1 - 1e-9))
            for_sale = members[k][(world.release[members[k]] <= when) & ~taken[members[k]]]
            if not len(for_sale):
                continue
            value = world.utility(user, when, for_sale)
            choice = int(np.argmax(SCALE * value + draw.gumbel(size=len(for_sale))))
            taken[for_sale[choice]] = True
            # The better an item fits, the likelier it goes into the cart or is bought.
            eager = value[choice] + 0.7 * draw.standard_normal()
            rows.append((user, for_sale[choice], when, 0 if eager < 2.2 else 1 if eager < 2.9 else 2))
    rows.sort(key=lambda row: (row[2], row[0]))
    return world, _events(rows)


def _events(rows: list[tuple[int, int, float, int]]) -> RawEvents:
    users, user = np.unique([row[0] for row in rows], return_inverse=True)
    items, item = np.unique([row[1] for row in rows], return_inverse=True)
    return RawEvents(
        [f"SYNU{number:06d}" for number in users],
        [asin(number) for number in items],
        user.astype(np.int32),
        item.astype(np.int32),
        START + np.floor(86_400 * DAYS * np.array([row[2] for row in rows])),
        BEHAVIORS,
        np.array([row[3] for row in rows], np.int8),
    )


def asin(number: int) -> str:
    """The made-up id of an item; ten characters, as Amazon's."""
    return f"SYN{number:07d}"


def _images(world: World, draw: np.random.RandomState) -> np.ndarray:
    """(ITEMS, IMAGE_WIDTH): the category, the image's own and the shared factors, mixed, with noise."""
    kinds = draw.standard_normal((len(CATEGORIES), IMAGE_WIDTH))
    own = world.factors["image"] * shown(world.category, "image")[:, None]
    seen = np.concatenate([own, world.factors["shared"]], axis=1)
    mixing = draw.standard_normal((seen.shape[1], IMAGE_WIDTH)) / np.sqrt(FACTORS)
    picture = (seen[:, :, None] * mixing).sum(axis=1)  # no matrix product, see make_world
    return picture + kinds[world.category] + 0.3 * draw.standard_normal((ITEMS, IMAGE_WIDTH))


def _title(world: World, item: int, draw: np.random.RandomState) -> str:
    """A word for each factor of the title and the shared ones, and what the thing is.

    Unlike on Amazon no brand: it belongs to the ids here, and a modality that shows it too would share its credit.
    """
    words = []
    for name, vocabulary in (("title", TITLE_WORDS), ("shared", SHARED_WORDS)):
        for factor, choices in enumerate(vocabulary):
            level = int(np.searchsorted((-1.07, -0.57, -0.18, 0.18, 0.57, 1.07), world.factors[name][item, factor]))
            if draw.rand() < 0.08:
                level = draw.randint(len(choices))
            if name == "shared" or draw.rand() < shown(world.category[item], "title"):
                words.append(choices[level])
    words.append(CATEGORIES[world.category[item]][1])
    return " ".join(words)


def read(raw: Path, options: Options) -> RawDataset:
    """Make the dataset; there are no raw files and no options."""
    world, events = make_world()
    table, images = make_items(world)
    return RawDataset(
        events,
        table,
        sources=[],
        vectors={"image": images},
        notes=["SYNTHETIC: made by a program, no shop, no customer, no photo; the truth is in the .truth.json file"],
        made_by={"command": f"recbole-marn prepare {NAME} --out dataset_atomic", "generator": GENERATOR},
        more_files={f"{NAME}.truth.json": f"{json.dumps(_truth(world, events), indent=1)}\n".encode()},
    )


def make_items(world: World) -> tuple[RawItems, VectorRows]:
    """What is written of each item: category, brand, title, price, and its image."""
    draw = np.random.RandomState(2022)
    pictures = _images(world, draw)
    table = RawItems(("category", "brand", "title", "price"))
    pictured = []
    for item in range(ITEMS):
        row: dict[str, str | float] = {
            "category": CATEGORIES[world.category[item]][0],
            "brand": BRANDS[world.brand[item]] if draw.rand() < shown(world.category[item], "ids") else "",
            "title": _title(world, item, draw) if draw.rand() > 0.03 else "",
        }
        spread = 0.6 * shown(world.category[item], "statistic")
        price = np.round(np.exp(3.0 + 0.05 * world.category[item] + spread * world.price_level[item]), 2)
        if draw.rand() > 0.15:
            row["price"] = float(price)
        if draw.rand() > 0.05:
            pictured.append(item)
        table.add(asin(item), row)
    return table, VectorRows([asin(item) for item in pictured], pictures[pictured], "synthetic")


def _truth(world: World, events: RawEvents) -> dict[str, object]:
    first_cold = [asin(item) for item in np.flatnonzero(world.release >= COLD_FROM)]
    names = [name for name, _ in CATEGORIES]
    return {
        "synthetic": True,
        "generator": GENERATOR,
        "shown": {str(share): part for share, part in SHOWN.items()},
        "importance": {
            name: {m: float(share) for m, share in zip(MODALITIES, IMPORTANCE[k], strict=True)}
            for k, name in enumerate(names)
        },
        "shared": {"modalities": ["image", "title"], "variance": SHARED},
        "scale": SCALE,
        "oracle_auc": _oracle(world, events),
        "cold_items": first_cold,
    }


def _oracle(world: World, events: RawEvents) -> dict[str, dict[str, float]]:
    """AUC within the category of who knows every factor, and of who lacks one modality, on a tenth of the events.

    The chosen item against all others of its category that were for sale: how much each modality is worth there.
    """
    kept = np.arange(0, len(events), 10)
    users = np.array([int(token[4:]) for token in events.users])
    items = np.array([int(token[3:]) for token in events.items])
    scores: dict[str, dict[str, list[float]]] = {}
    for event in kept:
        user, item = users[events.user[event]], items[events.item[event]]
        when = (events.time[event] - START) / (86_400 * DAYS)
        k = world.category[item]
        others = np.flatnonzero((world.category == k) & (world.release <= when))
        others = others[others != item]
        for without in (None, *MODALITIES):
            value = world.utility(user, when, np.append(others, item), without)
            better = (value[:-1] < value[-1]).mean()
            name = "all" if without is None else f"without {without}"
            scores.setdefault(CATEGORIES[k][0], {}).setdefault(name, []).append(float(better))
    return {
        category: {name: round(float(np.mean(values)), 4) for name, values in rows.items()}
        for category, rows in sorted(scores.items())
    }
