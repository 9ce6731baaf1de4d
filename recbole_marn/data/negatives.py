"""Negatives: items a user never touched, drawn with a seed from all items or those already released.

Shape letters here: E events, R rows, K negatives a row, P places (items that can be drawn, in release order).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recbole_marn.data.arrays import AT_ONCE, narrowest
from recbole_marn.data.matched_levels import MatchedLevels
from recbole_marn.data.rows import Events
from recbole_marn.data.touched import TouchedPlaces
from recbole_marn.errors import InputError

__all__ = ["NegativeSampler", "first_seen", "is_first_event"]

_STRATEGIES = ("uniform", "popularity", "matched")
_SOURCES = ("all", "released")
_DRAWS_AT_ONCE = 1 << 18
_ROUNDS = 32
_WEIGHTS_AT_ONCE = 1 << 21


def first_seen(item: np.ndarray, time: np.ndarray, n_items: int) -> np.ndarray:
    """Release times (n_items,) inferred from events: when an item first occurs, +inf if it never does.

    An inferred release leaks: at its item's very first event nobody has bought the item yet, which is true of
    no negative that had to be released before. So rows at a first event must be dropped (`is_first_event`),
    and only items released strictly before the row may be drawn (`strict_release=True`). Then the positive,
    like every negative, is an item that was seen before.
    """
    release = np.full(n_items, np.inf)
    for start in range(0, len(item), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        np.minimum.at(release, item[some], np.asarray(time[some], dtype=np.float64))
    return release


def is_first_event(events: Events) -> np.ndarray:
    """(E,) bool: whether no event of its item is earlier; all events at the item's first time are first."""
    return events.time == first_seen(events.item, events.time, events.item.max(initial=0) + 1)[events.item]


class NegativeSampler:
    """Draws negatives for rows.

    Strategies:
        uniform: every item that can be drawn is equally likely (MARN's and DIN's protocol).
        popularity: in proportion to the training count; items never seen in training are never drawn.
        matched: items of about the positive's training count, see `MatchedLevels`; a level in which the user
            has touched so much that fewer than K items are left is doubled until there are enough.

    K negatives of a row are drawn one after the other without replacement, each in proportion to these
    weights among the items left. Drawing is by rejection, a whole array a round; the few rows left open after
    the last round are completed from the full list of their items, with the same distribution.

    Sources:
        all: every item of the catalogue (the paper's).
        released: items whose release is before the row's time, so that a negative was for sale when the row
            happened.

    Args:
        n_items: number of item ids, padding 0 included; 0 is never drawn.
        events: (user, item), (E,) each, of ALL events of every part: what a user touched is never a negative.
        train_count: (n_items,) integers, how often each item occurs in training.
        release: (n_items,) release times in the unit of the events' time, +inf for never; only source
            'released'.
        strategy: 'uniform', 'popularity' or 'matched'.
        source: 'all' or 'released'.
        matched_pool: how many items other than the positive a matched level holds at least.
        strict_release: whether an item must be released before the row (True, needed for `first_seen`), or
            may be released at the same moment (False).

    Raises:
        InputError: an unknown strategy or source, arrays of the wrong length, ids out of range, no release
            times for source 'released' or a NaN among them, or nothing that can be drawn.
    """

    def __init__(
        self,
        *,
        n_items: int,
        events: tuple[np.ndarray, np.ndarray],
        train_count: np.ndarray,
        release: np.ndarray | None = None,
        strategy: str = "uniform",
        source: str = "all",
        matched_pool: int = 100,
        strict_release: bool = True,
    ):
        _check_choice("negative strategy", strategy, _STRATEGIES)
        _check_choice("negative source", source, _SOURCES)
        user, item = map(_integers, events)
        self._count = np.asarray(train_count, dtype=np.int64)
        _check_per_item("training count", self._count, n_items)
        _check_ids("item", item, n_items)
        if matched_pool < 1:
            raise InputError("matched_pool of 1 or more", f"{matched_pool}", "Set it to e.g. 100.")
        self.n_items, self.strategy, self.source = n_items, strategy, source
        self.matched_pool, self.strict_release = matched_pool, strict_release

        items = np.arange(1, n_items)
        if strategy == "popularity":
            items = items[self._count[items] > 0]
        self._release = None
        if source == "released":
            self._release = _checked_release(release, n_items)
            items = items[np.argsort(self._release[items], kind="stable")]
        if items.size == 0:
            raise InputError(
                "items to draw negatives from",
                f"none for strategy {strategy!r}",
                "Check that the training part has events, or use strategy 'uniform'.",
            )
        # From here on an item is its place in order of release: what is released by a moment is a prefix.
        self._items = items
        self._release_by_place = None if self._release is None else self._release[items]
        place_of_item = np.full(n_items, -1, dtype=narrowest(n_items, least=np.int32))
        place_of_item[items] = np.arange(items.size)
        self._place_of_item = place_of_item

        self._touched = TouchedPlaces.of(user, item, place_of_item)
        self._cumulative_count = np.cumsum(self._count[items])
        self._levels = None
        if strategy == "matched":
            self._levels = MatchedLevels(self._count[items], prefixes=source == "released")

    def eligible_count(self, *, user: np.ndarray, time: np.ndarray) -> np.ndarray:
        """(R,) int64: how many items could be drawn for rows of these users at these times.

        Items untouched by the user, released by the time (source 'released') and seen in training (strategy
        'popularity'). Early rows of source 'released' can have too few; `draw` refuses them.
        """
        user, time = _integers(user), np.asarray(time)
        if self._release is None:
            return self._items.size - self._touched.number(user)
        number = np.empty(user.size, dtype=np.int64)
        for start in range(0, user.size, _DRAWS_AT_ONCE):
            some = slice(start, start + _DRAWS_AT_ONCE)
            m = self._released_by(time[some])
            number[some] = m - self._touched.number_below(user[some], m)
        return number

    def draw(
        self,
        *,
        user: np.ndarray,
        positive: np.ndarray,
        time: np.ndarray,
        number: int,
        seed: int | Sequence[int],
        counted: bool = False,
    ) -> np.ndarray:
        """K negatives for each row; the same arguments give the same negatives.

        Args:
            user: (R,) ids of the rows' users.
            positive: (R,) ids of the items they chose, each an event of its user.
            time: (R,) the rows' times; used by source 'released' only.
            number: K, at least 1.
            seed: one integer or several, of `numpy.random.default_rng`.
            counted: whether `train_count` counts the rows' own events, that is for training rows. Strategy
                'matched' then takes each out of its positive's count: otherwise a negative would have one
                event more than the positive has besides its own, and counts at the row's time would tell.

        Returns:
            (R, K) item ids in int32 or int64: distinct within a row, none of them touched by the row's user in
            any part.

        Raises:
            InputError: lengths that differ; a positive that is no event of its user, or, for source
                'released', that was not released itself; a user with fewer than `number` items to draw from.
        """
        user, positive, time = _integers(user), _integers(positive), np.asarray(time)
        if not (user.ndim == 1 and user.shape == positive.shape == time.shape) or number < 1:
            raise InputError(
                "user, positive and time of one length, and at least one negative per row",
                f"shapes {user.shape}, {positive.shape} and {time.shape}, number {number}",
                "Pass one entry per row, and the number of negatives per positive.",
            )
        _check_ids("positive", positive, self.n_items)
        self._check_enough(self.eligible_count(user=user, time=time), number)
        rng = np.random.default_rng(seed)
        negatives = np.empty((user.size, number), dtype=narrowest(self.n_items, least=np.int32))
        step = max(1, _DRAWS_AT_ONCE // number)
        for start in range(0, user.size, step):
            chunk = slice(start, start + step)
            rows = _DrawRows(self, user[chunk], self._count[positive[chunk]] - counted, time[chunk])
            self._check_positives(rows, user[chunk], positive[chunk], time[chunk])
            negatives[chunk] = self._items[rows.draw(rng, number)]
        return negatives

    def _released_by(self, time: np.ndarray) -> np.ndarray:
        """m, the number of places released by each time."""
        if self._release_by_place is None:
            return np.full(time.shape, self._items.size)
        return np.searchsorted(self._release_by_place, time, side="left" if self.strict_release else "right")

    def _check_positives(self, rows: _DrawRows, user: np.ndarray, positive: np.ndarray, time: np.ndarray) -> None:
        place = self._place_of_item[positive]
        foreign = np.flatnonzero((place >= 0) & ~rows.is_touched(np.arange(user.size), place))
        if foreign.size:
            raise InputError(
                "every positive to be an event of its user",
                f"{foreign.size} that are not, first item {positive[foreign[0]]} of user {user[foreign[0]]}",
                "Give the sampler the events of every part, or positives would be drawn as negatives.",
            )
        if self._release is None:
            return
        release = self._release[positive]
        late = np.flatnonzero(release >= time if self.strict_release else release > time)
        if late.size:
            raise InputError(
                f"every positive to be released {'before' if self.strict_release else 'by'} its row's time",
                f"{late.size} rows where it is not, first item {positive[late[0]]}, released"
                f" {release[late[0]]}, at time {time[late[0]]}",
                "Drop these rows (is_first_event finds them where releases are inferred from events): a model"
                " would know their positives by being newer than any negative.",
            )

    def _check_enough(self, eligible: np.ndarray, number: int) -> None:
        short = np.flatnonzero(eligible < number)
        if short.size == 0:
            return
        ways_out = ["ask for fewer negatives (eval_negatives, train_negatives)"]
        if self.source == "released":
            ways_out.append("draw them from source 'all'")
            ways_out.append("leave such early rows out (eligible_count finds them)")
        if self.strategy == "popularity":
            ways_out.append("use strategy 'uniform' or 'matched'")
        if len(ways_out) == 1:
            ways_out.append("remove users who touched nearly every item")
        text = ", or ".join(ways_out)
        raise InputError(
            f"at least {number} items to draw negatives from for every row"
            f" (strategy {self.strategy!r}, source {self.source!r})",
            f"{eligible.min()} for some users: {short.size} of {eligible.size} rows have too few",
            f"{text[0].upper()}{text[1:]}.",
        )


class _DrawRows:
    """The rows of one chunk while their negatives are drawn; items are places of the sampler's pool."""

    def __init__(self, sampler: NegativeSampler, user: np.ndarray, level: np.ndarray, time: np.ndarray):
        self._sampler = sampler
        self._user = user
        self._m = sampler._released_by(time)
        self._level = level
        if sampler._levels is not None:
            size = sampler.matched_pool
            self._low, self._high = sampler._levels.window(level, self._m, size)

    def draw(self, rng: np.random.Generator, number: int) -> np.ndarray:
        """(R, number) places."""
        drawn = np.full((self._user.size, number), -1)
        flat = drawn.reshape(-1)
        open_slots = np.arange(flat.size)
        for _ in range(_ROUNDS):
            row = open_slots // number
            place = self._propose(rng, row)
            flat[open_slots] = np.where(self.is_touched(row, place), -1, place)
            if number > 1:
                self._reopen_duplicates(drawn, np.unique(row))
            open_slots = np.flatnonzero(flat < 0)
            if open_slots.size == 0:
                return drawn
        self._complete(rng, drawn, np.unique(open_slots // number))
        return drawn

    def is_touched(self, row: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Whether the users of rows touched the items at places."""
        return self._sampler._touched.has(self._user[row], place)

    def _propose(self, rng: np.random.Generator, row: np.ndarray) -> np.ndarray:
        sampler, m = self._sampler, self._m[row]
        if sampler._levels is not None:
            low, high = self._low[row], self._high[row]
            return sampler._levels.draw(rng, self._level[row], low, high, m)
        if sampler.strategy == "popularity":
            ticket = rng.integers(0, sampler._cumulative_count[m - 1])
            return np.searchsorted(sampler._cumulative_count, ticket, side="right")
        return rng.integers(0, m)

    @staticmethod
    def _reopen_duplicates(drawn: np.ndarray, rows: np.ndarray) -> None:
        order = np.argsort(drawn[rows], axis=1, kind="stable")
        ordered = np.take_along_axis(drawn[rows], order, axis=1)
        which, rank = np.nonzero((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0))
        drawn[rows[which], order[which, rank + 1]] = -1

    def _complete(self, rng: np.random.Generator, drawn: np.ndarray, rows: np.ndarray) -> None:
        """Fill the open slots of `rows` from the list of all their items.

        The first k of independent exponential clocks, each running at its item's weight, are k draws without
        replacement (Efraimidis and Spirakis, 2006). What was drawn before stays, since such draws have no
        memory.
        """
        step = max(1, _WEIGHTS_AT_ONCE // self._sampler._items.size)
        number = drawn.shape[1]
        for start in range(0, rows.size, step):
            chunk = rows[start : start + step]
            weight, reopened = self._weights(chunk, number)
            drawn[chunk[reopened]] = -1
            slots = drawn[chunk]
            done = np.nonzero(slots >= 0)
            weight[done[0], slots[done]] = 0
            ring = np.full(weight.shape, np.inf)
            np.divide(rng.standard_exponential(weight.shape), weight, out=ring, where=weight > 0)
            first = np.argpartition(ring, number - 1, axis=1)[:, :number]
            by_ring = np.argsort(np.take_along_axis(ring, first, axis=1), axis=1)
            first = np.take_along_axis(first, by_ring, axis=1)
            turn = np.cumsum(slots < 0, axis=1) - 1
            drawn[chunk] = np.where(slots < 0, np.take_along_axis(first, np.maximum(turn, 0), axis=1), slots)

    def _weights(self, rows: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows, P) weights of the items that may be drawn, and which rows needed a wider level (bool)."""
        sampler, m = self._sampler, self._m[rows]
        n_places = sampler._items.size
        allowed = np.arange(n_places) < m[:, None]
        allowed[sampler._touched.of_each(self._user[rows])] = False

        reopened = np.zeros(rows.size, dtype=bool)
        if sampler._levels is None:
            by_place = sampler._count[sampler._items] if sampler.strategy == "popularity" else 1.0
            return allowed * np.asarray(by_place, dtype=np.float64), reopened
        size = np.full(rows.size, sampler.matched_pool)
        while True:
            low, high = sampler._levels.window(self._level[rows], m, size)
            weight = allowed * sampler._levels.weights(low, high, m)
            short = np.count_nonzero(weight, axis=1) < number
            if not short.any():
                return weight, reopened
            # Such a row never fills up by rejection: what it has is given up for a draw from the wider level.
            reopened |= short
            size[short] *= 2


def _integers(ids: np.ndarray) -> np.ndarray:
    """Ids as they are, however narrow."""
    ids = np.asarray(ids)
    return ids if ids.dtype.kind in "iu" else ids.astype(np.int64)


def _check_choice(name: str, choice: str, known: tuple[str, ...]) -> None:
    if choice not in known:
        raise InputError(f"a {name} among {', '.join(known)}", repr(choice), "Choose one of these.")


def _check_per_item(name: str, values: np.ndarray, n_items: int) -> None:
    if values.shape != (n_items,):
        raise InputError(
            f"one {name} per item id, shape ({n_items},)",
            f"shape {values.shape}",
            "Index it by internal item id, padding 0 included.",
        )


def _check_ids(name: str, ids: np.ndarray, n_items: int) -> None:
    if ids.size and not (1 <= ids.min() and ids.max() < n_items):
        raise InputError(
            f"{name} ids from 1 to {n_items - 1}",
            f"ids from {ids.min()} to {ids.max()}",
            "Use internal item ids; 0 is padding.",
        )


def _checked_release(release: np.ndarray | None, n_items: int) -> np.ndarray:
    if release is None:
        raise InputError(
            "release times for negative source 'released'",
            "none",
            "Name the item field that holds them, infer them with first_seen, or use source 'all'.",
        )
    release = np.asarray(release, dtype=np.float64)
    _check_per_item("release time", release, n_items)
    unknown = np.count_nonzero(np.isnan(release[1:]))
    if unknown:
        raise InputError(
            "a release time for every item",
            f"{unknown} of {n_items - 1} missing",
            "Fill them in, for instance with first_seen, or use source 'all'.",
        )
    return release
