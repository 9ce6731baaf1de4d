"""Which column of a user's table is what: by its name, or as `--column ROLE=COLUMN[:TYPE]` says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from recbole_marn.data.atomic_header import TYPES
from recbole_marn.errors import InputError
from recbole_marn.prepare.tabular import LIST, PLAIN, STRUCTURE, Table
from recbole_marn.settings.parsing import nearest

__all__ = [
    "Assignment", "Roles", "assignments", "choose", "find_column", "no_such_column", "read_assignments", "spelled_like",
]  # fmt: skip

_NO_LETTER = re.compile(r"[\W_]+")
_ROLE = re.compile(r"[A-Za-z]\w*")


@dataclass
class Assignment:
    """One `--column [TABLE.]ROLE=COLUMN[:TYPE]`; `used` is set once a table has the column."""

    table: str  # "events", "items", ...; empty: any
    role: str
    column: str
    used: bool = False

    @property
    def text(self) -> str:
        """`TABLE.ROLE`, or `ROLE`."""
        return f"{self.table}.{self.role}" if self.table else self.role

    def split_type(self) -> tuple[str, str]:
        """Column and type; no type is ""."""
        name, colon, kind = self.column.rpartition(":")
        return (name, kind) if colon and kind in TYPES else (self.column, "")


@dataclass
class Roles:
    """What a table is read as.

    Attributes:
        columns: role -> column.
        types: role -> one of `TYPES`, for roles that are features.
        left: column -> why it is not taken.
    """

    table: Table
    columns: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    def describe(self) -> dict[str, object]:
        """For the record and the report."""
        taken = {role: {"column": column} | ({"type": self.types[role]} if role in self.types else {})
                 for role, column in self.columns.items()}  # fmt: skip
        return {"taken": taken, "not_taken": dict(self.left)}


def read_assignments(options: Sequence[str]) -> dict[str, str]:
    """`[TABLE.]ROLE` -> `COLUMN[:TYPE]` of the values of `--column`.

    Raises:
        InputError: one of another form, or two columns for one role.
    """
    columns: dict[str, str] = {}
    for option in options:
        role, found, column = option.partition("=")
        if not (role and found and column):
            raise InputError("--column ROLE=COLUMN", repr(option), "For example --column timestamp=created_at.")
        if columns.setdefault(role, column) != column:
            raise InputError(f"one column for {role}", f"{columns[role]!r} and {column!r}", "Leave one of them out.")
    return columns


def assignments(given: Mapping[str, str], tables: Sequence[str], known: Sequence[str]) -> list[Assignment]:
    """`--column` options, checked as far as that is possible without the tables.

    Args:
        tables: names that may stand before a role, as in `items.title`.
        known: roles with a meaning of their own; any other needs a type.

    Raises:
        InputError: a role that is no name, or an unknown one without a type.
    """
    result = []
    for key, column in given.items():
        table, dot, role = key.rpartition(".")
        entry = Assignment(table, role, column)
        if dot and table not in tables or not _ROLE.fullmatch(role):
            raise InputError(
                f"--column ROLE=COLUMN with one of the roles {', '.join(known)}, or a name of yours",
                repr(key),
                f"Before the role may stand {', '.join(f'`{name}.`' for name in tables)}.",
            )
        if role not in known and not entry.split_type()[1]:
            name, colon, kind = column.rpartition(":")
            raise InputError(
                f"--column ROLE=COLUMN with one of the roles {', '.join(known)}; any other with a type",
                repr(role) + (f" of type {kind!r}" if colon else " without a type"),
                f"Say what it is: --column {shlex.quote(f'{key}={name if colon else column}:token')} "
                f"({', '.join(TYPES)}).{nearest(kind, TYPES) if colon else nearest(role, known)}",
            )
        result.append(entry)
    return result


def _key(name: str) -> str:
    """`Title`, ` title`, `Item ID`, `itemId` and RecBole's `item_id:token` are the columns that they look like."""
    head, colon, kind = name.rpartition(":")
    return _NO_LETTER.sub("", head if colon and kind in TYPES else name).casefold()


def spelled_like(column: str, name: str) -> bool:
    """Whether a column is `name` but for letter case, blanks, hyphens and underscores."""
    return _key(column) == _key(name)


def find_column(table: Table, name: str) -> str | None:
    """The column of that name, else the only one that is spelled like it.

    Raises:
        InputError: several are spelled like it.
    """
    if name in table.kinds:
        return name
    alike = [column for column in table.names if spelled_like(column, name) and _key(name)]
    if len(alike) > 1:
        raise InputError(
            f"one column that reads as {name} in {table.path}",
            ", ".join(map(repr, alike)),
            f"Say which: --column {name}=COLUMN.",
        )
    return alike[0] if alike else None


def no_such_column(entry: Assignment, tables: Sequence[Table], kind: str = "") -> InputError:
    """The error for a `--column` that no table has, or that a table `kind` lacks, which needs it."""
    wanted = entry.split_type()[0]
    near = nearest(wanted, [name for table in tables for name in table.names])
    own = f"{kind}.{entry.role}"
    hint = f"Say what it is called there: --column {own}=YOUR_COLUMN." if kind else "Check --column, or leave it out."
    return InputError(
        f"the column {wanted!r} for {entry.role} in {' or '.join(str(table.path) for table in tables)}",
        "; ".join(f"the columns {', '.join(map(repr, table.names[:30]))}" for table in tables),
        hint + near,
    )


def choose(
    table: Table,
    kind: str,
    roles: Mapping[str, str],
    given: Sequence[Assignment],
    *,
    required: Sequence[str] = (),
    lists: Sequence[str] = (),
) -> Roles:
    """Find the columns of a table.

    Args:
        kind: what it is called in `--column KIND.ROLE=...`.
        roles: role -> type of the feature it becomes, "" where the role is none. Further roles come from `given`.
        required: roles without which the table is of no use.
        lists: roles that may be lists without becoming a sequence feature.

    Raises:
        InputError: a required column is missing, or a named one holds what its role cannot be.
    """
    chosen = Roles(table)
    # What was named for this very table comes first, then what was named for any.
    mine = [entry for entry in given if entry.table == kind] + [entry for entry in given if not entry.table]
    for entry in mine:
        if entry.role in chosen.columns:
            continue
        # A header such as `genre:token` has the type in its own name.
        name, type_ = (entry.column, "") if entry.column in table.kinds else entry.split_type()
        column = find_column(table, name)
        if column is None:
            continue
        entry.used = True
        if not roles[entry.role] and entry.role not in lists:
            type_ = _of_one_value(entry, type_, table)
        _take(chosen, entry.role, column, type_ or roles[entry.role], lists, named=bool(type_), asked=True)
    for role, type_ in roles.items():
        if role not in chosen.columns and (column := find_column(table, role)) is not None:
            if column not in chosen.columns.values():
                _take(chosen, role, column, type_, lists, named=False, asked=role in required)
    if missing := [role for role in required if role not in chosen.columns]:
        named = next((entry for entry in mine if entry.role in missing), None)
        raise _missing(missing, chosen) if named is None else no_such_column(named, [table], kind)
    taken = set(chosen.columns.values())
    for column, shape in table.kinds.items():
        if column not in taken:
            chosen.left.setdefault(column, f"holds a {shape}" if shape != PLAIN else "")
    return chosen


def _missing(roles: Sequence[str], chosen: Roles) -> InputError:
    """The error for required roles that no column looks like."""
    table = chosen.table
    return InputError(
        f"columns for {', '.join(roles)} in {table.path}",
        f"the columns {', '.join(map(repr, table.names[:30]))}",
        f"Name them, such as --column {roles[0]}=YOUR_COLUMN."
        + ("" if "user_id" in chosen.columns or "user_id" in roles else " Users are named likewise: user_id=...")
        + (" If that is the first row, the file has no header: write one." if _is_data(table.names) else ""),
    )


def _of_one_value(entry: Assignment, type_: str, table: Table) -> str:
    """The type of a role that is no feature: none, whatever was said, for the role itself says what its values are."""
    if type_.endswith("_seq"):
        raise InputError(
            f"plain values for {entry.role} in {table.path}",
            f"a list, --column {entry.text}={entry.column}",
            "Write one row per entry, or leave the type out if each value is one.",
        )
    return ""


def _take(chosen: Roles, role: str, column: str, type_: str, lists: Sequence[str], *, named: bool, asked: bool) -> None:
    """Take a column for a role, if its values can be that; a list of words becomes a token_seq."""
    shape = chosen.table.kinds[column]
    if shape == LIST and role not in lists:
        if type_ == "token" and not named:
            type_ = "token_seq"
        elif type_ not in ("token_seq", "float_seq"):
            shape = STRUCTURE  # of no use here
    if shape == STRUCTURE:
        what = chosen.table.kinds[column]
        if asked:
            raise InputError(
                f"plain values for {role} in {chosen.table.path}",
                f"the column {column!r}, which holds a {what}",
                "Flatten it, or take it as a sequence: --column NAME=COLUMN:token_seq."
                if what == LIST
                else "Write its parts as columns of their own.",
            )
        chosen.left[column] = f"holds a {what}, which {role} cannot be"
        return
    chosen.columns[role] = column
    if type_:
        chosen.types[role] = type_


def _is_data(names: Sequence[str]) -> bool:
    """Whether a header looks like a row: numbers or dates where names should be."""
    return any(re.fullmatch(r"[\d.:+TZ-]+", name) for name in names if name)
