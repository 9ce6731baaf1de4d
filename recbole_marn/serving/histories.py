"""What users did before a row: given as one table of behaviours, or as a history of each row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from recbole_marn.data.event_checks import CLICKED, feedback_columns, within
from recbole_marn.data.fields import Fields
from recbole_marn.data.numbering import token_hashes
from recbole_marn.data.rows import tie_key
from recbole_marn.errors import InputError
from recbole_marn.prepare.tokens import as_text, identifier
from recbole_marn.serving.distinct import distinct
from recbole_marn.serving.numbers import read_numbers
from recbole_marn.settings.data import DataSettings

__all__ = ["Behaviours", "History", "Needs", "Windows", "columns_of", "times_of", "tokens_of"]


@dataclass(frozen=True)
class History:
    """What one user did, oldest first; behaviours of one time in the order they have here.

    Attributes:
        items: item ids.
        times: one a behaviour, in the unit of the training data; needed by models that read the time since. None is
            after the time of the row.
        behaviours: one type a behaviour; needed by models that read it.
    """

    items: Sequence[Any]
    times: Sequence[float] | None = None
    behaviours: Sequence[str] | None = None


@dataclass(frozen=True)
class Needs:
    """What a model reads of a behaviour beside its item, and which behaviours its histories were made of.

    Attributes:
        time, kind: the time since the behaviour, its type.
        types: behaviours of other types are no part of a history; None: of none.
        once: of behaviours that repeat an item, or an item and type, the first alone is part of a history; None: all.
        listed: histories came with the rows, in an order of their own.
        clicks: histories were made of clicks alone, of lines that may tell by a column whether they are one.
        kept: column -> what it says of a click: intervals of numbers, tokens, or None for yes.
    """

    time: bool
    kind: bool
    types: Sequence[str] | None = None
    once: Literal["item", "type"] | None = None
    listed: bool = False
    clicks: bool = False
    kept: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: DataSettings, filters: Mapping[str, Any], *, time: bool, kind: bool) -> Needs:
        """Those of a model that reads time and kind, and was trained on data of these settings.

        Args:
            filters: column of .inter -> what its lines were filtered by, as `val_interval` has it.
        """
        behaviours, label = settings.behaviours_settings(), settings.label_settings()
        if settings.histories == "given":
            return cls(time, kind, listed=True)
        once: Literal["item", "type"] | None = None
        if settings.repeats == "first":
            once = "type" if label and settings.behaviour_settings().kind else "item"
        if behaviours:
            return cls(time, kind, behaviours.types, once)
        kept = dict(filters)
        if label:
            kept[label.field] = None if label.at_least is None else f"[{label.at_least},inf)"
        return cls(time, kind, once=once, clicks=True, kept=kept)

    @property
    def typed(self) -> bool:
        """Whether behaviours must say their type."""
        return self.kind or self.types is not None or self.once == "type"

    def telling(self, names: Iterable[str]) -> list[str]:
        """Columns that may say of a behaviour that it is no click, where histories were made of clicks alone."""
        if not self.clicks:
            return []
        by_name = feedback_columns(name for name in names if isinstance(name, str))
        return list(dict.fromkeys([*by_name, *(name for name in names if name in self.kept)]))


@dataclass(frozen=True)
class Windows:
    """The histories of rows, as slices of behaviours."""

    start: np.ndarray
    length: np.ndarray


@dataclass(frozen=True)
class Behaviours:
    """Behaviours of all users, by user and time, and those of one time in the order that training gave them.

    Attributes:
        users: user -> code.
        user, item, time, kind: (E,) codes and times; of a history that says no times -inf; `kind` is None where the
            model reads none.
        left_out: behaviours with items that nothing is known of.
        of_other_types, repeated: behaviours that are left out as training left them out, see `Needs`.
        others: those of other types, whose items a user had nevertheless, or None.
        by_row: there is one history per row, and the row's number is its user.
    """

    users: Mapping[str, int]
    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    kind: np.ndarray | None
    left_out: int = 0
    of_other_types: int = 0
    repeated: int = 0
    others: Behaviours | None = None
    by_row: bool = False

    @classmethod
    def of_table(
        cls,
        table: Any,
        fields: Fields,
        needs: Needs,
        items: Callable[[np.ndarray], np.ndarray],
        kinds: Callable[[np.ndarray], np.ndarray],
    ) -> Behaviours:
        """Behaviours from a table with columns of user, item, time and, where the model reads it, type.

        Args:
            table: a mapping of columns or a data frame.
            items: tokens -> numbers of items, below 0 for unknown ones.
            kinds: tokens -> codes of behaviour types.

        Raises:
            InputError: a column is missing, or a value in it; lines that are no clicks, where histories were of clicks.
        """
        of_kind = fields.behaviour if needs.typed else None
        wanted = [fields.user, fields.item, fields.time, *([of_kind] if of_kind else [])]
        columns = columns_of(table, wanted, "behaviours")
        for name, values in columns_of(table, needs.telling(table), "behaviours").items():
            _check_are_clicks(values, name, needs.kept.get(name))
        tokens = tokens_of(columns[fields.user], fields.user, "behaviours")
        found, user = np.unique(tokens, return_inverse=True)
        of_item = tokens_of(columns[fields.item], fields.item, "behaviours")
        time = times_of(columns[fields.time], fields.time, "behaviours")
        type_ = tokens_of(columns[of_kind], of_kind, "behaviours") if of_kind else None
        users = {token: code for code, token in enumerate(found.tolist())}
        tie = None if needs.listed else tie_key(token_hashes(found)[user], token_hashes(of_item))
        return cls._sorted(users, user, items(of_item), time, type_, needs, kinds, tie)

    @classmethod
    def of_rows(
        cls,
        histories: Sequence[History],
        needs: Needs,
        items: Callable[[np.ndarray], np.ndarray],
        kinds: Callable[[np.ndarray], np.ndarray],
    ) -> Behaviours:
        """Behaviours of one history per row; the row's number is the user. Their order is the one given.

        Raises:
            InputError: lists of different lengths, or none where the model reads them.
        """
        for number, history in enumerate(histories):
            for what, values, needed in (
                ("times", history.times, needs.time),
                ("behaviours", history.behaviours, needs.typed),
            ):
                if (values is None and needed and len(history.items)) or (
                    values is not None and len(values) != len(history.items)
                ):
                    raise InputError(
                        f"{what} of a history, one an item",
                        f"{'none' if values is None else len(values)} for {len(history.items)} items in row {number}",
                        "Give History(items, times, behaviours) lists of one length.",
                    )
        length = [len(history.items) for history in histories]
        user = np.repeat(np.arange(len(histories)), length)
        item = items(tokens_of(_joined([history.items for history in histories]), "items", "histories"))
        time = np.full(len(user), -np.inf)
        timed = np.repeat(np.array([history.times is not None for history in histories], dtype=bool), length)
        time[timed] = times_of(_joined([history.times for history in histories]), "times", "histories")
        back = np.flatnonzero((user[1:] == user[:-1]) & (time[1:] < time[:-1]))
        if len(back):
            raise InputError(
                "histories with the oldest behaviour first",
                f"a later one before an earlier one in row {user[back[0]]}",
                "Sort each history by its times.",
            )
        type_ = None
        if needs.typed:
            type_ = tokens_of(_joined([history.behaviours for history in histories]), "behaviours", "histories")
        rows = {str(row): row for row in range(len(histories))}
        return replace(cls._sorted(rows, user, item, time, type_, needs, kinds), by_row=True)

    @classmethod
    def _sorted(
        cls,
        users: Mapping[str, int],
        user: np.ndarray,
        item: np.ndarray,
        time: np.ndarray,
        type_: np.ndarray | None,
        needs: Needs,
        kinds: Callable[[np.ndarray], np.ndarray],
        tie: np.ndarray | None = None,
    ) -> Behaviours:
        """
        Args:
            type_: tokens (E,), or None where behaviours need not say their type.
            tie: (E,) the order of a user's behaviours of one time; None: as given.
        """
        said = np.empty(len(user), object) if type_ is None else type_  # empty where `needs` asks for none
        kind = np.zeros(len(user), np.int64) if type_ is None else kinds(type_)
        order = np.lexsort((time, user) if tie is None else (kind, tie, time, user))  # stable
        known = order[item[order] >= 0]
        of_types = np.ones(len(known), bool) if needs.types is None else np.isin(said[known], list(needs.types))
        kept, other = known[of_types], known[~of_types]
        once = kept
        if needs.once:
            keys = [user[kept], item[kept], *([said[kept]] if needs.once == "type" else [])]
            once = kept[~pd.MultiIndex.from_arrays(keys).duplicated()]
        return cls(
            users, user[once], item[once], time[once],
            kind=kind[once] if needs.kind else None,
            left_out=len(order) - len(known),
            of_other_types=len(other),
            repeated=len(kept) - len(once),
            others=cls(users, user[other], item[other], time[other], None) if len(other) else None,
        )  # fmt: skip

    def before(self, user: np.ndarray, time: np.ndarray, longest: int, *, inclusive: bool) -> Windows:
        """The last `longest` behaviours of users (B,) before moments (B,); none of an unknown user.

        Args:
            user: tokens.
            inclusive: behaviours at the very moment are among them.
        """
        codes, row = np.unique(user, return_inverse=True)
        code = np.array([self.users.get(token, -1) for token in codes.tolist()], dtype=np.int64)[row]
        moments, keys = self._moments
        stride = len(moments) + 1
        until = np.searchsorted(moments, time, side="right" if inclusive else "left")
        end = np.searchsorted(keys, code * stride + until)
        start = np.maximum(np.searchsorted(keys, code * stride), end - longest)
        length = np.where(code < 0, 0, end - start)
        return Windows(np.where(length > 0, start, 0), length)

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The different times, and user and time of each behaviour as one rising number."""
        moments, rank = np.unique(self.time, return_inverse=True)
        return moments, self.user.astype(np.int64) * (len(moments) + 1) + rank

    def check_rows(self, number: int) -> None:
        """There is a history for each of `number` rows.

        Raises:
            InputError: there is not.
        """
        if len(self.users) != number:
            raise InputError("one History a row", f"{len(self.users)} for {number} rows", "Give an empty one for none.")

    def check_past(self, time: np.ndarray) -> None:
        """No behaviour of the histories of rows is after its row's time (B,).

        Raises:
            InputError: one is.
        """
        late = np.flatnonzero(self.time > time[self.user])
        if len(late):
            row = self.user[late[0]]
            raise InputError(
                "behaviours before the time of their row or request",
                f"{self.time[late[0]]:.0f} after {time[row]:.0f} in row {row}",
                "Leave the later ones out, or ask for a later time.",
            )

    def all_of(self, row: np.ndarray, longest: int) -> Windows:
        """The last `longest` behaviours of the histories of rows (B,)."""
        end = np.searchsorted(self.user, row, side="right")
        start = np.maximum(np.searchsorted(self.user, row), end - longest)
        return Windows(start, end - start)


def _check_are_clicks(values: np.ndarray, name: str, kept: Any) -> None:
    """`kept`: an entry of `Needs.kept`."""
    if isinstance(kept, str):
        clicked = within(read_numbers(name, values)[0], kept)
    else:
        words = [as_text(value).strip() for value in values.tolist()]
        clicked = np.array([word.lower() in CLICKED if kept is None else word in kept for word in words], dtype=bool)
    if not clicked.all():
        other = values[~clicked].tolist()
        raise InputError(
            f"nothing but clicks in behaviours, as in the histories of training: {name} {kept or 'yes'}",
            f"column '{name}' with {len(other)} of {len(values)} other values (first {other[0]!r})",
            "Leave those lines out, or the column if it does not tell clicks.",
        )


def _joined(parts: Sequence[Sequence[Any] | None]) -> np.ndarray:
    values = [value for part in parts if part is not None for value in part]
    joined = np.empty(len(values), dtype=object)
    joined[:] = values
    return joined


def columns_of(table: Any, wanted: Sequence[str], what: str) -> dict[str, np.ndarray]:
    """Columns of a mapping or data frame.

    Raises:
        InputError: one is missing, or they are not of one length.
    """
    if not isinstance(table, (pd.DataFrame, Mapping)):
        raise InputError(
            f"{what} as a data frame or a mapping of columns",
            type(table).__name__,
            f"Give e.g. {{'{next(iter(wanted), 'item_id')}': [...], ...}}.",
        )
    missing = [name for name in wanted if name not in table]
    if missing:
        raise InputError(
            f"columns {', '.join(wanted)} of {what}",
            f"{', '.join(map(str, table)) or 'none'}, without {', '.join(missing)}",
            "Add them, or rename yours.",
        )
    columns = {name: _column(table[name]) for name in wanted}
    if len({column.shape for column in columns.values()}) > 1 or any(c.ndim != 1 for c in columns.values()):
        shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        raise InputError(f"columns of {what} of one length", shapes, "Give one value per row.")
    return columns


def _column(values: Any) -> np.ndarray:
    """An array of values, of which lists that a list holds stay as they are."""
    if not isinstance(values, (list, tuple)) or not any(isinstance(v, (list, tuple, np.ndarray)) for v in values):
        return np.asarray(values)
    column = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        column[row] = value
    return column


def tokens_of(column: np.ndarray, name: str, what: str) -> np.ndarray:
    """Ids as text, as the training data spell them: 5 and 5.0 are '5'.

    Raises:
        InputError: a missing one.
    """
    codes, values = distinct(column, use_na_sentinel=True)
    tokens = np.array([value if isinstance(value, str) else identifier(value) for value in values], dtype=object)
    empty = np.flatnonzero(codes < 0)
    if not len(empty) and len(tokens):
        empty = np.flatnonzero((tokens == "")[codes])
    if len(empty):
        raise InputError(
            f"an id in every line of {name} of {what}", f"none in row {empty[0]}", "Fill it in, or leave the row out."
        )
    return tokens[codes] if len(tokens) else np.empty(0, dtype=object)


def times_of(column: np.ndarray, name: str, what: str) -> np.ndarray:
    """Times as float64; dates become unix seconds.

    Raises:
        InputError: a missing one, or no number.
    """
    if np.issubdtype(column.dtype, np.datetime64):
        column = (column - np.datetime64(0, "s")) / np.timedelta64(1, "s")
    try:
        time = np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f"times as numbers or dates in {name} of {what}", f"{column[:1].tolist()}", "Convert them to unix seconds."
        ) from None
    wrong = np.flatnonzero(~np.isfinite(time))
    if len(wrong):
        raise InputError(
            f"a time in every line of {name} of {what}", f"{time[wrong[0]]} in row {wrong[0]}", "Fill it in."
        )
    return time
