"""What a log says of items and users before a moment: exposures, clicks, click rate, purchases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recbole_marn.data.logged_rows import Requests
from recbole_marn.data.rows import Events
from recbole_marn.data.statistics import ClickRate, InteractionCounts, KnownBefore
from recbole_marn.errors import InputError
from recbole_marn.settings.logs import USER_STATISTICS

__all__ = ["LogCounts"]

PURCHASES = {"purchase", "purchases", "buy", "bought", "order"}


@dataclass
class LogCounts:
    """Counts over the rows of a log, made when they are asked for.

    Args:
        requests: all of the log.
        training: (R,) bool, the rows of training.
        n_items, n_users: numbers of ids including the padding.
        events: behaviours with times, for purchases; None without.
        behaviour_type: their types' tokens by id.
        evaluation_starts: time of the first row that is not for training: where the snapshot of purchases ends.
        split, until: of the settings.
    """

    requests: Requests
    training: np.ndarray
    n_items: int
    n_users: int
    events: Events | None
    behaviour_type: np.ndarray | None
    evaluation_starts: float
    split: str
    until: str

    @property
    def label(self) -> np.ndarray:
        """(R,) bool, clicked."""
        return self.requests.label

    @cached_property
    def user(self) -> np.ndarray:
        """(R,) ids."""
        return self.requests.of_rows(self.requests.user)

    @cached_property
    def time(self) -> np.ndarray:
        """(R,) the moment of each row."""
        return self.requests.of_rows(self.requests.time)

    @cached_property
    def exposures(self) -> InteractionCounts:
        """Training rows of each item."""
        return self._counted("item", self.training)

    @cached_property
    def clicks(self) -> InteractionCounts:
        """Clicked training rows of each item."""
        return self._counted("item", self.training & self.label)

    def of_items(self, name: str, *, whole: bool = False) -> KnownBefore:
        """A statistic of items, from training rows or from those of all parts.

        Raises:
            InputError: purchases without behaviours that are some, or whose end of training nobody knows.
        """
        if name == "purchases":
            return self._purchases(whole)
        if name == "exposures":
            return self._counted("item", np.ones_like(self.training)) if whole else self.exposures
        if name == "click_rate":
            return self._rate(self.of_items("clicks", whole=whole), self.of_items("exposures", whole=whole))
        return self._counted("item", self.label) if whole else self.clicks

    def of_users(self, name: str) -> np.ndarray:
        """(R,) a statistic of each row's user: before the row in training, in evaluation as `until` says."""
        name = USER_STATISTICS[name]
        known = self._of_users(name, self.training)
        values = known.as_of(self.user, self.time).astype(np.float64)
        rest = ~self.training
        if self.until == "snapshot":
            values[rest] = known.snapshot()[self.user[rest]]
        else:
            everything = self._of_users(name, np.ones_like(self.training))
            values[rest] = everything.as_of(self.user[rest], self.time[rest])
        return values

    def _of_users(self, name: str, rows: np.ndarray) -> KnownBefore:
        if name == "click_rate":
            return self._rate(self._counted("user", rows & self.label), self._counted("user", rows))
        return self._counted("user", rows & self.label if name == "clicks" else rows)

    def _counted(self, of: str, rows: np.ndarray) -> InteractionCounts:
        ids, number = (self.requests.item, self.n_items) if of == "item" else (self.user, self.n_users)
        return InteractionCounts(item=ids[rows], time=self.time[rows], n_items=number)

    def _rate(self, clicks: InteractionCounts, exposures: InteractionCounts) -> ClickRate:
        return ClickRate(clicks, exposures, float(self.label[self.training].mean()))

    def _purchases(self, whole: bool) -> InteractionCounts:
        types = [] if self.behaviour_type is None else [str(token).lower() for token in self.behaviour_type]
        bought = [number for number, token in enumerate(types) if token in PURCHASES]
        if self.events is None or self.events.behaviour is None or not bought:
            raise InputError(
                f"behaviours with times and a type among {', '.join(sorted(PURCHASES))}, for the statistic purchases",
                f"types {', '.join(types[1:]) or 'none'}",
                "Name the column of types under behaviour: {kind: ...}, or leave purchases out.",
            )
        if self.split != "time" and self.until == "snapshot":
            raise InputError(
                "statistics_until: row for the statistic purchases, unless split: time says where training ends",
                f"split: {self.split}",
                "Set statistics_until: row.",
            )
        chosen = np.isin(self.events.behaviour, bought)
        if not chosen.any():
            raise InputError(
                "purchases among the behaviours, for the statistic purchases",
                f"none in {len(chosen)}",
                "Name their type under behaviours: {types: ...}, too, or leave purchases out.",
            )
        if not whole:
            chosen &= self.events.time < self.evaluation_starts
        return InteractionCounts(item=self.events.item[chosen], time=self.events.time[chosen], n_items=self.n_items)
