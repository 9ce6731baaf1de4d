"""Which events become rows: one order per user, a part for every event, and histories as (start, length).

Shape letters here: E events, R rows. Ids are internal ones; 0 is padding and never occurs in an event.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recbole_marn.errors import InputError

__all__ = [
    "Events",
    "Rows",
    "TEST",
    "TRAIN",
    "VALID",
    "count_repeats",
    "first_of_each_pair",
    "latest_of_each_user",
    "rows_of_part",
    "runs",
    "slices",
    "sort_events",
    "split_by_time",
    "split_leave_last",
]

TRAIN, VALID, TEST = 0, 1, 2
_PART_NAMES = ("training", "validation", "test")


@dataclass(frozen=True, eq=False)
class Events:
    """Positive events in the one order everything else refers to: by user, then time, then a fixed tie key.

    Attributes:
        user: (E,) int64, internal ids >= 1.
        item: (E,) int64, internal ids >= 1.
        time: (E,) float64, in the unit of the data set.
        behaviour: (E,) int64 behaviour types, or None where the data have none.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    behaviour: np.ndarray | None = None

    @property
    def n_events(self) -> int:
        return len(self.user)

    @cached_property
    def user_start(self) -> np.ndarray:
        """(E,) int64: index of the first event of that event's user."""
        first, size = self._segments
        return np.repeat(first, size)

    @cached_property
    def user_end(self) -> np.ndarray:
        """(E,) int64: one past the index of the last event of that event's user."""
        first, size = self._segments
        return np.repeat(first + size, size)

    @property
    def _segments(self) -> tuple[np.ndarray, np.ndarray]:
        first = np.flatnonzero(np.diff(self.user, prepend=self.user[:1] - 1))
        return first, np.diff(first, append=self.n_events)

    def take(self, index: np.ndarray) -> Events:
        """The events at the increasing positions `index`."""
        behaviour = None if self.behaviour is None else self.behaviour[index]
        return Events(self.user[index], self.item[index], self.time[index], behaviour)


@dataclass(frozen=True, eq=False)
class Rows:
    """Labelled positions: row r is `events[position[r]]`, seen after the events of its history window.

    Attributes:
        position: (R,) int64, index of the positive in the `Events`, increasing.
        history_start: (R,) int64, index of the oldest event of the window.
        history_length: (R,) int64, from 1 to the longest history allowed.
    """

    position: np.ndarray
    history_start: np.ndarray
    history_length: np.ndarray

    @property
    def n_rows(self) -> int:
        return len(self.position)

    def take(self, index: np.ndarray) -> Rows:
        """The rows that `index`, a mask or increasing numbers, picks."""
        return Rows(self.position[index], self.history_start[index], self.history_length[index])


def sort_events(
    user: np.ndarray,
    item: np.ndarray,
    time: np.ndarray,
    behaviour: np.ndarray | None = None,
    *,
    user_key: np.ndarray,
    item_key: np.ndarray,
) -> Events:
    """Put events in the order of `Events`, the same for every order of the file.

    Equal times are common (days, or seconds of a rating session). Their order is a mix of both tokens'
    hashes: fixed, but different from user to user, so that no item systematically comes last. Events of the
    same user, item and time follow their behaviour type.

    Args:
        user: (E,) integers >= 1.
        item: (E,) integers >= 1.
        time: (E,) finite numbers.
        behaviour: (E,) integers, or None.
        user_key: uint64, indexed by user id: a hash of the user's token.
        item_key: uint64, indexed by item id: a hash of the item's token.

    Raises:
        InputError: no events, lengths that differ, an id below 1 or beyond its keys, a time that is not
        finite.
    """
    user, item = np.asarray(user, dtype=np.int64), np.asarray(item, dtype=np.int64)
    time = np.asarray(time, dtype=np.float64)
    behaviour = None if behaviour is None else np.asarray(behaviour, dtype=np.int64)
    columns = {"user": user, "item": item, "time": time}
    if behaviour is not None:
        columns["behaviour"] = behaviour
    if len({column.shape for column in columns.values()}) != 1 or user.ndim != 1 or user.size == 0:
        raise InputError(
            "one or more events, given as columns of one length",
            "shapes " + ", ".join(f"{name} {column.shape}" for name, column in columns.items()),
            "Check that the interaction file is not empty and that every column was read from it.",
        )
    for name, ids, keys in (("user", user, user_key), ("item", item, item_key)):
        if ids.min() < 1 or ids.max() >= len(keys):
            raise InputError(
                f"{name} ids from 1 to {len(keys) - 1}",
                f"ids from {ids.min()} to {ids.max()}",
                "Id 0 is padding; map tokens to ids before the events are sorted.",
            )
    if not np.isfinite(time).all():
        raise InputError(
            "a finite time for every event",
            f"{np.count_nonzero(~np.isfinite(time))} of {time.size} times that are missing or infinite",
            "Fill in or remove these events: without a time they have no place in a history.",
        )
    user_mix, item_key = _mix(np.asarray(user_key, dtype=np.uint64)), np.asarray(item_key, dtype=np.uint64)
    tie = _mix(user_mix[user] ^ item_key[item])
    keys = (tie, time, user) if behaviour is None else (behaviour, tie, time, user)
    return Events(user, item, time, behaviour).take(np.lexsort(keys))


def _mix(values: np.ndarray) -> np.ndarray:
    """splitmix64 (Steele, Lea and Flood, 2014): one-to-one on uint64, so different keys never tie again."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def count_repeats(events: Events, *, by_type: bool = False) -> int:
    """Number of events whose (user, item) pair, or (user, item, behaviour type), already occurred before."""
    return events.n_events - len(_first_index_of_pairs(events, by_type))


def first_of_each_pair(events: Events, *, by_type: bool = False) -> Events:
    """Only the earliest event of every (user, item) pair, or (user, item, behaviour type), in unchanged order."""
    return events.take(_first_index_of_pairs(events, by_type))


def _first_index_of_pairs(events: Events, by_type: bool) -> np.ndarray:
    pair = events.user * (events.item.max(initial=0) + 1) + events.item
    if by_type and events.behaviour is not None:
        pair = pair * (events.behaviour.max(initial=0) + 1) + events.behaviour
    # return_index sorts stably, so that it is the first occurrence that is kept.
    return np.sort(np.unique(pair, return_index=True)[1])


def split_leave_last(events: Events) -> np.ndarray:
    """Hold out each user's last event for test and the one before for validation.

    A user with n events has n - 1 rows, since the first event has no history. Users too short for three parts
    feed training first, then test: n = 2 gives training; n = 3 training, test; n >= 4 training ..,
    validation, test.

    Returns:
        (E,) int8: TRAIN, VALID or TEST for every event, a user's first one included.
    """
    size = events.user_end - events.user_start
    to_the_end = events.user_end - np.arange(events.n_events)
    part = np.full(events.n_events, TRAIN, dtype=np.int8)
    part[(to_the_end == 1) & (size >= 3)] = TEST
    part[(to_the_end == 2) & (size >= 4)] = VALID
    return part


def split_by_time(events: Events, *, valid_start: float, test_start: float, with_test: bool = True) -> np.ndarray:
    """Split at two moments for all users: before `valid_start`, before `test_start`, and the rest.

    Args:
        events: (E,) sorted events.
        valid_start: first moment of the validation part, in the unit of `events.time`.
        test_start: first moment of the test part.
        with_test: the test part must have rows too.

    Returns:
        (E,) int8: TRAIN, VALID or TEST for every event.

    Raises:
        InputError: the starts are not in order, or a part has no row (an event that has a history).
    """
    span = f"the events run from {events.time.min()} to {events.time.max()}"
    if not valid_start < test_start:
        raise InputError(
            "the validation part to start before the test part",
            f"valid_start {valid_start} and test_start {test_start}",
            f"Choose two increasing moments in the unit of the time field; {span}.",
        )
    part = (events.time >= valid_start).astype(np.int8) + (events.time >= test_start).astype(np.int8)
    n_rows = np.bincount(part[_has_history(events)], minlength=3)[: 3 if with_test else 2]
    if (n_rows == 0).any():
        raise InputError(
            "training, validation and test rows",
            "no row for " + " and ".join(_PART_NAMES[which] for which in np.flatnonzero(n_rows == 0)),
            f"Move valid_start {valid_start} or test_start {test_start}: {span}, and no user's first event is a row.",
        )
    return part


def rows_of_part(events: Events, part: np.ndarray, which: int, *, max_history: int) -> Rows:
    """The rows of one part. A user's first event is never a row, for it has nothing to be predicted from.

    A history is the user's last `max_history` events before the positive, whatever part they belong to: what
    was held out before this row has happened by then.

    Args:
        events: (E,) sorted events.
        part: (E,) the part of every event.
        which: TRAIN, VALID or TEST.
        max_history: L, the longest history kept, at least 1.

    Raises:
        InputError: `max_history` below 1.
    """
    if max_history < 1:
        raise InputError(
            "a history of at least one event",
            f"max_history {max_history}",
            "Set the longest history (MAX_ITEM_LIST_LENGTH) to 1 or more.",
        )
    position = np.flatnonzero((part == which) & _has_history(events))
    start = np.maximum(events.user_start[position], position - max_history)
    return Rows(position=position, history_start=start, history_length=position - start)


def latest_of_each_user(events: Events, rows: Rows, number: int) -> np.ndarray:
    """(R,) bool: the last `number` rows of every user.

    Args:
        events: (E,) sorted events.
        rows: (R,) rows of one part.
        number: rows kept of each user, at least 1.
    """
    user = events.user[rows.position]
    end = np.searchsorted(user, user, side="right")
    return end - np.arange(rows.n_rows) <= number


def _has_history(events: Events) -> np.ndarray:
    return np.arange(events.n_events) > events.user_start


def runs(values: np.ndarray) -> np.ndarray:
    """Where each stretch of equal neighbours begins."""
    new = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return np.flatnonzero(new)


def slices(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Indices start[0], start[0]+1, ..., start[1], ...: the concatenated slices [start, start + length)."""
    some = length > 0
    start, length = start[some].astype(np.int64), length[some].astype(np.int64)
    index = np.ones(int(length.sum()), dtype=np.int64)
    index[:1] = start[:1]
    # Where a slice begins, the step from the end of the one before.
    index[np.cumsum(length)[:-1]] = start[1:] - start[:-1] - length[:-1] + 1
    return np.cumsum(index, out=index)
