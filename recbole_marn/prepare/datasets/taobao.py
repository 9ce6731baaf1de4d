"""Taobao UserBehavior: user, item, category, behaviour, unix time; no header, no titles, no images."""

from __future__ import annotations

from pathlib import Path

from recbole_marn.prepare.lines import Tally, read_lines
from recbole_marn.prepare.sources import Options, RawFile, Source, require
from recbole_marn.prepare.tables import EventBuilder, ItemTable, RawDataset
from recbole_marn.prepare.tokens import clean, identifier, seconds

__all__ = ["SOURCE", "read"]

SOURCE = Source(
    "taobao",
    (RawFile("UserBehavior.csv", "user,item,category,behaviour,time without a header"),),
    "Get UserBehavior.csv from https://tianchi.aliyun.com/dataset/649 (a login is needed) and put it there.",
    {"users": 987994, "items": 4162024, "events": 100150807},
)
BEHAVIORS = ("pv", "fav", "cart", "buy")  # view (click), favourite, into the cart, purchase


def read(raw: Path, options: Options) -> RawDataset:
    """All behaviours are kept by name, in the order of the file; category 0 stands for an unknown one."""
    path = require(SOURCE, raw, "UserBehavior.csv")
    tally = Tally(path.name, options.max_skipped)
    events, items = EventBuilder(), ItemTable(("category",))
    for number, line in read_lines(path, tally):
        try:
            user, item, category, behavior, time = line.decode("ascii").split(",")
            at = seconds(int(time))
        except ValueError:
            tally.skip("not user,item,category,behaviour,time", number)
            continue
        if at is None:
            tally.skip("time is no unix second between 1970 and 2100", number)
        elif behavior not in BEHAVIORS:
            tally.skip(f"behaviour is none of {', '.join(BEHAVIORS)}", number)
        elif not events.add(user, item, at, behavior=behavior):
            tally.skip("missing id", number)
        elif (token := identifier(item)) not in items.rows:
            items.rows[token] = {"category": "" if category == "0" else clean(category)}
    tally.check()
    return RawDataset(events.build(), items, [path], tallies=[tally], published=dict(SOURCE.published))
