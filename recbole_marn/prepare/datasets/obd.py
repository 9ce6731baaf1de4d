"""Open Bandit Dataset (ZOZOTOWN): exposures with position and propensity, no user ids."""

from __future__ import annotations

from pathlib import Path

from recbole_marn.prepare.csvs import read_csv, read_header
from recbole_marn.prepare.lines import Tally
from recbole_marn.prepare.logs import RawExposures, RawLog
from recbole_marn.prepare.sources import Options, RawFile, Source, require
from recbole_marn.prepare.tables import RawItems
from recbole_marn.prepare.times import Clock
from recbole_marn.prepare.tokens import clean, identifier, number

__all__ = ["SOURCE", "read"]

SOURCE = Source(
    "obd",
    (
        RawFile("all.csv", "exposures of the campaign `all`, of the policy `random` or `bts`"),
        RawFile("item_context.csv", "features of the items"),
    ),
    "Get open_bandit_dataset.zip from https://research.zozo.com/data.html and unpack it there, so that "
    "DIR/bts/all/all.csv or DIR/random/all/all.csv exist; a sample comes with the package obp.",
)
_POLICIES = ("random", "bts")
_USER = tuple(f"user_feature_{n}" for n in range(4))
_ITEM = {"item_feature_0": "float", "item_feature_1": "token", "item_feature_2": "token", "item_feature_3": "token"}


def read(raw: Path, options: Options) -> RawLog:
    """The exposures of both policies, where both are there; men's and women's campaigns number their items anew.

    The hashed features of a user come with the row, so they are context; of the affinities, the one to the item shown.
    """
    places = [raw / policy / "all" for policy in _POLICIES if (raw / policy / "all" / "all.csv").is_file()]
    if not places:
        require(SOURCE, raw, "random/all/all.csv")
    context = {**dict.fromkeys(_USER, "token"), "affinity": "float", "policy": "token", "propensity_score": "float"}
    log = RawExposures(context, anonymous=True)
    log.features = (*_USER, "affinity")
    items = RawItems(tuple(_ITEM), types=dict(_ITEM))
    data = RawLog(log, items, None, None, [])
    for place in places:
        policy = place.parent.name
        for name in ("all.csv", "item_context.csv"):
            path = require(SOURCE, place, name)
            tally = Tally(f"{policy}/{name}", options.max_skipped)
            data.sources.append(path)
            data.tallies.append(tally)
            _read_exposures(path, tally, log, policy) if name == "all.csv" else _read_items(path, tally, items)
    items.duplicates = 0  # both policies bring the same table
    data.notes.append("no user id: every exposure is a user of its own, so there are no histories")
    data.notes.append("propensity_score and policy are kept in .inter and are no features")
    return data


def _read_exposures(path: Path, tally: Tally, log: RawExposures, policy: str) -> None:
    names = ("timestamp", "item_id", "position", "click", "propensity_score", *_USER)
    affinities = [name for name in read_header(path) if name.startswith("user-item_affinity_")]
    place = {name.rpartition("_")[2]: index for index, name in enumerate(affinities)}
    clock = Clock()
    for line, values in read_csv(path, tally, [*names, *affinities]):
        time, item, position, click, propensity, *features = values[: len(names)]
        at, reason = clock.read(time)
        token, chance = identifier(item), number(propensity)
        affinity = number(values[len(names) + place[token]]) if token in place else None
        if at is None:
            tally.skip(reason, line, time)
        elif click not in ("0", "1") or not token or chance is None or affinity is None:
            tally.skip("no item, click, propensity or affinity", line, values[:5])
        else:
            row = dict(zip(_USER, features, strict=True))
            row |= {"affinity": affinity, "policy": policy, "propensity_score": chance}
            log.add(f"{policy}-{line}", token, at, int(click), position=position, context=row)
    tally.check()


def _read_items(path: Path, tally: Tally, items: RawItems) -> None:
    for _, (item, first, *others) in read_csv(path, tally, ("item_id", *_ITEM)):
        row = dict(zip(list(_ITEM)[1:], map(clean, others), strict=True))
        amount = number(first)
        items.add(identifier(item), row | ({} if amount is None else {"item_feature_0": amount}))
    tally.check()
