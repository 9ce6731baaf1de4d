"""Click logs as columns: exposures with labels, behaviours from elsewhere, and what is known of users and items."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_marn.prepare.tables import Found, Numbering, RawItems

__all__ = ["RawBehaviours", "RawExposures", "RawLog", "TokenColumn"]


class TokenColumn:
    """A column of tokens in four bytes a row; missing ones are empty."""

    def __init__(self) -> None:
        self._numbering, self.codes = Numbering(), array("i")

    def append(self, value: object) -> None:
        """Add a row."""
        self.codes.append(self._numbering.number(value))

    @property
    def tokens(self) -> list[str]:
        """Different tokens, by first appearance."""
        return self._numbering.tokens

    def texts(self, rows: slice) -> list[str]:
        """Tokens of a slice of rows, "" where missing."""
        tokens = [*self.tokens, ""]  # -1, a missing one, is the last
        return [tokens[code] for code in self.codes[rows]]


class RawExposures:
    """One row an item that was shown, in the order of the file.

    Attributes:
        user, item, request, position: `TokenColumn`; the last two are empty where the log does not know them.
        time: unix seconds. label: 0 or 1.
        context: further columns by name, tokens as `TokenColumn`, floats as array (NaN is missing).
        anonymous: nobody knows who the users are; each request, or row, is one of its own.
        features: those of `context` that are features; the others are kept beside them (a propensity, say).
    """

    def __init__(self, context: Mapping[str, str], *, anonymous: bool = False):
        self.anonymous = anonymous
        self.user, self.item, self.request, self.position = (TokenColumn() for _ in range(4))
        self.time, self.label = array("d"), array("b")
        self.context: dict[str, TokenColumn | array] = {
            name: TokenColumn() if type_ == "token" else array("d") for name, type_ in context.items()
        }
        self.features = tuple(context)

    def __len__(self) -> int:
        return len(self.label)

    def add(self, user: object, item: object, time: float, label: int, *, request: object = None,
            position: object = None, context: Mapping[str, object] | None = None) -> None:  # fmt: skip
        """Add a row: an item shown at a time (unix seconds), clicked (1) or not (0)."""
        self.user.append(user)
        self.item.append(item)
        self.time.append(time)
        self.label.append(label)
        if request is not None:
            self.request.append(request)
        if position is not None:
            self.position.append(position)
        for name, value in (context or {}).items():
            self.context[name].append(value)  # type: ignore[arg-type]

    def columns(self) -> dict[str, TokenColumn | array]:
        """Every column by its name in the atomic file."""
        fixed = {"user_id": self.user, "item_id": self.item, "timestamp": self.time, "label": self.label}
        known = {name: column for name, column in (("request_id", self.request), ("position", self.position))
                 if len(column.codes) == len(self) and column.tokens}  # fmt: skip
        return fixed | known | self.context

    def counts(self) -> dict[str, int]:
        """Counts for the record; requests are of the log's own ids."""
        counts = {
            "users": 0 if self.anonymous else len(self.user.tokens),
            "items": len(self.item.tokens),
            "exposures": len(self),
            "clicks": int(np.frombuffer(self.label, np.int8).sum()),
        }
        return counts | ({"requests": len(self.request.tokens)} if self.request.tokens else {})

    def checks(self) -> dict[str, int]:
        """Requests of two users or two times, items shown twice in one, and requests of a single class."""
        if not self.request.tokens:
            return {}
        request = np.array(self.request.codes, np.int64)
        number = len(self.request.tokens)
        found = {}
        for name, values in (("two_users", np.array(self.user.codes)), ("two_times", np.array(self.time))):
            low, high = np.full(number, np.inf), np.full(number, -np.inf)
            np.minimum.at(low, request, values)
            np.maximum.at(high, request, values)
            found[name] = int((low != high).sum())
        pair = request * (len(self.item.tokens) + 1) + np.array(self.item.codes)
        found["shown_twice"] = int(len(pair) - len(np.unique(pair)))
        clicks = np.bincount(request, np.frombuffer(self.label, np.int8), number)
        found["without_click"] = int((clicks == 0).sum())
        found["all_clicked"] = int((clicks == np.bincount(request, minlength=number)).sum())
        return found


class RawBehaviours:
    """What histories are made of, oldest first: one row a click, cart, purchase, ...

    Attributes:
        time: unix seconds; empty where the source has no times, only an order.
        kind: behaviour types; empty where there are none.
    """

    def __init__(self) -> None:
        self.user, self.item, self.kind = TokenColumn(), TokenColumn(), TokenColumn()
        self.time = array("d")

    def __len__(self) -> int:
        return len(self.user.codes)

    def add(self, user: object, item: object, time: float | None = None, kind: object = None) -> None:
        """Add a behaviour, at a time in unix seconds where the source has times."""
        self.user.append(user)
        self.item.append(item)
        if time is not None:
            self.time.append(time)
        if kind is not None:
            self.kind.append(kind)

    def columns(self) -> dict[str, TokenColumn | array]:
        """Every column by its name in the file."""
        columns: dict[str, TokenColumn | array] = {"user_id": self.user, "item_id": self.item}
        if len(self.time) == len(self):
            columns["timestamp"] = self.time
        if len(self.kind.codes) == len(self):
            columns["behavior_type"] = self.kind
        return columns


@dataclass
class RawLog(Found):
    """Everything a reader of a log found.

    Attributes:
        has_settings: `DATASET.yaml` is written; not where this package has settings that say more.
    """

    exposures: RawExposures
    items: RawItems
    users: RawItems | None
    behaviours: RawBehaviours | None
    sources: list[Path]
    has_settings: bool = True
