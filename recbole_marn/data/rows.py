"""Which events become rows: one order per user, a part for every event, and histories as (start, length).

Shape letters here: E events, R rows. Ids are internal ones; 0 is padding and never occurs in an event.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recbole_marn.data.arrays import AT_ONCE, begins, mixed, narrow, narrowest, runs, stable_order
from recbole_marn.errors import InputError

__all__ = [
    "DAY",
    "Events",
    "PARTS",
    "Rows",
    "TEST",
    "TRAIN",
    "VALID",
    "by_user_and_time",
    "count_repeats",
    "count_rows",
    "first_of_each_pair",
    "last_two_days",
    "rows_of_part",
    "sort_events",
    "split_by_time",
    "split_leave_last",
    "tie_key",
]

TRAIN, VALID, TEST = 0, 1, 2
PARTS = {"train": TRAIN, "valid": VALID, "test": TEST}
DAY = 86_400.0  # seconds
_PART_NAMES = ("training", "validation", "test")


@dataclass(frozen=True, eq=False)
class Events:
    """Positive events in the one order everything else refers to: by user, then time, then a fixed tie key.

    Attributes:
        user: (E,) integers as narrow as they may be, internal ids >= 1.
        item: (E,) integers, internal ids >= 1.
        time: (E,) integers where all times are whole, else float64, in the unit of the data set.
        behaviour: (E,) integers, behaviour types, or None where the data have none.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    behaviour: np.ndarray | None = None

    @property
    def n_events(self) -> int:
        """E, the number of events."""
        return len(self.user)

    @cached_property
    def first(self) -> np.ndarray:
        """(U,) int64: index of the first event of each user."""
        return runs(self.user)

    @property
    def size(self) -> np.ndarray:
        """(U,) int64: events of each user."""
        return np.diff(self.first, append=self.n_events)

    def start_of(self, position: np.ndarray) -> np.ndarray:
        """(n,) int64: index of the first event of the user of each event at `position` (n,), increasing."""
        if not len(position):
            return np.zeros(0, dtype=np.int64)
        first, last = np.searchsorted(self.first, position[[0, -1]], side="right")
        start = self.first[first - 1 : last]
        return np.repeat(start, np.diff(np.searchsorted(position, start[1:]), prepend=0, append=len(position)))

    def pieces(self) -> list[slice]:
        """Ranges of whole users' events, about `AT_ONCE` each."""
        starts = self.first[np.flatnonzero(np.diff(self.first // AT_ONCE, prepend=-1))]
        if not len(starts):
            return []
        return [slice(*ends) for ends in zip(starts, np.append(starts[1:], self.n_events), strict=True)]

    def take(self, index: np.ndarray) -> Events:
        """The events that `index`, a mask, a slice or increasing positions, picks."""
        behaviour = None if self.behaviour is None else self.behaviour[index]
        return Events(self.user[index], self.item[index], self.time[index], behaviour)

    def put(self, index: slice | np.ndarray, events: Events) -> None:
        """Write other events of the same users over those at `index`."""
        self.item[index], self.time[index] = events.item, events.time
        if self.behaviour is not None:
            self.behaviour[index] = events.behaviour


@dataclass(frozen=True, eq=False)
class Rows:
    """Labelled positions: row r is `events[position[r]]`, seen after the events of its history window.

    Attributes:
        position: (R,) integers, index of the positive in the `Events`, increasing.
        history_start: (R,) integers, index of the oldest event of the window.
        history_length: (R,) integers up to the longest history allowed; 0 where nothing is of an earlier time.
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
        InputError: no events, lengths that differ, an id below 1 or beyond its keys, a time that is not finite.
    """
    user, item, time = np.asarray(user), np.asarray(item), np.asarray(time)
    behaviour = None if behaviour is None else np.asarray(behaviour)
    _check_events(Events(user, item, time, behaviour), user_key, item_key)
    user_key, item_key = np.asarray(user_key, dtype=np.uint64), np.asarray(item_key, dtype=np.uint64)
    user, item, time = narrow(user, least=np.int32), narrow(item, least=np.int32), narrow(time, least=np.int32)
    behaviour = None if behaviour is None else narrow(behaviour)
    grouped = Events(user, item, time, behaviour)
    if (user[1:] < user[:-1]).any():
        grouped = grouped.take(stable_order(user))
    columns = (grouped.item, grouped.time, grouped.behaviour)
    ordered = Events(grouped.user, *(None if column is None else np.empty_like(column) for column in columns))
    for piece in grouped.pieces():
        some = grouped.take(piece)
        if (_same_user(some) & (some.time[1:] < some.time[:-1])).any():
            some = some.take(by_user_and_time(some.user, some.time))
        ordered.put(piece, some)
        place, order = _ties(some, user_key, item_key)
        ordered.put(piece.start + place, some.take(order))
    return ordered


def _check_events(events: Events, user_key: np.ndarray, item_key: np.ndarray) -> None:
    columns = {name: column for name, column in vars(events).items() if column is not None}
    if len({column.shape for column in columns.values()}) != 1 or events.user.ndim != 1 or events.user.size == 0:
        raise InputError(
            "one or more events, given as columns of one length",
            "shapes " + ", ".join(f"{name} {column.shape}" for name, column in columns.items()),
            "Check that the interaction file is not empty and that every column was read from it.",
        )
    for name, ids, keys in (("user", events.user, user_key), ("item", events.item, item_key)):
        if ids.min() < 1 or ids.max() >= len(keys):
            raise InputError(
                f"{name} ids from 1 to {len(keys) - 1}",
                f"ids from {ids.min()} to {ids.max()}",
                "Id 0 is padding; map tokens to ids before the events are sorted.",
            )
    finite = np.isfinite(events.time)
    if not finite.all():
        raise InputError(
            "a finite time for every event",
            f"{np.count_nonzero(~finite)} of {finite.size} times that are missing or infinite",
            "Fill in or remove these events: without a time they have no place in a history.",
        )


def by_user_and_time(user: np.ndarray, time: np.ndarray) -> np.ndarray:
    """np.lexsort((time, user)) of users and times, one or more; those that are integers are sorted by counting."""
    whole = time.dtype.kind != "f"
    order = stable_order(time.astype(np.int64) - time.min()) if whole else np.argsort(time, kind="stable")
    return order[stable_order((user - user.min())[order])]


def _ties(events: Events, user_key: np.ndarray, item_key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where events have the user and time of a neighbour, and which events belong there; events by user and time."""
    tied = np.append(_same_user(events) & (events.time[1:] == events.time[:-1]), False)
    follows = np.append(False, tied[:-1])
    place = np.flatnonzero(tied | follows)
    run = np.cumsum(~follows[place])
    keys = (tie_key(user_key[events.user[place]], item_key[events.item[place]]), run)
    keys = keys if events.behaviour is None else (events.behaviour[place], *keys)
    return place, place[np.lexsort(keys)]


def tie_key(user_key: np.ndarray, item_key: np.ndarray) -> np.ndarray:
    """(n,) uint64: the order of a user's events of one time, by hashes (n,) of the tokens of users and items."""
    return _mix(_mix(user_key) ^ item_key)


def _same_user(events: Events) -> np.ndarray:
    return events.user[1:] == events.user[:-1]


def _mix(values: np.ndarray) -> np.ndarray:
    """splitmix64: one-to-one on uint64, so different keys never tie again."""
    return mixed(values + np.uint64(0x9E3779B97F4A7C15))


def count_repeats(events: Events, *, by_type: bool = False) -> int:
    """Number of events whose (user, item) pair, or (user, item, behaviour type), already occurred before."""
    return events.n_events - int(np.count_nonzero(_is_first_of_pair(events, by_type)))


def first_of_each_pair(events: Events, *, by_type: bool = False) -> Events:
    """Only the earliest event of every (user, item) pair, or (user, item, behaviour type), in unchanged order."""
    return events.take(_is_first_of_pair(events, by_type))


def _is_first_of_pair(events: Events, by_type: bool) -> np.ndarray:
    n_types = int(events.behaviour.max(initial=0)) + 1 if by_type and events.behaviour is not None else 1
    is_first = np.zeros(events.n_events, dtype=bool)
    for piece in events.pieces():
        user, what = events.user[piece], events.item[piece]
        if n_types > 1:
            what = what.astype(np.int64) * n_types + events.behaviour[piece]
        order = stable_order(what)  # users stay in order, and so do the events of each pair
        user, what = user[order], what[order]
        new = begins(what, user)
        is_first[piece.start + order[new]] = True
    return is_first


def split_leave_last(events: Events) -> np.ndarray:
    """Hold out each user's last event for test and the one before for validation.

    A user with n events has n - 1 rows, since the first event has no history. Users too short for three parts
    feed training first, then test: n = 2 gives training; n = 3 training, test; n >= 4 training ..,
    validation, test.

    Returns:
        (E,) int8: TRAIN, VALID or TEST for every event, a user's first one included.
    """
    size = events.size
    last = events.first + size - 1
    part = np.full(events.n_events, TRAIN, dtype=np.int8)
    part[last[size >= 3]] = TEST
    part[last[size >= 4] - 1] = VALID
    return part


def last_two_days(time: np.ndarray) -> tuple[float, float]:
    """Where the last day but one and the last day (UTC) of times in seconds begin: validation and test."""
    last_day = float(np.floor(time.max() / DAY) * DAY)
    return last_day - DAY, last_day


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
            f"split_times [{valid_start:.15g}, {test_start:.15g}]",
            f"Choose two increasing moments in the unit of the time field; {span}.",
        )
    part = (events.time >= valid_start).astype(np.int8) + (events.time >= test_start).astype(np.int8)
    n_rows = np.bincount(part[_has_history(events)], minlength=3)[: 3 if with_test else 2]
    if (n_rows == 0).any():
        raise InputError(
            "training, validation and test rows",
            "no row for " + " and ".join(_PART_NAMES[which] for which in np.flatnonzero(n_rows == 0)),
            f"Move split_times [{valid_start:.15g}, {test_start:.15g}]: {span}, and a user's first event is no row.",
        )
    return part


def count_rows(events: Events, part: np.ndarray, which: int) -> int:
    """How many rows `rows_of_part` finds where nobody has too many."""
    return int(np.count_nonzero(part == which) - np.count_nonzero(part[events.first] == which))


def rows_of_part(
    events: Events, part: np.ndarray, which: int, *, max_history: int, latest: int | None = None, earlier: bool = False
) -> Rows:
    """The rows of one part. A user's first event is never a row, for it has nothing to be predicted from.

    A history is the user's last `max_history` events before the positive, whatever part they belong to: what
    was held out before this row has happened by then.

    Args:
        events: (E,) sorted events.
        part: (E,) the part of every event.
        which: TRAIN, VALID or TEST.
        max_history: L, the longest history kept, at least 1.
        latest: rows kept of each user, the last ones; None: all.
        earlier: events of the positive's own time are not in its history, wherever their order puts them.

    Raises:
        InputError: `max_history` below 1.
    """
    if max_history < 1:
        raise InputError(
            "a history of at least one event",
            f"max_history {max_history}",
            "Set the longest history (MAX_ITEM_LIST_LENGTH) to 1 or more.",
        )
    index = narrowest(events.n_events, least=np.int32)
    positions, starts, ends = ([np.zeros(0, dtype=index)] for _ in range(3))
    for piece in events.pieces():
        position = piece.start + np.flatnonzero(part[piece] == which)
        user_start = events.start_of(position)
        is_row = position > user_start
        position, user_start = position[is_row], user_start[is_row]
        if latest is not None:
            first = runs(user_start)
            end = np.append(first[1:], len(user_start))
            is_late = np.repeat(end, end - first) - np.arange(len(user_start)) <= latest
            position, user_start = position[is_late], user_start[is_late]
        end = _first_of_its_time(events, piece)[position - piece.start] if earlier else position
        positions.append(position.astype(index))
        starts.append(np.maximum(user_start, end - max_history).astype(index))
        ends.append(end.astype(index))
    position, start, end = map(np.concatenate, (positions, starts, ends))
    return Rows(position=position, history_start=start, history_length=end - start)


def _first_of_its_time(events: Events, piece: slice) -> np.ndarray:
    """(n,) int64: index of the first event that has the user and time of each of the n events of a piece."""
    new = begins(events.user[piece], events.time[piece])
    return piece.start + np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))


def _has_history(events: Events) -> np.ndarray:
    """(E,) bool: every event but the first of its user."""
    has = np.ones(events.n_events, dtype=bool)
    has[events.first] = False
    return has
