"""What a log says of items and users before a moment: exposures, clicks, purchases, and their rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recbole_marn.data.logged_rows import Requests
from recbole_marn.data.rows import Events
from recbole_marn.data.statistics import InteractionCounts, KnownBefore, SmoothedRate
from recbole_marn.errors import InputError
from recbole_marn.settings.logs import OF_BEHAVIOURS, USER_STATISTICS

__all__ = ["LogCounts"]


@dataclass
class LogCounts:
    """Counts over the rows and the behaviours of a log, made when they are asked for.

    Args:
        requests: all of the log.
        training: (R,) bool, the rows of training.
        n_items, n_users: numbers of ids including the padding.
        events: behaviours with times, of all types; None without.
        purchase_types: ids of the types that are purchases.
        evaluation_starts: time of the first row that is not for training.
        split, until: of the settings.
    """

    requests: Requests
    training: np.ndarray
    n_items: int
    n_users: int
    events: Events | None
    purchase_types: Sequence[int]
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
        """A statistic of items, from what training knows or from the whole log.

        Raises:
            InputError: purchases without behaviours that are some, or whose end of training nobody knows.
        """
        return self._known("item", name, whole)

    def of_users(self, name: str) -> np.ndarray:
        """(R,) a statistic of each row's user: before the row in training, in evaluation as `until` says.

        Raises:
            InputError: as for items.
        """
        name = USER_STATISTICS[name]
        known = self._known("user", name, False)
        values = known.as_of(self.user, self.time).astype(np.float64)
        rest = ~self.training
        if self.until == "snapshot":
            values[rest] = known.snapshot()[self.user[rest]]
        else:
            values[rest] = self._known("user", name, True).as_of(self.user[rest], self.time[rest])
        return values

    def _known(self, of: str, name: str, whole: bool) -> KnownBefore:
        if name in OF_BEHAVIOURS:
            return self._of_behaviours(of, name, whole)
        if name == "click_rate":
            clicks, exposures = (self._known(of, part, whole) for part in ("clicks", "exposures"))
            return SmoothedRate(clicks, exposures, self.prior(name))
        if of == "item" and not whole:
            return self.exposures if name == "exposures" else self.clicks
        rows = np.ones_like(self.training) if whole else self.training
        return self._counted(of, rows if name == "exposures" else rows & self.label)

    def _counted(self, of: str, rows: np.ndarray) -> InteractionCounts:
        ids, number = (self.requests.item, self.n_items) if of == "item" else (self.user, self.n_users)
        return InteractionCounts(item=ids[rows], time=self.time[rows], n_items=number)

    # --------------------------------------------------------------------------------------- behaviours
    def _of_behaviours(self, of: str, name: str, whole: bool) -> KnownBefore:
        self._check_purchases(name)
        events = self.events
        ids, number = (events.item, self.n_items) if of == "item" else (events.user, self.n_users)
        known = np.ones(events.n_events, dtype=bool) if whole else self._known_in_training

        def counted(chosen: np.ndarray) -> InteractionCounts:
            return InteractionCounts(item=ids[chosen], time=events.time[chosen], n_items=number)

        bought = counted(known & self._bought)
        return bought if name == "purchases" else SmoothedRate(bought, counted(known), self.prior(name))

    @cached_property
    def _bought(self) -> np.ndarray:
        """(E,) bool, the behaviours that are purchases."""
        return np.isin(self.events.behaviour, self.purchase_types)

    @cached_property
    def _known_in_training(self) -> np.ndarray:
        """(E,) bool, the behaviours before evaluation; where parts overlap in time, before the last training row."""
        ends = self.evaluation_starts if self.split == "time" else self.time[self.training].max()
        return self.events.time < ends

    def prior(self, name: str) -> float:
        """What a rate is smoothed towards: that of all training rows, or of all behaviours known in training."""
        part = self.label[self.training] if name == "click_rate" else self._bought[self._known_in_training]
        return float(part.mean()) if len(part) else 0.0

    def _check_purchases(self, name: str) -> None:
        if self.events is None:
            raise InputError(
                f"behaviours with times, for the statistic {name}", "behaviours without", f"Leave {name} out."
            )
        if self.split != "time" and self.until == "snapshot":
            raise InputError(
                f"statistics_until: row for the statistic {name}, unless split: time says where training ends",
                f"split: {self.split}",
                "Set statistics_until: row.",
            )
        if not self._bought.any():
            raise InputError(
                f"purchases among the behaviours, for the statistic {name}",
                f"none in {self.events.n_events}",
                f"Name their type under behaviours: {{types: ...}}, too, or leave {name} out.",
            )
