"""From rows and behaviours to what a model is asked: the part of scoring that does not hang on how it is computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recbole_marn.data.context_vocabulary import FieldVocabulary
from recbole_marn.data.fields import Fields
from recbole_marn.data.statistics import GapBins
from recbole_marn.errors import InputError
from recbole_marn.prepare.times import EARLIEST
from recbole_marn.serving.contexts import Context, columns_read, context_of
from recbole_marn.serving.histories import Behaviours, History, Needs, Windows, columns_of, times_of, tokens_of

__all__ = ["NOTHING", "PAIRS", "UNKNOWN", "Asked", "Facts", "Scores"]

# (row, behaviour) pairs scored at a time: bounds the memory of a batch of any size.
PAIRS = 200_000
UNKNOWN = 0  # the number of the item of which nothing is known; it takes the place of the padding


@dataclass(frozen=True)
class Facts:
    """What is known of a model without its weights.

    Attributes:
        model: its name.
        fields: names of the columns of user, item, time and behaviour type.
        needs: what it reads of a behaviour.
        longest: behaviours of a history that are read, the latest ones.
        kinds: behaviour type -> code.
        gap: bins of the time since a behaviour, or None.
        latest: the last moment of the rows that an item's statistics are of.
        context: profile and context, for models of click logs.
    """

    model: str
    fields: Fields
    needs: Needs
    longest: int
    kinds: Mapping[str, int]
    gap: GapBins | None
    latest: float
    context: tuple[FieldVocabulary, ...] = ()

    @property
    def types(self) -> list[str]:
        """Types that the behaviours of a history may have; none where they need not say theirs."""
        return list(self.kinds if self.needs.types is None else self.needs.types)


@dataclass(frozen=True)
class Asked:
    """Rows to be scored, and the histories they share.

    Attributes:
        item: (B,) numbers of items.
        request: (B,) the history of each row.
        start, length: (S,) slices of behaviours.
        time: (S,) the moment of the rows of a history.
        context: (B, F) codes of profile and context.
    """

    item: np.ndarray
    request: np.ndarray
    start: np.ndarray
    length: np.ndarray
    time: np.ndarray
    context: np.ndarray


class Scores(ABC):
    """Click probabilities for users who are nothing but their behaviours."""

    def __init__(self, facts: Facts, tokens: Sequence[str] | np.ndarray):
        """`tokens`: ids of the items by number; that of number 0 is not read."""
        self.facts = facts
        self._tokens = list(tokens)
        self._number = {token: number for number, token in enumerate(self._tokens) if number}

    @abstractmethod
    def _answers(self, asked: Asked, behaviours: Behaviours) -> np.ndarray:
        """(B,) float32 outputs of the model, from 0 to 1."""

    @abstractmethod
    def rates(self, output: np.ndarray) -> np.ndarray:
        """(B,) float32 probabilities of outputs of the model, corrected and calibrated as those of the run were."""

    # ------------------------------------------------------------------------------------------------ items
    @property
    def items(self) -> list[str]:
        """Ids of all items that can be ranked."""
        return self._tokens[1:]

    def knows(self, items: Sequence[Any]) -> np.ndarray:
        """(n,) bool: items that training saw or that were added."""
        return self.numbers(items) > 0

    def numbers(self, items: Any) -> np.ndarray:
        """(n,) numbers of items, -1 for unknown ones."""
        tokens = tokens_of(np.asarray(items, dtype=object), self.facts.fields.item, "items")
        return np.array([self._number.get(token, -1) for token in tokens], dtype=np.int64)

    @staticmethod
    def _check_known(items: Any, numbers: np.ndarray) -> None:
        if (numbers <= 0).any():
            which = np.asarray(items, dtype=object)[numbers <= 0]
            raise InputError(
                "items that training saw or that were added",
                f"{which[0]!r}" + (f" and {len(which) - 1} more" if len(which) > 1 else ""),
                "Add them first, or leave them out.",
            )

    # ----------------------------------------------------------------------------------------------- scores
    def score(self, rows: Any, behaviours: Any = None, *, inclusive: bool = False) -> np.ndarray:
        """Click probabilities of rows.

        Args:
            rows: a data frame or mapping of columns: user, item and time (the latter only where behaviours are a
                table, or the model reads the time since a behaviour), and of profile and context what the model reads.
            behaviours: what the users did: a data frame or mapping of columns (user, item, time, and the type where
                the model reads it), of which a row sees its user's before its time; or one `History` a row, all of
                which it sees; or None.
            inclusive: behaviours at the very time of a row were before it.

        Returns:
            (B,) float32.

        Raises:
            InputError: columns or values are missing, or a behaviour of a `History` is after its row.
        """
        return self._scored(rows, self.behaviours(behaviours), inclusive)

    def score_request(
        self,
        history: History,
        candidates: Sequence[Any],
        *,
        profile: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        time: float | None = None,
    ) -> np.ndarray:
        """Click probabilities of candidates (C,) for one user at one moment.

        Args:
            history: what the user did, oldest first.
            candidates: ids; one of which nothing is known is scored as such.
            profile: field -> value of the user.
            context: field -> value of the moment, or a list of one value per candidate.
            time: needed where the model reads the time since a behaviour.

        Returns:
            (C,) float32.

        Raises:
            InputError: a time, or a value of profile and context that the model reads, is missing, or is not read.
        """
        coded = self.coded(profile, context, len(candidates))
        return self.score_numbers(self.behaviours_of([history]), self.numbers(candidates), coded.codes, time)

    def score_numbers(
        self, history: Behaviours, item: np.ndarray, context: np.ndarray, time: float | None = None
    ) -> np.ndarray:
        """`score_request` of candidates by number.

        Args:
            history: of the one user, as `behaviours_of` gives it.
            item: (C,) as `numbers` gives them; below 1 is one of which nothing is known.
            context: (C, F) codes of profile and context, as `coded` gives them.

        Returns:
            (C,) float32.

        Raises:
            InputError: the model reads the time since a behaviour, and there is none or in another unit; a behaviour
                after it.
        """
        number = len(item)
        end, length = len(history.item), min(len(history.item), self.facts.longest)
        windows = Windows(np.full(number, end - length), np.full(number, length))
        moment = np.full(number, self._moment(time, history))
        return self.probabilities(item.clip(min=UNKNOWN), moment, windows, history, context)

    def coded(
        self, profile: Mapping[str, Any] | None, context: Mapping[str, Any] | None, number: int
    ) -> Context:
        """Profile and context of one request, repeated for each of its candidates.

        Args:
            profile: field -> value of the user.
            context: field -> value of the moment, or a list of one value per candidate.
            number: of candidates, C.

        Returns:
            Codes (C, F), and how many values of which field are unknown.

        Raises:
            InputError: a field that the model reads is missing, one is not read, or a list has not C values.
        """
        given = self._repeated(profile, number) | self._repeated(context, number)
        if missing := [name for name in columns_read(self.facts.context) if name not in given]:
            raise InputError(
                f"profile and context with a value of {', '.join(columns_read(self.facts.context))}",
                f"{', '.join(given) or 'none'}, without {', '.join(missing)}",
                "Give profile={field: value} and context={field: value}; None is a missing value.",
            )
        return self.context_of(given, number)

    def unknown_values(self, history: History, coded: Context) -> list[str]:
        """Fields of a request with a value that training never saw, or that is no number: it counts as missing.

        Args:
            coded: its profile and context.
        """
        kinds = history.behaviours if self.facts.needs.kind else None
        new = bool(kinds) and not self._kinds(np.asarray(kinds)).all()
        return [*coded.unknown, *([self.facts.fields.behaviour] if new else [])]

    def _repeated(self, given: Mapping[str, Any] | None, number: int) -> dict[str, np.ndarray]:
        """Columns of one value a candidate; the lists of a `token_seq` stay whole."""
        found = {}
        lists = {field.name for field in self.facts.context if field.kind == "token_seq"}
        read = columns_read(self.facts.context)
        if unread := [name for name in given or {} if name not in read]:
            raise InputError(
                f"fields of profile and context that the model reads ({', '.join(read) or 'none'})",
                repr(unread[0]),
                "Leave it out, or correct its name.",
            )
        for name, value in (given or {}).items():
            by_candidate = isinstance(value, (list, tuple)) and name not in lists
            if by_candidate and len(value) != number:
                raise InputError(
                    f"one {name}, or one per candidate ({number})",
                    f"{len(value)}",
                    "Give a value, or a list of as many.",
                )
            column = np.empty(number, dtype=object)
            column[:] = value if by_candidate else [value] * number
            found[name] = column
        return found

    def context_of(self, rows: Any, number: int) -> Context:
        """Profile and context of `number` rows.

        Args:
            rows: a data frame or mapping of columns.

        Raises:
            InputError: a column that the model reads is missing.
        """
        columns = columns_of(rows, columns_read(self.facts.context), "rows")
        return context_of(self.facts.context, columns, number)

    def behaviours(self, given: Any) -> Behaviours | None:
        """Behaviours made ready for several calls of `score`."""
        if given is None or isinstance(given, Behaviours):
            return given
        if isinstance(given, Sequence) and all(isinstance(history, History) for history in given):
            return self.behaviours_of(given)
        found = Behaviours.of_table(given, self.facts.fields, self.facts.needs, self.numbers, self._kinds)
        self._check_unit(found.time, "behaviours")
        return found

    def behaviours_of(self, histories: Sequence[History]) -> Behaviours:
        """`behaviours` of one history per row, as far as the model knows their items."""
        found = Behaviours.of_rows(histories, self.facts.needs, self.numbers, self._kinds)
        if self.facts.needs.time:
            self._check_unit(found.time, "behaviours")
        return found

    def _kinds(self, tokens: np.ndarray) -> np.ndarray:
        return np.array([self.facts.kinds.get(token, 0) for token in tokens], dtype=np.int64)

    def _scored(self, rows: Any, behaviours: Behaviours | None, inclusive: bool) -> np.ndarray:
        by_row = behaviours is not None and behaviours.by_row
        fields = self.facts.fields
        timed = behaviours is not None and (self.facts.needs.time or not by_row)
        if by_row and not timed:  # then times tell no more than that behaviours were before their row
            timed = fields.time in rows and bool(np.isfinite(behaviours.time).any())
        wanted = [*([] if by_row else [fields.user]), fields.item, *([fields.time] if timed else [])]
        columns = columns_of(rows, [*wanted, *columns_read(self.facts.context)], "rows")
        item = self.numbers(columns[fields.item]).clip(min=UNKNOWN)
        time = self._times(columns[fields.time]) if timed else np.zeros(len(item))
        if behaviours is None:
            behaviours, windows = NOTHING, Windows(*np.zeros((2, len(item)), dtype=np.int64))
        elif by_row:
            behaviours.check_rows(len(item))
            if timed:
                behaviours.check_past(time)
            windows = behaviours.all_of(np.arange(len(item)), self.facts.longest)
        else:
            user = tokens_of(columns[fields.user], fields.user, "rows")
            windows = behaviours.before(user, time, self.facts.longest, inclusive=inclusive)
        return self.probabilities(item, time, windows, behaviours, self.context_of(columns, len(item)).codes)

    def probabilities(
        self, item: np.ndarray, time: np.ndarray, windows: Windows, behaviours: Behaviours, context: np.ndarray
    ) -> np.ndarray:
        """(B,) of rows in the numbers of `numbers` and of behaviours; takes what `outputs` takes."""
        return self.rates(self.outputs(item, time, windows, behaviours, context))

    def outputs(
        self, item: np.ndarray, time: np.ndarray, windows: Windows, behaviours: Behaviours, context: np.ndarray
    ) -> np.ndarray:
        """(B,) of the model itself, scored in pieces: they rank what a calibration in steps makes alike.

        Args:
            item: (B,) numbers of items; 0 is one of which nothing is known.
            time: (B,) moments.
            windows: (B,) slices of `behaviours`.
            context: (B, F) codes of profile and context.
        """
        found, (start, length) = np.empty(len(item), dtype=np.float32), (windows.start, windows.length)
        for some in _batches(length):
            asked = _asked(item[some], time[some], start[some], length[some], context[some])
            found[some] = self._answers(asked, behaviours)
        return found

    def _times(self, column: np.ndarray) -> np.ndarray:
        time = times_of(column, self.facts.fields.time, "rows")
        self._check_unit(time, "rows")
        return time

    def _check_unit(self, time: np.ndarray, what: str) -> None:
        """Refuse times (n,) of another unit than that of training, by which all behaviours are before a row or none."""
        latest = self.facts.latest
        if not len(time) or latest <= 0:
            return
        # Old behaviours may stand beside others; a row before the web, or nothing but such behaviours, is no unix time.
        early = time.min() if what == "rows" else time.max()
        wrong = time.max() if time.max() > 100 * latest else early
        if wrong > 100 * latest or (wrong < EARLIEST <= latest):
            raise InputError(
                f"times of {what} in the unit of the training data, which end at {latest:.0f}",
                f"{wrong:.0f}",
                "Convert them: milliseconds are a thousand times as many as seconds, and 2023-11-15 is a date.",
            )

    def _moment(self, time: float | None, history: Behaviours) -> float:
        """The time of the one row of a history."""
        if time is None:
            if self.facts.needs.time:
                what = f"a time, for {self.facts.model} reads the time since each behaviour"
                raise InputError(what, "none", "Give time=...")
            return 0.0
        moment = self._times(np.array([time]))
        history.check_past(moment)
        return float(moment[0])


def _asked(
    item: np.ndarray, time: np.ndarray, start: np.ndarray, length: np.ndarray, context: np.ndarray
) -> Asked:
    """Rows (B,) with histories of their own; those with one history and moment share it."""
    keys = np.column_stack([start.astype(np.float64), length, time])
    kept, request = np.unique(keys, axis=0, return_inverse=True)
    of_kept = kept[:, 0].astype(np.int64), kept[:, 1].astype(np.int64), kept[:, 2]
    return Asked(item, request.ravel(), *of_kept, context)


def _batches(length: np.ndarray) -> list[slice]:
    """Slices of rows with at most PAIRS behaviours, or of one row."""
    ends = np.cumsum(np.maximum(length, 16))
    cuts = [0]
    while cuts[-1] < len(length):
        before = ends[cuts[-1] - 1] if cuts[-1] else 0
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(ends, before + PAIRS, side="right"))))
    return [slice(first, last) for first, last in zip(cuts, cuts[1:], strict=False)]


_NONE = np.zeros(0, dtype=np.int64)
NOTHING = Behaviours({}, _NONE, _NONE, np.zeros(0), _NONE)
