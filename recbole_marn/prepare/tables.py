"""Events and items as columns: what every reader of raw files produces and the writer turns into atomic files."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from recbole_marn.prepare.lines import Tally
from recbole_marn.prepare.tokens import identifier

if TYPE_CHECKING:
    from recbole_marn.prepare.vectors import VectorWriter

__all__ = [
    "EventBuilder",
    "Found",
    "ITEM_FIELDS",
    "Numbering",
    "RawDataset",
    "RawEvents",
    "RawItems",
    "VectorSource",
]

ITEM_FIELDS = {
    "category": "token", "brand": "token", "shop": "token", "title": "token_seq", "price": "float",
    "movie_title": "token_seq", "release_year": "token", "class": "token_seq",  # RecBole's names in ml-100k
}  # fmt: skip


@dataclass(frozen=True)
class RawEvents:
    """Interactions in the order of the raw file; users and items are numbered by first appearance.

    Attributes:
        users, items: the tokens behind the numbers.
        user, item: (E,) int32.
        time: (E,) float64, unix seconds.
        behavior: (E,) int8, or int32 where there are more than 127, into `behaviors`, or None.
        rating: (E,) float32, or None.
    """

    users: list[str]
    items: list[str]
    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    behaviors: tuple[str, ...] = ()
    behavior: np.ndarray | None = None
    rating: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def distinct_pairs(self) -> int:
        """How many pairs of a user and an item there are."""
        return len(np.unique(self.user.astype(np.int64) * max(len(self.items), 1) + self.item))

    def select(self, keep: np.ndarray) -> RawEvents:
        """The events where `keep` (E,) bool is true, with users and items numbered anew."""

        def renumber(tokens: list[str], codes: np.ndarray) -> tuple[list[str], np.ndarray]:
            used, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
            order = np.argsort(first)  # keeps "numbered by first appearance"
            rank = np.empty_like(order)
            rank[order] = np.arange(len(order))
            return [tokens[used[i]] for i in order], rank[inverse].astype(np.int32)

        users, user = renumber(self.users, self.user[keep])
        items, item = renumber(self.items, self.item[keep])
        return RawEvents(
            users, items, user, item, self.time[keep], self.behaviors,
            None if self.behavior is None else self.behavior[keep],
            None if self.rating is None else self.rating[keep],
        )  # fmt: skip

    def core(self, k: int) -> RawEvents:
        """The largest subset in which every user and every item has at least `k` events."""
        keep = np.ones(len(self), bool)
        while True:
            users = np.bincount(self.user[keep], minlength=len(self.users))
            items = np.bincount(self.item[keep], minlength=len(self.items))
            still = keep & (users[self.user] >= k) & (items[self.item] >= k)
            if still.sum() == keep.sum():
                return self.select(keep)
            keep = still


class Numbering:
    """Numbers tokens by first appearance; each spelling is read once, a missing one has number -1."""

    LARGEST = 1 << 27  # whole numbers below are looked up in an array

    def __init__(self):
        self.tokens: list[str] = []
        self._numbers: dict[object, int] = {}
        self._of_whole = np.full(0, -1, np.int32)

    def number(self, raw: object) -> int:
        """The number of a token, -1 where it is missing."""
        if isinstance(raw, (list, dict)):  # JSON may have anything anywhere
            return -1
        raw = identifier(raw) if isinstance(raw, bool) else raw  # to a dictionary True is 1
        known = self._numbers.get(raw)
        if known is None:
            token = identifier(raw)
            known = self._numbers.get(token) if token else -1
            if known is None:
                known = self._numbers[token] = len(self.tokens)
                self.tokens.append(token)
            self._numbers[raw] = known
        return known

    def forget(self, raw: object) -> None:
        """Take back the newest token, which `raw` was the first to spell."""
        token = self.tokens.pop()
        for spelling in {token, identifier(raw) if isinstance(raw, bool) else raw}:
            del self._numbers[spelling]

    def number_whole(self, values: np.ndarray) -> np.ndarray | None:
        """(n,) int32 numbers of whole numbers (n,) from 0, as if each was spelled in digits; None if one is huge."""
        highest = int(values.max(initial=-1))
        if highest >= self.LARGEST:
            return None
        if highest >= len(self._of_whole):
            more = max(highest + 1, 2 * len(self._of_whole)) - len(self._of_whole)
            self._of_whole = np.append(self._of_whole, np.full(more, -1, np.int32))
        found = self._of_whole[values]
        unknown = values[found < 0]
        if unknown.size:
            distinct, first = np.unique(unknown, return_index=True)
            for value in distinct[np.argsort(first)].tolist():
                token = str(value)
                number = self._numbers.setdefault(token, len(self.tokens))
                if number == len(self.tokens):
                    self.tokens.append(token)
                self._of_whole[value] = number
            found = self._of_whole[values]
        return found


class EventBuilder:
    """Collects events one at a time in about 20 bytes each."""

    def __init__(self):
        self._users, self._items = Numbering(), Numbering()
        self._behaviors: dict[str, int] = {}
        self._user, self._item, self._time = array("i"), array("i"), array("d")
        self._behavior, self._rating = array("b"), array("f")

    def add(
        self,
        user: object,
        item: object,
        time: float,
        behavior: str | None = None,
        rating: float | None = None,
    ) -> bool:
        """Append an event; False (and nothing appended) when the user or item id is missing."""
        users = len(self._users.tokens)
        user_number = self._users.number(user)
        # A user or an item without an event is none of the data set: neither is numbered where the other is missing.
        item_number = -1 if user_number < 0 else self._items.number(item)
        if item_number < 0:
            if user_number == users:
                self._users.forget(user)
            return False
        self._user.append(user_number)
        self._item.append(item_number)
        self._time.append(time)
        if behavior is not None:
            number = self._behaviors.setdefault(behavior, len(self._behaviors))
            if number > 127 and self._behavior.typecode == "b":
                self._behavior = array("i", self._behavior)
            self._behavior.append(number)
        if rating is not None:
            self._rating.append(rating)
        return True

    def extend(
        self, user: np.ndarray, item: np.ndarray, time: np.ndarray, behavior: np.ndarray, names: Sequence[str]
    ) -> np.ndarray | None:
        """Append events whose ids are whole numbers from 0, with the effect of `add` one by one.

        Args:
            user, item: (n,) int64.
            time: (n,) float64.
            behavior: (n,) index into `names`, at most 127 of them, which stand in the order of first appearance.

        Returns:
            Positions below n of the first event of each new item, in the order of their numbers; None, and nothing
            is appended, where an id is too large to be looked up.
        """
        before = len(self._items.tokens)
        user_number, item_number = self._users.number_whole(user), self._items.number_whole(item)
        if user_number is None or item_number is None:
            return None
        self._user.frombytes(user_number.tobytes())
        self._item.frombytes(item_number.tobytes())
        self._time.frombytes(time.tobytes())
        number = [self._behaviors.setdefault(name, len(self._behaviors)) for name in names]
        number = np.array(number, dtype=self._behavior.typecode)
        self._behavior.frombytes(number[behavior].tobytes())
        new = np.flatnonzero(item_number >= before)
        return new[np.unique(item_number[new], return_index=True)[1]]

    @property
    def last_item(self) -> int:
        """The number of the item of the last event."""
        return self._item[-1]

    def build(self) -> RawEvents:
        """All events added so far."""
        count = len(self._user)
        return RawEvents(
            self._users.tokens, self._items.tokens,
            np.frombuffer(self._user, np.int32), np.frombuffer(self._item, np.int32), np.frombuffer(self._time),
            tuple(self._behaviors),
            np.array(self._behavior) if count and len(self._behavior) == count else None,
            np.frombuffer(self._rating, np.float32) if count and len(self._rating) == count else None,
        )  # fmt: skip


@dataclass
class RawItems:
    """What is known of each item: `rows[token] = {field: value}`, absent = missing.

    A title is kept as its words joined by single spaces; a price is a float.

    Attributes:
        types: of the fields that are not in `ITEM_FIELDS`, or are something else here.
    """

    fields: tuple[str, ...]
    rows: dict[str, dict[str, str | float]] = field(default_factory=dict)
    titles_cut: int = 0
    duplicates: int = 0
    types: dict[str, str] = field(default_factory=dict)

    def add(self, token: str, row: dict[str, str | float]) -> None:
        """Record an item; the first description of a token wins, later ones are counted."""
        if token in self.rows:
            self.duplicates += 1
        else:
            self.rows[token] = row

    def type_of(self, name: str) -> str:
        """token, float, token_seq or float_seq."""
        return self.types.get(name) or ITEM_FIELDS[name]

    def column(self, name: str, tokens: Iterable[str]) -> Iterator[str | float]:
        """Values of a field for tokens, "" where there is none."""
        return (self.rows.get(token, {}).get(name, "") for token in tokens)


class VectorSource(Protocol):
    """Where the vectors of a modality come from: a file that has them, or photos and an encoder."""

    encoder: str

    def write(self, tokens: Sequence[str], folder: Path, name: str) -> VectorWriter:
        """Write `folder/NAME.npy` and `.ids` for those of `tokens` that have a vector."""

    def details(self) -> dict[str, str]:
        """What the sidecar records besides the encoder's name, e.g. the hash of its weights."""


@dataclass(kw_only=True)
class Found:
    """What a reader finds beside its rows and items, of clicks or of a log.

    Attributes:
        tallies: lines read and skipped of each raw file.
        vectors: modality name -> where its vectors come from.
        photos: folder of photos by item id, encoded when there are no image vectors.
        notes: what to tell the user.
        published: counts of the publisher or the paper.
        columns: name of a table -> what its columns were taken as (`columns.Roles.describe`).
        counts_time: the times count from an unknown start and are no dates.
        made_by: what the record says of its making, when that may not depend on the machine.
        more_files: name -> content of further files of the dataset.
    """

    tallies: list[Tally] = field(default_factory=list)
    vectors: dict[str, VectorSource] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    published: dict[str, int] = field(default_factory=dict)
    photos: Path | None = None
    columns: dict[str, dict[str, object]] = field(default_factory=dict)
    counts_time: bool = False
    made_by: dict[str, object] | None = None
    more_files: dict[str, bytes] = field(default_factory=dict)

    def write_beside(self, folder: Path, tokens: Sequence[str], max_skipped: float) -> dict[str, VectorWriter]:
        """Write the vectors of the items `tokens`, and the further files; returns what was written of each modality.

        Raises:
            InputError: more than a share `max_skipped` of a modality's vectors is unusable.
        """
        written = {name: source.write(tokens, folder, name) for name, source in self.vectors.items()}
        for name, writer in written.items():
            writer.check(name, max_skipped)
        for name, content in self.more_files.items():
            (folder / name).write_bytes(content)
        return written


@dataclass
class RawDataset(Found):
    """Everything a reader of clicks found."""

    events: RawEvents
    items: RawItems
    sources: list[Path]
