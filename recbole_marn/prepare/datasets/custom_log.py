"""A click log of your own: exposures with labels, and, where there are any, behaviours, users and items."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from recbole_marn.errors import InputError
from recbole_marn.prepare.columns import Assignment, Roles, assignments, choose, find_column, no_such_column
from recbole_marn.prepare.datasets.described import ITEM_ROLES, read_described
from recbole_marn.prepare.fields import FieldReader, listed
from recbole_marn.prepare.lines import Tally
from recbole_marn.prepare.logs import RawBehaviours, RawExposures, RawLog
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import RawItems
from recbole_marn.prepare.tabular import Table, open_table
from recbole_marn.prepare.times import Clock
from recbole_marn.prepare.tokens import as_text, clean, identifier, is_missing, why_no_id
from recbole_marn.settings.logs import STATISTICS, USER_STATISTICS

__all__ = ["read_log"]

TABLES = ("exposures", "behaviours", "users", "items")
_EXPOSURES = ("user_id", "item_id", "label", "timestamp", "request_id", "position")
_BEHAVIOURS = ("user_id", "item_id", "timestamp", "behavior_type")
_ROLES = {"exposures": _EXPOSURES, "behaviours": _BEHAVIOURS, "users": ("user_id",), "items": ("item_id", *ITEM_ROLES)}
_KNOWN = (*_EXPOSURES, "behavior_type", *ITEM_ROLES)
_COUNTED = (*STATISTICS, *USER_STATISTICS)  # by this package, from training rows
_BETWEEN = re.compile(r"[\s|;,]+")
_LABELS = {"1": 1, "true": 1, "yes": 1, "y": 1, "t": 1, "0": 0, "false": 0, "no": 0, "n": 0, "f": 0}


def read_log(options: Options) -> RawLog:
    """The tables of a log by role, named with `--column [TABLE.]ROLE=COLUMN[:TYPE]`.

    In the exposures, `item_id` may be the list that was shown; then `label` and `position` are lists beside it, or
    `label` lists the items that were clicked. In the behaviours, `item_id`, `timestamp` and `behavior_type` may be
    parallel lists, one behaviour an entry. Text that is a list needs the type: `--column item_id=SHOWN:token_seq`.

    Raises:
        InputError: a file or a required column is missing, or an option names a column that no table has, or gives
            a column a name that another one has.
    """
    given = assignments(options.columns, TABLES, _KNOWN)
    paths = {"exposures": options.exposures, "behaviours": options.behaviours, "users": options.users,
             "items": options.items}  # fmt: skip
    tables = {name: open_table(path, f"--{name}") for name, path in paths.items() if path is not None}
    given = _places(given, tables)
    exposures, tallies, columns = None, [], {}
    behaviours, users, items = None, None, RawItems(())
    roles = {name: _roles(name, table, given) for name, table in tables.items()}
    _check_names(roles)
    for entry in given:
        if not entry.used:
            raise no_such_column(entry, [tables[entry.table]] if entry.table in tables else list(tables.values()))
    for name, table in tables.items():
        file = f"{name} {table.path.name}"  # files of several folders may be called alike
        tally = Tally(file, options.max_skipped)
        tallies.append(tally)
        columns[file] = roles[name].describe()
        if name == "exposures":
            exposures = _Exposures(roles[name], tally, options).read()
        elif name == "behaviours":
            behaviours = _read_behaviours(roles[name], tally, options)
        else:
            key = "user_id" if name == "users" else "item_id"
            described = read_described(roles[name], key, tally, options)
            users, items = (described, items) if name == "users" else (users, described)
    notes = [] if "user_id" in roles["exposures"].columns else [_no_users(tables)]
    sources = [file for table in tables.values() for file in table.files()]
    data = RawLog(exposures, items, users, behaviours, sources, tallies=tallies, notes=notes, columns=columns)
    data.counts_time = options.time_unit == "relative"
    return data


def _no_users(tables: Mapping[str, Table]) -> str:
    """What to say of exposures without a column of users.

    Raises:
        InputError: a table beside them is of users.
    """
    shown = tables["exposures"]
    for name in ("behaviours", "users"):
        if name in tables:
            raise InputError(
                f"a column of users in {shown.path}, for --{name}",
                f"the columns {', '.join(map(repr, shown.names[:30]))}",
                f"Name it: --column exposures.user_id=YOUR_COLUMN. If there is none, leave --{name} out.",
            )
    return (
        "no user id: every request is a user of its own, so there are no histories; if there is such a column, "
        "name it: --column user_id=YOUR_COLUMN"
    )


def _places(given: list[Assignment], tables: dict[str, Table]) -> list[Assignment]:
    """A role without a table is meant for every table that knows the role; a name of the user's own, for the first
    table that has the column."""
    placed = []
    for entry in given:
        if entry.table and entry.table not in tables:
            hint = f"Give --{entry.table} FILE, or write another table before the point: {', '.join(tables)}."
            raise InputError(f"the file --{entry.table} for --column {entry.text}", "none", hint)
        own = entry.role not in _KNOWN
        if not own and not any(entry.role in _ROLES[name] for name in ([entry.table] if entry.table else tables)):
            raise InputError(
                f"--column with a role of {entry.table or ' or '.join(tables)}",
                entry.text,
                f"Give it a name of its own, with a type: --column {entry.table or 'exposures'}.NAME=...:token.",
            )
        for name in ("items", "users", "exposures", "behaviours") if own and not entry.table else ():
            if name in tables and find_column(tables[name], entry.split_type()[0]) is not None:
                entry.table = name
                break
        placed.append(entry)
    return placed


def _roles(name: str, table: Table, given: list[Assignment]) -> Roles:
    further = {entry.role: entry.split_type()[1] for entry in given if entry.table == name and entry.role not in _KNOWN}
    if name == "exposures":
        roles, required, lists = dict.fromkeys(_EXPOSURES, ""), ("item_id", "label", "timestamp"), _EXPOSURES
        bad = [role for role, type_ in further.items() if type_ not in ("token", "float")]
        if bad:
            raise InputError(
                f"token or float for {bad[0]} of the exposures", f"{further[bad[0]]}", "A list is no context; leave it."
            )
    elif name == "behaviours":
        roles, required, lists = dict.fromkeys(_BEHAVIOURS, ""), ("user_id", "item_id"), _BEHAVIOURS
        if further:
            raise InputError(
                f"behaviours with the roles {', '.join(_BEHAVIOURS)}", next(iter(further)), "Leave the column out."
            )
    elif name == "users":
        roles, required, lists = {"user_id": ""}, ("user_id",), ()
    else:
        roles, required, lists = {"item_id": "", **ITEM_ROLES}, ("item_id",), ()
    roles |= further
    mine = [entry for entry in given if entry.role in roles and entry.table in ("", name)]
    return choose(table, name, roles, mine, required=required, lists=lists)


def _check_names(roles: Mapping[str, Roles]) -> None:
    """A column is known by its name alone, whichever file it is in; what this package counts has its own."""
    owner: dict[str, str] = {}
    for name, chosen in roles.items():
        for role in chosen.types:
            if role in _ROLES["exposures"] or role in _BEHAVIOURS:
                continue
            if role in owner or role in _COUNTED:
                what = f"one of {owner[role]}" if role in owner else "what is counted from the training rows"
                raise InputError(
                    "a name of its own for each column",
                    f"{name}.{role}, as {what} is called",
                    f"Give it another name: --column {name}.NAME={chosen.columns[role]}:{chosen.types[role]}.",
                )
            owner[role] = name


class _Exposures:
    """Reads the rows of the table of exposures, each one item or the list that was shown."""

    def __init__(self, chosen: Roles, tally: Tally, options: Options):
        self._chosen, self._tally = chosen, tally
        anonymous = "user_id" not in chosen.columns
        self._clock = Clock(options.time_unit)
        self._names = list(chosen.columns)
        context = {name: type_ for name, type_ in chosen.types.items() if name not in _EXPOSURES}
        self._readers = {name: FieldReader(name, type_, tally, 1) for name, type_ in context.items()}
        self._log = RawExposures(context, anonymous=anonymous)
        self._rows_are_requests = False

    def read(self) -> RawExposures:
        for line, values in self._chosen.table.rows(list(self._chosen.columns.values()), self._tally):
            self._row(line, dict(zip(self._names, values, strict=True)))
        self._tally.check()
        return self._log

    def _row(self, line: int, row: dict[str, object]) -> None:
        at, reason = self._clock.read(row["timestamp"])
        if at is None:
            return self._tally.skip(reason, line, row["timestamp"])
        shown = self._list(row, "item_id")
        request = self._request(row, line, shown is not None)
        user = row.get("user_id", f"no-user-{line if request is None else as_text(request)}")
        items = [row["item_id"]] if shown is None else shown
        if not items or not identifier(user) or not all(identifier(item) for item in items):
            reason = "nothing shown" if not items else why_no_id(user, *items)
            return self._tally.skip(reason, line, (user, row["item_id"]))
        if request is not None and not identifier(request):
            return self._tally.skip(why_no_id(request).replace("id", "request id", 1), line, request)
        clicked = self._list(row, "label")
        value = row["label"] if clicked is None else clicked
        labels, reason = _label(value) if shown is None else _labels(value, shown)
        if labels is None:
            return self._tally.skip(reason, line, row["label"])
        positions = self._list(row, "position")
        if positions is None:
            positions = [row.get("position")] * len(items)
        if len(positions) != len(items):
            return self._tally.skip("as many positions as items are wanted", line, row["position"])
        context = {}
        for name, reader in self._readers.items():
            value = reader.read(row[name], line)
            context[name] = (math.nan if reader.type == "float" else "") if value is None else value
        for item, label, position in zip(items, labels, positions, strict=True):
            self._log.add(
                user, item, at, label, request=request, context=context,
                position=("" if is_missing(position) else position) if "position" in row else None,
            )  # fmt: skip

    def _request(self, row: dict[str, object], line: int, is_list: bool) -> object:
        """The request of a row; without ids, a list that was shown is one, and then so is every other row."""
        if "request_id" in row and not (is_list and is_missing(row["request_id"])):
            return "" if row["request_id"] is None else row["request_id"]
        if is_list and not self._rows_are_requests and "request_id" not in row:
            self._rows_are_requests = True
            for number in range(len(self._log)):
                self._log.request.append(f"single-{number}")
        return f"row-{line}" if is_list or self._rows_are_requests else None

    def _list(self, row: dict[str, object], role: str) -> list | None:
        return as_list(row.get(role), self._chosen.types.get(role, ""))


def as_list(value: object, type_: str = "") -> list | None:
    """The entries of a list, also of one spelled in a cell (`['a', 'b']`); None for a single value.

    Where the column is said to be a token_seq, any text is one: words between blanks, bars, semicolons or commas.
    """
    if isinstance(value, list) or not isinstance(value, str):
        return value if isinstance(value, list) else None
    text = value.strip()
    entries = listed(text) if text.startswith("[") else None
    return [word for word in _BETWEEN.split(text) if word] if entries is None and type_ == "token_seq" else entries


def _label(value: object) -> tuple[list[int] | None, str]:
    """The label of one item; or None, and the reason."""
    label = _LABELS.get(identifier(value).casefold())
    return (None, "label is neither 0 nor 1 (write 1 for a click, else 0)") if label is None else ([label], "")


def _labels(value: object, shown: Sequence[object]) -> tuple[list[int] | None, str]:
    """Labels of the items shown, from the list of these or from that of the items clicked; or None, and the reason."""
    entries = as_list(value)
    if entries is None:
        entries = [] if is_missing(value) else [value]
    flags = [_LABELS.get(identifier(entry).casefold()) for entry in entries]
    beside = flags if len(flags) == len(shown) and None not in flags else None
    clicked, ids = {identifier(entry) for entry in entries}, [identifier(item) for item in shown]
    among = [int(token in clicked) for token in ids] if clicked <= set(ids) else None
    if beside is None and among is None:
        untyped = as_list(value) is None and len(as_list(value, "token_seq") or ()) > 1
        how = ": text that is a list needs its type, --column label=COLUMN:token_seq" if untyped else ""
        return None, f"labels do not fit the list shown{how}"
    if beside is not None and among is not None and beside != among:
        return None, "labels are also ids of items shown; write them as true and false"
    return (among if beside is None else beside), ""


def _read_behaviours(chosen: Roles, tally: Tally, options: Options) -> RawBehaviours:
    clock, behaviours = Clock(options.time_unit), RawBehaviours()
    names = list(chosen.columns)
    types = {name: chosen.types.get(name, "") for name in names}
    for line, values in chosen.table.rows(list(chosen.columns.values()), tally):
        row = dict(zip(names, values, strict=True))
        user = row["user_id"]
        entries = _entries(row, types)
        if entries is None:
            tally.skip("lists of different lengths", line, user)
        elif not identifier(user):
            tally.skip(why_no_id(user), line, user)
        else:
            for entry in entries:
                _add(behaviours, clock, tally, line, user, entry)
    tally.check()
    return behaviours


def _entries(row: dict[str, object], types: Mapping[str, str]) -> Iterator[dict[str, object]] | None:
    """The behaviours of a row: one, or one an entry of its parallel lists; None when those differ in length."""
    lists = {
        name: entries
        for name, type_ in types.items()
        if name != "user_id" and (entries := as_list(row[name], type_)) is not None
    }
    if not lists:
        return iter([row])
    length = len(next(iter(lists.values())))
    if any(len(entries) != length for entries in lists.values()):
        return None
    return (row | {name: entries[k] for name, entries in lists.items()} for k in range(length))


def _add(
    behaviours: RawBehaviours, clock: Clock, tally: Tally, line: int, user: object, entry: dict[str, object]
) -> None:
    at, reason = clock.read(entry["timestamp"]) if "timestamp" in entry else (None, "")
    kind = clean(entry["behavior_type"]) if "behavior_type" in entry else None
    if reason:
        tally.skip(reason, line, entry["timestamp"])
    elif not identifier(entry["item_id"]):
        tally.skip(why_no_id(entry["item_id"]), line, entry["item_id"])
    elif kind == "":
        tally.skip("missing behaviour", line)
    else:
        behaviours.add(user, entry["item_id"], at, kind)
