"""Taobao UserBehavior: user, item, category, behaviour, unix time; no header, no titles, no images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.prepare.blocks import lines_of, read_blocks, read_columns
from recbole_marn.prepare.lines import Tally
from recbole_marn.prepare.sources import Options, RawFile, Source, require
from recbole_marn.prepare.tables import EventBuilder, RawDataset, RawItems
from recbole_marn.prepare.tokens import LAST_SECOND, clean, identifier, seconds

__all__ = ["SOURCE", "read"]

SOURCE = Source(
    "taobao",
    (RawFile("UserBehavior.csv", "user,item,category,behaviour,time without a header"),),
    "Get UserBehavior.csv from https://tianchi.aliyun.com/dataset/649 (a login is needed) and put it there.",
    {"users": 987994, "items": 4162024, "events": 100150807},
)
BEHAVIORS = ("pv", "fav", "cart", "buy")  # view (click), favourite, into the cart, purchase
COLUMNS = {"user": int, "item": int, "category": int, "behaviour": str, "time": int}


def read(raw: Path, options: Options) -> RawDataset:
    """All behaviours are kept by name, in the order of the file; category 0 stands for an unknown one."""
    path = require(SOURCE, raw, "UserBehavior.csv")
    tally = Tally(path.name, options.max_skipped)
    log = _Log(tally)
    for first, block in read_blocks(path, tally):
        if not log.add_columns(read_columns(block, COLUMNS)):
            for number, line in lines_of(block, first, tally):
                log.add_line(number, line)
    tally.check()
    return RawDataset(log.events.build(), log.items, [path], tallies=[tally], published=dict(SOURCE.published))


class _Log:
    """Events and the category of each item, taken by columns or line by line with the same result."""

    def __init__(self, tally: Tally):
        self.events, self.items = EventBuilder(), RawItems(("category",))
        self._tally = tally
        self._rows: dict[str, dict[str, str]] = {}  # of each category, shared by its items

    def add_columns(self, columns: dict[str, Any] | None) -> bool:
        """Take a block; False, and nothing is taken, where its lines have to be looked at one by one."""
        if columns is None:
            return False
        codes, words = columns["behaviour"].indices.to_numpy(), columns["behaviour"].dictionary.to_pylist()
        time = columns["time"].astype(np.float64)
        if not set(words) <= set(BEHAVIORS) or not (time < LAST_SECOND).all():
            return False
        new = self.events.extend(columns["user"], columns["item"], time, codes, words)
        if new is None:
            return False
        self._tally.read += len(time)
        for item, category in zip(columns["item"][new].tolist(), columns["category"][new].tolist(), strict=True):
            self._describe(str(item), str(category))
        return True

    def add_line(self, number: int, line: bytes) -> None:
        try:
            user, item, category, behavior, time = line.decode("ascii").split(",")
            at = seconds(int(time))
        except ValueError:
            self._tally.skip("not user,item,category,behaviour,time", number)
            return
        if at is None:
            self._tally.skip("time is no unix second between 1970 and 2100", number)
        elif behavior not in BEHAVIORS:
            self._tally.skip(f"behaviour is none of {', '.join(BEHAVIORS)}", number)
        elif not self.events.add(user, item, at, behavior=behavior):
            self._tally.skip("missing id", number)
        else:
            self._describe(identifier(item), category)

    def _describe(self, item: str, category: str) -> None:
        if item not in self.items.rows:
            token = "" if category == "0" else clean(category)
            self.items.rows[item] = self._rows.setdefault(token, {"category": token})
